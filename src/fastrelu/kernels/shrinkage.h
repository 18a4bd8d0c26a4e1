/* Functions that pull small inputs to zero. */

/* hard_shrink(x) = x if |x| > lambd else 0; exact */
BODY FN(hard_shrink)(real x, real lambd) { return (x >= -lambd) & (x <= lambd) ? R(0) : x; }
BODY FN(hard_shrink_backward)(real g, real x, real lambd) { return FN(gate)((x > lambd) | (x < -lambd), g, x); }
BODY FN(hard_shrink_from_output)(real g, real y, real lambd) {
    (void)lambd;
    return FN(gate)((y > 0) | (y < 0), g, y);
}

/* soft_shrink(x) = x - lambd if x > lambd, x + lambd if x < -lambd, else 0; one rounding.
 * x - lambd is never rounded to 0, so the output tells the pieces apart. */
BODY FN(soft_shrink)(real x, real lambd) {
    real inner = x == x ? R(0) : x;
    return x > lambd ? x - lambd : x < -lambd ? x + lambd : inner;
}
BODY FN(soft_shrink_backward)(real g, real x, real lambd) { return FN(hard_shrink_backward)(g, x, lambd); }
BODY FN(soft_shrink_from_output)(real g, real y, real lambd) { return FN(hard_shrink_from_output)(g, y, lambd); }
