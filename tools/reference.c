/* References for tools/verify.py, which compiles this file at run time: every activation and derivative once, on REAL,
 * for double (the reference of float32) and for __float128 (the reference of float64, and of the worst inputs of
 * float32). The formulas differ from those of the kernels if possible; the aim is that nothing cancels, not speed.
 * Signs of zero and values at the infinities are the limits of the function. */
#ifndef REAL

#include <float.h>
#include <math.h>
#include <quadmath.h>
#include <stdint.h>
#include <string.h>

/* result of a reference where any result is allowed */
#define ANYTHING (-0x1.5p-1000)

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

static inline int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline double from_bits(int64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Elementary functions in double that vectorize, to about 2^-51: 2^32 calls of libm's would take most of the time.
 * tests/test_verify.py compares the references in double with those in quad. */

/* exp(z) = 2^*power (1 + result), with z clamped to a range where neither this nor its cube is subnormal or overflows;
 * below the range exp(z) is 0 for float */
static inline double reduced_expm1(double z, double *power) {
    z = z < -230 ? -230 : z > 700 ? 700 : z;
    double shifted = z * 0x1.71547652b82fep+0 + 0x1.8p52, k = shifted - 0x1.8p52;
    double r = (z - k * 0x1.62e42fefa38p-1) - k * 0x1.ef35793c7673p-45;
    double t = 1 / 6227020800.;
    t = t * r + 1 / 479001600.;
    t = t * r + 1 / 39916800.;
    t = t * r + 1 / 3628800.;
    t = t * r + 1 / 362880.;
    t = t * r + 1 / 40320.;
    t = t * r + 1 / 5040.;
    t = t * r + 1 / 720.;
    t = t * r + 1 / 120.;
    t = t * r + 1 / 24.;
    t = t * r + 1 / 6.;
    t = t * r + 0.5;
    *power = from_bits((int64_t)((uint64_t)bits_of(shifted) + 1023) << 52);
    return t * r * r + r;
}
static inline double m_exp(double z) {
    double power, p = reduced_expm1(z, &power);
    return z < -230 ? 0 : power + power * p;
}
static inline double m_expm1(double z) {
    double power, p = reduced_expm1(z, &power);
    return z == 0 ? z : (power - 1) + power * p;
}
/* for e in [-1/2, 1]: 2 artanh(e / (2 + e)) */
static inline double m_log1p(double e) {
    double s = e / (2 + e), w = s * s, t = 0;
    t = t * w + 1 / 33.;
    t = t * w + 1 / 31.;
    t = t * w + 1 / 29.;
    t = t * w + 1 / 27.;
    t = t * w + 1 / 25.;
    t = t * w + 1 / 23.;
    t = t * w + 1 / 21.;
    t = t * w + 1 / 19.;
    t = t * w + 1 / 17.;
    t = t * w + 1 / 15.;
    t = t * w + 1 / 13.;
    t = t * w + 1 / 11.;
    t = t * w + 1 / 9.;
    t = t * w + 1 / 7.;
    t = t * w + 1 / 5.;
    t = t * w + 1 / 3.;
    return 2 * s + 2 * s * w * t;
}
/* for a normal x */
static inline double m_log(double x) {
    int64_t power = (bits_of(x) - bits_of(0.75)) >> 52;
    return (double)power * 0x1.62e42fefa39efp-1 + m_log1p(from_bits(bits_of(x) - power * (INT64_C(1) << 52)) - 1);
}
static inline double m_tanh(double x) {
    double e = m_expm1(-2 * fabs(x));
    return copysign(-e / (2 + e), x);
}
#define m_fabs fabs
#define m_copysign copysign
#define m_sqrt sqrt
#define m_fma fma
#define m_erfc erfc
#define m_erf erf
#define m_log log
#define m_atanh atanh
#define m_cosh cosh

#define REAL double
#define F(name) JOIN(double_, name)
#define M(name) JOIN(m_, name)
#define C(number) number
#include "reference.c"
#undef REAL
#undef F
#undef M
#undef C

#define REAL __float128
#define F(name) JOIN(quad_, name)
#define M(name) JOIN(name, q)
#define C(number) JOIN(number, Q)
#include "reference.c"
#undef REAL
#undef F
#undef M
#undef C

/* Each reference writes the exact results of n inputs, times gradients if given: for float in double, for double as the
 * nearest double and the remainder in units of its last place. */
#define FLOAT32(name)                                                                                            \
    void float32_##name(const float *restrict x, const float *grad, double *restrict exact, double *low, long n, \
                        const double *p) {                                                                       \
        const double q[4] = {p[0], p[1], p[2], p[3]};                                                            \
        (void)low;                                                                                               \
        for (long i = 0; i < n; i++) exact[i] = double_##name(x[i], q);                                          \
        for (long i = 0; grad && i < n; i++) exact[i] = exact[i] == ANYTHING ? ANYTHING : exact[i] * grad[i];    \
    }
