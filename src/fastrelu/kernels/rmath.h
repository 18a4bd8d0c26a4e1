/* Arithmetic that the bodies share, for the compute type of this instance (see instance.h). */

#define R(c) ((real)(c))

/* grad if the gradient passes; otherwise +0, whatever grad is; NaN if x is NaN */
BODY FN(gate)(int passes, real g, real x) {
    real off = x == x ? R(0) : x;
    return passes ? g : off;
}

/* square root, correctly rounded */
#if FR_KIND == FR_LEAN
BODY FN(root)(real x) { return FR_SQRTF(x); }
#else
BODY FN(root)(real x) { return FR_SQRT(x); }
#endif

/* ---- The rest of this file is shared by the smooth functions. ----------------------------------------------
 *
 * e^z is never formed. With z = k ln2 + r it is S / P, S = 2^k and P = e^-r in [0.7, 1.42], and a function of e^z
 * becomes a quotient of polynomials in S and P: sigmoid(z) = S / (S + P). S times a number is exact, and the division
 * makes subnormal results with one rounding. A factor 2^c in both S and P ("lift") keeps S normal to the end of the
 * range. Coefficients come from tools/fit_exp.py. */

#undef BY_TYPE
#undef BY_KIND
#undef NO_LOW
#undef SHIFT
#undef ROUNDER
#undef BIAS
#undef LN2

/* a constant that depends on the compute type, float or double, or on the instance */
#if FR_KIND == FR_LEAN
#define BY_TYPE(single, twice) R(single)
#define BY_KIND(lean, wide, full) R(lean)
#define SHIFT 23
#define ROUNDER 0x1.8p23f
#define BIAS 127
typedef union {
    float number;
    uint32_t bits;
    int32_t order;
} FN(word);
#else
#define BY_TYPE(single, twice) R(twice)
#if FR_KIND == FR_WIDE
#define BY_KIND(lean, wide, full) R(wide)
#else
#define BY_KIND(lean, wide, full) R(full)
#endif
#define SHIFT 52
#define ROUNDER 0x1.8p52
#define BIAS 1023
typedef union {
    double number;
    uint64_t bits;
} FN(word);
#endif
#define SIGN_BIT ((FN(word)){.number = -R(0)}.bits)

/* Stands for "z has no low part": adding -0 is the only addition that compilers may drop. */
#define NO_LOW (-R(0))

#define LN2 BY_TYPE(0x1.62e430p-1f, 0x1.62e42fefa39efp-1)
#define LOG2E 0x1.71547652b82fep0
#define LARGEST BY_TYPE(0x1.fffffep127f, 0x1.fffffffffffffp1023)

#ifndef FASTRELU_POLY
#define FASTRELU_POLY
/* c0 + c1 x + c2 x^2 + ..., Horner */
#define POLY1(x, a, b) FMA(R(b), x, R(a))
#define POLY2(x, a, ...) FMA(POLY1(x, __VA_ARGS__), x, R(a))
#define POLY3(x, a, ...) FMA(POLY2(x, __VA_ARGS__), x, R(a))
#define POLY4(x, a, ...) FMA(POLY3(x, __VA_ARGS__), x, R(a))
#define POLY5(x, a, ...) FMA(POLY4(x, __VA_ARGS__), x, R(a))
#define POLY6(x, a, ...) FMA(POLY5(x, __VA_ARGS__), x, R(a))
#define POLY7(x, a, ...) FMA(POLY6(x, __VA_ARGS__), x, R(a))
#define POLY8(x, a, ...) FMA(POLY7(x, __VA_ARGS__), x, R(a))
#define POLY9(x, a, ...) FMA(POLY8(x, __VA_ARGS__), x, R(a))
#define POLY10(x, a, ...) FMA(POLY9(x, __VA_ARGS__), x, R(a))
#define POLY11(x, a, ...) FMA(POLY10(x, __VA_ARGS__), x, R(a))
#endif

