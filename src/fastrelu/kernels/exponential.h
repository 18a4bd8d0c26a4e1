/* Functions built on one exponential of the negative half-axis. */

#if FR_KIND != FR_HILO

/* elu(x) = x if x > 0 else alpha (e^x - 1); the derivative at 0 is alpha */
/* ULP: lean 2, full 2.3, full without FMA 2.3 */
BODY FN(elu)(real x, real alpha) {
    real y = alpha * FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW);
    return x < 0 ? y : x;
}
/* ULP: lean 1.55, full 1.7, full without FMA 1.8 */
BODY FN(elu_backward)(real g, real x, real alpha) {
    /* a huge alpha makes more of e^x count: 2^-up of it is in S */
    int huge = FN(size)(alpha) > BY_TYPE(0x1p64f, 0x1p512);
    real up = huge ? BY_KIND(28, 0, 64) : R(0), magic = ROUNDER + BIAS + up;
    real a = huge ? alpha * BY_KIND(0x1p-28f, 1, 0x1p-64) : alpha;
    real z = FN(at_least)(x, huge ? BY_KIND(-193.5, -300, -1459.2) : FAR_LOW);
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real far, S = FN(near_and_far)(shifted, &far);
    real y = FN(exp_poly)(FN(minus_k_ln2)(z, k), 1, 1) * S;
    y = FN(product)(g, a * y, far);
    return x > 0 ? g : FN(or_nan)(y, x);
}
/* e^x - 1 where x <= 0 */
BODY FN(elu_by_alpha)(real g, real x, real alpha) {
    (void)alpha;
    real d = FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW);
    return x > 0 ? R(0) : g * (x < 0 ? d : x);
}
BODY FN(elu_from_output)(real g, real y, real alpha) { return y > 0 ? g : g * (y + alpha); }

/* celu(x) = max(x, 0) + min(alpha (e^(x/alpha) - 1), 0). A negative alpha makes x/alpha positive: there 2^k may
 * overflow where its product with alpha or a gradient does not, so it is S far. Where 1/alpha or the clamp would
 * overflow, alpha and x are multiplied by 2^-lift. Below 2^-26 (2^-55) of alpha, celu(x) is x to the last bit. */
#define CELU_LIFT BY_KIND(32, 0, 128)
BODY FN(celu_lift)(real alpha) {
    real a = FN(size)(alpha), lift = a < BY_TYPE(0x1p-96f, 0x1p-900) ? -R(CELU_LIFT) : R(0);
    return a > BY_TYPE(0x1p96f, 0x1p900) ? R(CELU_LIFT) : lift;
}
/* x/alpha, clamped: below by lowest, above so that near_below can hold 2^(k + lift) */
BODY FN(celu_ratio)(real x, real alpha, real lowest, real lift, real *low) {
    real down = FN(power)(ROUNDER + BIAS - FN(celu_lift)(alpha)), a = alpha * down;
    real inverse = 1 / a;
    real highest = BY_KIND(LN2 * (253 - lift), 700, LN2 * (2045 - lift));
    real clamped = FN(at_least)(x * down, alpha > 0 ? lowest * a : highest * a);
    real z = clamped * inverse;
    (void)lift; /* 0 in the wide kind */
#if FR_KIND == FR_WIDE
    *low = NO_LOW;
#else
    *low = FN(fused)(-z, a, clamped) * inverse;
#endif
    return z;
}
/* 2^k = result * *far, where the result is `floored`, or less if its product with e^r would overflow */
BODY FN(near_below)(real shifted, real floored, real *far) {
#if FR_KIND == FR_WIDE
    (void)floored;
    *far = 1;
    return FN(power)(shifted);
#else
    FN(word) all = {shifted}, near = {FN(at_most)(floored, ROUNDER + BIAS + (BIAS - 1))};
    all.bits = (all.bits - near.bits + BIAS) << SHIFT;
    *far = all.number;
    return FN(power)(near.number);
#endif
}
/* ULP: lean 2.55, full 2.8, full without FMA 2.65 */
BODY FN(celu)(real x, real alpha) {
    real lift = FN(celu_lift)(alpha), magic = ROUNDER + BIAS + lift;
    real unit = FN(power)(magic), a = alpha * FN(power)(ROUNDER + BIAS - lift);
    real low, z = FN(celu_ratio)(x, alpha, EXPM1_LOW, lift, &low);
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real far, S = FN(near_below)(shifted, shifted, &far);
    real p = FN(expm1_poly)(FN(minus_k_ln2)(z, k) + low);
    real y = a * FMA(S, p, S - unit) * far;
    real small = BY_TYPE(-0x1p-26, -0x1p-55) * FN(size)(alpha);
    return x < small ? y : x;
}
/* (Only for a subnormal gradient and a negative alpha may the result be finite where it should be infinite.) */
/* ULP: lean 1.05, full 1.2, full without FMA 1.4 */
BODY FN(celu_backward)(real g, real x, real alpha) {
    const real magic = ROUNDER + BIAS;
    real low, z = FN(celu_ratio)(x, alpha, FAR_LOW, 0, &low);
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real floored = FN(not_below)(shifted, ROUNDER + BIAS - BY_TYPE(124, 1018));
    real far, S = FN(near_below)(shifted, floored, &far);
    real y = FN(product)(g, FN(exp_poly)(FN(minus_k_ln2)(z, k) + low, 1, 1) * S, far);
    return x > 0 ? g : FN(or_nan)(y, x);
}
/* (1 - u) e^u - 1 where x <= 0, u = x / alpha. For |u| < 1 it is -u^2 times the series of u^k / (k! (k + 2)), of which
 * 19 terms are enough for 2^-60. */
