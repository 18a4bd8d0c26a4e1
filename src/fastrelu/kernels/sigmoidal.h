/* Functions that rise from one level to another, and their piecewise linear approximations. */

/* m = x or 1 - x, whichever is at most 1/2, and at least eps */
BODY FN(logit_side)(real x, real eps, int *right) {
    *right = x > R(0.5);
    real m = *right ? 1 - x : x; /* exact, or beyond 2 */
    return m < eps ? eps : m;
}
/* where the logarithm ends: -inf for m = 0, NaN below */
BODY FN(logit_ends)(real y, real m, int right) {
    y = m > 0 ? y : -(real)INFINITY;
    y = m >= 0 ? y : (real)NAN;
    return right ? 0 - y : y; /* +0 at 1/2 on either side */
}

#if FR_KIND != FR_HILO

/* hard_sigmoid(x) = min(max(slope x + offset, 0), 1); one rounding with FMA, and in double arithmetic slope x is exact.
 * With the usual parameters it is (x + 3) / 6, exactly 0 and 1 at both ends: the slope is 1/6, not its rounding. In
 * float the rest of 1/6 is rounded up, which leaves no more than 0 at -3. Open interval: the derivative is 0 at both
 * ends. An if on parameters is moved out of the loop that takes numbers. */
#define SIXTH_LOW BY_TYPE(-0x1.555554p-28f, 0x1.5555555555555p-57)
#define IS_SIXTH(slope, offset) (((slope == R(1. / 6)) | (slope == R((float)(1. / 6)))) & (offset == R(0.5)))
/* ULP: lean 0.7, full 0.55, full without FMA 1 */
BODY FN(hard_sigmoid)(real x, real slope, real offset) {
#if FR_KIND == FR_LEAN
    real c = x < -3 ? R(-3) : x;
    c = c > 3 ? R(3) : c;
    real line = FMA(slope, x, offset);
    real y = FMA(IS_SIXTH(slope, offset) ? SIXTH_LOW : R(0), c, line);
#else
    if (IS_SIXTH(slope, offset)) {
        real c = x < -3 ? R(-3) : x;
        c = c > 3 ? R(3) : c;
        real sum = c + 3, rest = c - (sum - 3);
        return FMA(sum, R(1. / 6), FMA(rest, R(1. / 6), sum * SIXTH_LOW));
    }
    real y = FMA(slope, x, offset);
#endif
    y = FN(relu)(y);
    return y > 1 ? R(1) : y;
}
/* The same bits with the usual parameters. Compilers take two instructions for a limit that is a constant, one for a
 * number that they do not know. */
FR_INLINE int FN(hard_sigmoid_is_usual)(real slope, real offset) { return IS_SIXTH(slope, offset); }
BODY FN(hard_sigmoid_usual)(real x, real slope, real offset) {
    const real three = 6 * offset, zero = offset - offset;
    real c = x < -three ? -three : x;
    c = c > three ? three : c;
#if FR_KIND == FR_LEAN
    real y = FMA(SIXTH_LOW, c, FMA(slope, c, offset));
    return y < zero ? zero : y;
#else
    real sum = c + 3, rest = c - (sum - 3);
    (void)slope, (void)zero;
    return FMA(sum, R(1. / 6), FMA(rest, R(1. / 6), sum * SIXTH_LOW));
#endif
}
BODY FN(hard_sigmoid_backward)(real g, real x, real slope, real offset) {
    if (IS_SIXTH(slope, offset)) return FN(gate)((x > -3) & (x < 3), g * slope, x);
    real line = FMA(slope, x, offset);
    return FN(gate)((line > 0) & (line < 1), g * slope, x);
}
BODY FN(hard_sigmoid_from_output)(real g, real y, real slope, real offset) {
    (void)offset;
    return FN(gate)((y > 0) & (y < 1), g * slope, y);
}

/* hard_tanh(x) = min(max(x, min_val), max_val); exact. Open interval for the derivative. */
BODY FN(hard_tanh)(real x, real min_val, real max_val) {
    real y = x < min_val ? min_val : x;
    return y > max_val ? max_val : y;
}
BODY FN(hard_tanh_backward)(real g, real x, real min_val, real max_val) {
    return FN(gate)((x > min_val) & (x < max_val), g, x);
}
BODY FN(hard_tanh_from_output)(real g, real y, real min_val, real max_val) {
    return FN(hard_tanh_backward)(g, y, min_val, max_val);
}