/* a b + c where the rounding error of a b matters. In FR_WIDE a plain a b is already exact. */
#if FR_KIND == FR_LEAN || FR_KIND == FR_WIDE || FR_HAS_FMA
BODY FN(fused)(real a, real b, real c) { return FMA(a, b, c); }
#else
/* Dekker's product: exact for |a|, |b| < 2^995, and no better than a b above that */
BODY FN(upper)(real a) {
    real t = a * 0x1.000002p27;
    return t - (t - a);
}
BODY FN(fused)(real a, real b, real c) {
    real p = a * b;
    real ah = FN(upper)(a), al = a - ah, bh = FN(upper)(b), bl = b - bh;
    real low = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    return (p + c) + (low - low == 0 ? low : R(0));
}
#endif

/* |x| */
BODY FN(size)(real x) {
    FN(word) u = {x};
    u.bits &= ~SIGN_BIT;
    return u.number;
}

/* Clamps. In float each is one integer operation, which loses NaNs of one sign (or_nan() restores them); in double
 * there is no such operation below AVX-512, and NaNs pass. */
#if FR_KIND == FR_LEAN
BODY FN(at_least)(real x, real low) { /* max(x, low) for low < 0 */
    FN(word) u = {x}, l = {low};
    u.bits = u.bits < l.bits ? u.bits : l.bits;
    return u.number;
}
BODY FN(at_most)(real x, real high) { /* min(x, high) for high > 0 */
    FN(word) u = {x}, h = {high};
    u.order = u.order < h.order ? u.order : h.order;
    return u.number;
}
BODY FN(size_at_most)(real x, real high) { /* min(|x|, high), and high for NaN */
    FN(word) u = {x}, h = {high};
    u.bits &= ~SIGN_BIT;
    u.bits = u.bits < h.bits ? u.bits : h.bits;
    return u.number;
}
BODY FN(not_below)(real x, real low) { /* max(x, low) for x, low > 0 */
    FN(word) u = {x}, l = {low};
    u.bits = u.bits > l.bits ? u.bits : l.bits;
    return u.number;
}
BODY FN(or_nan)(real y, real x) { return x == x ? y : x; }
#else
BODY FN(at_least)(real x, real low) { return x < low ? low : x; }
BODY FN(at_most)(real x, real high) { return x > high ? high : x; }
BODY FN(size_at_most)(real x, real high) { return FN(at_most)(FN(size)(x), high); }
BODY FN(not_below)(real x, real low) { return FN(at_least)(x, low); }
BODY FN(or_nan)(real y, real x) {
    (void)x;
    return y;
}
#endif

/* m >= 0 with the sign of x */
BODY FN(with_sign)(real m, real x) {
    FN(word) u = {m}, v = {x};
    u.bits |= v.bits & SIGN_BIT;
    return u.number;
}

/* An integer below 2^SHIFT as a number: it becomes the last digits of 2^SHIFT. AVX2 cannot convert integers of 64 bits,
 * and compilers would take each vector apart. */
BODY FN(number_of)(FN(word) integer) {
    const FN(word) base = {BY_TYPE(0x1p23f, 0x1p52)};
    integer.bits |= base.bits;
    return integer.number - base.number;
}
/* The exponent's bits of x >= 0, as a number. */
BODY FN(exponent_bits)(real x) {
    FN(word) u = {x};
    u.bits >>= SHIFT;
    return FN(number_of)(u);
}

/* 2^k from ROUNDER + BIAS + k: the rounding constant and the exponent's bias in one */
BODY FN(power)(real shifted) {
    FN(word) u = {shifted};
    u.bits <<= SHIFT;
    return u.number;
}

/* z - k ln2. In float and double ln2 comes in two parts, of which the first times k is exact. */
BODY FN(minus_k_ln2)(real z, real k) {
#if FR_KIND == FR_WIDE
    return FMA(k, -LN2, z);
#else
    real r = FMA(k, -BY_TYPE(0x1.62e4p-1f, 0x1.62e42fefa3800p-1), z);
    return FMA(k, -BY_TYPE(0x1.7f7d1cp-20f, 0x1.ef35793c76730p-45), r);
#endif
}

