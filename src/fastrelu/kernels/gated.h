/* Functions of the form x times a gate. */

/* hard_swish(x) = x min(max(x + 3, 0), 6) / 6; at most 2 ULP in float, 0.6 in double with FMA.
 * -0 below -3, like every gated function. The derivative is 0 at -3 and 1 at 3. */
BODY FN(hard_swish)(real x) {
    real t = x + 3;
    real back = t - x;
    real low = (x - (t - back)) + (3 - back);
    real p = x * t;
    real inner = FN(sixth)(p, FMA(x, t, -p) + x * low);
    return x <= -3 ? -R(0) : x >= 3 ? x : inner;
}
BODY FN(hard_swish_backward)(real g, real x) {
    real twice = x + x;
    real t = twice + 3;
    real back = t - twice;
    real low = (twice - (t - back)) + (3 - back);
    real inner = g * FN(sixth)(t, low);
    return x <= -3 ? R(0) : x >= 3 ? g : inner;
}
