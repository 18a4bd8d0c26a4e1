/* Functions that pull small inputs to zero. */

#if FR_KIND != FR_HILO

/* hard_shrink(x) = x if |x| > lambd else 0; exact */
BODY FN(hard_shrink)(real x, real lambd) { return ((x >= -lambd) & (x <= lambd)) ? R(0) : x; }
BODY FN(hard_shrink_backward)(real g, real x, real lambd) { return FN(gate)((x > lambd) | (x < -lambd), g, x); }
BODY FN(hard_shrink_from_output)(real g, real y, real lambd) {
    (void)lambd;
    return FN(gate)((y > 0) | (y < 0), g, y);
}

/* soft_shrink(x) = x - lambd if x > lambd, x + lambd if x < -lambd, else 0; one rounding. x - lambd is never rounded to
 * 0, so the output tells the pieces apart. An infinite x is within an infinite lambd. */
BODY FN(soft_shrink)(real x, real lambd) {
    real within = x < -lambd ? -lambd : x;
    within = within > lambd ? lambd : within;
    return x == within ? R(0) : x - within;
}
BODY FN(soft_shrink_backward)(real g, real x, real lambd) { return FN(hard_shrink_backward)(g, x, lambd); }
BODY FN(soft_shrink_from_output)(real g, real y, real lambd) { return FN(hard_shrink_from_output)(g, y, lambd); }

/* shrink(x) = x - bias if x > lambd, x + bias if x < -lambd, else 0; one rounding. hard_shrink if bias is 0,
 * soft_shrink if it is lambd. A bias of at most lambd keeps the outputs of the outer pieces apart from 0. */
BODY FN(shrink)(real x, real lambd, real bias) {
    real y = x == x ? R(0) : x;
    y = x < -lambd ? x + bias : y;
    return x > lambd ? x - bias : y;
}
BODY FN(shrink_backward)(real g, real x, real lambd, real bias) {
    (void)bias;
    return FN(hard_shrink_backward)(g, x, lambd);
}
BODY FN(shrink_from_output)(real g, real y, real lambd, real bias) {
    (void)bias;
    return FN(hard_shrink_from_output)(g, y, lambd);
}

/* tanh_shrink(x) = x - tanh(x); for |x| < 1.75, where that cancels, x^3 P(x^2) / Q(x^2). Both formulas share the
 * division. P and Q start a little below a power of two, where rounding costs least. */