/* z + low = k ln2 + r, |r| <= 0.347: returns r, and 2^(k + lift) in *scale.
 *
 * Arguments are clamped at k = gone, where the lift makes the scale 0 and thereby the result; down to there it keeps
 * the scale normal. Results that are rounded to 0 instead take four times as long on AMD's processors, and ten times on
 * Intel's if they are just below the smallest number, for every x beyond the clamp (tools/measure_values.py). */
#define LIFT(gone) (BY_TYPE(-127, -1023) - (gone))
#define TWO_TO(n) FN(power)(ROUNDER + BIAS + (n))
#define EXP_GONE BY_KIND(-151, -151, -1076)  /* e^z is less than half of the smallest number, */
#define GATE_GONE BY_KIND(-158, -158, -1086) /* and |z| e^z is */
BODY FN(reduce)(real z, real low, real lift, real *scale) {
    const real magic = ROUNDER + BIAS + lift;
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    *scale = FN(power)(shifted);
    return FN(minus_k_ln2)(z, k) + low;
}

/* The same for derivatives, where e^z is multiplied by a gradient that may be as large as e^z is small: 2^(k + lift) =
 * *scale * *far, where *scale is normal and *far = 2^lift unless *scale is so small that 1 + *scale is 1. At FAR_LOW
 * *far has reached 0, for a lift of FAR_LIFT at FAR_LOWER. (Only for a gradient beyond 2^97, in double 2^966, is its
 * product with e^z not quite 0 there.) In FR_WIDE there is no lift, and *far is always 1. */
#define FAR_LOW BY_KIND(-174, -300, -1414.8)
#define FAR_LOWER BY_KIND(-196, -300, -1592)
#define FAR_LIFT BY_KIND(32, 0, 256)
#define NO_LIFT (-R(0)) /* see NO_LOW */
BODY FN(near_and_lifted)(real shifted, real lift, real *far) {
#if FR_KIND == FR_WIDE
    (void)lift;
    *far = 1;
    return FN(power)(shifted);
#else
    FN(word) all = {shifted + lift}, near = {FN(not_below)(shifted, ROUNDER + BIAS - BY_TYPE(124, 1018))};
    all.bits = (all.bits - near.bits + BIAS) << SHIFT;
    *far = all.number;
    return FN(power)(near.number);
#endif
}
BODY FN(near_and_far)(real shifted, real *far) { return FN(near_and_lifted)(shifted, NO_LIFT, far); }
/* g y far. g far comes first, which is normal or 0: g y would be subnormal where g is small and y near its least value,
 * which is slow on Intel's processors. */
BODY FN(product)(real g, real y, real far) {
#if FR_KIND == FR_WIDE
    (void)far;
    return g * y;
#else
    return g * far * y;
#endif
}
BODY FN(reduce_lifted)(real z, real low, real lift, real *scale, real *far) {
    const real magic = ROUNDER + BIAS;
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    *scale = FN(near_and_lifted)(shifted, lift, far);
    return FN(minus_k_ln2)(z, k) + low;
}
BODY FN(reduce_far)(real z, real low, real *scale, real *far) { return FN(reduce_lifted)(z, low, NO_LIFT, scale, far); }

/* For a factor b > 0 of x. If it is small, 1 / b may overflow, and infinity times b is near where x is huge: then b is
 * multiplied by 2^FAR_LIFT and x divided by it. */