#define FLOAT64(name)                                                                                               \
    void float64_##name(const double *x, const double *grad, double *exact, double *low, long n, const double *p) { \
        __float128 q[4] = {p[0], p[1], p[2], p[3]};                                                                 \
        for (long i = 0; i < n; i++) {                                                                              \
            __float128 y = quad_##name(x[i], q);                                                                    \
            split(grad && y != ANYTHING ? y * grad[i] : y, exact + i, low + i);                                     \
        }                                                                                                           \
    }

static const int64_t one_exponent = INT64_C(1) << 52;

static void split(__float128 exact, double *high, double *low) {
    double h = (double)exact;
    *high = h;
    *low = 0;
    if (!(fabs(h) < INFINITY)) return;
    int exponent = h == 0 || fabs(h) < DBL_MIN ? -1022 : ilogb(h);
    *low = (double)scalbnq(exact - h, 52 - exponent);
}

#define BOTH(name) FLOAT32(name) FLOAT64(name)
#define TWO(name) BOTH(name) BOTH(name##_backward)
#define THREE(name) TWO(name) BOTH(name##_backward_from_output)
THREE(identity)
THREE(relu)
THREE(relu6)
THREE(leaky_relu)
TWO(srelu)
THREE(bounded_relu)
THREE(threshold)
THREE(thresholded_relu)
THREE(squared_relu)
THREE(hard_sigmoid)
THREE(hard_tanh)
THREE(sparse_plus)
THREE(sparse_sigmoid)
TWO(hard_swish)
TWO(hard_swish_line)
TWO(dish)
THREE(hard_shrink)
THREE(soft_shrink)
THREE(shrink)
THREE(elu)
THREE(celu)
THREE(selu)
TWO(xielu)
THREE(softplus)
THREE(log_sigmoid)
THREE(log1mexp)
THREE(squareplus)
THREE(sigmoid)
THREE(logit)
THREE(tanh)
THREE(softcap)
THREE(softsign)
TWO(silu)
TWO(swish)
TWO(gelu)
TWO(erf)
TWO(gelu_tanh)
TWO(quick_gelu)
TWO(mish)
TWO(tanh_shrink)

/* --- Comparison ------------------------------------------------------------------------------------------------
 * An error is |got - exact| / ulp(exact), where the ulp is at least the smallest subnormal. It is stored as the bits of
 * a double >= 0: they order like the numbers, an infinite or undefined error is the largest, and integer maxima
 * vectorize. */

/* an infinite error: a wrong NaN or sign of zero */
#define WRONG (INT64_C(0x7ff) << 52)

static inline int64_t error_float32(float got, double exact) {
    const double top = 0x1p128;
    double g = got, e = exact;
    g = g > top ? top : g < -top ? -top : g;
    e = e > top ? top : e < -top ? -top : e;
    int64_t binade = bits_of(fabs(e)) & (INT64_C(0x7ff) << 52);
    const int64_t least = (INT64_C(1023) - 126) << 52, most = (INT64_C(1023) + 127) << 52;
    binade = binade < least ? least : binade > most ? most : binade;
    int64_t error = bits_of(fabs(g - e) * from_bits(((INT64_C(2046) + 23) << 52) - binade));
    int64_t sign = (bits_of(g) ^ bits_of(e)) < 0 ? WRONG : 0;
    error = got == 0 ? error | sign : error;
    return ((got != got) & (exact != exact)) | (exact == ANYTHING) ? 0 : error;
}

static inline int64_t error_float64(double got, double exact, double low) {
    if ((got != got && exact != exact) || exact == ANYTHING) return 0;
    if ((got == 0 || exact == 0) && got == exact) return signbit(got) != signbit(exact) ? WRONG : bits_of(fabs(low));
    if (got == exact) return bits_of(fabs(low));
    double g = got, e = exact;
    if (isinf(g) && !isinf(e)) g = copysign(DBL_MAX, g), low -= copysign(1, g);
    if (isinf(e)) return bits_of(INFINITY);
    if (got == 0 && signbit(got) != signbit(exact)) return WRONG;
    int exponent = e == 0 || fabs(e) < DBL_MIN ? -1022 : ilogb(e);
    /* halved if the difference may overflow */
    double difference = fabs(e) > 1 ? scalbn(g / 2 - e / 2, 53 - exponent) : scalbn(g - e, 52 - exponent);
    double error = fabs(difference - low);
    /* just below a power of two, which exact was rounded to, the unit is half that of the power */
    if (fabs(e) > DBL_MIN && (bits_of(e) & (one_exponent - 1)) == 0 && low * e < 0) error *= 2;
    return bits_of(error);
}

static inline double absolute_float32(float got, double exact, double low) {
    (void)low;
    return fabs(got - exact);
}
static inline double absolute_float64(double got, double exact, double low) {
    int exponent = exact == 0 || fabs(exact) < DBL_MIN ? -1022 : ilogb(exact);
    return fabs((got - exact) - scalbn(low, exponent - 52));
}
#define error_float32(got, exact, low) error_float32(got, exact)

/* A range of inputs: outside [low, high] any result is allowed, and so it is at the zero with the bits of `other_zero`,
 * if that is a zero; in [zone_low, zone_high] the error is absolute. */
typedef struct {
    double low, high, zone_low, zone_high, other_zero;
} fr_region;

