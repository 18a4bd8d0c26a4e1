/* Functions built on one exponential of the negative half-axis. */

/* elu(x) = x if x > 0 else alpha (e^x - 1); the derivative at 0 is alpha */
/* ULP: lean 2, full 2.3, full without FMA 2.3 */
BODY FN(elu)(real x, real alpha) {
    real y = alpha * FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW);
    return x < 0 ? y : x;
}
/* ULP: lean 1.55, full 1.7, full without FMA 1.8 */
BODY FN(elu_backward)(real g, real x, real alpha) {
    real far, y = FN(exp_far)(FN(at_least)(x, FAR_LOW), NO_LOW, &far);
    y = FN(product)(g, alpha * y, far);
    return x > 0 ? g : FN(or_nan)(y, x);
}
/* e^x - 1 where x <= 0 */
BODY FN(elu_by_alpha)(real g, real x, real alpha) {
    (void)alpha;
    real d = FN(expm1_below)(FN(at_least)(x, EXPM1_LOW), NO_LOW);
    return x > 0 ? R(0) : g * (x < 0 ? d : x);
}
BODY FN(elu_from_output)(real g, real y, real alpha) { return y > 0 ? g : g * (y + alpha); }

/* celu(x) = max(x, 0) + min(alpha (e^(x/alpha) - 1), 0). A negative alpha makes x/alpha positive: there S is
 * kept below the overflow by 2^-10. Below 2^-26 (2^-55) of alpha, celu(x) is x to the last bit. */
BODY FN(celu_ratio)(real x, real alpha, real lowest, real *low) {
    real inverse = 1 / alpha;
    real highest = BY_TYPE(95, 716);
    real bound = FN(at_least)(alpha > 0 ? lowest * alpha : highest * alpha, -LARGEST);
    real clamped = FN(at_least)(x, bound);
    real z = clamped * inverse;
#if FR_KIND == FR_WIDE
    *low = NO_LOW;
#else
    *low = FN(fused)(-z, alpha, clamped) * inverse;
#endif
    return z;
}
/* ULP: lean 2.55, full 2.8, full without FMA 2.65 */
BODY FN(celu)(real x, real alpha) {
    real low, z = FN(celu_ratio)(x, alpha, EXPM1_LOW, &low);
    real unit = alpha > 0 ? R(1) : R(0x1p-10), whole = alpha > 0 ? R(1) : R(0x1p10);
    real magic = ROUNDER + BIAS + (alpha > 0 ? R(0) : R(-10));
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real S = FN(power)(shifted);
    real p = FN(expm1_poly)(FN(minus_k_ln2)(z, k) + low);
    real y = (alpha * FMA(S, p, S - unit)) * whole;
    real small = BY_TYPE(-0x1p-26, -0x1p-55) * (alpha < 0 ? -alpha : alpha);
    return x < small ? y : x;
}
/* ULP: lean 1.05, full 1.2, full without FMA 1.4 */
BODY FN(celu_backward)(real g, real x, real alpha) {
    real low, z = FN(celu_ratio)(x, alpha, FAR_LOW, &low);
    real whole = alpha > 0 ? R(1) : R(0x1p10);
    real magic = ROUNDER + BIAS + (alpha > 0 ? R(0) : R(-10));
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
    real far, S = FN(near_and_far)(shifted, &far);
    real y = FN(product)(g, FN(exp_poly)(FN(minus_k_ln2)(z, k) + low, 1, 1) * S, far) * whole;
    return x > 0 ? g : FN(or_nan)(y, x);
}
/* (1 - u) e^u - 1 where x <= 0, u = x / alpha. Below 1 in size it is -u^2 times the series of u^k / (k! (k + 2)),
 * of which 19 terms are enough for 2^-60. */
BODY FN(celu_series)(real u) {
    real rest = POLY7(u, 1. / 518918400, 1. / 6706022400, 1. / 93405312000, 1. / 1394852659200, 1. / 22230464256000,
                      1. / 376610217984000, 1. / 6758061133824000, 1. / 128047474114560000);
    return POLY11(u, 1. / 2, 1. / 3, 1. / 8, 1. / 30, 1. / 144, 1. / 840, 1. / 5760, 1. / 45360, 1. / 403200,
                  1. / 3991680, 1. / 43545600, rest);
}
BODY FN(celu_by_alpha)(real g, real x, real alpha) {
    real low, u = FN(celu_ratio)(x, alpha, FAR_LOW, &low);
    real unit = alpha > 0 ? R(1) : R(0x1p-10), whole = alpha > 0 ? R(1) : R(0x1p10);
    real magic = ROUNDER + BIAS + (alpha > 0 ? R(0) : R(-10));
    real shifted = FMA(u, R(LOG2E), magic);
    real k = shifted - magic;
    real far, S = FN(near_and_far)(shifted, &far);
    real e = FN(exp_poly)(FN(minus_k_ln2)(u, k) + low, 1, 1) * S * far;
    real outer = FMA(1 - u, e, -unit) * whole;
    real p = FN(celu_series)(u) * -u;
    real inner = FMA(p, u, 2 * low * p);
    real d = (u > -1) & (u < 1) ? inner : outer;
    return x > 0 ? R(0) : g * d;
}
/* ULP: lean 1.3, full 1.3, full without FMA 1.3 */
BODY FN(celu_from_output)(real g, real y, real alpha) { return y > 0 ? g : g * ((y + alpha) / alpha); }