BODY FN(lift_small)(real b, real *scale) {
    int tiny = b < BY_KIND(0x1p-64f, 0, 0x1p-512);
    *scale = tiny ? BY_KIND(0x1p-32f, 1, 0x1p-256) : R(1);
    return tiny ? b * BY_KIND(0x1p32f, 1, 0x1p256) : b;
}
/* The same, and a large b is multiplied by 2^-FAR_LIFT where fused() is not exact for it. */
BODY FN(balance)(real b, real *scale) {
#if FR_KIND == FR_FULL && !FR_HAS_FMA
    int huge = b > R(0x1p512);
    real c = FN(lift_small)(b, scale);
    *scale = huge ? R(0x1p256) : *scale;
    return huge ? b * R(0x1p-256) : c;
#else
    return FN(lift_small)(b, scale);
#endif
}
/* the size of x from which e^-(b x) has reached 0 in reduce_lifted with FAR_LIFT or without; b and scale from
 * lift_small */
BODY FN(shrunk_end)(real b, real scale) { return FN(at_most)((scale == 1 ? -FAR_LOW : -FAR_LOWER) / b, LARGEST); }
#define LIFT_OF(scale) ((scale) == 1 ? NO_LIFT : FAR_LIFT)

/* c e^(s r) for constants s = +-1 or +-1/2 and c a power of two, |s r| <= 0.347.
 * Relative error of the fit: lean 2^-28.2, wide 2^-39.7, full 2^-57.9. */
BODY FN(exp_step)(real r, real s, real c) {
    const real c1 = s * c, c2 = s * c1, c3 = s * c2, c4 = s * c3, c5 = s * c4, c6 = s * c5;
#if FR_KIND == FR_LEAN
    return POLY5(r, c1, c2 * 0x1.fffffcp-2f, c3 * 0x1.555492p-3f, c4 * 0x1.5558d2p-5f, c5 * 0x1.1239ccp-7f,
                 c6 * 0x1.6a2408p-10f);
#elif FR_KIND == FR_WIDE
    const real c7 = s * c6, c8 = s * c7;
    return POLY7(r, c1, c2 * 0x1.000000005e3b6p-1, c3 * 0x1.5555557dec081p-3, c4 * 0x1.5555541d90805p-5,
                 c5 * 0x1.1110a23218e23p-7, c6 * 0x1.6c18d40d0f96ep-10, c7 * 0x1.a185aa60372fap-13,
                 c8 * 0x1.9e88df8f21487p-16);
#else
    const real c7 = s * c6, c8 = s * c7, c9 = s * c8, c10 = s * c9, c11 = s * c10;
    return POLY10(r, c1, c2 * 0x1.000000000000ap-1, c3 * 0x1.55555555554fap-3, c4 * 0x1.555555555088ap-5,
                  c5 * 0x1.1111111127bbdp-7, c6 * 0x1.6c16c18426f98p-10, c7 * 0x1.a01a012a5f168p-13,
                  c8 * 0x1.a0199a1535238p-16, c9 * 0x1.71df254f4b860p-19, c10 * 0x1.28ad6a5296130p-22,
                  c11 * 0x1.ad7f5e409cc9ep-26);
#endif
}
BODY FN(exp_poly)(real r, real s, real c) { return FMA(FN(exp_step)(r, s, c), r, c); }
/* the same, and the rounding error of its last step */
BODY FN(exp_poly_low)(real r, real s, real c, real *low) {
    real step = FN(exp_step)(r, s, c), p = FMA(step, r, c);
    *low = FMA(step, r, c - p);
    return p;
}

