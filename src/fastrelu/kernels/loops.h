/* Turns the bodies of one instance into loops over contiguous elements: one per direction, and for a function with
 * parameters one that takes numbers and one that takes arrays. Included by instance.h, once per instance. */

#ifndef FASTRELU_LOOP
#define FASTRELU_LOOP

#include "columns.h"

#define FR_NUMBER(p, k) const real p = (real) * (const store *)in[first + k];
#define FR_POINTER(p, k) const store *p##_at = (const store *)in[first + k];
#define FR_ELEMENT(p, k) const real p = (real)p##_at[i];

#define FR_LOOP(id, before, valid, inside, ...)                               \
    FR_UNUSED static void id(const char *const *in, char *out, ptrdiff_t n) { \
        before;                                                               \
        store *to = (store *)out;                                             \
        if (!(valid)) {                                                       \
            for (ptrdiff_t i = 0; i < n; i++) to[i] = (store)NAN;             \
            return;                                                           \
        }                                                                     \
        FR_INDEPENDENT                                                        \
        for (ptrdiff_t i = 0; i < n; i++) {                                   \
            inside;                                                           \
            to[i] = (store)(__VA_ARGS__);                                     \
        }                                                                     \
    }

/* The data operands: 1 of them forward (x), 2 backward (grad and x; for the derivative from the output, y). */
#define FR_DATA_1       \
    enum { first = 1 }; \
    const store *x_at = (const store *)in[0];
#define FR_DATA_2       \
    enum { first = 2 }; \
    const store *g_at = (const store *)in[0], *x_at = (const store *)in[1];
#define FR_BODY_1(body, ...) FN(body)((real)x_at[i] __VA_ARGS__)
#define FR_BODY_2(body, ...) FN(body)((real)g_at[i], (real)x_at[i] __VA_ARGS__)

#define FR_TILE_BODY_1(body, ...) FN(body)(data[0][i] __VA_ARGS__)
#define FR_TILE_BODY_2(body, ...) FN(body)(data[0][i], data[1][i] __VA_ARGS__)

/* The same over elements of 16 bits. A tile of them is converted to float and back in registers: that is where the
 * compiler keeps short arrays. The last elements are copied to a tile of their own. */
#define FR_DIRECT_LOOP(id, type, body, valid, k, parameters)                                            \
    FR_UNUSED static void id##_##type(const char *const *in, char *out, ptrdiff_t n) {                  \
        enum { first = k, size = sizeof(uint16_t) };                                                    \
        FR_EACH(FR_NUMBER, parameters)                                                                  \
        const char *from[k];                                                                            \
        if (!(valid)) {                                                                                 \
            for (ptrdiff_t i = 0; i < n; i++) ((uint16_t *)out)[i] = fr_to_##type((float)NAN);          \
            return;                                                                                     \
        }                                                                                               \
        uint16_t rest[k][FR_TILE];                                                                      \
        float data[k][FR_TILE];                                                                         \
        for (int j = 0; j < k; j++) from[j] = in[j];                                                    \
        for (; n > 0; n -= FR_TILE, out += FR_TILE * size) {                                            \
            const int whole = n >= FR_TILE;                                                             \
            for (int j = 0; j < k && !whole; j++) from[j] = memcpy(rest[j], from[j], (size_t)n * size); \
            for (int j = 0; j < k; j++) {                                                               \
                fr_load_##type##_float_here((const uint16_t *)from[j], data[j], FR_TILE);               \
                from[j] += FR_TILE * size;                                                              \
            }                                                                                           \
            FR_INDEPENDENT                                                                              \
            for (ptrdiff_t i = 0; i < FR_TILE; i++)                                                     \
                data[0][i] = FR_TILE_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters);    \
            fr_store_##type##_float_here(data[0], whole ? (uint16_t *)out : rest[0], FR_TILE);          \
            if (!whole) memcpy(out, rest[0], (size_t)n * size);                                         \
        }                                                                                               \
    }

/* NaN outside the domain, by an addition: a choice between the body and NaN would become a branch around the body,
 * which GCC does not vectorize below AVX2. Adding -0 changes nothing. */
#define FR_POISON(valid) ((valid) ? -(real)0 : (real)NAN)

/* The last elements of a loop over whole tiles, copied to tiles of their own. in[] has `ndata` operands before the
 * parameters, and the terms after in[slot]. */
FR_UNUSED FR_ONE_COPY static void fr_finish_tile(fr_fused kernel, const char *const *in, int ndata, int slot, char *out,
                                                 char *also, ptrdiff_t n, ptrdiff_t size) {
    const char *at[FR_MAX_OPERANDS];
    double rest[2 + 2 + FR_MAX_TERMS][FR_TILE]; /* results, data, terms */
    const ptrdiff_t done = n / FR_TILE * FR_TILE * size;
    const size_t bytes = (size_t)(n * size - done);
    int used = 2;
    for (int j = 0; j <= slot + FR_MAX_TERMS; j++) {
        const int elements = j < ndata || (j > slot && in[j]);
        at[j] = elements ? memcpy(rest[used++], in[j] + done, bytes) : in[j];
    }
    kernel(at, (char *)rest[0], also ? (char *)rest[1] : NULL, FR_TILE);
    memcpy(out + done, rest[0], bytes);
    if (also) memcpy(also + done, rest[1], bytes);
}