/* selu(x) = lambda x if x > 0 else lambda alpha (e^x - 1). The constants are those of the paper (Klambauer et
 * al. 2017), to all the digits that the type holds. */
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
    real inverse = 1 / beta;
    real inverse_low = FN(fused)(-beta, inverse, 1) * inverse;
    real a = FN(size_at_most)(x, FN(at_most)(-FAR_LOW / beta, LARGEST));
    real z = beta * a;
    real far, S, r = FN(reduce_far)(-z, -FN(product_low)(beta, a, z), &S, &far);
    real P = FN(exp_poly)(r, -1, 1);
    real t = S / FMA(S, R(0.5), P), w = t * t;
    real rest = t * w * FN(log1p_poly)(w);
    real y = FMA(t, inverse, FMA(t, inverse_low, rest * inverse));
    real m = x < 0 ? R(0) : x;
    return FMA(y, far, m);
}
/* ULP: lean 2.6, full 2.7, full without FMA 2.6 */
BODY FN(softplus_backward)(real g, real x, real beta) {
    real b = FN(at_least)(x, -FN(at_most)(-FAR_LOW / beta, LARGEST));
    b = FN(at_most)(b, FN(at_most)(BY_TYPE(17.5, 38) / beta, LARGEST));
    real z = beta * b;
    real far, y = FN(sigmoid_far)(z, FN(product_low)(beta, b, z), &far);
    return FN(product)(g, FN(or_nan)(y, x), far);
}
/* -(log(1 + t) + z t / (1 + t)) / beta^2 for z = |beta x| and t = e^-z: minus the entropy of sigmoid(beta x). As
 * -v^2 h with v = e^(-z/2) / beta, because e^-z and 1 / beta^2 leave the range where their product does not. */
BODY FN(softplus_by_beta)(real g, real x, real beta) {
    real a = FN(size_at_most)(x, FN(at_most)(-2 * FAR_LOW / beta, LARGEST));
    real z = beta * a;
    real far, q = FN(exp_far)(R(-0.5) * z, R(-0.5) * FN(product_low)(beta, a, z), &far);
    real root = q * far, t = root * root;
    real inverse = 1 / FMA(t, R(0.5), 1), s = t * inverse, w = s * s;
    real h = FMA(w * inverse, FN(log1p_poly)(w), inverse) + z / (1 + t);
    real v = q / beta * far;
    return FN(or_nan)(-(g * v) * h * v, x);
}
/* 1 - e^(-beta y), which is beta y for a small y; that y is scaled up, so that none of its bits are lost */
/* ULP: lean 1.8, full 1.7, full without FMA 1.65 */
BODY FN(softplus_from_output)(real g, real y, real beta) {
    real b = FN(at_most)(y, FN(at_most)(-EXPM1_LOW / beta, LARGEST));
    real z = beta * b;
    real d = FN(one_minus_exp)(-z, -FN(product_low)(beta, b, z));
    int small = z < BY_TYPE(0x1p-30, 0x1p-60);
    d = small ? beta * (y * BY_TYPE(0x1p30f, 0x1p60)) : d;
    return g * FN(or_nan)(d, y) * (small ? BY_TYPE(0x1p-30f, 0x1p-60) : R(1));
}

/* log_sigmoid(x) = -log(1 + e^-x) = min(x, 0) - log(1 + e^-|x|) */
/* ULP: lean 2.65, full 2.75, full without FMA 2.65 */
BODY FN(log_sigmoid)(real x) {
    real S, r = FN(reduce)(-FN(size_at_most)(x, BY_TYPE(104, 746)), NO_LOW, BY_TYPE(40, 80), &S);
    real P = FN(exp_poly)(r, -1, BY_TYPE(0x1p40f, 0x1p80));
    real t = S / FMA(S, R(0.5), P), w = t * t;
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

/* squareplus(x) = (x + r) / 2, r = sqrt(x^2 + b), for x < 0 in the form without cancellation b / 2 / (|x| + r).
 * b and |x|^2 are scaled by the power of four that brings b near 2^24, in double 2^52: then neither under- nor
 * overflows where the other counts. It depends on b alone, for a number it is found once. */
BODY FN(squareplus_scale)(real b, real *back) {
    const int near = FR_KIND == FR_LEAN ? 12 : 26;
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
    r = FN(not_below)(r, a); /* beyond the clamp */
    return x < 0 ? b / r * R(0.25) : r;
}
/* 1 - b / 2 / (r (r + |x|)), for x < 0 the subtrahend. Far below 0 that is b / 4 / x^2, and comes with
 * a factor w twice: to the gradient too, which may be as large as it is small. */
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
/* y^2 / (y^2 + b / 4) */
/* ULP: lean 2.5, full 2.6, full without FMA 3.45 */
BODY FN(squareplus_from_output)(real g, real y, real b) {
    real c = FN(at_most)(y, BY_TYPE(0x1p60f, 0x1p500));
    int small = y <= 1;
    real q = (small ? g * c : c) / FMA(c, c, R(0.25) * b);
    return FN(or_nan)(small ? q * c : g * (q * c), y);
}