/* c 2^-r for a constant power of two c, |r| <= 1/2. Relative error: lean 2^-27.6, wide 2^-39.7, full 2^-58.2. */
BODY FN(exp2_minus)(real r, real c) {
#if FR_KIND == FR_LEAN
    return POLY6(r, c, c * -0x1.62e430p-1f, c * 0x1.ebfbdap-3f, c * -0x1.c6af2cp-5f, c * 0x1.3b2e2cp-7f,
                 c * -0x1.5f3eb2p-10f, c * 0x1.41fc2ap-13f);
#elif FR_KIND == FR_WIDE
    return POLY8(r, c, c * -0x1.62e42fefa39efp-1, c * 0x1.ebfbdff8e1718p-3, c * -0x1.c6b08da65b7b3p-5,
                 c * 0x1.3b2ab5dbc67e0p-7, c * -0x1.5d87708dd632fp-10, c * 0x1.430ae9c46c417p-13,
                 c * -0x1.00c5a3c3be597p-16, c * 0x1.616a250b1efcap-20);
#else
    return POLY11(r, c, c * -0x1.62e42fefa39efp-1, c * 0x1.ebfbdff82c5adp-3, c * -0x1.c6b08d7049fd1p-5,
                  c * 0x1.3b2ab6fb9f413p-7, c * -0x1.5d87fe78cf269p-10, c * 0x1.43091310bf763p-13,
                  c * -0x1.ffcbfba7b9649p-17, c * 0x1.62bfc3c1b0b82p-20, c * -0x1.b526788aedffep-24,
                  c * 0x1.e620fb9b08758p-28, c * -0x1.e7aa0de99ebecp-32);
#endif
}

/* e^r - 1, |r| <= 0.347. Relative error of the fit: lean 2^-26.1, wide 2^-38, full 2^-61.7. */
BODY FN(expm1_poly)(real r) {
#if FR_KIND == FR_LEAN
    real q = POLY4(r, 0x1.fffffep-2f, 0x1.5554b0p-3f, 0x1.5556c4p-5f, 0x1.122862p-7f, 0x1.6becb2p-10f);
#elif FR_KIND == FR_WIDE
    real q = POLY6(r, 0x1.000000005e3b6p-1, 0x1.5555557dec081p-3, 0x1.5555541d90805p-5, 0x1.1110a23218e23p-7,
                   0x1.6c18d40d0f96ep-10, 0x1.a185aa60372fap-13, 0x1.9e88df8f21487p-16);
#else
    real q = POLY10(r, 0.5, 0x1.5555555555559p-3, 0x1.555555555553fp-5, 0x1.111111110f6dep-7, 0x1.6c16c16c1f064p-10,
                    0x1.a01a01afd1f7bp-13, 0x1.a01a017bcb306p-16, 0x1.71ddf88417aabp-19, 0x1.27e53625f845cp-22,
                    0x1.af5e6acb33caep-26, 0x1.1ee88b2700894p-29);
#endif
    return FMA(q, r * r, r);
}

/* e^z = S (1 + p) for z <= 0: returns p; z + low is the argument. ln2 as one constant is enough for e^z - 1: where k is
 * large, S is small. */
BODY FN(expm1_parts)(real z, real low, real *S) {
    const real magic = ROUNDER + BIAS;
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    *S = FN(power)(shifted);
    return FN(expm1_poly)(FMA(k, -LN2, z) + low);
}
/* e^z - 1 for z <= 0 */
BODY FN(expm1_below)(real z, real low) {
    real S, p = FN(expm1_parts)(z, low, &S);
    return FMA(S, p, S - 1);
}
/* the argument below which both expm1 and log(1 + e^z) may be clamped without loss of accuracy */
#define EXPM1_LOW BY_TYPE(-18, -40)

/* log(1 + t') = t + t w L(w) where t = 2 t'/(2 + t') and w = t^2: L for t' in (0, 1].
 * Relative error of the whole: lean 2^-27.7, wide 2^-38.4, full 2^-59.4. */
BODY FN(log1p_poly)(real w) {
#if FR_KIND == FR_LEAN
    return POLY3(w, 0x1.555502p-4f, 0x1.99d1fcp-7f, 0x1.1ebcfap-9f, 0x1.1ed796p-11f);
#elif FR_KIND == FR_WIDE
    return POLY5(w, 0x1.5555553b937ebp-4, 0x1.9999bc92f7120p-7, 0x1.248a6d2ae873dp-9, 0x1.c8b8f82e0756ep-12,
                 0x1.5f48e3025fcd7p-14, 0x1.be0549ed1c3fbp-16);
#else
    return POLY9(w, 0x1.5555555555535p-4, 0x1.99999999a06c2p-7, 0x1.24924920910dbp-9, 0x1.c71c741a08806p-12,
                 0x1.745cb4596f9fdp-14, 0x1.3b1dd3b25beedp-16, 0x1.10682e8d156e6p-18, 0x1.efd1921489d71p-21,
                 0x1.55cf42a8ac3e7p-23, 0x1.5c5c379da9673p-24);
#endif
}

