/* Turns the bodies of one instance into loops over contiguous elements: one per direction, and for a
 * function with parameters one with numbers and one with arrays. Included by instance.h, once per instance. */

#ifndef FASTRELU_LOOP
#define FASTRELU_LOOP

#define ANY 1

#define FR_POINTER(p, k) const store *p##_at = (const store *)in[k];
#define FR_NUMBER(p, k) const real p = (real) * (const store *)in[k];
#define FR_ELEMENT(p) const real p = (real)p##_at[i];

#define FR_LOOP(id, before, valid, inside, ...)                                    \
    FR_UNUSED static void id(const char *const *in, char *out, ptrdiff_t n) {      \
        before;                                                                    \
        store *to = (store *)out;                                                  \
        if (!(valid)) {                                                            \
            for (ptrdiff_t i = 0; i < n; i++) to[i] = (store)NAN;                  \
            return;                                                                \
        }                                                                          \
        FR_INDEPENDENT                                                             \
        for (ptrdiff_t i = 0; i < n; i++) {                                        \
            inside;                                                                \
            to[i] = (store)(__VA_ARGS__);                                          \
        }                                                                          \
    }

/* The data operands: 1 of them forward (x), 2 backward (grad and x; for the derivative from the output, y). */
#define FR_POINTERS_1 FR_POINTER(x, 0)
#define FR_POINTERS_2 FR_POINTER(g, 0) FR_POINTER(x, 1)
#define FR_ARGS_1 (real)x_at[i]
#define FR_ARGS_2 (real)g_at[i], (real)x_at[i]

/* NaN outside the domain, by an addition: a choice between the body and NaN would become a branch around the
 * body, which GCC does not vectorise below AVX2. Adding -0 changes nothing. */
#define FR_POISON(valid) ((valid) ? -(real)0 : (real)NAN)

/* (id of the loop, body, domain, number of data operands, parameters ...) */
#define FR_LOOPS0(id, body, valid, k) FR_LOOP(FN(id##_scalar), FR_POINTERS_##k, 1, , FN(body)(FR_ARGS_##k))

#define FR_LOOPS1(id, body, valid, k, a)                                                       \
    FR_LOOP(FN(id##_scalar), FR_POINTERS_##k FR_NUMBER(a, k), valid, , FN(body)(FR_ARGS_##k, a)) \
    FR_LOOP(FN(id##_array), FR_POINTERS_##k FR_POINTER(a, k), 1, FR_ELEMENT(a),                \
            FN(body)(FR_ARGS_##k, a) + FR_POISON(valid))

#define FR_LOOPS2(id, body, valid, k, a, b)                                                    \
    FR_LOOP(FN(id##_scalar), FR_POINTERS_##k FR_NUMBER(a, k) FR_NUMBER(b, k + 1), valid, ,     \
            FN(body)(FR_ARGS_##k, a, b))                                                       \
    FR_LOOP(FN(id##_array), FR_POINTERS_##k FR_POINTER(a, k) FR_POINTER(b, k + 1), 1,          \
            FR_ELEMENT(a) FR_ELEMENT(b), FN(body)(FR_ARGS_##k, a, b) + FR_POISON(valid))

#define FR_LOOPS4(id, body, valid, k, a, b, c, d)                                              \
    FR_LOOP(FN(id##_scalar),                                                                   \
            FR_POINTERS_##k FR_NUMBER(a, k) FR_NUMBER(b, k + 1) FR_NUMBER(c, k + 2)            \
                FR_NUMBER(d, k + 3),                                                           \
            valid, , FN(body)(FR_ARGS_##k, a, b, c, d))                                        \
    FR_LOOP(FN(id##_array),                                                                    \
            FR_POINTERS_##k FR_POINTER(a, k) FR_POINTER(b, k + 1) FR_POINTER(c, k + 2)         \
                FR_POINTER(d, k + 3),                                                          \
            1, FR_ELEMENT(a) FR_ELEMENT(b) FR_ELEMENT(c) FR_ELEMENT(d),                        \
            FN(body)(FR_ARGS_##k, a, b, c, d) + FR_POISON(valid))

#endif

/* Which flavours have a body in this instance. */
#if FR_KIND == FR_HILO
#define FR_IF_EXACT(...)
#define FR_IF_WIDE(...)
#define FR_IF_HILO(...) __VA_ARGS__
#else
#define FR_IF_EXACT(...) __VA_ARGS__
#define FR_IF_WIDE(...) __VA_ARGS__
#define FR_IF_HILO(...) __VA_ARGS__
#endif

#define OP0(name, flavour, cost, domain)                              \
    FR_IF_##flavour(FR_LOOPS0(name##_forward, name, domain, 1)     \
                    FR_LOOPS0(name##_backward, name##_backward, domain, 2))
#define OP1(name, a, flavour, cost, domain)                           \
    FR_IF_##flavour(FR_LOOPS1(name##_forward, name, domain, 1, a)  \
                    FR_LOOPS1(name##_backward, name##_backward, domain, 2, a))
#define OP2(name, a, b, flavour, cost, domain)                           \
    FR_IF_##flavour(FR_LOOPS2(name##_forward, name, domain, 1, a, b)  \
                    FR_LOOPS2(name##_backward, name##_backward, domain, 2, a, b))
#define OP4(name, a, b, c, d, flavour, cost, domain)                           \
    FR_IF_##flavour(FR_LOOPS4(name##_forward, name, domain, 1, a, b, c, d)  \
                    FR_LOOPS4(name##_backward, name##_backward, domain, 2, a, b, c, d))
#define OP0_Y(name, flavour, cost, domain, domain_y) \
    OP0(name, flavour, cost, domain)                 \
    FR_IF_##flavour(FR_LOOPS0(name##_from_output, name##_from_output, domain_y, 2))
#define OP1_Y(name, a, flavour, cost, domain, domain_y) \
    OP1(name, a, flavour, cost, domain)                 \
    FR_IF_##flavour(FR_LOOPS1(name##_from_output, name##_from_output, domain_y, 2, a))
#define OP2_Y(name, a, b, flavour, cost, domain, domain_y) \
    OP2(name, a, b, flavour, cost, domain)                 \
    FR_IF_##flavour(FR_LOOPS2(name##_from_output, name##_from_output, domain_y, 2, a, b))

#include "ops.def"

#undef OP0
#undef OP1
#undef OP2
#undef OP4
#undef OP0_Y
#undef OP1_Y
#undef OP2_Y
#undef FR_IF_EXACT
#undef FR_IF_WIDE
#undef FR_IF_HILO