BODY FN(celu_series)(real u) {
    real rest = POLY7(u, 1. / 518918400, 1. / 6706022400, 1. / 93405312000, 1. / 1394852659200, 1. / 22230464256000,
                      1. / 376610217984000, 1. / 6758061133824000, 1. / 128047474114560000);
    return POLY11(u, 1. / 2, 1. / 3, 1. / 8, 1. / 30, 1. / 144, 1. / 840, 1. / 5760, 1. / 45360, 1. / 403200,
                  1. / 3991680, 1. / 43545600, rest);
}
BODY FN(celu_by_alpha)(real g, real x, real alpha) {
    const real magic = ROUNDER + BIAS;
    const real unit = R(0x1p-12); /* of the outer part: (1 - u) e may overflow where its product with g does not */
    real low, u = FN(celu_ratio)(x, alpha, -60, 0, &low);
    real shifted = FMA(u, R(LOG2E), magic);
    real k = shifted - magic;
    real far, S = FN(near_below)(shifted, shifted, &far);
    real e = FN(exp_poly)(FN(minus_k_ln2)(u, k) + low, 1, 1) * S;
    real outer = FMA((1 - u) * unit, e, -unit);
    real p = FN(celu_series)(u) * -u;
    real inner = FMA(p, u, 2 * low * p);
    int near = (u > -1) & (u < 1);
    real d = g * (near ? inner : outer) * (near ? R(1) : far * R(0x1p12));
    return x > 0 ? R(0) : d;
}
/* The quotient by alpha is a product with 1 / alpha, which a loop computes once, and its correction. */
/* ULP: lean 1.3, full 1.3, full without FMA 1.3 */
BODY FN(celu_from_output)(real g, real y, real alpha) {
#if FR_HAS_FMA
    real scale, b = FN(lift_small)(alpha, &scale), inverse = 1 / b;
    real t = (y + alpha) * (1 / scale), q = t * inverse, quotient = FMA(FMA(-q, b, t), inverse, q);
    quotient = t >= -LARGEST ? quotient : t; /* -infinity is no output, but here no NaN either */
    return y > 0 ? g : g * quotient;
#else
    return y > 0 ? g : g * ((y + alpha) / alpha);
#endif
}

/* (e^x - 1 - x) / x^3 - 1 / (2 x) for x in [-1, 0] */
BODY FN(xielu_poly)(real x) {
#if FR_KIND == FR_LEAN
    return POLY5(x, 0x1.555552p-3f, 0x1.555496p-5f, 0x1.10fedcp-7f, 0x1.6a6550p-10f, 0x1.8b3ac4p-13f, 0x1.1ca388p-16f);
#elif FR_KIND == FR_WIDE
    return POLY7(x, 0x1.55555554c9487p-3, 0x1.5555550f94d50p-5, 0x1.1111051e8a2dap-7, 0x1.6c14c3b8e79dbp-10,
                 0x1.9feab25bd0bfep-13, 0x1.9d84b3efd325ap-16, 0x1.5c926c4fdac11p-19, 0x1.8ba5d9a83708fp-23);
#else
    return POLY11(x, 0x1.5555555555555p-3, 0x1.5555555555530p-5, 0x1.111111111038bp-7, 0x1.6c16c16bc6ffdp-10,
                  0x1.a01a018ed48a3p-13, 0x1.a019ff3cf8153p-16, 0x1.71de01d90e949p-19, 0x1.27e16851edda7p-22,
                  0x1.ae1495a05b4b4p-26, 0x1.1c90d7830f609p-29, 0x1.49af3168110dbp-33, 0x1.06adb815d3136p-37);
#endif
}
/* xielu(x) = alpha_p x^2 + beta x if x > 0 else alpha_n (e^x - 1 - x) + beta x. Near 0 each is x times a line, of which
 * that on the left includes the rounding error of (e^x - 1 - x) / x. Below -1 it is (beta - alpha_n) x + alpha_n (e^x -
 * 1), where the difference includes its rounding error. */
/* ULP: lean 2.95, full 3.4, full without FMA 3.6 */
BODY FN(xielu)(real x, real alpha_p, real alpha_n, real beta) {
    real line, up, right = FN(times_line)(x, alpha_p, beta, &line, &up), top = alpha_p == 0 ? beta : alpha_p;
    right = x > LARGEST ? (top == 0 ? R(0) : top * x) : right;

    const real down = FN(tame)(alpha_n, beta), a = alpha_n * down, b = beta * down;
    real z = FN(at_least)(x, R(-1)), half = R(0.5) * z, more = z * z * FN(xielu_poly)(z), sum = half + more;
    real near = (x * (1 / down)) * (FN(fused)(a, sum, b) + a * ((half - sum) + more));
    real d = b - a, back = b - d, low = (b - (d + back)) - (a - back);
    real e = FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW), p = a * e;
    real finite = FN(at_least)(x, -LARGEST);
    real far = FN(fused)(d, d == 0 ? finite : x, p);
    real rest = FMA(low, finite, FN(product_low)(a, e, p));
    far = far - far == 0 ? far + rest : far;
    real left = x > -1 ? near : far * (1 / down);
    return FN(or_nan)(x > 0 ? right : left, x);
}
/* 2 alpha_p x + beta if x > 0, which may overflow where its product with the gradient does not, else alpha_n (e^x - 1)
 * + beta; below -1 that is alpha_n e^x + (beta - alpha_n). */