/* t^2, or 0 where t^3 may be subnormal: there log(1 + t') is t */
BODY FN(log1p_square)(real t) {
    real some = t < BY_TYPE(0x1p-30f, 0x1p-128) ? R(0) : t;
    return some * some;
}

/* 1 - e^z for z <= 0; +0 for both zeros */
BODY FN(one_minus_exp)(real z, real low) {
    const real magic = ROUNDER + BIAS;
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real p = FN(expm1_poly)(FMA(k, -LN2, z) + low);
    real S = FN(power)(shifted);
    return FMA(-S, p, 1 - S);
}

/* e^z = result * *far */
BODY FN(exp_far)(real z, real low, real *far) {
    real S, r = FN(reduce_far)(z, low, &S, far);
    return FN(exp_poly)(r, 1, 1) * S;
}

/* sigmoid(z) = result * *far */
BODY FN(sigmoid_far)(real z, real low, real *far) {
    real S, r = FN(reduce_far)(z, low, &S, far);
    return S / (S + FN(exp_poly)(r, -1, 1));
}

/* a b - p, the rounding error of p, the rounded a b; 0 in FR_WIDE, where p is exact */
BODY FN(product_low)(real a, real b, real p) {
#if FR_KIND == FR_WIDE
    (void)a, (void)b, (void)p;
    return NO_LOW;
#else
    return FN(fused)(a, b, -p);
#endif
}

/* Numbers beyond which sums overflow, and fused() is not exact without FMA, and a factor that brings them back. */
#define HUGE_FROM BY_TYPE(0x1p96f, 0x1p895)
#define HUGE_DOWN BY_TYPE(0x1p-32f, 0x1p-128)
BODY FN(tame)(real a, real b) {
    const real size_of_a = FN(size)(a), size_of_b = FN(size)(b);
    return ((size_of_a > HUGE_FROM) | (size_of_b > HUGE_FROM)) ? HUGE_DOWN : R(1);
}

/* x (a x + b), and the line itself times *up: if both a and b are tiny it is lifted, because it may be subnormal where
 * its product with a huge x is not; if one is huge it is lowered */
BODY FN(times_line)(real x, real a, real b, real *line, real *up) {
    const real size_of_a = FN(size)(a), size_of_b = FN(size)(b);
    int tiny = (size_of_a < BY_KIND(0x1p-64f, 0, 0x1p-512)) & (size_of_b < BY_KIND(0x1p-32f, 0, 0x1p-256));
    real lift = tiny ? BY_KIND(0x1p64f, 1, 0x1p512) : R(1), tamed = FN(tame)(a, b), down = 1 / lift * (1 / tamed);
    *up = lift * tamed;
    int far = (FN(size)(x) > 1) == tiny; /* down is the factor of x, or of the result */
    *line = FN(fused)(a * *up, x, b * *up);
    real y = (far ? x * down : x) * *line;
    return far ? y : y * down;
}

/* m = 2^k result, result in [2/3, 4/3), for m > 0 */
BODY FN(split_thirds)(real m, real *k) {
    const real up = BY_TYPE(32, 64);
    FN(word) u = {m * BY_TYPE(0x1p32f, 0x1p64)}, e = {R(1)}, thirds = {R(2. / 3)};
    const FN(word) one = e, base = {BY_TYPE(0x1p23f, 0x1p52)};
    e.bits = (u.bits + (one.bits - thirds.bits)) >> SHIFT;
    u.bits = u.bits - (e.bits << SHIFT) + one.bits;
    e.bits |= base.bits;
    *k = e.number - (base.number + BIAS + up);
    return u.number;
}