FR_INLINE void fr_sum_floats(double *sums, const float *t, ptrdiff_t n) {
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) sums[i] += t[i];
}

/* The same with terms in registers, over whole tiles: of a constant number of elements the compiler makes one copy of
 * the body alone. `after` each tile, and `at_end` for the elements from `whole` on. */
#define FR_FUSED_LOOP(id, k, valid, parameters, before, inside, after, second, at_end, ...) \
    FR_UNUSED static void id(const char *const *in, char *out, char *also, ptrdiff_t n) {   \
        enum { slot = k + FR_COUNT_##parameters };                                          \
        FR_DATA_##k FR_EACH(FR_NUMBER, parameters) before;                                  \
        (void)also;                                                                         \
        store *to = (store *)out;                                                           \
        const ptrdiff_t whole = (valid) ? n / FR_TILE * FR_TILE : 0;                        \
        for (ptrdiff_t at = 0; at < whole; at += FR_TILE) {                                 \
            FR_INDEPENDENT                                                                  \
            for (ptrdiff_t i = 0; i < FR_TILE; i++) {                                       \
                inside;                                                                     \
                to[at + i] = (store)(__VA_ARGS__);                                          \
            }                                                                               \
            after;                                                                          \
        }                                                                                   \
        if (whole == n) return;                                                             \
        if (valid) fr_finish_tile(id, in, k, slot, out, second, n, sizeof(store));          \
        else                                                                                \
            for (ptrdiff_t i = 0; i < n; i++) {                                             \
                to[i] = (store)NAN;                                                         \
                if (second) ((store *)second)[i] = (store)NAN;                              \
            }                                                                               \
        at_end;                                                                             \
    }

#define FR_NO_SECOND ((char *)NULL)

/* Two terms that are added to x. One that is a number, or missing, is a tile for all: adding -0 changes nothing. */
#define FR_ADDED                                                                              \
    store number[FR_TILE];                                                                    \
    store nothing[FR_TILE];                                                                   \
    const store *a_at = (const store *)in[slot + 1];                                          \
    const store *b_at = (const store *)in[slot + 2];                                          \
    const ptrdiff_t a_step = a_at ? FR_TILE : 0;                                              \
    const ptrdiff_t b_step = b_at ? FR_TILE : 0;                                              \
    if (!a_at) a_at = FN(fill_tile)(number, in[slot] ? *(const store *)in[slot] : -(store)0); \
    if (!b_at) b_at = FN(fill_tile)(nothing, -(store)0)
#define FR_ADDED_LOOP(id, body, valid, k, parameters, before)                         \
    FR_FUSED_LOOP(FN(id##_added), k, valid, parameters, before FR_ADDED,              \
                  const real x = (real)x_at[at + i] + (real)a_at[i] + (real)b_at[i],  \
                  FR_SUM_RESULTS_##k(at, FR_TILE) a_at += a_step;                     \
                  b_at += b_step, FR_NO_SECOND, FR_SUM_RESULTS_##k(whole, n - whole), \
                  FR_ADDED_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters))
#define FR_ADDED_LOOPS(id, body, valid, k, parameters)                            \
    FR_USUALLY(body, FR_ADDED_LOOP(id##_usual, body##_usual, 1, k, parameters, )) \
    FR_ADDED_LOOP(id, body, valid, k, parameters,                                 \
                  FR_USUALLY(body, FR_GO(body, id##_usual_added, parameters, in, out, also, n)))
/* Between tiles the processor already reads the next ones. Sums of doubles need more arithmetic: sums_drive.h. */
#define FR_SUM_RESULTS_1(from, count)
#define FR_SUM_RESULTS_2(from, count) \
    if (FR_KIND == FR_LEAN && also)   \
        fr_sum_floats((double *)(void *)also + (from), (const float *)(const void *)to + (from), count);
#define FR_ADDED_BODY_1(body, ...) FN(body)(x __VA_ARGS__)
#define FR_ADDED_BODY_2(body, ...) FN(body)((real)g_at[at + i], x __VA_ARGS__)

/* One term that the result is multiplied with; backward grad, in a pass that also gives f(x) * grad. */
#define FR_FACTOR const store *a_at = (const store *)in[slot + 1]
#define FR_FACTOR_OF_GRAD                             \
    FR_FACTOR;                                        \
    store unwanted[FR_TILE];                          \
    store *also_at = also ? (store *)also : unwanted; \
    const ptrdiff_t also_step = also ? FR_TILE : 0
#define FR_MULTIPLIED_LOOPS(name, valid, parameters)                                                                   \
    FR_FUSED_LOOP(FN(name##_forward_multiplied), 1, valid, parameters, FR_FACTOR, const real x = (real)x_at[at + i], , \
                  FR_NO_SECOND, , FN(name)(x FR_WITH_##parameters(, ) FR_NAMES_##parameters) * (real)a_at[at + i])     \
    FR_FUSED_LOOP(                                                                                                     \
        FN(name##_backward_multiplied), 2, valid, parameters, FR_FACTOR_OF_GRAD, const real x = (real)x_at[at + i];    \
        const real g = (real)g_at[at + i]; const real product = g * (real)a_at[at + i];                                \
        also_at[i] = (store)(FN(name)(x FR_WITH_##parameters(, ) FR_NAMES_##parameters) * g), also_at += also_step,    \
        also, , FN(name##_backward)(product, x FR_WITH_##parameters(, ) FR_NAMES_##parameters))

/* Usual parameters: to the loop of the cheaper body (see FR_WITH_USUAL). Compilers do not take such a choice out of a
 * loop themselves if its bodies are long. */
#define FR_GO(body, loop, parameters, ...)            \
    if (FN(body##_is_usual)(FR_NAMES_##parameters)) { \
        FN(loop)(__VA_ARGS__);                        \
        return;                                       \
    }

/* (id of the loop, body, domain, number of data operands, parameters) */
#define FR_NUMBER_LOOP(id, body, valid, k, parameters, before)                  \
    FR_LOOP(FN(id), FR_DATA_##k FR_EACH(FR_NUMBER, parameters) before, valid, , \
            FR_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters))
#define FR_LOOPS(id, body, valid, k, parameters)                                                                 \
    FR_DIRECT_LOOPS(id, body, valid, k, parameters)                                                              \
    FR_USUALLY(body, FR_NUMBER_LOOP(id##_usual, body##_usual, 1, k, parameters, ))                               \
    FR_NUMBER_LOOP(id##_scalar, body, valid, k, parameters,                                                      \
                   FR_USUALLY(body, FR_GO(body, id##_usual, parameters, in, out, n)))                            \
    FR_WITH_##parameters(                                                                                        \
        FR_LOOP(FN(id##_array), FR_DATA_##k FR_EACH(FR_POINTER, parameters), 1, FR_EACH(FR_ELEMENT, parameters), \
                FR_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters) + FR_POISON(valid)))

#endif

#undef FR_USUALLY
#undef FR_DIRECT_LOOPS
#undef FR_ROUGH_LOOP
#undef FR_FUSED_LOOPS
#if defined(FR_DIRECT) && FR_KIND == FR_LEAN
#define FR_DIRECT_LOOPS(id, body, valid, k, parameters)  \
    FR_DIRECT_LOOP(id, half, body, valid, k, parameters) \
    FR_DIRECT_LOOP(id, bfloat, body, valid, k, parameters)
#define FR_ROUGH_LOOP(id, body, valid, parameters) FR_DIRECT_LOOP(id, bfloat, body, valid, 1, parameters)
#else
#define FR_DIRECT_LOOPS(id, body, valid, k, parameters)
#define FR_ROUGH_LOOP(id, body, valid, parameters)
#endif

#if FR_KIND == FR_HILO
#define FR_USUALLY(body, ...)
#else
#define FR_USUALLY(body, ...) FR_WITH_USUAL(body)(__VA_ARGS__)
#endif

#if FR_HAS_FMA && (FR_KIND == FR_LEAN || FR_KIND == FR_FULL)
FR_INLINE const store *FN(fill_tile)(store *tile, store value) {
    for (ptrdiff_t i = 0; i < FR_TILE; i++) tile[i] = value;
    return tile;
}
#define FR_FUSED_LOOPS(name, valid, parameters)                            \
    FR_ADDED_LOOPS(name##_forward, name, valid, 1, parameters)             \
    FR_ADDED_LOOPS(name##_backward, name##_backward, valid, 2, parameters) \
    FR_MULTIPLIED_LOOPS(name, valid, parameters)
#else
#define FR_FUSED_LOOPS(name, valid, parameters)
#endif

/* Which roundings have a body in this instance. */
#if FR_KIND == FR_HILO
#define FR_WITH_EXACT FR_SKIP
#define FR_WITH_WIDE FR_SKIP
#else
#define FR_WITH_EXACT FR_KEEP
#define FR_WITH_WIDE FR_KEEP
#endif
#define FR_WITH_HILO FR_KEEP

#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct)                                       \
    FR_WITH_##rounding(FR_LOOPS(name##_forward, name, domain, 1, parameters)                                          \
                           FR_LOOPS(name##_backward, name##_backward, domain, 2, parameters) FR_WITH_##gradient(      \
                               FR_LOOPS(name##_from_output, name##_from_output, FR_DOMAIN_##gradient, 2, parameters)) \
                               FR_FUSED_LOOPS(name, domain, parameters))                                              \
        FR_WITH_##direct(FR_ROUGH_LOOP(name##_forward_rough, name##_rough, domain, parameters))
#include "ops.def"
#undef OP
