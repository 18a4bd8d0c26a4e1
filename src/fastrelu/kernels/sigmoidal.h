/* Functions that rise from one level to another, and their piecewise linear stand-ins. */

/* hard_sigmoid(x) = min(max(slope x + offset, 0), 1); one rounding with FMA, and in double arithmetic
 * slope x is exact. Open interval: the derivative is 0 at both ends. */
BODY FN(hard_sigmoid)(real x, real slope, real offset) {
    real t = FMA(slope, x, offset);
    return t <= 0 ? R(0) : t > 1 ? R(1) : t;
}
BODY FN(hard_sigmoid_backward)(real g, real x, real slope, real offset) {
    real t = FMA(slope, x, offset);
    return FN(gate)((t > 0) & (t < 1), g * slope, x);
}
BODY FN(hard_sigmoid_from_output)(real g, real y, real slope, real offset) {
    (void)offset;
    return FN(gate)((y > 0) & (y < 1), g * slope, y);
}

/* hard_tanh(x) = min(max(x, min_val), max_val); exact. Open interval for the derivative. */
BODY FN(hard_tanh)(real x, real min_val, real max_val) { return x < min_val ? min_val : x > max_val ? max_val : x; }
BODY FN(hard_tanh_backward)(real g, real x, real min_val, real max_val) {
    return FN(gate)((x > min_val) & (x < max_val), g, x);
}
BODY FN(hard_tanh_from_output)(real g, real y, real min_val, real max_val) {
    return FN(hard_tanh_backward)(g, y, min_val, max_val);
}

/* sparse_plus(x) = 0 if x <= -1, (x + 1)^2 / 4 if x < 1, else x. The square carries the rounding error of
 * x + 1 along: at most 1 ULP. */
BODY FN(sparse_plus)(real x) {
    real t = x + 1;
    real low = x - (t - 1);
    real inner = FMA(t, t, 2 * t * low) * R(0.25);
    return x <= -1 ? R(0) : x >= 1 ? x : inner;
}
BODY FN(sparse_plus_backward)(real g, real x) {
    real inner = g * ((x + 1) * R(0.5));
    return x <= -1 ? R(0) : x >= 1 ? g : inner;
}
/* (x + 1) / 2 is the square root of y between the kinks. */
BODY FN(sparse_plus_from_output)(real g, real y) {
    real inner = g * FN(root)(y);
    return y <= 0 ? R(0) : y >= 1 ? g : inner;
}

/* sparse_sigmoid(x) = min(max((x + 1) / 2, 0), 1); one rounding. Open interval for the derivative. */
BODY FN(sparse_sigmoid)(real x) {
    real t = x * R(0.5) + R(0.5);
    return x <= -1 ? R(0) : x >= 1 ? R(1) : t;
}
BODY FN(sparse_sigmoid_backward)(real g, real x) { return FN(gate)((x > -1) & (x < 1), g * R(0.5), x); }
BODY FN(sparse_sigmoid_from_output)(real g, real y) { return FN(gate)((y > 0) & (y < 1), g * R(0.5), y); }