/* ULP: lean 2.95, full 3.4, full without FMA 3.6 */
BODY FN(xielu_backward)(real g, real x, real alpha_p, real alpha_n, real beta) {
    const real most = BY_KIND(0x1p100f, INFINITY, 0x1p900);
    const real size = FN(size)(alpha_p), size_of_beta = FN(size)(beta);
    int huge = (size * x > most) | (size_of_beta > most);
    real down = huge ? BY_KIND(0x1p-65f, 1, 0x1p-513) : R(1), up = huge ? BY_KIND(0x1p65f, 1, 0x1p513) : R(1);
    real a = alpha_p * down, z = FN(at_most)(x, LARGEST) * down;
    int steep = size > 1; /* of the factors, the smaller one is doubled */
    real line = FN(fused)(steep ? a : a + a, steep ? z + z : z, beta * down * down);
    real right = ((x > LARGEST) & (alpha_p != 0)) ? g * (alpha_p * x) : g * line * up * up;

    z = FN(at_least)(x, BY_TYPE(-50, -80));
    const real lower = FN(tame)(x > -1 ? beta : alpha_n, beta), n = alpha_n * lower, b = beta * lower;
    real d = b - n, back = b - d, low = (b - (d + back)) - (n - back);
    real S, q = FN(expm1_parts)(z, NO_LOW, &S);
    real near = FN(fused)(n, x < 0 ? FMA(S, q, S - 1) : x, b), far = FN(fused)(n, FMA(S, q, S), d) + low;
    real sum = x > -1 ? near : far;
    int early = FN(size)(sum) < 1;
    real left = g * (early ? sum * (1 / lower) : sum) * (early ? R(1) : 1 / lower);
    left = ((x <= -1) & (d == 0)) ? FN(elu_backward)(g, x, alpha_n) : left;
    return FN(or_nan)(x > 0 ? right : left, x);
}
BODY FN(xielu_by_alpha_p)(real g, real x, real alpha_p, real alpha_n, real beta) {
    (void)alpha_p, (void)alpha_n, (void)beta;
    return x <= 0 ? R(0) : g * x * x;
}
BODY FN(xielu_by_alpha_n)(real g, real x, real alpha_p, real alpha_n, real beta) {
    (void)alpha_p, (void)alpha_n, (void)beta;
    real z = FN(at_least)(x, R(-1)), near = g * x * FMA(z * z, FN(xielu_poly)(z), R(0.5) * z);
    real far = g * (FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW) - x);
    return x > 0 ? R(0) : (x > -1 ? near : far);
}
BODY FN(xielu_by_beta)(real g, real x, real alpha_p, real alpha_n, real beta) {
    (void)alpha_p, (void)alpha_n, (void)beta;
    return g * x;
}

/* selu(x) = lambda x if x > 0 else lambda alpha (e^x - 1). The constants are those of the paper (Klambauer et al.
 * 2017), to full precision of the type. */
#define SELU_LAMBDA BY_TYPE(0x1.0cfabep0f, 0x1.0cfabd6a91132p+0)
#define SELU_PRODUCT BY_TYPE(0x1.c212ccp0f, 0x1.c212cc640f031p+0)
#define SELU_PRODUCT_LOW BY_TYPE(0x1.903c0cp-26f, 0x1.05161b045a1f1p-56)
/* ULP: lean 1.85, full 1.7, full without FMA 1.7 */
BODY FN(selu)(real x) {
    real y = SELU_PRODUCT * FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW);
    real line = SELU_LAMBDA * x;
    return x < 0 ? y : line;
}
/* ULP: lean 1.85, full 1.8, full without FMA 1.85 */
BODY FN(selu_backward)(real g, real x) {
    real far, y = FN(exp_far)(FN(at_least)(x, FAR_LOW), NO_LOW, &far);
    y = FN(product)(g, SELU_PRODUCT * y, far);
    real line = SELU_LAMBDA * g;
    return x > 0 ? line : FN(or_nan)(y, x);
}
/* ULP: lean 0.7, full 0.7, full without FMA 0.7 */
BODY FN(selu_from_output)(real g, real y) {
    real slope = (y + SELU_PRODUCT) + SELU_PRODUCT_LOW;
    return g * (y > 0 ? SELU_LAMBDA : slope);
}

/* softplus(x) = log(1 + e^(beta x)) / beta = max(x, 0) + log(1 + e^-|beta x|) / beta */
/* ULP: lean 2.8, full 2.95, full without FMA 3.55 */
BODY FN(softplus)(real x, real beta) {
    real scale, b = FN(lift_small)(beta, &scale);
    real inverse = 1 / b;
    real inverse_low = FN(fused)(-b, inverse, 1) * inverse;
    real a = FN(size_at_most)(x * scale, FN(shrunk_end)(b, scale));
    real z = b * a;
    real far, S, r = FN(reduce_lifted)(-z, -FN(product_low)(b, a, z), LIFT_OF(scale), &S, &far);
    real P = FN(exp_poly)(r, -1, 1);
    real t = S / FMA(S, R(0.5), P), w = FN(log1p_square)(t);
    real rest = t * w * FN(log1p_poly)(w);
    real y = FMA(t, inverse, FMA(t, inverse_low, rest * inverse));
    real m = x < 0 ? R(0) : x;
    return FMA(y, far, m);
}
/* ULP: lean 2.6, full 2.7, full without FMA 2.6 */
BODY FN(softplus_backward)(real g, real x, real beta) {
    real scale, b = FN(balance)(beta, &scale);
    real a = FN(at_least)(x * scale, -FN(at_most)(-FAR_LOW / b, LARGEST));
    a = FN(at_most)(a, FN(at_most)(BY_TYPE(17.5, 38) / b, LARGEST));
    real z = b * a;
    real far, y = FN(sigmoid_far)(z, FN(product_low)(b, a, z), &far);
    return FN(product)(g, FN(or_nan)(y, x), far);
}
/* -(log(1 + t) + z t / (1 + t)) / beta^2 for z = |beta x| and t = e^-z: minus the entropy of sigmoid(beta x). Computed
 * as -v^2 h with v = e^(-z/2) / beta, because e^-z and 1 / beta^2 may overflow or underflow where their product does
 * not. */
BODY FN(softplus_by_beta)(real g, real x, real beta) {
    real scale, b = FN(balance)(beta, &scale);
    real a = FN(size_at_most)(x * scale, FN(at_most)(-2 * FAR_LOW / b, LARGEST));
    real z = b * a;
    real far, q = FN(exp_far)(R(-0.5) * z, R(-0.5) * FN(product_low)(b, a, z), &far);
    real root = q * far, t = root * root;
    real inverse = 1 / FMA(t, R(0.5), 1), s = t * inverse, w = s * s;
    real h = FMA(w * inverse, FN(log1p_poly)(w), inverse) + z / (1 + t);
    real v = q / b * far / scale;
    return FN(or_nan)(-(g * v) * h * v, x);
}
/* 1 - e^(-beta y), which is beta y for a small y; such a y is scaled up, so that no bits are lost */
/* ULP: lean 1.8, full 1.7, full without FMA 1.65 */
BODY FN(softplus_from_output)(real g, real y, real beta) {
    real scale, b = FN(lift_small)(beta, &scale);
    real a = FN(at_most)(y * scale, FN(at_most)(-EXPM1_LOW / b, LARGEST));
    real z = b * a;
    real d = FN(one_minus_exp)(-z, -FN(product_low)(b, a, z));
    int small = z < BY_TYPE(0x1p-30, 0x1p-60);
    d = small ? beta * (y * BY_TYPE(0x1p30f, 0x1p60)) : d;
    return g * FN(or_nan)(d, y) * (small ? BY_TYPE(0x1p-30f, 0x1p-60) : R(1));
}

