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

/* tanh_shrink(x) = x - tanh(x); below |x| = 1.75, where that cancels, x^3 P(x^2) / Q(x^2).
 * The two ways share the division. */
#define SCALE 1.75 /* P and Q a little below a power of two round best */
#define SCALE3 (93. / 64)
BODY FN(tanh_shrink)(real x) {
    const real magic = ROUNDER + BIAS;
    real a = FN(size_at_most)(x, BY_TYPE(9.1, 20)), w = x * x;
    real shifted = FMA(a, R(-2 * LOG2E), magic);
    real p = FN(expm1_poly)(FMA(shifted - magic, LN2, a + a));
    real S = FN(power)(shifted);
#if FR_KIND == FR_LEAN
    real top = POLY2(w, SCALE3 * 0x1.5555555548035p-2, SCALE3 * 0x1.4ddaf60556b0fp-6, SCALE3 * 0x1.9689dfbfe41bap-13);
    real bottom = POLY3(w, SCALE3 * 1, SCALE3 * 0x1.d832a7b6ef6f5p-2, SCALE3 * 0x1.7af26ff10c837p-6, SCALE3 * 0x1.a5308fd22e084p-13);
#elif FR_KIND == FR_WIDE
    real top = POLY3(w, SCALE3 * 0x1.5555555555403p-2, SCALE3 * 0x1.5dcfbd0443365p-6, SCALE3 * 0x1.f843763f0496ap-13, SCALE3 * 0x1.16a187385c314p-26);
    real bottom = POLY3(w, SCALE3 * 1, SCALE3 * 0x1.db308d0a5e8a9p-2, SCALE3 * 0x1.906284473b7b5p-6, SCALE3 * 0x1.0772475ff4ea4p-12);
#else
    real top = POLY4(w, SCALE3 * 0x1.5555555555555p-2, SCALE3 * 0x1.8b5ab2c03e74ap-6, SCALE3 * 0x1.b0264be382d00p-12, SCALE3 * 0x1.cd083c86042aep-20,
                     SCALE3 * 0x1.184ddbce80d7dp-35);
    real bottom = POLY4(w, SCALE3 * 1, SCALE3 * 0x1.e3ba9b1da54f7p-2, SCALE3 * 0x1.cf797b895989ep-6, SCALE3 * 0x1.d429f2df60864p-12,
                        SCALE3 * 0x1.da33660ff22e6p-20);
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
/* tanh^2(x) = 1 - 4 S P / (S + P)^2; below |x| = 0.9 x^2 P(x^2) / Q(x^2) */
BODY FN(tanh_shrink_backward)(real g, real x) {
    real a = FN(size_at_most)(x, BY_TYPE(9.1, 20)), w = x * x;
    real S, r = FN(reduce)(-(a + a), NO_LOW, 0, &S);
    real P = FN(exp_poly)(r, -1, 1);
#if FR_KIND == FR_LEAN
    real top = POLY2(w, SCALE * 0x1.ffffffb0e842fp-1, SCALE * 0x1.315cccedbff74p-3, SCALE * 0x1.0478f82f76f89p-10);
    real bottom = POLY2(w, SCALE * 1, SCALE * 0x1.a1ac746a497e9p-1, SCALE * 0x1.5627c9efa5e8ep-3);
#elif FR_KIND == FR_WIDE
    real top = POLY3(w, SCALE * 0x1.0000000000273p+0, SCALE * 0x1.ab220c51de639p-3, SCALE * 0x1.67546d040037bp-7, SCALE * -0x1.16a57efd5f9b5p-17);
    real bottom = POLY3(w, SCALE * 1, SCALE * 0x1.c01dd869f2bfep-1, SCALE * 0x1.bbbf2cd9286d7p-3, SCALE * 0x1.5c236c14a6487p-7);
#else
    real top = POLY4(w, SCALE * 1, SCALE * 0x1.ecb10eea9d629p-3, SCALE * 0x1.26639eabff148p-6, SCALE * 0x1.9aaa34d70bd5ap-12, SCALE * 0x1.51db7b1fedce9p-25);
    real bottom = POLY4(w, SCALE * 1, SCALE * 0x1.d081990ffcadep-1, SCALE * 0x1.f5cb064fc6b75p-3, SCALE * 0x1.2411bc04b1b27p-6, SCALE * 0x1.9ded0f9c849dep-12);
#endif
    int small = a < R(0.9);
    real sum = S + P;
    top = small ? top : (4 * S) * P;
    bottom = small ? bottom : sum * sum;
    real q = top / bottom;
    real gx = g * x, square = gx * x;
    square = FMA(square, q, FN(product_low)(gx, x, square) * q);
    real rest = g * (1 - q);
    return FN(or_nan)(small ? square : rest, x);
}