/* The largest errors, and the indices of their elements; -1 if nothing exceeded the largest so far. */
typedef struct {
    double ulp, zone;
    long ulp_at, zone_at;
} fr_worst;

enum { STEP = 2048, MOST = 16 };

/* Compares one output with the exact results: the bits of its largest errors. */
#define COMPARE(type, real)                                                                                            \
    static void compare_##type(const real *got, const double *exact, const double *low, const real *x, long n,         \
                               const fr_region *r, int64_t *ulp, int64_t *zone) {                                      \
        int64_t most = 0, most_zone = 0;                                                                               \
        if (r->low == -INFINITY && r->high == INFINITY && r->zone_low > r->zone_high)                                  \
            for (long i = 0; i < n; i++) {                                                                             \
                int64_t error = error_##type(got[i], exact[i], low[i]);                                                \
                most = error > most ? error : most;                                                                    \
            }                                                                                                          \
        else                                                                                                           \
            for (long i = 0; i < n; i++) {                                                                             \
                int inside = !((x[i] < r->low) | (x[i] > r->high));                                                    \
                int apart = (x[i] >= r->zone_low) & (x[i] <= r->zone_high);                                            \
                int64_t error = error_##type(got[i], exact[i], low[i]);                                                \
                int64_t absolute = bits_of(absolute_##type(got[i], exact[i], low[i]));                                 \
                error = inside & !apart ? error : 0;                                                                   \
                absolute = inside & apart ? absolute : 0;                                                              \
                most = error > most ? error : most;                                                                    \
                most_zone = absolute > most_zone ? absolute : most_zone;                                               \
            }                                                                                                          \
        *ulp = most > WRONG ? WRONG : most;                                                                            \
        *zone = most_zone;                                                                                             \
    }                                                                                                                  \
    static long find_##type(const real *got, const double *exact, const double *low, const real *x, long n,            \
                            const fr_region *r, int64_t wanted, int in_zone) {                                         \
        for (long i = 0; i < n; i++) {                                                                                 \
            int apart = (x[i] >= r->zone_low) & (x[i] <= r->zone_high);                                                \
            int64_t error =                                                                                            \
                in_zone ? bits_of(absolute_##type(got[i], exact[i], low[i])) : error_##type(got[i], exact[i], low[i]); \
            error = error > WRONG ? WRONG : error;                                                                     \
            if (!((x[i] < r->low) | (x[i] > r->high)) && apart == in_zone && error == wanted) return i;                \
        }                                                                                                              \
        return -1;                                                                                                     \
    }

typedef void (*reference_float32)(const float *, const float *, double *, double *, long, const double *);
typedef void (*reference_float64)(const double *, const double *, double *, double *, long, const double *);

/* Compares `count` outputs of the same n inputs with a reference, or with `given` results. NaNs are made equal: their
 * sign and payload are unspecified. Outputs with the same bits are compared once. With weights, `sums` gets the
 * weighted sums of the outputs' 64-bit words. */
#define MEASURE(type, real)                                                                                          \
    void measure_##type(const real *x, const real *grad, long n, real *const *outs, int count,                       \
                        reference_##type reference, const double *p, const double *given, const double *given_low,   \
                        const fr_region *regions, const uint64_t *weights, uint64_t *sums, fr_worst *worst) {        \
        double own[STEP], own_low[STEP];                                                                             \
        for (long start = 0; start < n; start += STEP) {                                                             \
            long m = n - start < STEP ? n - start : STEP;                                                            \
            const real *at = x + start;                                                                              \
            const double *exact = given + start, *low = given_low + start;                                           \
            if (reference) {                                                                                         \
                reference(at, grad ? grad + start : NULL, own, own_low, m, p);                                       \
                exact = own, low = own_low;                                                                          \
                if (regions->other_zero == 0)                                                                        \
                    for (long i = 0; i < m; i++)                                                                     \
                        if (at[i] == 0 && !signbit(at[i]) == !signbit(regions->other_zero)) own[i] = ANYTHING;       \
            }                                                                                                        \
            int64_t ulp[MOST], zone[MOST];                                                                           \
            uint64_t sum[MOST];                                                                                      \
            for (int k = 0; k < count; k++) {                                                                        \
                real *got = outs[k] + start;                                                                         \
                for (long i = 0; i < m; i++) got[i] = got[i] == got[i] ? got[i] : (real)NAN;                         \
                int twin = 0;                                                                                        \
                while (twin < k && (memcmp(outs[twin] + start, got, (size_t)m * sizeof *got) != 0 ||                 \
                                    memcmp(regions + twin, regions + k, sizeof *regions) != 0))                      \
                    twin++;                                                                                          \
                ulp[k] = ulp[twin], zone[k] = zone[twin], sum[k] = sum[twin];                                        \
                if (twin == k) {                                                                                     \
                    compare_##type(got, exact, low, at, m, regions + k, ulp + k, zone + k);                          \
                    sum[k] = weights                                                                                 \
                                 ? weighted(got, weights + start * (long)sizeof *got / 8, m * (long)sizeof *got / 8) \
                                 : 0;                                                                                \
                }                                                                                                    \
                if (weights) sums[k] += sum[k];                                                                      \
                fr_worst *w = worst + k;                                                                             \
                if (ulp[k] > bits_of(w->ulp)) {                                                                      \
                    w->ulp = from_bits(ulp[k]);                                                                      \
                    w->ulp_at = start + find_##type(got, exact, low, at, m, regions + k, ulp[k], 0);                 \
                }                                                                                                    \
                if (zone[k] > bits_of(w->zone)) {                                                                    \
                    w->zone = from_bits(zone[k]);                                                                    \
                    w->zone_at = start + find_##type(got, exact, low, at, m, regions + k, zone[k], 1);               \
                }                                                                                                    \
            }                                                                                                        \
        }                                                                                                            \
    }