/* log_sigmoid(x) = -log(1 + e^-x) = min(x, 0) - log(1 + e^-|x|) */
/* ULP: lean 2.65, full 2.75, full without FMA 2.65 */
BODY FN(log_sigmoid)(real x) {
    real a = FN(size_at_most)(FN(at_least)(x, -R(50)), -EXP_GONE * LN2); /* e^x is lost in x below -50 */
    real S, r = FN(reduce)(-a, NO_LOW, LIFT(EXP_GONE), &S);
    real P = FN(exp_poly)(r, -1, TWO_TO(LIFT(EXP_GONE)));
    real t = S / FMA(S, R(0.5), P), w = FN(log1p_square)(t);
    real y = FMA(t * w, FN(log1p_poly)(w), t);
    real m = x > 0 ? -R(0) : x;
    return m - y;
}
/* ULP: lean 2.5, full 2.55, full without FMA 2.55 */
BODY FN(log_sigmoid_backward)(real g, real x) {
    real z = FN(at_least)(FN(at_most)(-x, BY_TYPE(17.5, 38)), FAR_LOW);
    real far, y = FN(sigmoid_far)(z, NO_LOW, &far);
    return FN(product)(g, FN(or_nan)(y, x), far);
}
/* 1 - e^y */
/* ULP: lean 1, full 1.3, full without FMA 1.25 */
BODY FN(log_sigmoid_from_output)(real g, real y) {
    real d = FN(one_minus_exp)(FN(at_least)(y, EXPM1_LOW), NO_LOW);
    return g * FN(or_nan)(d, y);
}

/* log1mexp(x) = log(1 - e^-x) for x >= 0, NaN for x < 0. Up to ln2 it is the logarithm of m = 1 - e^-x = 2^k (1 + f),
 * |f| < 0.42, beyond that log(1 - E) with E = e^-x: both from t = 2 f / (2 + f), where f = -E there. E is lifted, so
 * that a subnormal result is rounded once, by the division. */
/* ULP: lean 2.9, full 3.25, full without FMA 3.25 */
BODY FN(log1mexp)(real x) {
    const FN(word) half_root = {R(0x1.6a09e667f3bcdp-1)}, one = {R(1)}, round = {BY_TYPE(0x1p23f, 0x1p52)};
    real a = FN(size_at_most)(x, -EXP_GONE * LN2);
    real S, r = FN(reduce)(-a, NO_LOW, LIFT(EXP_GONE), &S), p = FN(expm1_poly)(r);
    real E = FMA(S, p, S), s = S * TWO_TO(-LIFT(EXP_GONE));
    int near = a <= LN2, tiny = a < BY_TYPE(0x1p-64f, 0x1p-512);
    FN(word) m = {FMA(-s, p, 1 - s) * (tiny ? BY_TYPE(0x1p64f, 0x1p512) : R(1))}, e, f;
    e.bits = (m.bits - half_root.bits + one.bits) >> SHIFT;
    f.bits = m.bits - (e.bits << SHIFT) + one.bits;
    e.bits |= round.bits;
    real k = e.number - (round.number + BIAS) - (tiny ? BY_TYPE(64, 512) : R(0));
    real n = near ? f.number - 1 : -E, d = FMA(n, R(0.5), near ? R(1) : TWO_TO(LIFT(EXP_GONE)));
    real t = n / d, w = FN(log1p_square)(FN(size)(t));
    t = FMA(t * w, FN(log1p_poly)(w), t);
    t = near ? -FN(minus_k_ln2)(-t, k) : t;
    t = a == 0 ? -(real)INFINITY : t;
    return FN(or_nan)(x < 0 ? (real)NAN : t, x);
}
/* e^-x / (1 - e^-x), for a tiny x scaled down: it may overflow where its product with the gradient does not */
/* ULP: lean 2.55, full 3.25, full without FMA 3.25 */
BODY FN(log1mexp_backward)(real g, real x) {
    real a = FN(size_at_most)(x, -FAR_LOW);
    real far, S, r = FN(reduce_far)(-a, NO_LOW, &S, &far), p = FN(expm1_poly)(r);
    real up = a < BY_TYPE(0x1p-64f, 0x1p-512) ? BY_TYPE(0x1p64f, 0x1p512) : R(1);
    real d = FN(product)(g, FMA(S, p, S) / (FMA(-S, p, 1 - S) * up), up * far);
    return FN(or_nan)(x < 0 ? (real)NAN : d, x);
}
/* e^-y - 1, as S far in celu */
/* ULP: lean 1.55, full 2, full without FMA 2.15 */
BODY FN(log1mexp_from_output)(real g, real y) {
    const real magic = ROUNDER + BIAS, high = BY_KIND(LN2 * 253, 700, LN2 * 2045);
    real z = FN(at_least)(-y, EXPM1_LOW);
    z = z > high ? high : z;
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real far, S = FN(near_below)(shifted, shifted, &far);
    real p = FN(expm1_poly)(FN(minus_k_ln2)(z, k));
    far = y < -LARGEST ? (real)INFINITY : far;
    return FN(or_nan)(g * FMA(S, p, S - 1) * far, y);
}

/* squareplus(x) = (x + r) / 2, r = sqrt(x^2 + b), for x < 0 in the form without cancellation b / 2 / (|x| + r). b and
 * |x|^2 are scaled by the power of four that brings b near 2^24, in double 2^52: then neither underflows or overflows
 * where the other matters. The scale depends on b alone, so for a number b it is computed once. */
