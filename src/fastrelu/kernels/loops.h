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

/* (id of the loop, body, domain, number of data operands, parameters) */
#define FR_LOOPS(id, body, valid, k, parameters)                                                                 \
    FR_DIRECT_LOOPS(id, body, valid, k, parameters)                                                              \
    FR_LOOP(FN(id##_scalar), FR_DATA_##k FR_EACH(FR_NUMBER, parameters), valid, ,                                \
            FR_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters))                                   \
    FR_WITH_##parameters(                                                                                        \
        FR_LOOP(FN(id##_array), FR_DATA_##k FR_EACH(FR_POINTER, parameters), 1, FR_EACH(FR_ELEMENT, parameters), \
                FR_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters) + FR_POISON(valid)))

#endif

#undef FR_DIRECT_LOOPS
#undef FR_ROUGH_LOOP
#if defined(FR_DIRECT) && FR_KIND == FR_LEAN
#define FR_DIRECT_LOOPS(id, body, valid, k, parameters)  \
    FR_DIRECT_LOOP(id, half, body, valid, k, parameters) \
    FR_DIRECT_LOOP(id, bfloat, body, valid, k, parameters)
#define FR_ROUGH_LOOP(id, body, valid, parameters) FR_DIRECT_LOOP(id, bfloat, body, valid, 1, parameters)
#else
#define FR_DIRECT_LOOPS(id, body, valid, k, parameters)
#define FR_ROUGH_LOOP(id, body, valid, parameters)
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

#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct)                                        \
    FR_WITH_##rounding(FR_LOOPS(name##_forward, name, domain, 1, parameters)                                           \
                           FR_LOOPS(name##_backward, name##_backward, domain, 2, parameters) FR_WITH_##gradient(       \
                               FR_LOOPS(name##_from_output, name##_from_output, FR_DOMAIN_##gradient, 2, parameters))) \
        FR_WITH_##direct(FR_ROUGH_LOOP(name##_forward_rough, name##_rough, domain, parameters))
#include "ops.def"
#undef OP