static uint64_t weighted(const void *words, const uint64_t *weights, long n) {
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, (const char *)words + 8 * i, 8);
        sum += word * weights[i];
    }
    return sum;
}

COMPARE(float32, float)
COMPARE(float64, double)
MEASURE(float32, float)
MEASURE(float64, double)

#else /* --- The activations, on REAL ------------------------------------------------------------------------------- \
       */

/* 1 if the gradient passes, otherwise +0; NaN at NaN */
static inline REAL F(gate)(int passes, REAL x) { return passes ? 1 : x == x ? 0 : x; }
static inline REAL F(clip)(REAL x, REAL low, REAL high) { return x < low ? low : x > high ? high : x; }

static inline REAL F(identity)(REAL x, const REAL *p) { return (void)p, x; }
static inline REAL F(identity_backward)(REAL x, const REAL *p) { return (void)p, x == x ? 1 : x; }
static inline REAL F(identity_backward_from_output)(REAL y, const REAL *p) { return F(identity_backward)(y, p); }

static inline REAL F(relu)(REAL x, const REAL *p) { return (void)p, x <= 0 ? 0 : x; }
static inline REAL F(relu_backward)(REAL x, const REAL *p) { return (void)p, F(gate)(x > 0, x); }
static inline REAL F(relu_backward_from_output)(REAL y, const REAL *p) { return F(relu_backward)(y, p); }

static inline REAL F(relu6)(REAL x, const REAL *p) { return (void)p, x <= 0 ? 0 : x > 6 ? 6 : x; }
static inline REAL F(relu6_backward)(REAL x, const REAL *p) { return (void)p, F(gate)((x > 0) & (x < 6), x); }
static inline REAL F(relu6_backward_from_output)(REAL y, const REAL *p) { return F(relu6_backward)(y, p); }

static inline REAL F(leaky_relu)(REAL x, const REAL *p) { return x > 0 ? x : (p[0] == 0) & (x == x) ? 0 : p[0] * x; }
static inline REAL F(leaky_relu_backward)(REAL x, const REAL *p) { return x > 0 ? 1 : x == x ? p[0] : x; }
static inline REAL F(leaky_relu_backward_from_output)(REAL y, const REAL *p) { return F(leaky_relu_backward)(y, p); }

/* t_left, a_left, t_right, a_right */
static inline REAL F(srelu)(REAL x, const REAL *p) {
    int right = x >= p[2];
    REAL t = right ? p[2] : p[0], a = right ? p[3] : p[1];
    REAL d = x == t ? 0 : x - t, outer = a == 0 ? t : M(fma)(a, d, t);
    REAL least = sizeof t == sizeof(double) ? C(0x1p-149) : C(0x1p-1074);
    if (!(right | (x <= p[0]))) return x;
    if (M(fabs)(outer) < C(0x1p-50) * M(fabs)(t) && d + t != x) return ANYTHING; /* the error of x - t is left alone */
    return t == 0 && M(fabs)(outer) < least ? ANYTHING : outer; /* the sign of its zeros is unspecified */
}
static inline REAL F(srelu_backward)(REAL x, const REAL *p) {
    return x >= p[2] ? p[3] : x <= p[0] ? p[1] : x == x ? 1 : x;
}

/* negative_slope, max_value, threshold */
static inline REAL F(bounded_relu)(REAL x, const REAL *p) {
    if (x > p[2]) return x > p[1] ? p[1] : x;
    return x != x ? x : p[0] == 0 ? 0 : x == p[2] ? p[0] * (p[2] == 0 ? x : 0) : p[0] * (x - p[2]);
}
static inline REAL F(bounded_relu_backward)(REAL x, const REAL *p) {
    return x > p[2] ? (x < p[1]) | (p[1] - p[1] != 0) : x == x ? p[0] == 0 ? 0 : p[0] : x;
}
static inline REAL F(bounded_relu_backward_from_output)(REAL y, const REAL *p) {
    const REAL q[3] = {p[0], p[1], 0};
    return F(bounded_relu_backward)(y, q);
}

/* threshold, value */
static inline REAL F(threshold)(REAL x, const REAL *p) { return x > p[0] ? x : x == x ? p[1] : x; }
static inline REAL F(threshold_backward)(REAL x, const REAL *p) { return F(gate)(x > p[0], x); }
static inline REAL F(threshold_backward_from_output)(REAL y, const REAL *p) { return F(threshold_backward)(y, p); }