BODY FN(squareplus_scale)(real b, real *back) {
    const unsigned near = FR_KIND == FR_LEAN ? 12 : 26;
    FN(word) e = {FN(size)(b)}, up, down;
    e.bits = e.bits >> SHIFT;
    up.bits = (near + BIAS + (BIAS + 1) / 2 - ((e.bits + 1) >> 1)) << SHIFT;
    down.bits = (FN(word)){1}.bits * 2 - up.bits;
    *back = down.number;
    return up.number;
}
/* ULP: lean 2.75, full 3.2, full without FMA 3.2 */
BODY FN(squareplus)(real x, real b) {
    real back, up = FN(squareplus_scale)(b, &back), a = FN(size)(x);
    real t = FN(at_most)(a * up, BY_TYPE(0x1p62f, 0x1p510));
    real r = (t + FN(root)(FMA(t, t, b * up * up))) * (R(0.5) * back);
    r = FN(not_below)(r, a); /* beyond the clamp r would be less than a */
    return x < 0 ? b / r * R(0.25) : r;
}
/* 1 - b / 2 / (r (r + |x|)), for x < 0 the subtrahend. For a very negative x that is b / 4 / x^2 and contains a factor
 * w twice: one of them is multiplied into the gradient, which may be as large as the rest is small. */
/* ULP: lean 2.6, full 2.9, full without FMA 3.8 */
BODY FN(squareplus_backward)(real g, real x, real b) {
    real back, up = FN(squareplus_scale)(b, &back), scaled = b * up * up;
    const real small = BY_TYPE(0x1p-78f, 0x1p-540);
    int far = x < -BY_TYPE(0x1p52f, 0x1p320) * back;
    real w = far ? small : R(1);
    real t = FN(size)(x) * (far ? up * small : up);
    real rr = FMA(t, t, far ? R(0) : scaled);
    real bottom = FMA(FN(root)(rr), t, rr);
    real q = bottom == 0 ? R(0.5) : R(0.5) * scaled / bottom; /* x = b = 0: 1/2, as for every other b */
    return (g * w) * (x < 0 ? q : 1 - q) * w;
}
/* y^2 / (y^2 + b / 4), for an unusual b scaled as above */
/* ULP: lean 2.5, full 2.6, full without FMA 3.45 */
BODY FN(squareplus_from_output)(real g, real y, real b) {
    int usual = (b > BY_TYPE(0x1p-30f, 0x1p-100)) & (b < BY_TYPE(0x1p30f, 0x1p100));
    real back, up = FN(squareplus_scale)(b, &back);
    up = usual ? R(1) : up;
    real t = FN(at_most)(y * up, BY_TYPE(0x1p60f, 0x1p500));
    int small = t <= (usual ? R(1) : BY_TYPE(0x1p12f, 0x1p26));
    real q = (small ? g * t : t) / FMA(t, t, R(0.25) * (b * up * up));
    return FN(or_nan)(small ? q * t : g * (q * t), y);
}

#else /* the same formulas on pairs of doubles: hilo.h */

/* ULP: 0.85 */
BODY FN(elu)(real x, real alpha) {
    hl_lift f = hl_lift_of(alpha);
    hl_scaled e = hl_expm1(hl_clamped(x, -1500, 0));
    real y = hl_round(hl_mul1(hl_of(e), alpha * f.up)) * f.down;
    y = hl_abs(x) < 0x1p-60 ? alpha * x : y;
    return x < 0 ? y : x;
}
/* ULP: 0.85 */
BODY FN(elu_backward)(real g, real x, real alpha) {
    hl_scaled a = hl_split(alpha), e = hl_exp(hl_clamped(x, -1500, 0));
    real d = hl_raise_far(g, hl_round(hl_mul1(hl_of(e), a.hi)), e.k + a.k);
    return x > 0 ? g : d;
}
/* expm1(x) where x <= 0 */
BODY FN(elu_by_alpha)(real g, real x, real alpha) {
    (void)alpha;
    real d = hl_round(hl_of(hl_expm1(hl_clamped(x, -1500, 0))));
    return x > 0 ? 0.0 : g * (hl_abs(x) < 0x1p-60 ? x : d);
}
/* ULP: 0.5 */
BODY FN(elu_from_output)(real g, real y, real alpha) { return y > 0 ? g : g * (y + alpha); }