/* sparse_plus(x) = 0 if x <= -1, (x + 1)^2 / 4 if x < 1, else x. The square includes the rounding error of x + 1: at
 * most 1 ULP. */
/* ULP: lean 0.55, full 0.5, full without FMA 1.15 */
BODY FN(sparse_plus)(real x) {
    real half = FMA(x, R(0.5), R(0.5));
    real low = x - FMA(half, 2, R(-1));
    real inner = FMA(half, half, half * low);
    real y = x >= 1 ? x : inner;
    return x <= -1 ? R(0) : y;
}
BODY FN(sparse_plus_backward)(real g, real x) {
    real inner = g * ((x + 1) * R(0.5));
    real y = x >= 1 ? g : inner;
    return x <= -1 ? R(0) : y;
}
/* (x + 1) / 2 is the square root of y between the kinks. */
BODY FN(sparse_plus_from_output)(real g, real y) {
    real inner = g * FN(root)(y);
    real d = y >= 1 ? g : inner;
    return y <= 0 ? R(0) : d;
}

/* sparse_sigmoid(x) = min(max((x + 1) / 2, 0), 1); one rounding. Open interval for the derivative. */
BODY FN(sparse_sigmoid)(real x) {
    real t = x * R(0.5) + R(0.5);
    real y = x >= 1 ? R(1) : t;
    return x <= -1 ? R(0) : y;
}
BODY FN(sparse_sigmoid_backward)(real g, real x) { return FN(gate)((x > -1) & (x < 1), g * R(0.5), x); }
BODY FN(sparse_sigmoid_from_output)(real g, real y) { return FN(gate)((y > 0) & (y < 1), g * R(0.5), y); }

/* sigmoid(x) = 1 / (1 + e^-x) = S / (S + P) */
/* ULP: lean 2.5, full 2.55, full without FMA 2.55 */
BODY FN(sigmoid)(real x) {
    real z = FN(at_most)(FN(at_least)(x, EXP_GONE * LN2), BY_TYPE(17.5, 38));
    real S, r = FN(reduce)(z, NO_LOW, LIFT(EXP_GONE), &S);
    real P = FN(exp_poly)(r, -1, TWO_TO(LIFT(EXP_GONE)));
    return FN(or_nan)(S / (S + P), x);
}
/* q - q^2 with q = sigmoid(-|x|) */
/* ULP: lean 2.5, full 2.75, full without FMA 2.75 */
BODY FN(sigmoid_backward)(real g, real x) {
    real far, q = FN(sigmoid_far)(-FN(size_at_most)(x, -FAR_LOW), NO_LOW, &far);
    return FN(product)(g, FN(or_nan)(FMA(-q, q, q), x), far);
}
/* ULP: lean 1.5, full 1.7, full without FMA 1.7 */
BODY FN(sigmoid_from_output)(real g, real y) { return g * (y * (1 - y)); }

/* logit(x) = log(x / (1 - x)), x limited to [eps, 1 - eps], which a negative eps does not do. With m = min(x, 1 - x) =
 * 2^k f it is -+(k ln2 + 2 atanh(s)), s = (f - (1 - m)) / (f + (1 - m)), and for m > 1/3, where that cancels, k = 0. */
/* ULP: lean 2.1, full 2.55, full without FMA 2.55 */
BODY FN(logit)(real x, real eps) {
    int right;
    real m = FN(logit_side)(x, eps, &right), M = 1 - m, low = (1 - M) - m;
    real k, f = FN(split_thirds)(m, &k);
    int center = m > R(1. / 3);
    f = center ? m : f;
    k = center ? R(0) : k;
    real num = (f - M) - low, t = (num + num) / (f + M), w = t * t;
    real log = FMA(t * w, FN(log1p_poly)(w), t);
#if FR_KIND == FR_WIDE
    real y = FMA(k, LN2, log);
#else
    real y = FMA(k, BY_TYPE(0x1.62e4p-1f, 0x1.62e42fefa3800p-1),
                 FMA(k, BY_TYPE(0x1.7f7d1cp-20f, 0x1.ef35793c76730p-45), log));
#endif
    return FN(logit_ends)(y, m, right);
}
/* 1 / (x (1 - x)); 0 where x is limited */
/* ULP: lean 2.3, full 2.3, full without FMA 2.3 */
BODY FN(logit_backward)(real g, real x, real eps) {
    real m = x > R(0.5) ? 1 - x : x, y = g / (FN(size)(m) * (1 - m));
    y = m >= 0 ? y : (real)NAN;
    return ((m < eps) & (eps >= 0)) ? R(0) : y;
}
/* 1 / (q - q^2), q = sigmoid(-|y|) */
/* ULP: lean 3, full 3.2, full without FMA 3.2 */
BODY FN(logit_from_output)(real g, real y, real eps) {
    (void)eps;
    real far, q = FN(sigmoid_far)(-FN(size_at_most)(y, -FAR_LOW), NO_LOW, &far);
    real d = FN(or_nan)(g / FMA(-q, q, q), y);
#if FR_KIND == FR_WIDE
    return d;
#else
    return d / far;
#endif
}