static inline REAL F(thresholded_relu)(REAL x, const REAL *p) { return x > p[0] ? x : x == x ? 0 : x; }
static inline REAL F(thresholded_relu_backward)(REAL x, const REAL *p) { return F(gate)(x > p[0], x); }
static inline REAL F(thresholded_relu_backward_from_output)(REAL y, const REAL *p) { return F(gate)(y > p[0], y); }

static inline REAL F(squared_relu)(REAL x, const REAL *p) { return (void)p, x <= 0 ? 0 : x * x; }
static inline REAL F(squared_relu_backward)(REAL x, const REAL *p) { return (void)p, x <= 0 ? 0 : 2 * x; }
static inline REAL F(squared_relu_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, y <= 0 ? 0 : 2 * M(sqrt)(y);
}

/* slope, offset */
static inline int F(usual_line)(const REAL *p) {
    return p[1] == C(0.5) && (p[0] == (REAL)(1. / 6) || p[0] == (REAL)(float)(1. / 6));
}
static inline REAL F(hard_sigmoid)(REAL x, const REAL *p) {
    REAL t = F(usual_line)(p) ? (F(clip)(x, -3, 3) + 3) / 6 : M(fma)(p[0], x, p[1]);
    return t <= 0 ? 0 : t > 1 ? 1 : t;
}
static inline REAL F(hard_sigmoid_backward)(REAL x, const REAL *p) {
    if (F(usual_line)(p)) return p[0] * F(gate)((x > -3) & (x < 3), x);
    REAL t = M(fma)(p[0], x, p[1]), blur = sizeof t == sizeof(double) ? C(0x1p-22) : C(0x1p-51);
    /* so close to a jump the result depends on the rounding of t */
    if (M(fabs)(t - 1) < blur || M(fabs)(t) < blur * M(fabs)(p[1])) return ANYTHING;
    return p[0] * F(gate)((t > 0) & (t < 1), x);
}
static inline REAL F(hard_sigmoid_backward_from_output)(REAL y, const REAL *p) {
    return p[0] * F(gate)((y > 0) & (y < 1), y);
}

/* min_val, max_val */
static inline REAL F(hard_tanh)(REAL x, const REAL *p) { return F(clip)(x, p[0], p[1]); }
static inline REAL F(hard_tanh_backward)(REAL x, const REAL *p) { return F(gate)((x > p[0]) & (x < p[1]), x); }
static inline REAL F(hard_tanh_backward_from_output)(REAL y, const REAL *p) { return F(hard_tanh_backward)(y, p); }

static inline REAL F(sparse_plus)(REAL x, const REAL *p) {
    return (void)p, x <= -1 ? 0 : x >= 1 ? x : (x + 1) * (x + 1) / 4;
}
static inline REAL F(sparse_plus_backward)(REAL x, const REAL *p) {
    return (void)p, x <= -1 ? 0 : x >= 1 ? 1 : (x + 1) / 2;
}
static inline REAL F(sparse_plus_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, y <= 0 ? 0 : y >= 1 ? 1 : M(sqrt)(y);
}

static inline REAL F(sparse_sigmoid)(REAL x, const REAL *p) {
    return (void)p, x <= -1 ? 0 : x >= 1 ? 1 : x / 2 + C(0.5);
}
static inline REAL F(sparse_sigmoid_backward)(REAL x, const REAL *p) {
    return (void)p, F(gate)((x > -1) & (x < 1), x) / 2;
}
static inline REAL F(sparse_sigmoid_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, F(gate)((y > 0) & (y < 1), y) / 2;
}

static inline REAL F(hard_swish)(REAL x, const REAL *p) {
    return (void)p, x <= -3 ? -C(0.0) : x >= 3 ? x : x * (x + 3) / 6;
}
static inline REAL F(hard_swish_backward)(REAL x, const REAL *p) {
    return (void)p, x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
}

/* slope, offset */
static inline REAL F(hard_swish_line)(REAL x, const REAL *p) {
    if (F(usual_line)(p)) return F(hard_swish)(x, p);
    REAL t = M(fma)(p[0], x, p[1]);
    return t <= 0 ? M(copysign)(0, x) : t >= 1 ? x : x * t;
}
static inline REAL F(hard_swish_line_backward)(REAL x, const REAL *p) {
    if (F(usual_line)(p)) return F(hard_swish_backward)(x, p);
    REAL t = M(fma)(p[0], x, p[1]), blur = sizeof t == sizeof(double) ? C(0x1p-22) : C(0x1p-51);
    if (M(fabs)(t - 1) < blur || M(fabs)(t) < blur * M(fabs)(p[1])) return ANYTHING;
    return t <= 0 ? 0 : t >= 1 ? 1 : M(fma)(2 * p[0], x, p[1]);
}

