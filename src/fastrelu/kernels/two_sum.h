/* Sums that lose nothing: the rounding error of an addition is a double of its own. */
#ifndef FASTRELU_TWO_SUM_H
#define FASTRELU_TWO_SUM_H

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_ALWAYS_INLINE static __forceinline
#else
#define FR_ALWAYS_INLINE static inline __attribute__((always_inline, unused))
#endif

/* a + b rounded, and the error: the two together are exact. */
FR_ALWAYS_INLINE double fr_two_sum(double a, double b, double *error) {
    double s = a + b, t = s - a;
    *error = (a - (s - t)) + (b - t);
    return s;
}

/* Adds v to high + low, where low takes up the rounding errors of high. */
FR_ALWAYS_INLINE void fr_add_to(double *high, double *low, double v) {
    double error;
    *high = fr_two_sum(*high, v, &error);
    *low += error;
}

#endif