/* x / alpha as a pair, clamped to +-1500 */
HL_PAIR hl_ratio(real x, real alpha) {
    real f = hl_lift_of(alpha).up, n = x * f, d = alpha * f;
    hl_pair z = hl_make(n / d, 0);
    int far = hl_abs(z.hi) >= 1500;
    real end = z.hi > 0 ? 1500.0 : -1500.0;
    z.lo = hl_residual(n, z.hi, d) / d;
    z.lo = far ? 0.0 : z.lo;
    z.hi = far ? end : z.hi;
    return z;
}
/* ULP: 0.85 */
BODY FN(celu)(real x, real alpha) {
    hl_lift f = hl_lift_of(alpha);
    hl_pair z = hl_ratio(x, alpha);
    hl_scaled e = hl_expm1(z);
    real y = hl_raise(f.down, hl_round(hl_mul1(hl_of(e), alpha * f.up)), e.k);
    y = hl_abs(z.hi) < 0x1p-60 ? x : y;
    return x < 0 ? y : x;
}
/* ULP: 0.85 */
BODY FN(celu_backward)(real g, real x, real alpha) {
    hl_scaled e = hl_exp(hl_ratio(x, alpha));
    real d = hl_raise(g, hl_round(hl_of(e)), e.k);
    return x > 0 ? g : d;
}
/* (1 - u) e^u - 1 where x <= 0, u = x / alpha; for |u| < 1/2 by the series of u^k / (k! (k + 2)) times -u^2 */
#define HL_THIRD 0x1.5555555555555p-2, 0x1.5555555555555p-56
BODY hl_celu_tail(real u) {
    real u2 = u * u, u4 = u2 * u2;
    real p = hl_four(u, u2, 1. / 6706022400, 1. / 93405312000, 1. / 1394852659200, 1. / 22230464256000);
    p = p * u4 + hl_four(u, u2, 1. / 403200, 1. / 3991680, 1. / 43545600, 1. / 518918400);
    return p * u4 + hl_four(u, u2, 1. / 144, 1. / 840, 1. / 5760, 1. / 45360);
}
BODY FN(celu_by_alpha)(real g, real x, real alpha) {
    hl_pair u = hl_ratio(x, alpha);
    hl_scaled e = hl_exp(u);
    real k = e.k < -200 ? -200.0 : e.k;
    k = k > 200 ? 200.0 : k;
    hl_pair w = hl_mul(hl_of(e), hl_add_any(hl_make(1, 0), hl_neg(u)));
    real outer = hl_round(hl_add_any(hl_times2(w, hl_pow2(k)), hl_make(-1, 0)));
    real rest = u.hi * u.hi * (0.125 + u.hi * (0x1.1111111111111p-5 + u.hi * hl_celu_tail(u.hi)));
    hl_pair h = hl_add(hl_make(0.5, 0), hl_mul(u, hl_make(HL_THIRD)));
    h = hl_add(h, hl_make(rest, 0));
    int tiny = hl_abs(u.hi) < 0x1p-400, near = hl_abs(u.hi) < 0.5;
    hl_pair v = hl_times2(u, tiny ? 0x1p600 : 1.0);
    real inner = -hl_round(hl_mul(hl_mul(v, v), h));
    real down = tiny ? 0x1p-600 : 1.0;
    real d = near ? g * down * inner * down : hl_raise(g, outer, e.k > 200 ? e.k - 200 : 0.0);
    return x > 0 ? 0.0 : d;
}
/* (alpha + y) / alpha */
/* ULP: 0.5 */
BODY FN(celu_from_output)(real g, real y, real alpha) {
    real f = hl_lift_of(alpha).up, d = alpha * f;
    real q = hl_round(hl_div(hl_sum(d, y * f), hl_make(d, 0))), far = y / alpha;
    q = hl_abs(far) < 0x1p900 ? q : far;
    return y > 0 ? g : g * q;
}

/* (e^x - 1 - x) / x = 2^m.k result for -0.34 < x < 0 and m = x */
HL_PAIR hl_xielu_near(real x, real m) {
    return hl_add_any(hl_make(0.5 * m, 0), hl_mul1(hl_prod(x, m), hl_exp_tail(x)));
}
/* near 0 on either side x times a line; else (beta - alpha_n) x + alpha_n (e^x - 1) */
/* ULP: 1.05 */
BODY FN(xielu)(real x, real alpha_p, real alpha_n, real beta) {
    int right = x > 0;
    hl_scaled m = hl_split(hl_finite(x));
    real r = x < -0.34 ? -0.34 : x;
    hl_pair X = hl_if(right, hl_make(m.hi, 0), hl_xielu_near(right ? 0.0 : r, m.hi));
    hl_scaled line = hl_line(hl_at(X, m.k), right ? alpha_p : alpha_n, beta);
    real near = hl_raise_far(1, hl_round(hl_mul1(hl_of(line), m.hi)), line.k + m.k);
    hl_scaled d = hl_line(hl_at(hl_make(-1, 0), 0), alpha_n, beta), A = hl_split(alpha_n);
    int flat = d.hi == 0;
    m.k = flat ? 0.0 : m.k;
    real ka = A.k - d.k - m.k;
    ka = ka < -200 ? -200.0 : ka;
    hl_pair e = hl_times2(hl_mul1(hl_of(hl_expm1(hl_clamped(x, -1500, 0))), A.hi), hl_pow2(ka));
    real far = hl_raise_far(1, hl_round(hl_add_any(hl_mul1(hl_of(d), flat ? 1.0 : m.hi), e)), d.k + m.k);
    far = ((x < -0x1.fffffffffffffp1023) & !flat) ? d.hi * x : far;
    real y = x > -0.34 ? near : far, top = alpha_p == 0 ? beta : alpha_p;
    y = x > 0x1.fffffffffffffp1023 ? (top == 0 ? 0.0 : top * x) : y;
    y = x == 0 ? beta * x : y;
    return x == x ? y : x;
}
/* ULP: 0.95 */
BODY FN(xielu_backward)(real g, real x, real alpha_p, real alpha_n, real beta) {
    int right = x > 0;
    hl_scaled m = hl_split(hl_finite(x)), e = hl_expm1(hl_clamped(x, -1500, 0));
    int near = hl_abs(x) < 0.34;
    real c = (near & !right) ? x : 0.0;
    hl_pair X = hl_if(near, hl_mul1(hl_add(hl_make(1, 0), hl_xielu_near(c, c)), m.hi), hl_of(e));
    X = hl_if(right, hl_make(m.hi + m.hi, 0), X);
    hl_scaled line = hl_line(hl_at(X, (right | near) ? m.k : 0.0), right ? alpha_p : alpha_n, beta);
    real y = hl_raise_far(g, hl_round(hl_of(line)), line.k);
    y = ((x <= 0) & (alpha_n == beta)) ? FN(elu_backward)(g, x, alpha_n) : y;
    y = ((x > 0x1.fffffffffffffp1023) & (alpha_p != 0)) ? g * (alpha_p * x) : y;
    return x == x ? y : x;
}
BODY FN(xielu_by_alpha_p)(real g, real x, real alpha_p, real alpha_n, real beta) {
    (void)alpha_p, (void)alpha_n, (void)beta;
    return x <= 0 ? 0.0 : g * x * x;
}
BODY FN(xielu_by_alpha_n)(real g, real x, real alpha_p, real alpha_n, real beta) {
    (void)alpha_p, (void)alpha_n, (void)beta;
    hl_scaled m = hl_split(hl_finite(x));
    real r = x < -0.34 ? -0.34 : x;
    real near = hl_raise_far(g, hl_round(hl_mul1(hl_xielu_near(r, m.hi), m.hi)), m.k + m.k);
    hl_pair e = hl_of(hl_expm1(hl_clamped(x, -1500, 0)));
    real c = x < -0x1p60 ? -0x1p60 : x;
    real far = g * hl_round(hl_add_any(hl_make(-c, 0), e));
    far = x < -0x1p60 ? g * -x : far;
    return x > 0 ? 0.0 : (x > -0.34 ? near : far);
}
BODY FN(xielu_by_beta)(real g, real x, real alpha_p, real alpha_n, real beta) {
    (void)alpha_p, (void)alpha_n, (void)beta;
    return g * x;
}

