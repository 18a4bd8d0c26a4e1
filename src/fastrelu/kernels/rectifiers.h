/* Rectifiers: piecewise linear functions that switch a unit off, or damp it, below a threshold.
 * Derivatives at a kink follow PyTorch. Every comparison lets NaN through to the result. */

#if FR_KIND != FR_HILO

/* identity(x) = x; exact */
BODY FN(identity)(real x) { return x; }
BODY FN(identity_backward)(real g, real x) { return x == x ? g : x; }
BODY FN(identity_from_output)(real g, real y) { return FN(identity_backward)(g, y); }

/* relu(x) = max(x, 0); exact. Zero of either sign gives +0. */
BODY FN(relu)(real x) { return x <= 0 ? R(0) : x; }
BODY FN(relu_backward)(real g, real x) { return FN(gate)(x > 0, g, x); }
BODY FN(relu_from_output)(real g, real y) { return FN(gate)(y > 0, g, y); }

/* relu6(x) = min(max(x, 0), 6); exact */
BODY FN(relu6)(real x) {
    real y = FN(relu)(x);
    return y > 6 ? R(6) : y;
}
BODY FN(relu6_backward)(real g, real x) { return FN(gate)((x > 0) & (x < 6), g, x); }
BODY FN(relu6_from_output)(real g, real y) { return FN(gate)((y > 0) & (y < 6), g, y); }

/* leaky_relu(x) = x if x > 0 else negative_slope * x; one rounding. A slope of 0 gives +0, at -inf too; adding -0
 * changes nothing. */
BODY FN(leaky_relu)(real x, real negative_slope) {
    int flat = negative_slope == 0;
    real lowest = flat ? -LARGEST : -(real)INFINITY;
    real finite = x < lowest ? lowest : x;
    real damped = FMA(negative_slope, finite, flat ? R(0) : -R(0));
    return x > 0 ? x : damped;
}
BODY FN(leaky_relu_backward)(real g, real x, real negative_slope) {
    real damped = negative_slope == 0 ? R(0) : negative_slope * g;
    real y = x > 0 ? g : damped;
    return x == x ? y : x;
}
/* x where x <= 0 */
BODY FN(leaky_relu_by_negative_slope)(real g, real x, real negative_slope) {
    (void)negative_slope;
    return x > 0 ? R(0) : g * x;
}
/* Any slope >= 0 keeps the sign of x in y, or y at 0. */
BODY FN(leaky_relu_from_output)(real g, real y, real negative_slope) {
    return FN(leaky_relu_backward)(g, y, negative_slope);
}

#if FR_KIND == FR_FULL && !FR_HAS_FMA
/* chosen ? a : b by bits: without AVX, GCC does not vectorize a select by parameters, and this loop is too long for it
 * to make a copy for each choice */
BODY FN(choice)(int chosen, real a, real b) {
    FN(word) u = {a}, v = {b}, mask = {R(0)};
    mask.bits -= (unsigned)chosen;
    u.bits = (u.bits & mask.bits) | (v.bits & ~mask.bits);
    return u.number;
}
#endif
/* One outer piece of srelu, t + a (x - t). The two terms may cancel, so a x + (t - a t) is computed, plus the rounding
 * error of the constant. With a very steep slope t would be lost in a t; in that case, and if a t overflows, the
 * rounded x - t is used: it is exact where the terms of a steep piece cancel, and adds half an ULP elsewhere. The piece
 * is t at x = t even if both are infinite. */
BODY FN(srelu_piece)(real x, real t, real a) {
    real p = a * t, c = t - p, back = c - t;
    real low = (t - (c - back)) - (p + back) - FN(fused)(a, t, -p);
    int gentle = (FN(size)(a) < 0x1p16) & (c - c == 0);
    int flat = (a == 0) | (t - t != 0);
#if FR_KIND == FR_FULL && !FR_HAS_FMA
    real from = FN(choice)(gentle, R(0), t), start = FN(choice)(gentle, c, t);
    return FN(choice)(flat, t, FN(fused)(a, x - from, start) + FN(choice)(gentle, low, -R(0)));
#else
    real y = gentle ? FN(fused)(a, x, c) + low : FN(fused)(a, x - t, t);
    return flat ? t : y;
#endif
}
/* srelu(x) = t_right + a_right (x - t_right) if x >= t_right, t_left + a_left (x - t_left) if x <= t_left, else x */
/* ULP: lean 1.05, full 1.05, full without FMA 1.3 */
BODY FN(srelu)(real x, real t_left, real a_left, real t_right, real a_right) {
    real left = FN(srelu_piece)(x, t_left, a_left), right = FN(srelu_piece)(x, t_right, a_right);
    real y = x <= t_left ? left : x;
    return x >= t_right ? right : y;
}
BODY FN(srelu_backward)(real g, real x, real t_left, real a_left, real t_right, real a_right) {
    int right = x >= t_right;
    real a = right ? a_right : a_left;
    real damped = a == 0 ? R(0) : a * g;
    real inner = x == x ? g : x;
    return (right | (x <= t_left)) ? damped : inner;
}