/* tanh(x) = (1 - S/P) / (1 + S/P) with S/P = e^(-2|x|); 1/P = 1 + p */
/* ULP: lean 2.85, full 3.25, full without FMA 3.25 */
BODY FN(tanh)(real x) {
    const real magic = ROUNDER + BIAS;
    real a = FN(size_at_most)(x, BY_TYPE(9.1, 19.2));
    real shifted = FMA(a, R(-2 * LOG2E), magic);
    real k = shifted - magic;
    real p = FN(expm1_poly)(FMA(k, LN2, a + a));
    real S = FN(power)(shifted);
    real y = FN(with_sign)(((1 - S) + p) / ((1 + S) + p), x);
    return FN(or_nan)(y, x);
}
/* t (2 - t) with t = 2 sigmoid(-2|x|) */
/* ULP: lean 2.5, full 2.55, full without FMA 2.55 */
BODY FN(tanh_backward)(real g, real x) {
    real a = FN(size_at_most)(x, FAR_LOW * R(-0.5));
    real far, S, r = FN(reduce_far)(-(a + a), NO_LOW, &S, &far);
    real t = S / FMA(S, R(0.5), FN(exp_poly)(r, -1, R(0.5)));
    return FN(product)(g, FN(or_nan)(FMA(-t, t, t + t), x), far);
}
/* ULP: lean 1.5, full 1.75, full without FMA 1.75 */
BODY FN(tanh_from_output)(real g, real y) { return g * ((1 - y) * (1 + y)); }

/* softcap(x) = c tanh(x / c). c and x are multiplied by the power of two that brings c near 1: neither 1 / c nor the
 * rounding error of the ratio overflows or underflows where it matters. Where x / c is tiny, softcap(x) is x. */
BODY FN(cap_lift)(real cap) {
    const real far = BY_TYPE(0x1p64f, 0x1p512), back = BY_TYPE(0x1p-64f, 0x1p-512);
    real up = cap < back ? far : R(1);
    return cap > far ? back : up;
}
/* |x / cap|, at most `end`, and its rounding error in *low */
BODY FN(cap_ratio)(real x, real cap, real end, real *low) {
    real up = FN(cap_lift)(cap), c = cap * up, inverse = 1 / c;
    real a = FN(size)(x) * up, z = FN(size_at_most)(a * inverse, end);
#if FR_KIND == FR_WIDE
    *low = NO_LOW;
#else
    real rest = FN(fused)(-z, c, a) * inverse;
    *low = z < end ? rest : R(0);
#endif
    return z;
}
/* ULP: lean 2.85, full 3.25, full without FMA 4.2 */
BODY FN(softcap)(real x, real cap) {
    const real magic = ROUNDER + BIAS;
    real low, z = FN(cap_ratio)(x, cap, BY_TYPE(9.1, 19.2), &low);
    real shifted = FMA(z, R(-2 * LOG2E), magic);
    real k = shifted - magic;
    real p = FN(expm1_poly)(-FN(minus_k_ln2)(-(z + z), k));
    real S = FN(power)(shifted);
    real n = (1 - S) + p, d = (1 + S) + p, inverse = 1 / d, t = n * inverse;
    real rest = FMA((low + low) * (1 + p), 1 - t, FMA(-t, d, n)); /* of n, with what low makes of n - t d */
    real y = FN(with_sign)(FMA(cap, t, cap * (rest * inverse)), x);
    y = z < BY_TYPE(0x1p-13, 0x1p-28) ? x : y;
    return FN(or_nan)(y, x);
}
/* ULP: lean 2.55, full 2.85, full without FMA 2.9 */
BODY FN(softcap_backward)(real g, real x, real cap) {
    real low, z = FN(cap_ratio)(x, cap, FAR_LOW * R(-0.5), &low);
    real far, S, r = FN(reduce_far)(-(z + z), -(low + low), &S, &far);
    real t = S / FMA(S, R(0.5), FN(exp_poly)(r, -1, R(0.5)));
    return FN(product)(g, FN(or_nan)(FMA(-t, t, t + t), x), far);
}
/* 1 - t^2 for t = |y| / c, where that cancels as e (2 - e) for e = 1 - t */
/* ULP: lean 2.2, full 1.9, full without FMA 1.9 */
BODY FN(softcap_from_output)(real g, real y, real cap) {
    real up = FN(cap_lift)(cap), c = cap * up, inverse = 1 / c;
    real a = FN(size)(y) * up, t = a * inverse, e = (c - a) * inverse;
    return g * (t < R(0.5) ? FMA(-t, t, R(1)) : FMA(-e, e, e + e));
}