static inline REAL F(dish)(REAL x, const REAL *p) {
    REAL a = M(fabs)(x), s = M(sqrt)(1 + a * a);
    return (void)p,
           x < 0 ? a > C(1e300) ? -C(0.25) / a : -a / (2 * s * (s + a)) : x / 2 * (s > C(1e300) ? 2 : 1 + a / s);
}
static inline REAL F(dish_backward)(REAL x, const REAL *p) {
    REAL a = M(fabs)(x), w = a * a, s = M(sqrt)(1 + w), t = s * s * s, u = a / s;
    if (a > C(1e30)) return x < 0 ? -C(0.5) / a * C(0.5) / a : 1;
    return (void)p, x < 0 ? (1 - w - w * w) / (2 * t * (t + a * (w + 2))) : (1 + u) * (1 + u - u * u) / 2;
}

static inline REAL F(hard_shrink)(REAL x, const REAL *p) { return M(fabs)(x) <= p[0] ? 0 : x; }
static inline REAL F(hard_shrink_backward)(REAL x, const REAL *p) { return F(gate)(M(fabs)(x) > p[0], x); }
static inline REAL F(hard_shrink_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, F(gate)(M(fabs)(y) > 0, y);
}

static inline REAL F(soft_shrink)(REAL x, const REAL *p) {
    return x > p[0] ? x - p[0] : x < -p[0] ? x + p[0] : x == x ? 0 : x;
}
static inline REAL F(soft_shrink_backward)(REAL x, const REAL *p) { return F(hard_shrink_backward)(x, p); }
static inline REAL F(soft_shrink_backward_from_output)(REAL y, const REAL *p) {
    return F(hard_shrink_backward_from_output)(y, p);
}

/* lambd, bias */
static inline REAL F(shrink)(REAL x, const REAL *p) {
    return x > p[0] ? x - p[1] : x < -p[0] ? x + p[1] : x == x ? 0 : x;
}
static inline REAL F(shrink_backward)(REAL x, const REAL *p) { return F(hard_shrink_backward)(x, p); }
static inline REAL F(shrink_backward_from_output)(REAL y, const REAL *p) {
    return F(hard_shrink_backward_from_output)(y, p);
}

/* alpha */
static inline REAL F(elu)(REAL x, const REAL *p) { return x < 0 ? p[0] * M(expm1)(x) : x; }
static inline REAL F(elu_backward)(REAL x, const REAL *p) { return x > 0 ? 1 : p[0] * M(exp)(x); }
static inline REAL F(elu_backward_from_output)(REAL y, const REAL *p) { return y > 0 ? 1 : y + p[0]; }

static inline REAL F(celu)(REAL x, const REAL *p) { return x < 0 ? p[0] * M(expm1)(x / p[0]) : x; }
static inline REAL F(celu_backward)(REAL x, const REAL *p) { return x > 0 ? 1 : M(exp)(x / p[0]); }
static inline REAL F(celu_backward_from_output)(REAL y, const REAL *p) { return y > 0 ? 1 : (y + p[0]) / p[0]; }

/* e^x - 1 - x, near 0 by its series */
static inline REAL F(above_line)(REAL x) {
    REAL term = x * x / 2, sum = 0;
    if (M(fabs)(x) >= C(0.5)) return M(expm1)(x) - x;
    for (int k = 3; k <= 40; k++) {
        sum += term;
        term *= x / k;
    }
    return sum;
}
/* alpha_p, alpha_n, beta; the sign of a zero, or of what underflows to it, is unspecified where it is not that of x */
static inline REAL F(xielu)(REAL x, const REAL *p) {
    REAL top = p[0] == 0 ? p[2] : p[0], far = p[2] == p[1] ? 0 : (p[2] - p[1]) * x;
    if (M(fabs)(x) < C(0x1p-70) && p[2] == 0) return ANYTHING;
    if (x == 0) return p[2] > 0 ? x : ANYTHING;
    if (x > 0) return M(fabs)(x) > C(0x1p1000) && 2 * x == x ? top == 0 ? 0 : top * x : x * M(fma)(p[0], x, p[2]);
    if (x < -1) return far + p[1] * M(expm1)(x);
    return p[1] * F(above_line)(x) + p[2] * x;
}
static inline REAL F(xielu_backward)(REAL x, const REAL *p) {
    if (x == 0 && p[2] == 0) return ANYTHING;
    if (x > 0) return p[0] == 0 ? p[2] : M(fma)(2 * p[0], x, p[2]);
    return x < -1 ? M(fma)(p[1], M(exp)(x), p[2] - p[1]) : M(fma)(p[1], M(expm1)(x), p[2]);
}

#define SELU_ALPHA C(1.67326324235437728481704299167165203846116)
#define SELU_SCALE C(1.05070098735548049341933498529460635195898)
static inline REAL F(selu)(REAL x, const REAL *p) {
    return (void)p, SELU_SCALE * (x > 0 ? x : SELU_ALPHA * M(expm1)(x));
}
static inline REAL F(selu_backward)(REAL x, const REAL *p) {
    return (void)p, SELU_SCALE * (x > 0 ? 1 : SELU_ALPHA * M(exp)(x));
}
static inline REAL F(selu_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, y > 0 ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA;
}