/* ULP: lean 2.75, full 3, full without FMA 3.3 */
BODY FN(tanh_shrink)(real x) {
    const real magic = ROUNDER + BIAS;
    real a = FN(size_at_most)(x, BY_TYPE(9.1, 20)), w = x * x;
    real shifted = FMA(a, R(-2 * LOG2E), magic);
    real p = FN(expm1_poly)(FMA(shifted - magic, LN2, a + a));
    real S = FN(power)(shifted);
#if FR_KIND == FR_LEAN
    real top = POLY2(w, 0x1.cp-2f, 0x1.b6dca2p-6f, 0x1.0ca9b8p-12f);
    real bottom = POLY3(w, 0x1.5p+0f, 0x1.35f17cp-1f, 0x1.f2448ep-6f, 0x1.1667ccp-12f);
#elif FR_KIND == FR_WIDE
    real top = POLY2(w, 0x1.cp-2, 0x1.b6dca17c0c6c5p-6, 0x1.0ca9b0e99d0a8p-12);
    real bottom = POLY3(w, 0x1.5p+0, 0x1.35f17befe7f2ep-1, 0x1.f2448d768222fp-6, 0x1.1667be80efe82p-12);
#else
    real top =
        POLY4(w, 0x1.fp-2, 0x1.1f5c41c9657d6p-5, 0x1.3a7000c93b60bp-11, 0x1.50463a3629701p-19, 0x1.9d05af43387ecp-35);
    real bottom =
        POLY4(w, 0x1.74p+0, 0x1.5f7ae5ef5ca12p-1, 0x1.50e5bdcad58bfp-5, 0x1.54ab701d8ab5bp-11, 0x1.59e68d932cbc5p-19);
#endif
    int small = a < R(1.75);
    top = small ? top : (1 - S) + p;
    bottom = small ? bottom : (1 + S) + p;
    real q = top / bottom;
    real b = FN(size)(x), cube = b * w;
    real cube_low = FMA(b, FN(product_low)(b, b, w), FN(product_low)(b, w, cube));
    real cubic = FMA(cube, q, cube_low * q), rest = b - q;
    return FN(with_sign)(small ? cubic : rest, x);
}
/* tanh^2(x) = 1 - 4 S P / (S + P)^2; for |x| < 0.9 x^2 P(x^2) / Q(x^2) */
/* ULP: lean 2.9, full 3.2, full without FMA 3.75 */
BODY FN(tanh_shrink_backward)(real g, real x) {
    real a = FN(size_at_most)(x, BY_TYPE(9.1, 20)), w = x * x;
    real S, r = FN(reduce)(-(a + a), NO_LOW, 0, &S);
    real P = FN(exp_poly)(r, -1, 1);
#if FR_KIND == FR_LEAN
    real top = POLY2(w, 0x1.cp+0f, 0x1.0ad1b2p-2f, 0x1.ce86bap-10f);
    real bottom = POLY2(w, 0x1.cp+0f, 0x1.6d5f0ep+0f, 0x1.2b28fep-2f);
#elif FR_KIND == FR_WIDE
    real top = POLY3(w, 0x1.cp+0, 0x1.75963c820b5e6p-2, 0x1.3a0b6355a8ee6p-6, -0x1.ec9b64bd5ad95p-17);
    real bottom = POLY3(w, 0x1.cp+0, 0x1.881039cb3b99cp+0, 0x1.842700a881d3cp-2, 0x1.30352f0a249f0p-6);
#else
    real top =
        POLY4(w, 0x1.cp+0, 0x1.af0a56d8603e6p-2, 0x1.017b7bdab7202p-5, 0x1.66f7b846c8393p-11, 0x1.29dd887e459bep-24);
    real bottom =
        POLY4(w, 0x1.cp+0, 0x1.966d4060c2ba4p+0, 0x1.b70320d863dd6p-2, 0x1.fee584bf58c71p-6, 0x1.69d51bb4cd4adp-11);
#endif
    int small = a < R(0.9);
    real sum = S + P, low = S - (sum - P);
    top = small ? top : (4 * S) * P;
    bottom = small ? bottom : FMA(sum, sum, (sum + sum) * low);
    real q = top / bottom;
    real gx = g * x, square = gx * x;
    square = FMA(square, q, FN(product_low)(gx, x, square) * q);
    real rest = g * (1 - q);
    return FN(or_nan)(small ? square : rest, x);
}

#else /* the same formulas on pairs of doubles: hilo.h */

/* for |x| < 0.7 x^3 times a series */
/* ULP: 0.85 */
BODY FN(tanh_shrink)(real x) {
    real a = hl_abs(x);
    hl_pair t = hl_tanh(hl_make(a > 30 ? 30.0 : a, 0)), s = hl_fast(a, -t.hi);
    real far = s.hi + (s.lo - t.lo);
    int tiny = a < 0x1p-300;
    real c = a > 1 ? 1.0 : a, f = c * (tiny ? 0x1p300 : 1.0);
    hl_pair w = hl_prod(c, c), cube = hl_mul1(hl_prod(f, f), f);
    hl_pair p = hl_add(hl_make(HL_SHRINK_1), hl_mul1(w, hl_shrink_tail(w.hi)));
    p = hl_add(hl_make(HL_SHRINK_0), hl_mul(w, p));
    real near = hl_round(hl_mul(cube, p)) * (tiny ? 0x1p-900 : 1.0);
    return a < 0x1p60 ? hl_signed(a < 0.7 ? near : far, x) : x;
}
/* tanh(x)^2 */
/* ULP: 0.85 */
BODY FN(tanh_shrink_backward)(real g, real x) {
    real a = hl_abs(x);
    int tiny = a < 0x1p-450;
    hl_pair t = hl_tanh(hl_make(a > 30 ? 30.0 : a, 0));
    t = hl_if(a < 0x1p-30, hl_make(tiny ? a * 0x1p600 : a, 0), t);
    real f = tiny ? 0x1p-600 : 1.0;
    return g * f * hl_round(hl_mul(t, t)) * f;
}

#endif
