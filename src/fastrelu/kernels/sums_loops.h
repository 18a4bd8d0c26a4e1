/* Loops that write dx and, in double, the terms of each parameter's gradient: from numbers and from arrays as
 * parameters. Terms are never computed in float: the lean loops take dx from the lean body and the terms from the
 * wide one. Included by instance.h after loops.h. */

#ifndef FASTRELU_SUMS_LOOP
#define FASTRELU_SUMS_LOOP

#define FR_TERMS(k) double *FR_INTO(k) = terms[k];
#define FR_INTO(k) terms_##k

#define FR_SUMS_LOOP(id, before, valid, inside, nparams, result, write)                             \
    FR_UNUSED static void id(const char *const *in, char *out, double *const *terms, ptrdiff_t n) { \
        before;                                                                                     \
        store *to = (store *)out;                                                                   \
        if (!(valid)) {                                                                             \
            for (ptrdiff_t i = 0; i < n; i++) to[i] = (store)NAN;                                   \
            for (int k = 0; k < nparams; k++)                                                       \
                for (ptrdiff_t i = 0; i < n; i++) terms[k][i] = NAN;                                \
            return;                                                                                 \
        }                                                                                           \
        FR_INDEPENDENT                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                         \
            const real g = (real)g_at[i], x = (real)x_at[i];                                        \
            inside;                                                                                 \
            const store dx = (store)(result);                                                       \
            write;                                                                                  \
            to[i] = dx;                                                                             \
        }                                                                                           \
    }

/* (kind of the terms, function, domain, parameters) */
#define FR_SUMS1(kind, name, valid, a)                                                              \
    FR_SUMS_LOOP(FN(name##_terms_scalar), FR_POINTERS_2 FR_NUMBER(a, 2) FR_TERMS(0), valid, , 1,    \
                 FN(name##_backward)(g, x, a),                                                      \
                 FR_INTO(0)[i] = name##_by_##a##_##kind(g, x, a))                                   \
    FR_SUMS_LOOP(FN(name##_terms_array), FR_POINTERS_2 FR_POINTER(a, 2) FR_TERMS(0), 1,             \
                 FR_ELEMENT(a) const real bad = FR_POISON(valid), 1,                                \
                 FN(name##_backward)(g, x, a) + bad,                                                \
                 FR_INTO(0)[i] = name##_by_##a##_##kind(g, x, a) + bad)

#define FR_SUMS4_TERMS(kind, name, a, b, c, d, bad)                                                 \
    FR_INTO(0)[i] = name##_by_##a##_##kind(g, x, a, b, c, d) + bad;                                 \
    FR_INTO(1)[i] = name##_by_##b##_##kind(g, x, a, b, c, d) + bad;                                 \
    FR_INTO(2)[i] = name##_by_##c##_##kind(g, x, a, b, c, d) + bad;                                 \
    FR_INTO(3)[i] = name##_by_##d##_##kind(g, x, a, b, c, d) + bad
#define FR_SUMS4(kind, name, valid, a, b, c, d)                                                     \
    FR_SUMS_LOOP(FN(name##_terms_scalar),                                                           \
                 FR_POINTERS_2 FR_NUMBER(a, 2) FR_NUMBER(b, 3) FR_NUMBER(c, 4) FR_NUMBER(d, 5)      \
                     FR_TERMS(0) FR_TERMS(1) FR_TERMS(2) FR_TERMS(3),                               \
                 valid, , 4,                                                                        \
                 FN(name##_backward)(g, x, a, b, c, d),                                             \
                 FR_SUMS4_TERMS(kind, name, a, b, c, d, -(real)0))                                  \
    FR_SUMS_LOOP(FN(name##_terms_array),                                                            \
                 FR_POINTERS_2 FR_POINTER(a, 2) FR_POINTER(b, 3) FR_POINTER(c, 4) FR_POINTER(d, 5)  \
                     FR_TERMS(0) FR_TERMS(1) FR_TERMS(2) FR_TERMS(3),                               \
                 1, FR_ELEMENT(a) FR_ELEMENT(b) FR_ELEMENT(c) FR_ELEMENT(d)                         \
                 const real bad = FR_POISON(valid), 4,                                              \
                 FN(name##_backward)(g, x, a, b, c, d) + bad,                                       \
                 FR_SUMS4_TERMS(kind, name, a, b, c, d, bad))
#endif

#define OP0(...)
#define OP1(...)
#define OP2(...)
#define OP4(...)
#define OP0_Y(...)
#define OP1_Y(...)
#define OP2_Y(...)
#define OP1_YL(name, a, flavour, cost, domain, domain_y) OP1_L(name, a, flavour, cost, domain)
#if FR_KIND == FR_LEAN || FR_KIND == FR_WIDE
#define OP1_L(name, a, flavour, cost, domain) FR_SUMS1(wide, name, domain, a)
#define OP4_L(name, a, b, c, d, flavour, cost, domain) FR_SUMS4(wide, name, domain, a, b, c, d)
#elif FR_KIND == FR_FULL
#define OP1_L(name, a, flavour, cost, domain) FR_SUMS1(full, name, domain, a)
#define OP4_L(name, a, b, c, d, flavour, cost, domain) FR_SUMS4(full, name, domain, a, b, c, d)
#else
#define FR_IF_EXACT(...)
#define FR_IF_WIDE(...)
#define FR_IF_HILO(...) __VA_ARGS__
#define OP1_L(name, a, flavour, cost, domain) FR_IF_##flavour(FR_SUMS1(hilo, name, domain, a))
#define OP4_L(name, a, b, c, d, flavour, cost, domain)                                              \
    FR_IF_##flavour(FR_SUMS4(hilo, name, domain, a, b, c, d))
#endif

#include "ops.def"

#undef OP0
#undef OP1
#undef OP2
#undef OP4
#undef OP0_Y
#undef OP1_Y
#undef OP2_Y
#if FR_KIND == FR_HILO
#undef FR_IF_EXACT
#undef FR_IF_WIDE
#undef FR_IF_HILO
#endif