static inline REAL F(sigmoid)(REAL x, const REAL *p) {
    REAL e = M(exp)(-M(fabs)(x));
    return (void)p, (x < 0 ? e : 1) / (1 + e);
}
static inline REAL F(sigmoid_backward)(REAL x, const REAL *p) {
    REAL e = M(exp)(-M(fabs)(x));
    return (void)p, e / ((1 + e) * (1 + e));
}
static inline REAL F(sigmoid_backward_from_output)(REAL y, const REAL *p) { return (void)p, y * (1 - y); }

/* beta */
static inline REAL F(softplus)(REAL x, const REAL *p) {
    REAL z = p[0] * x;
    return ((z < 0 ? 0 : z) + M(log1p)(M(exp)(-M(fabs)(z)))) / p[0];
}
static inline REAL F(softplus_backward)(REAL x, const REAL *p) { return F(sigmoid)(p[0] * x, p); }
static inline REAL F(softplus_backward_from_output)(REAL y, const REAL *p) { return -M(expm1)(-p[0] * y); }

static inline REAL F(log_sigmoid)(REAL x, const REAL *p) {
    REAL tail = -M(log1p)(M(exp)(-M(fabs)(x)));
    return (void)p, x > 0 ? tail : x + tail;
}
static inline REAL F(log_sigmoid_backward)(REAL x, const REAL *p) { return F(sigmoid)(-x, p); }
static inline REAL F(log_sigmoid_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, y == 0 ? 0 : -M(expm1)(y);
}

static inline REAL F(log1mexp)(REAL x, const REAL *p) {
    REAL e = M(exp)(-x);
    return (void)p, x < 0 ? NAN : x == 0 ? -INFINITY : e > C(0.5) ? M(log)(-M(expm1)(-x)) : M(log1p)(-e);
}
static inline REAL F(log1mexp_backward)(REAL x, const REAL *p) {
    return (void)p, x < 0 ? NAN : x == 0 ? INFINITY : M(exp)(-x) / -M(expm1)(-x);
}
static inline REAL F(log1mexp_backward_from_output)(REAL y, const REAL *p) {
    return (void)p, y == 0 ? 0 : M(expm1)(-y);
}

/* b */
static inline REAL F(squareplus)(REAL x, const REAL *p) {
    REAL r = M(sqrt)(x * x + p[0]);
    return x < 0 ? p[0] / (2 * (r - x)) : (x + r) / 2;
}
static inline REAL F(squareplus_backward)(REAL x, const REAL *p) {
    REAL r = M(sqrt)(x * x + p[0]);
    return x < 0 ? p[0] / (2 * r * (r - x)) : r > C(1e200) ? 1 : (1 + (r == 0 ? 0 : x / r)) / 2;
}
static inline REAL F(squareplus_backward_from_output)(REAL y, const REAL *p) {
    return y > C(1e200) ? 1 : y * y / (y * y + p[0] / 4);
}

/* eps */
static inline REAL F(logit)(REAL x, const REAL *p) {
    int right = x > C(0.5);
    REAL m = right ? 1 - x : x;
    m = m < p[0] ? p[0] : m;
    REAL y = m > C(0.3) ? 2 * M(atanh)(2 * m - 1) : M(log)(m / (1 - m));
    y = m > 0 ? y : m == 0 ? -INFINITY : NAN;
    return right ? 0 - y : y;
}
static inline REAL F(logit_backward)(REAL x, const REAL *p) {
    REAL m = x > C(0.5) ? 1 - x : x;
    return (m < p[0]) & (p[0] >= 0) ? 0 : m > 0 ? 1 / m / (1 - m) : m == 0 ? INFINITY : NAN;
}
static inline REAL F(logit_backward_from_output)(REAL y, const REAL *p) {
    REAL a = M(fabs)(y) / 2, r = M(exp)(a) + M(exp)(-a);
    return (void)p, r * r;
}

static inline REAL F(tanh)(REAL x, const REAL *p) { return (void)p, M(tanh)(x); }
static inline REAL F(tanh_backward)(REAL x, const REAL *p) { return 4 * F(sigmoid_backward)(2 * x, p); }
static inline REAL F(tanh_backward_from_output)(REAL y, const REAL *p) { return (void)p, (1 - y) * (1 + y); }

/* cap */
static inline REAL F(softcap)(REAL x, const REAL *p) { return p[0] * M(tanh)(x / p[0]); }
static inline REAL F(softcap_backward)(REAL x, const REAL *p) { return F(tanh_backward)(x / p[0], p); }
static inline REAL F(softcap_backward_from_output)(REAL y, const REAL *p) {
    return (p[0] - y) / p[0] * ((p[0] + y) / p[0]);
}

static inline REAL F(softsign)(REAL x, const REAL *p) {
    return (void)p,
           M(fabs)(x) <= FLT_MAX || M(fabs)(x) <= DBL_MAX ? x / (1 + M(fabs)(x)) : M(copysign)(x == x ? 1 : x, x);
}
static inline REAL F(softsign_backward)(REAL x, const REAL *p) {
    REAL d = 1 + M(fabs)(x);
    return (void)p, 1 / d / d;
}
static inline REAL F(softsign_backward_from_output)(REAL y, const REAL *p) {
    REAL d = 1 - M(fabs)(y);
    return (void)p, d * d;
}