/* On its piece, the derivative by the threshold is 1 - a and by the slope x - t; elsewhere both are 0. */
BODY FN(srelu_by_threshold)(int here, real g, real x, real a) { return FN(gate)(here & (a != 1), g * (1 - a), x); }
BODY FN(srelu_by_slope)(int here, real g, real x, real t) { return FN(gate)(here & (x != t), g * (x - t), x); }
BODY FN(srelu_by_t_left)(real g, real x, real t_left, real a_left, real t_right, real a_right) {
    (void)a_right;
    return FN(srelu_by_threshold)((x <= t_left) & !(x >= t_right), g, x, a_left);
}
BODY FN(srelu_by_a_left)(real g, real x, real t_left, real a_left, real t_right, real a_right) {
    (void)a_left, (void)a_right;
    return FN(srelu_by_slope)((x <= t_left) & !(x >= t_right), g, x, t_left);
}
BODY FN(srelu_by_t_right)(real g, real x, real t_left, real a_left, real t_right, real a_right) {
    (void)t_left, (void)a_left;
    return FN(srelu_by_threshold)(x >= t_right, g, x, a_right);
}
BODY FN(srelu_by_a_right)(real g, real x, real t_left, real a_left, real t_right, real a_right) {
    (void)t_left, (void)a_left, (void)a_right;
    return FN(srelu_by_slope)(x >= t_right, g, x, t_right);
}

/* bounded_relu(x) = min(x, max_value) if x > threshold else negative_slope (x - threshold). The product includes the
 * rounding error of the difference, which is halved where it might overflow. A slope of 0 gives +0, at -inf too; the
 * lower piece is 0 at x = threshold even if both are infinite. Without an upper end, which is infinity, the derivative
 * at infinity is 1. */
/* ULP: lean 0.55, full 0.55, full without FMA 1.05 */
BODY FN(bounded_relu)(real x, real negative_slope, real max_value, real threshold) {
    int huge = FN(size)(threshold) > BY_KIND(0x1p100f, INFINITY, 0x1p900);
    real half = huge ? R(0.5) : R(1), a = x * half, t = threshold * half;
    real d = a - t;
    d = d == d ? d : R(0); /* x is the threshold, and infinite */
    real back = d - a;
    real rest = negative_slope * ((a - (d - back)) - (t + back));
    rest = ((rest - rest == 0) & (rest != 0)) ? rest : -R(0); /* adding -0 keeps the sign of a zero */
    real twice = huge ? R(2) : R(1), plain = negative_slope * d * twice;
    real damped = FN(fused)(negative_slope, d, rest) * twice;
    /* Without FMA the sign of a zero, and digits of a subnormal product, are lost. */
    damped = damped == 0 ? plain : damped;
    damped = rest == 0 ? plain : damped;
    damped = negative_slope == 0 ? R(0) : damped;
    damped = x == x ? damped : x;
    real top = x > max_value ? max_value : x;
    return x > threshold ? top : damped;
}
BODY FN(bounded_relu_backward)(real g, real x, real negative_slope, real max_value, real threshold) {
    real damped = negative_slope == 0 ? R(0) : negative_slope * g;
    real top = ((x < max_value) | (max_value > LARGEST)) ? g : R(0);
    real y = x > threshold ? top : damped;
    return x == x ? y : x;
}
/* Outputs of the lower piece are at most 0, which no other output is. */
BODY FN(bounded_relu_from_output)(real g, real y, real negative_slope, real max_value, real threshold) {
    (void)threshold;
    return FN(bounded_relu_backward)(g, y, negative_slope, max_value, R(0));
}

/* threshold(x) = x if x > threshold else value; exact */
BODY FN(threshold)(real x, real threshold, real value) {
    real off = x == x ? value : x;
    return x > threshold ? x : off;
}
BODY FN(threshold_backward)(real g, real x, real threshold, real value) {
    (void)value;
    return FN(gate)(x > threshold, g, x);
}
/* value <= threshold keeps the outputs of the two pieces apart. */
BODY FN(threshold_from_output)(real g, real y, real threshold, real value) {
    return FN(threshold_backward)(g, y, threshold, value);
}

/* thresholded_relu(x) = x if x > alpha else 0; exact */
BODY FN(thresholded_relu)(real x, real alpha) { return FN(threshold)(x, alpha, R(0)); }
BODY FN(thresholded_relu_backward)(real g, real x, real alpha) { return FN(gate)(x > alpha, g, x); }
BODY FN(thresholded_relu_from_output)(real g, real y, real alpha) { return FN(gate)(y > alpha, g, y); }

/* squared_relu(x) = max(x, 0)^2; one rounding. Doubling last keeps g x in range as long as the result is. */
BODY FN(squared_relu)(real x) {
    real m = FN(relu)(x);
    return m * m;
}
BODY FN(squared_relu_backward)(real g, real x) {
    real half = g * x;
    return FN(gate)(x > 0, half + half, x);
}
BODY FN(squared_relu_from_output)(real g, real y) { return FN(squared_relu_backward)(g, FN(root)(y)); }

#endif