#define HL_SELU 0x1.0cfabd6a91132p+0, 0x1.6fc7d272f2696p-55
#define HL_SELU_ALPHA 0x1.c212cc640f031p+0, 0x1.05161b045a1f1p-56 /* lambda alpha */
/* ULP: 0.9 */
BODY FN(selu)(real x) {
    hl_lift f = hl_lift_of(x);
    int linear = (x > 0) | (hl_abs(x) < 0x1p-60);
    hl_pair e = hl_if(linear, hl_make(hl_finite(x) * f.up, 0), hl_of(hl_expm1(hl_clamped(x, -1500, 0))));
    real y = hl_round(hl_mul(e, hl_if(x > 0, hl_make(HL_SELU), hl_make(HL_SELU_ALPHA))));
    return hl_signed(y * (linear ? f.down : 1.0), x);
}
/* ULP: 0.9 */
BODY FN(selu_backward)(real g, real x) {
    hl_scaled e = hl_exp(hl_clamped(x, -1500, 0));
    real d = hl_raise(g, hl_round(hl_mul(hl_of(e), hl_make(HL_SELU_ALPHA))), e.k);
    return x > 0 ? g * hl_make(HL_SELU).hi : d;
}
/* ULP: 0.55 */
BODY FN(selu_from_output)(real g, real y) {
    hl_pair s = hl_sum(hl_make(HL_SELU_ALPHA).hi, y);
    return g * (y > 0 ? hl_make(HL_SELU).hi : s.hi + (s.lo + hl_make(HL_SELU_ALPHA).lo));
}

/* ULP: 0.9 */
BODY FN(softplus)(real x, real beta) {
    hl_lift f = hl_lift_of(beta);
    hl_pair z = hl_argument(beta, x);
    hl_scaled l = hl_log1p_exp(hl_minus_abs(z));
    l = hl_at(hl_div(hl_of(l), hl_make(beta * f.up, 0)), l.k);
    hl_pair v = hl_times2(hl_value(l), f.up), s = hl_sum(x, v.hi);
    real right = s.hi + (s.lo + v.lo), left = hl_raise_far(1, hl_round(hl_of(l)), l.k + f.k);
    right = s.hi > 0x1.fffffffffffffp1023 ? s.hi : right;
    real y = z.hi > 50 ? x : right;
    return z.hi <= 0 ? left : y;
}
/* ULP: 0.85 */
BODY FN(softplus_backward)(real g, real x, real beta) {
    hl_scaled s = hl_sigmoid(hl_argument(beta, x));
    return hl_raise(g, hl_round(hl_of(s)), s.k);
}
/* -(log1p(t) + z t / (1 + t)) / beta^2 for z = |beta x| and t = exp(-z) = q^2: as -q^2 (log1p(t) / t + z / (1 + t)) /
 * beta^2, because 1 / beta^2 may be as large as t is small */
BODY FN(softplus_by_beta)(real g, real x, real beta) {
    hl_lift f = hl_lift_of(beta);
    hl_pair half = hl_minus_abs(hl_argument(beta, 0.5 * x)), z = hl_times2(half, 2);
    hl_pair near = hl_if(z.hi < -1500, hl_make(-1500, 0), z);
    hl_scaled q = hl_exp(half), m = hl_exp(near), l = hl_log1p_exp(near);
    hl_pair h = hl_div(hl_neg(z), hl_add(hl_make(1, 0), hl_value(m)));
    h = hl_add_any(hl_div(hl_of(l), hl_of(m)), h);
    hl_pair b = hl_make(beta * f.up, 0), v = hl_mul(hl_mul(hl_of(q), hl_of(q)), h);
    v = hl_div(hl_div(v, b), b);
    return -hl_raise_far(g, hl_round(v), 2 * (q.k + f.k));
}
/* -expm1(-beta y) */
/* ULP: 0.9 */
BODY FN(softplus_from_output)(real g, real y, real beta) {
    hl_pair z = hl_argument(-beta, y);
    real d = g * -hl_round(hl_of(hl_expm1(z)));
    return hl_abs(z.hi) < 0x1p-60 ? g * 0x1p-60 * (y * 0x1p60 * beta) : d;
}

/* ULP: 0.85 */
BODY FN(log_sigmoid)(real x) {
    hl_scaled l = hl_log1p_exp(hl_minus_abs(hl_clamped(x, -1000, 1000)));
    hl_pair v = hl_value(l), s = hl_sum(x, -v.hi);
    real left = s.hi + (s.lo - v.lo), right = hl_scale(-hl_round(hl_of(l)), l.k);
    real y = x < 0 ? left : right;
    return x >= -50 ? y : x;
}
/* ULP: 0.85 */
BODY FN(log_sigmoid_backward)(real g, real x) {
    hl_scaled s = hl_sigmoid(hl_clamped(-x, -1500, 1500));
    return hl_raise(g, hl_round(hl_of(s)), s.k);
}
/* -expm1(y) */
/* ULP: 0.85 */
BODY FN(log_sigmoid_from_output)(real g, real y) {
    real d = -hl_round(hl_of(hl_expm1(hl_clamped(y, -1500, 1500))));
    return g * (hl_abs(y) < 0x1p-60 ? -y : d);
}