/* softsign(x) = x / (1 + |x|) */
/* ULP: lean 1.5, full 1.5, full without FMA 1.5 */
BODY FN(softsign)(real x) {
    real a = FN(size)(x);
    a = a > LARGEST ? LARGEST : a;
    return FN(with_sign)(a / (1 + a), x);
}
/* 1 / (1 + |x|)^2; the square itself, which might overflow, is never formed. In float the root is corrected first: the
 * error limit is lower there, and doubled errors show. */
/* ULP: lean 2.95, full 3.5, full without FMA 3.5 */
BODY FN(softsign_backward)(real g, real x) {
    real a = FN(size)(x);
    a = a > LARGEST ? LARGEST : a;
    real q = 1 / (1 + a);
#if FR_KIND == FR_LEAN
    q = FMA(q, FMA(-q, a, 1 - q), q);
#endif
    return g * q * q;
}
/* ULP: lean 1.95, full 1.95, full without FMA 1.95 */
BODY FN(softsign_from_output)(real g, real y) {
    real t = 1 - FN(size)(y);
    return g * (t * t);
}

#else /* the same formulas on pairs of doubles: hilo.h */

/* ULP: 0.85 */
BODY FN(sigmoid)(real x) {
    hl_scaled s = hl_sigmoid(hl_clamped(x, -1000, 1000));
    return hl_scale(hl_round(hl_of(s)), s.k);
}
/* e / (1 + e)^2 for e = exp(-|x|) */
/* ULP: 0.85 */
BODY FN(sigmoid_backward)(real g, real x) {
    hl_scaled m = hl_exp(hl_minus_abs(hl_clamped(x, -1500, 1500)));
    hl_pair d = hl_add(hl_make(1, 0), hl_value(m));
    return hl_raise(g, hl_round(hl_div(hl_of(m), hl_mul(d, d))), m.k);
}
/* ULP: 0.5 */
BODY FN(sigmoid_from_output)(real g, real y) { return g * hl_round(hl_mul1(hl_sum(1, -y), y)); }

/* the same in pairs; ln2 in three parts, of which k times each of the first two is exact */
/* ULP: 0.85 */
BODY FN(logit)(real x, real eps) {
    int right;
    real m = FN(logit_side)(x, eps, &right);
    hl_pair M = hl_sum(1, -m);
    real k, f = FN(split_thirds)(m, &k);
    int center = m > 1. / 3;
    f = center ? m : f;
    k = center ? 0.0 : k;
    hl_pair q = hl_div(hl_add_any(hl_make(f, 0), hl_neg(M)), hl_add_any(hl_make(f, 0), M));
    hl_pair y = hl_add_any(hl_fast(k * HL_LN2_1, k * HL_LN2_2), hl_of(hl_twice_atanh(q, 0)));
    return FN(logit_ends)(y.hi + (y.lo + k * HL_LN2_3), m, right);
}
/* ULP: 0.85 */
BODY FN(logit_backward)(real g, real x, real eps) {
    real m = x > 0.5 ? 1 - x : x;
    hl_scaled s = hl_split(hl_abs(m));
    hl_pair d = hl_mul1(hl_sum(1, -m), s.hi);
    real y = m > 0 ? hl_raise(g, hl_round(hl_div(hl_make(1, 0), d)), -s.k) : g * (real)INFINITY;
    y = m >= 0 ? y : (real)NAN;
    return ((m < eps) & (eps >= 0)) ? 0.0 : y;
}
/* (1 + e)^2 / e for e = exp(-|y|) */
/* ULP: 0.85 */
BODY FN(logit_from_output)(real g, real y, real eps) {
    (void)eps;
    hl_scaled m = hl_exp(hl_minus_abs(hl_clamped(y, -1500, 1500)));
    hl_pair d = hl_add(hl_make(1, 0), hl_value(m));
    return hl_raise(g, hl_round(hl_div(hl_mul(d, d), hl_of(m))), -m.k);
}

