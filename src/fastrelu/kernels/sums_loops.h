/* Loops that write dx and, in double, the terms of each parameter's gradient: from numbers and from arrays as
 * parameters. Terms are never computed in float: the lean loops take dx from the lean body and the terms from the
 * wide one. Included by instance.h after loops.h. */

#ifndef FASTRELU_SUMS_LOOP
#define FASTRELU_SUMS_LOOP

#define FR_INTO(a, k) double *a##_terms = terms[k];
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

/* The body of a parameter's terms takes all parameters. */
#define FR_TERM(by, kind, name, ...) by##_terms[i] = name##_by_##by##_##kind(g, x, __VA_ARGS__) + bad;
#define FR_TERMS_0(...)
#define FR_TERMS_1(kind, name, a) FR_TERM(a, kind, name, a)
#define FR_TERMS_2(kind, name, a, b) FR_TERM(a, kind, name, a, b) FR_TERM(b, kind, name, a, b)
#define FR_TERMS_3(kind, name, a, b, c) \
    FR_TERM(a, kind, name, a, b, c) FR_TERM(b, kind, name, a, b, c) FR_TERM(c, kind, name, a, b, c)
#define FR_TERMS_4(kind, name, a, b, c, d) \
    FR_TERM(a, kind, name, a, b, c, d)     \
    FR_TERM(b, kind, name, a, b, c, d) FR_TERM(c, kind, name, a, b, c, d) FR_TERM(d, kind, name, a, b, c, d)
#define FR_TERMS(kind, name, parameters) \
    FR_CALL(FR_JOIN(FR_TERMS_, FR_COUNT_##parameters), kind, name, FR_NAMES_##parameters)

/* (kind of the terms, function, domain, parameters) */
#define FR_SUMS(kind, name, valid, parameters)                                                                      \
    FR_SUMS_LOOP(FN(name##_terms_scalar), FR_DATA_2 FR_EACH(FR_NUMBER, parameters) FR_EACH(FR_INTO, parameters),    \
                 valid, const real bad = -(real)0, FR_COUNT_##parameters,                                           \
                 FN(name##_backward)(g, x, FR_NAMES_##parameters), FR_TERMS(kind, name, parameters))                \
    FR_SUMS_LOOP(FN(name##_terms_array), FR_DATA_2 FR_EACH(FR_POINTER, parameters) FR_EACH(FR_INTO, parameters), 1, \
                 FR_EACH(FR_ELEMENT, parameters) const real bad = FR_POISON(valid), FR_COUNT_##parameters,          \
                 FN(name##_backward)(g, x, FR_NAMES_##parameters) + bad, FR_TERMS(kind, name, parameters))
#endif

#if FR_KIND == FR_LEAN || FR_KIND == FR_WIDE
#define FR_SUMS_HERE(...) FR_SUMS(wide, __VA_ARGS__)
#elif FR_KIND == FR_FULL
#define FR_SUMS_HERE(...) FR_SUMS(full, __VA_ARGS__)
#else
#define FR_SUMS_HERE(...) FR_SUMS(hilo, __VA_ARGS__)
#endif
#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct) \
    FR_WITH_##rounding(FR_WITH_##learned(FR_SUMS_HERE(name, domain, parameters)))
#include "ops.def"
#undef OP
#undef FR_SUMS_HERE