/* the same of a pair; a tiny m = 1 - e^-x is x */
/* ULP: 0.85 */
BODY FN(log1mexp)(real x) {
    hl_pair z = hl_minus_abs(hl_clamped(x, -1000, 1000));
    int near = z.hi >= -0x1.62e42fefa39efp-1, tiny = z.hi > -0x1p-60;
    hl_scaled e = hl_exp(z);
    hl_pair m = hl_if(tiny, hl_neg(z), hl_neg(hl_of(hl_expm1(z))));
    hl_scaled s = hl_split(m.hi);
    real back = hl_pow2(s.k < -200 ? 200.0 : -s.k);
    hl_pair n = hl_if(near, hl_sum(s.hi - 1, m.lo * back), hl_neg(hl_of(e)));
    hl_pair d = hl_add(hl_make(2, 0), hl_if(near, n, hl_neg(hl_value(e))));
    hl_scaled l = hl_twice_atanh(hl_div(n, d), near ? 0.0 : e.k);
    hl_pair whole = hl_fast(s.k * HL_LN2_1, s.k * HL_LN2_2 + s.k * HL_LN2_3);
    real y = near ? hl_round(hl_add_any(whole, hl_of(l))) : hl_scale(hl_round(hl_of(l)), l.k);
    y = x == 0 ? -INFINITY : y;
    return x < 0 ? NAN : y;
}
/* ULP: 0.85 */
BODY FN(log1mexp_backward)(real g, real x) {
    hl_pair z = hl_minus_abs(hl_clamped(x, -1500, 1500));
    hl_scaled e = hl_exp(z);
    real d = hl_raise(g, hl_round(hl_div(hl_of(e), hl_neg(hl_of(hl_expm1(z))))), e.k);
    d = hl_abs(x) < 0x1p-60 ? g / hl_abs(x) : d;
    return x < 0 ? NAN : d;
}
/* ULP: 0.85 */
BODY FN(log1mexp_from_output)(real g, real y) {
    hl_scaled e = hl_expm1(hl_clamped(-y, -1500, 1500));
    real d = hl_raise(g, hl_round(hl_of(e)), e.k);
    d = hl_abs(y) < 0x1p-60 ? g * (0 - y) : d;
    return y < -0x1.fffffffffffffp1023 ? g * INFINITY : d;
}

/* r and r + |x| of squareplus, scaled by powers of two because x^2 may overflow or underflow: r and |x| below are f
 * times the true ones. */
typedef struct {
    hl_pair r, sum;      /* f r, f (r + |x|) */
    real n, back, forth; /* b / (r + |x|) = n / sum * back; r + |x| = sum * forth */
    int far;
} hl_hypotenuse;
HL_INLINE hl_hypotenuse hl_root(real x, real b) {
    hl_hypotenuse h;
    real a = hl_abs(hl_finite(x));
    real c = FR_SQRT(b);
    c = a > c ? a : c;
    h.far = c > 0x1p480;
    real k = c < 0x1p-400 ? 800.0 : 0.0;
    k = h.far ? -600.0 : k;
    real f = hl_pow2(k), bs = b * f * f;
    a = a * f;
    hl_pair q = hl_prod(a, a), s = hl_sum(q.hi, bs);
    hl_pair d = hl_fast(s.hi, s.lo + q.lo);
    real r = FR_SQRT(d.hi), two = r + r;
    h.r = hl_fast(r, (hl_residual(d.hi, r, r) + d.lo) / (two == 0 ? 1.0 : two));
    h.sum = hl_add(h.r, hl_make(a, 0));
    h.n = h.far ? b * 0x1p-200 : bs;
    h.back = hl_pow2(h.far ? -400.0 : -k);
    h.forth = hl_pow2(-k);
    return h;
}
/* ULP: 0.9 */
BODY FN(squareplus)(real x, real b) {
    hl_hypotenuse h = hl_root(x, b);
    real left = 0.5 * hl_round(hl_div(hl_make(h.n, 0), h.sum)) * h.back;
    real y = x < 0 ? left : 0.5 * hl_round(h.sum) * h.forth;
    return hl_abs(x) <= 0x1.fffffffffffffp1023 ? y : x < 0 ? 0.0 : x;
}
/* (r + x) / (2 r); for x < 0 it is b / (2 r (r + |x|)). 1/2 at x = b = 0. */
/* ULP: 0.85 */
BODY FN(squareplus_backward)(real g, real x, real b) {
    hl_hypotenuse h = hl_root(x, b);
    int neg = x < 0, zero = h.r.hi == 0, large = b > 0x1p400;
    real up = (neg & !h.far & (b < 0x1p-900)) ? 0x1p200 : 1.0; /* the division's remainder would underflow */
    hl_pair n = hl_if(neg, hl_make((h.far & large) ? h.n * 0x1p-1000 : h.n * up, 0), h.sum);
    hl_pair d = hl_if(neg, hl_mul(h.r, h.sum), h.r);
    d.hi = zero ? 1.0 : d.hi;
    n.hi = zero ? 1.0 : n.hi;
    real v = 0.5 * hl_round(hl_div(n, d)) * (up > 1 ? 0x1p-200 : 1.0);
    real s = (h.far & neg & !large) ? 0x1p-500 : 1.0; /* together with n, 2^-1200 */
    v = x < -0x1.fffffffffffffp1023 ? 0.0 : v;
    return x == x ? g * s * v * s : x;
}
/* Y^2 / (Y^2 + b), Y = 2 y */
/* ULP: 0.85 */
BODY FN(squareplus_from_output)(real g, real y, real b) {
    real a = hl_abs(hl_finite(y));
    real c = FR_SQRT(b);
    c = a > c ? a : c;
    real k = c < 0x1p-400 ? 800.0 : 0.0;
    k = c > 0x1p480 ? -600.0 : k;
    real f = hl_pow2(k), Y = 2 * (a * f), j = Y < 0x1p-400 ? 500.0 : 0.0;
    real up = hl_pow2(j), down = hl_pow2(-j);
    hl_pair q = hl_prod(Y, Y), s = hl_sum(q.hi, b * f * f);
    hl_pair d = hl_fast(s.hi, s.lo + q.lo);
    q = hl_prod(Y * up, Y * up);
    d.hi = d.hi == 0 ? 1.0 : d.hi;
    return g * down * hl_round(hl_div(q, d)) * down;
}

#endif
