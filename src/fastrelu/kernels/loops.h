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

/* NaN outside the domain, by an addition: a choice between the body and NaN would become a branch around the body,
 * which GCC does not vectorize below AVX2. Adding -0 changes nothing. */
#define FR_POISON(valid) ((valid) ? -(real)0 : (real)NAN)

/* (id of the loop, body, domain, number of data operands, parameters) */
#define FR_LOOPS(id, body, valid, k, parameters)                                                                 \
    FR_LOOP(FN(id##_scalar), FR_DATA_##k FR_EACH(FR_NUMBER, parameters), valid, ,                                \
            FR_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters))                                   \
    FR_WITH_##parameters(                                                                                        \
        FR_LOOP(FN(id##_array), FR_DATA_##k FR_EACH(FR_POINTER, parameters), 1, FR_EACH(FR_ELEMENT, parameters), \
                FR_BODY_##k(body, FR_WITH_##parameters(, ) FR_NAMES_##parameters) + FR_POISON(valid)))

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

#define OP(name, parameters, rounding, cost, domain, gradient, learned)                                          \
    FR_WITH_##rounding(FR_LOOPS(name##_forward, name, domain, 1, parameters)                                     \
                           FR_LOOPS(name##_backward, name##_backward, domain, 2, parameters) FR_WITH_##gradient( \
                               FR_LOOPS(name##_from_output, name##_from_output, FR_DOMAIN_##gradient, 2, parameters)))
#include "ops.def"
#undef OP