/* tanh(a) for 0 <= a <= 700 as -E / (2 + E), E = expm1(-2 a) */
HL_PAIR hl_tanh(hl_pair a) {
    hl_pair e = hl_of(hl_expm1(hl_times2(a, -2)));
    return hl_div(hl_neg(e), hl_add(hl_make(2, 0), e));
}
/* ULP: 0.85 */
BODY FN(tanh)(real x) {
    real a = hl_abs(x);
    real y = hl_signed(hl_round(hl_tanh(hl_make(a > 30 ? 30.0 : a, 0))), x);
    return a >= 0x1p-30 ? y : x;
}
/* 4 e / (1 + e)^2 for e = exp(-2 |x|) */
/* ULP: 0.85 */
BODY FN(tanh_backward)(real g, real x) {
    hl_scaled m = hl_exp(hl_times2(hl_minus_abs(hl_clamped(x, -750, 750)), 2));
    hl_pair d = hl_add(hl_make(1, 0), hl_value(m));
    return hl_raise(g, 4 * hl_round(hl_div(hl_of(m), hl_mul(d, d))), m.k);
}
/* ULP: 0.5 */
BODY FN(tanh_from_output)(real g, real y) {
    hl_pair p = hl_prod(y, y), s = hl_sum(1, -p.hi);
    return g * (s.hi + (s.lo - p.lo));
}

/* ULP: 0.85 */
BODY FN(softcap)(real x, real cap) {
    hl_lift f = hl_lift_of(cap);
    hl_pair z = hl_minus_abs(hl_ratio(x, cap)), a = hl_if(z.hi < -30, hl_make(30, 0), hl_neg(z));
    real y = hl_signed(hl_round(hl_mul1(hl_tanh(a), cap * f.up)) * f.down, x);
    return hl_abs(z.hi) < 0x1p-30 ? x : y;
}
/* ULP: 0.85 */
BODY FN(softcap_backward)(real g, real x, real cap) {
    hl_pair z = hl_minus_abs(hl_ratio(x, cap));
    hl_scaled m = hl_exp(hl_times2(hl_if(z.hi < -750, hl_make(-750, 0), z), 2));
    hl_pair d = hl_add(hl_make(1, 0), hl_value(m));
    return hl_raise(g, 4 * hl_round(hl_div(hl_of(m), hl_mul(d, d))), m.k);
}
/* ULP: 0.5 */
BODY FN(softcap_from_output)(real g, real y, real cap) {
    real up = hl_lift_of(cap).up, c = cap * up, a = hl_abs(y) * up, r = 1 / c;
    hl_pair d = hl_make(c, 0), low = hl_div_by(hl_sum(c, -a), d, r), high = hl_div_by(hl_sum(c, a), d, r);
    return g * hl_round(hl_mul(low, high));
}

/* ULP: 0.55 */
BODY FN(softsign)(real x) {
    real a = hl_abs(x);
    real c = a > 0x1p60 ? 0x1p60 : a;
    real y = hl_signed(hl_round(hl_div(hl_make(c, 0), hl_sum(1, c))), x);
    return a >= 0x1p-60 ? y : x;
}
/* 1 / (1 + |x|)^2, for a very large |x| scaled by 2^1200 */
/* ULP: 0.85 */
BODY FN(softsign_backward)(real g, real x) {
    real a = hl_abs(hl_finite(x));
    int far = a > 0x1p500;
    hl_pair s = hl_sum(1, a);
    s = hl_if(far, hl_make(a * 0x1p-600, 0), s);
    hl_pair q = hl_div(hl_make(1, 0), s);
    real v = hl_round(hl_mul(q, q)), f = far ? 0x1p-600 : 1.0;
    v = hl_abs(x) > 0x1.fffffffffffffp1023 ? 0.0 : v;
    return g * f * v * f;
}
/* ULP: 0.5 */
BODY FN(softsign_from_output)(real g, real y) {
    hl_pair s = hl_sum(1, -hl_abs(y));
    return g * hl_round(hl_mul(s, s));
}

#endif