/* x sigmoid(z), and its derivative if z' = dz. At an infinity the exponential dominates. */
static inline REAL F(gated)(REAL x, REAL z) {
    REAL e = M(exp)(-M(fabs)(z));
    return (z < 0 ? e == 0 ? M(copysign)(0, x) : x * e : x) / (1 + e);
}
static inline REAL F(gated_backward)(REAL x, REAL z, REAL dz) {
    REAL e = M(exp)(-M(fabs)(z)), slope = dz == 0 ? 0 : F(clip)(x * dz, C(-1e300), C(1e300));
    return (z < 0 ? e * (1 + e + slope) : 1 + e + slope * e) / ((1 + e) * (1 + e));
}
static inline REAL F(scaled)(REAL x, REAL beta) { return (beta == 0) & (x == x) ? 0 : beta * x; }
static inline REAL F(swish)(REAL x, const REAL *p) { return F(gated)(x, F(scaled)(x, p[0])); }
static inline REAL F(swish_backward)(REAL x, const REAL *p) { return F(gated_backward)(x, F(scaled)(x, p[0]), p[0]); }
static inline REAL F(silu)(REAL x, const REAL *p) { return (void)p, F(gated)(x, x); }
static inline REAL F(silu_backward)(REAL x, const REAL *p) { return (void)p, F(gated_backward)(x, x, 1); }
static inline REAL F(quick_gelu)(REAL x, const REAL *p) { return (void)p, F(gated)(x, C(1.702) * x); }
static inline REAL F(quick_gelu_backward)(REAL x, const REAL *p) {
    return (void)p, F(gated_backward)(x, C(1.702) * x, C(1.702));
}
/* 2 sqrt(2 / pi) */
#define GELU_TANH C(1.59576912160573071175978423973752747)
static inline REAL F(gelu_tanh)(REAL x, const REAL *p) {
    REAL t = F(clip)(x, -50, 50);
    return (void)p, F(gated)(x < t ? t : x, GELU_TANH * (t + C(0.044715) * t * t * t));
}
static inline REAL F(gelu_tanh_backward)(REAL x, const REAL *p) {
    REAL t = F(clip)(x, -50, 50);
    return (void)p,
           F(gated_backward)(t, GELU_TANH * (t + C(0.044715) * t * t * t), GELU_TANH * (1 + 3 * C(0.044715) * t * t));
}

#define ROOT_HALF C(0.707106781186547524400844362104849039)
#define NORMAL C(0.398942280401432677939946059934381868) /* 1 / sqrt(2 pi) */
static inline REAL F(gelu)(REAL x, const REAL *p) {
    REAL t = x < -60 ? -60 : x;
    return (void)p, t / 2 * M(erfc)(-t * ROOT_HALF);
}
static inline REAL F(gelu_backward)(REAL x, const REAL *p) {
    /* x is clamped: the result is 0 in the kernel's type, and the two terms are not 0 in this one */
    REAL t = F(clip)(x, sizeof x == sizeof(double) ? -20 : -60, 60);
    return (void)p, M(erfc)(-t * ROOT_HALF) / 2 + t * NORMAL * M(exp)(-t * t / 2);
}

static inline REAL F(erf)(REAL x, const REAL *p) { return (void)p, M(erf)(x); }
static inline REAL F(erf_backward)(REAL x, const REAL *p) {
    REAL t = F(clip)(x, -60, 60);
    return (void)p, C(1.12837916709551257389615890312154517) * M(exp)(-t * t);
}

static inline REAL F(mish)(REAL x, const REAL *p) {
    REAL t = x < -2000 ? -2000 : x, e = M(exp)(-M(fabs)(t));
    REAL n = t < 0 ? e * (e + 2) : 1 + 2 * e;
    return (void)p, t * n / (n + (t < 0 ? 2 : 2 * e * e));
}
static inline REAL F(mish_backward)(REAL x, const REAL *p) {
    REAL a = M(fabs)(F(clip)(x, -2000, 2000)), e = M(exp)(-a);
    REAL left = 2 + 2 * e + e * e, right = 1 + 2 * e + 2 * e * e;
    return (void)p, x < 0 ? e * (4 * (1 - a) + (6 - 4 * a) * e + 4 * e * e + e * e * e) / (left * left)
                          : (1 + 4 * e + (4 * a + 6) * e * e + 4 * (a + 1) * e * e * e) / (right * right);
}

/* x - tanh(x) = (x cosh(x) - sinh(x)) / cosh(x), whose numerator is a series of positive terms */
static inline REAL F(tanh_shrink)(REAL x, const REAL *p) {
    if (!(M(fabs)(x) < 1)) return (void)p, x - M(tanh)(x);
    REAL term = x * x * x / 6, sum = 0;
    for (int k = 2; k <= 40 && sum + k * term != sum; k += 2) {
        sum += k * term;
        term *= x * x / ((k + 2) * (k + 3));
    }
    return sum == 0 ? M(copysign)(0, x) : sum / M(cosh)(x);
}
static inline REAL F(tanh_shrink_backward)(REAL x, const REAL *p) {
    REAL t = M(tanh)(x);
    return (void)p, t * t;
}

#endif
