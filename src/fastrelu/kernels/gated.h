/* Functions of the form x times a gate. */

#if FR_KIND != FR_HILO

/* hard_swish(x) = x min(max(x + 3, 0), 6) / 6. -0 below -3, like every gated function. The derivative is 0 at -3 and 1
 * at 3. No rounding error is amplified: near -3 the sum is exact. */
/* ULP: lean 2.25, full 2.25, full without FMA 2.25 */
BODY FN(hard_swish)(real x) {
    real inner = x * (x + 3) * R(1. / 6);
    real y = x >= 3 ? x : inner;
    return x <= -3 ? -R(0) : y;
}
/* ULP: lean 1.35, full 1.35, full without FMA 1.35 */
BODY FN(hard_swish_backward)(real g, real x) {
    real inner = g * ((x + x + 3) * R(1. / 6));
    real y = x >= 3 ? g : inner;
    return x <= -3 ? R(0) : y;
}

/* hard_swish_line(x) = x min(max(slope x + offset, 0), 1): hard_swish with another line, and with 1/6 and 1/2 itself.
 * The derivative is 0 where the line is 0 and 1 where it is 1. */
/* ULP: lean 2.6, full 2.55, full without FMA 2.55 */
BODY FN(hard_swish_line)(real x, real slope, real offset) {
    if (IS_SIXTH(slope, offset)) return FN(hard_swish)(x);
    real up, line, y = FN(times_line)(x, slope, offset, &line, &up);
    y = ((line >= up) | (x > LARGEST)) ? x : y;
    y = ((line <= 0) | (x < -LARGEST)) ? FN(with_sign)(R(0), x) : y;
    return y;
}
/* 2 slope x + offset */
/* ULP: lean 1.55, full 1.55, full without FMA 1.55 */
BODY FN(hard_swish_line_backward)(real g, real x, real slope, real offset) {
    if (IS_SIXTH(slope, offset)) return FN(hard_swish_backward)(g, x);
    real twice = slope > 1 ? R(2) : R(1); /* of x and the slope, the smaller one is doubled */
    real line = FN(fused)(slope, x, offset);
    real y = g * FN(fused)(slope * (2 / twice), x * twice, offset);
    y = line >= 1 ? g : y;
    y = line <= 0 ? R(0) : y;
    return y;
}

/* hard_mish(x) = x min(max(x + 2, 0), 2) / 2, inside x^2 / 2 + x. -0 below -2. The derivative is 0 at -2 and 1 at 0. */
/* ULP: lean 0.5, full 0.5, full without FMA 0.75 */
BODY FN(hard_mish)(real x) {
    real inner = FN(fused)(x * R(0.5), x, x);
    real y = x >= 0 ? x : inner;
    return x <= -2 ? -R(0) : y;
}
/* ULP: lean 3, full 4, full without FMA 5 */
BODY FN(hard_mish_backward)(real g, real x) {
    real inner = g * (x + 1);
    real y = x >= 0 ? g : inner;
    return x <= -2 ? R(0) : y;
}

/* x sigmoid(z + low), which is 0 for z = gone ln2 */
BODY FN(gate_sigmoid)(real x, real z, real low, real gone) {
    real S, r = FN(reduce)(z, low, LIFT(gone), &S);
    real P = FN(exp_poly)(r, -1, TWO_TO(LIFT(gone)));
    return x * S / (S + P);
}
/* d/dz (z sigmoid(z)) = result * *far: S (S + P (1 + z)) / (S + P)^2 */
BODY FN(gate_sigmoid_slope)(real z, real low, int has_low, real *far) {
    real S, r = FN(reduce_far)(z, low, &S, far);
    real l, P = FN(exp_poly_low)(r, -1, 1, &l);
    real u = 1 + z, T = FMA(P, u, S);
    if (has_low) { /* added to the smaller of the two terms, low costs the smaller rounding error */
        int near = z > R(-1.3);
        T = FMA(P, near ? u + low : u, near ? S : FMA(P, low, S));
    }
    return S * T / FMA(P, P, FMA(P, l, S * FMA(R(2), P, S)));
}

/* silu(x) = x sigmoid(x) */
/* ULP: lean 2.4, full 2.3, full without FMA 2.35 */
BODY FN(silu)(real x) {
    real z = FN(at_least)(x, GATE_GONE * LN2);
    real y = FN(gate_sigmoid)(z, z, NO_LOW, GATE_GONE);
    return x <= BY_TYPE(18, 40) ? y : x;
}
#define SLOPE_HIGH BY_TYPE(20.7, 44)
/* ULP: lean 2.8, full 2.8, full without FMA 3.55 */
BODY FN(silu_backward)(real g, real x) {
    real z = FN(at_least)(FN(at_most)(x, SLOPE_HIGH), FAR_LOW);
    real far, y = FN(gate_sigmoid_slope)(z, NO_LOW, 0, &far);
    return FN(product)(g, FN(or_nan)(y, x), far);
}

/* x or -x, by the sign of beta */
BODY FN(flipped)(real x, real beta) {
    FN(word) u = {x}, v = {beta};
    u.bits ^= v.bits & SIGN_BIT;
    return u.number;
}
/* swish(x) = x sigmoid(beta x) = x / (1 + P / S), with u = x or -x, whichever makes beta x = |beta| u. Where S cannot
 * shrink further, the quotient is that of the clamped u, because x may be infinite, times far. */
/* ULP: lean 2.9, full 2.65, full without FMA 2.55 */
BODY FN(swish)(real x, real beta) {
    real scale, b = FN(lift_small)(FN(size)(beta), &scale), top = FN(at_most)(BY_TYPE(18, 40) / b, LARGEST);
    real u = FN(flipped)(x, beta) * scale, m = FN(at_least)(u, -FN(shrunk_end)(b, scale)), z = b * m;
    real far, S, r = FN(reduce_lifted)(z, FN(product_low)(b, m, z), LIFT_OF(scale), &S, &far);
    FN(word) one = {1}, inverse = {S}; /* 1 / S */
    inverse.bits = 2 * one.bits - inverse.bits;
    int shrunk = S < BY_KIND(0x1p-123f, 0x1p-400, 0x1p-1017);
    real y = (shrunk ? FN(flipped)(m, beta) * far : x) / FMA(FN(exp_poly)(r, -1, 1), inverse.number, R(1));
    return u <= top ? y : x; /* 0 times infinity as well: the limit is x */
}
/* The same, and the same bits, for a beta of which neither S nor x S can overflow or underflow before the result. */
#define SWISH_GONE (GATE_GONE - 16)
FR_INLINE int FN(swish_is_usual)(real beta) { return FN(size)(beta) >= R(0x1p-16) && FN(size)(beta) <= R(0x1p16); }
BODY FN(swish_usual)(real x, real beta) {
    const real b = FN(size)(beta), lowest = SWISH_GONE * LN2 / b, top = BY_TYPE(18, 40) / b;
    real u = FN(flipped)(x, beta), m = FN(at_least)(u, lowest), z = b * m;
    real y = FN(gate_sigmoid)(FN(flipped)(m, beta), z, FN(product_low)(b, m, z), SWISH_GONE);
    return u <= top ? y : x;
}
/* ULP: lean 2.95, full 3.2, full without FMA 4.35 */
BODY FN(swish_backward)(real g, real x, real beta) {
    real scale, b = FN(balance)(FN(size)(beta), &scale), u = (beta < 0 ? -x : x) * scale;
    u = FN(at_most)(u, FN(at_most)(SLOPE_HIGH / b, LARGEST));
    u = FN(at_least)(u, -FN(at_most)(-FAR_LOW / b, LARGEST));
    real z = b * u;
    real far, y = FN(gate_sigmoid_slope)(z, FN(product_low)(b, u, z), FR_KIND != FR_WIDE, &far);
    return FN(product)(g, FN(or_nan)(y, x), far);
}
/* x^2 s (1 - s), s = sigmoid(beta x). Computed as v^2 with v = x e^(-z/2) / (1 + e^-z), z = |beta x|, because x^2 and
 * e^-z may overflow or underflow where their product does not. */
BODY FN(swish_by_beta)(real g, real x, real beta) {
    real scale, b = FN(balance)(FN(size)(beta), &scale);
    real a = FN(size_at_most)(x * scale, FN(at_most)(-2 * FAR_LOW / b, LARGEST));
    real z = b * a;
    real far, q = FN(exp_far)(R(-0.5) * z, R(-0.5) * FN(product_low)(b, a, z), &far);
    real root = q * far;
    real size = FN(size_at_most)(x, LARGEST), clamped = a * (1 / scale);
    size = scale < 1 ? size : clamped;
    real v = size * q / FMA(root, root, 1) * far;
    return FN(or_nan)(g * v * v, x);
}

/* quick_gelu(x) = x sigmoid(1.702 x), where 1.702 is the decimal number, not its rounding to the type */
#define QUICK BY_TYPE(0x1.b3b646p+0f, 0x1.b3b645a1cac08p+0)
BODY FN(quick_gelu_low)(real x, real z) {
    real low = FN(product_low)(QUICK, x, z);
#if FR_KIND != FR_WIDE
    low = FMA(BY_TYPE(-0x1.78d4fep-26f, 0x1.89374bc6a7efap-55), x, low);
#endif
    return low;
}
/* ULP: lean 2.5, full 2.3, full without FMA 2.3 */
BODY FN(quick_gelu)(real x) {
    real m = FN(at_least)(x, GATE_GONE * LN2 / QUICK), z = QUICK * m;
    real y = FN(gate_sigmoid)(m, z, FN(quick_gelu_low)(m, z), GATE_GONE);
    return x <= BY_TYPE(11, 24) ? y : x;
}
/* ULP: lean 2.95, full 2.9, full without FMA 4.15 */
BODY FN(quick_gelu_backward)(real g, real x) {
    real m = FN(at_least)(FN(at_most)(x, SLOPE_HIGH / QUICK), FAR_LOW / QUICK), z = QUICK * m;
    real far, y = FN(gate_sigmoid_slope)(z, FN(quick_gelu_low)(m, z), FR_KIND != FR_WIDE, &far);
    return FN(product)(g, FN(or_nan)(y, x), far);
}

/* gelu(x) = x Phi(x) = max(x, 0) - a G(a) e^(-a^2/2), a = |x|, with the scaled tail G(a) = e^(a^2/2) Phi(-a) as a
 * quotient P/Q of polynomials: no cancellation anywhere. Even and odd parts in a^2 halve the latency. In float and
 * double ln2 is one constant: its error times k is proportional to a^2, and the fit of P/Q compensates for it. */
BODY FN(gelu_tail)(real a, real h, real c) {
#if FR_KIND == FR_LEAN
    real p = FMA(POLY1(h, 0x1.b44844p-1f, 0x1.45519ap-4f), a, POLY2(h, 0x1.fp-1f, 0x1.6db19ep-2f, 0x1.08a114p-7f));
    real q = FMA(POLY2(h, 0x1.a00440p+1f * c, 0x1.d48e96p-1f * c, 0x1.4ba926p-6f * c), a,
                 POLY2(h, 0x1.fp+0f * c, 0x1.2b5b00p+1f * c, 0x1.97bfaep-3f * c));
#elif FR_KIND == FR_WIDE
    real p = FMA(POLY2(h, 0x1.2450671352f1bp-1, 0x1.bb22d4266ac6ap-4, 0x1.7ce5234df7617p-9), a,
                 POLY3(h, 0.5, 0x1.480e8a9e15f19p-2, 0x1.7806010f30bcdp-6, 0x1.6dfc30813259ap-13));
    real q = FMA(POLY3(h, 0x1.f09290b258370p+0 * c, 0x1.b821f0b2a5549p-1 * c, 0x1.dadb87b6ef020p-5 * c,
                       0x1.cab1ba980777dp-12 * c),
                 a, POLY3(h, c, 0x1.b03c67183dfbfp+0 * c, 0x1.1d285cabd4a7cp-2 * c, 0x1.dd61aa69bbd4dp-8 * c));
#else
    real p = FMA(POLY4(h, 0x1.a5bd0481da34dp-1, 0x1.68ca29fac9133p-2, 0x1.1d6dc72f9a350p-5, 0x1.07777c64189bfp-10,
                       0x1.becc76f5a47f3p-18),
                 a,
                 POLY5(h, 0.5, 0x1.589d306896edcp-1, 0x1.096dd877b9239p-3, 0x1.c5b4f1d9fc58bp-8, 0x1.ad81e5e172153p-14,
                       0x1.c7d87dc8676b6p-23));
    real q = FMA(POLY5(h, 0x1.38ff97103df3bp+1 * c, 0x1.fad667e5a75edp+0 * c, 0x1.5dea6a2e364abp-2 * c,
                       0x1.2081b58cf2f1fp-6 * c, 0x1.0db6378314a97p-12 * c, 0x1.1da8ae6226fe5p-21 * c),
                 a,
                 POLY5(h, c, 0x1.660b295d11a81p+1 * c, 0x1.ee67b6a878c0ep-1 * c, 0x1.6fea0a54499c9p-4 * c,
                       0x1.4c64dde253c10p-9 * c, 0x1.17fd53a3657d7p-16 * c));
#endif
    return p / q;
}
/* e^(-a b / 2) = 2^k P: returns P, and ROUNDER + k in *shifted; h is a b rounded */
BODY FN(gelu_exp)(real a, real b, real h, real magic, real *shifted) {
    *shifted = FMA(h, R(-0.5 * LOG2E), magic);
    real k = *shifted - magic;
    real r = FN(fused)(k, 2 * LN2, h);
    return FN(exp_poly)(r + FN(product_low)(a, b, h), R(-0.5), 1);
}
/* y 2^k, from ROUNDER + k */
BODY FN(times_power)(real y, real shifted) {
    FN(word) u = {y}, k = {shifted};
    u.bits += k.bits << SHIFT;
    return u.number;
}
/* ULP: lean 5.3, full 6.15, full without FMA 7 */
BODY FN(gelu)(real x) {
    real a = FN(size_at_most)(x, BY_KIND(15.2, 14.6, 39.2)), h = a * a;
    real k, P = FN(gelu_exp)(a, a, h, ROUNDER + BY_TYPE(46, 100), &k);
    real e = FN(times_power)(P, k);
    real m = x < 0 ? -R(0) : x;
    return FMA(-(a * e), FN(gelu_tail)(a, h, BY_TYPE(0x1p46f, 0x1p100)), m);
}
#if FR_KIND == FR_LEAN
/* The same for x with 8 bits, whose square is exact. Rounded to bfloat16, all results are those of gelu: the error is
 * below 2^-15, and next to the middle of two numbers it has the right sign. */
BODY FN(gelu_rough)(real x) {
    const real magic = ROUNDER + 46;
    real a = FN(size_at_most)(x, R(15.2)), h = a * a;
    real shifted = FMA(h, R(-0.5 * LOG2E), magic);
    real r = FMA(shifted - magic, 2 * LN2, h);
    real P = POLY4(r, 1, -0x1.ffec02p-2f, 0x1.00c5c6p-3f, -0x1.5fe92cp-6f, 0x1.4b8acep-9f);
    real p = POLY3(a, 0x1.fp-1f, 0x1.12b614p-1f, 0x1.dd6382p-4f, 0x1.a1cdc4p-18f);
    real q = POLY3(a, 0x1.fp+46f, 0x1.4f3f1cp+47f, 0x1.5a415ap+46f, 0x1.2b20dep+44f);
    real m = x < 0 ? -R(0) : x;
    return FMA(-(a * FN(times_power)(P, shifted)), p / q, m);
}
#endif
/* Phi(x) + x phi(x): W or 1 - W with W = e^(-a^2/2) R(a), R(a) = G(a) - a / sqrt(2 pi) */
BODY FN(gelu_slope)(real a, real h) {
#if FR_KIND == FR_LEAN
    real p = FMA(POLY2(h, -0x1.6ba9f6p-4f, -0x1.42469cp-2f, -0x1.6fd294p-7f), a,
                 POLY2(h, 0.5f, -0x1.e4724ap-2f, -0x1.798414p-4f));
    real q = FMA(POLY1(h, 0x1.6b0f0cp+0f, 0x1.d926e8p-3f), a, POLY2(h, 1.f, 0x1.a245eep-1f, 0x1.ccff42p-6f));
#elif FR_KIND == FR_WIDE
    real p =
        FMA(POLY3(h, 0x1.105588a0bd18bp-4, -0x1.dcbc7eef299b8p-2, -0x1.d1b6e42207d74p-5, -0x1.3227966deef83p-11), a,
            POLY3(h, 0x1.fffffffffa67ap-2, -0x1.e5fff09e91679p-2, -0x1.b81fac9acb19fp-3, -0x1.175f68914ec84p-7));
    real q = FMA(POLY2(h, 0x1.ba8f045024929p+0, 0x1.1ebfef1e755d5p-1, 0x1.5e244be0144afp-6), a,
                 POLY3(h, 1, 0x1.4f38b84b64d03p+0, 0x1.26d73b41dd051p-3, 0x1.7fb53ae3c1cc2p-10));
#else
    real p = FMA(POLY5(h, 0x1.4c9e061774c58p-2, -0x1.62a83fc49a11ap-1, -0x1.e896f2a979b4ap-3, -0x1.1719fdd226be3p-6,
                       -0x1.35a53955a9a12p-12, -0x1.2ccab391a7077p-21),
                 a,
                 POLY6(h, 0.5, -0x1.7ea7edc41349ep-2, -0x1.08a10a5f810b7p-1, -0x1.35cd85f0c03cfp-4,
                       -0x1.64435c365ce66p-9, -0x1.48f51b74bf7a4p-16, 0x1.bdcc53f58e673p-28));
    real q = FMA(POLY5(h, 0x1.1f69ab247ee3ep+1, 0x1.7c393f7a075c0p+0, 0x1.923bce869f8b0p-3, 0x1.c1bb08e6abb95p-8,
                       0x1.9c268ebb2d6b9p-15, -0x1.175cd11b7917ep-26),
                 a,
                 POLY5(h, 1, 0x1.2afafd416e8f4p+1, 0x1.480acdd6a1243p-1, 0x1.63dd9dc39709ap-5, 0x1.84d1bb7b9d16dp-11,
                       0x1.78fc9307231efp-20));
#endif
    return p / q;
}
/* ULP: lean 5.4, full 6.35, full without FMA 6.95 */
BODY FN(gelu_backward)(real g, real x) {
    real a = FN(size_at_most)(x, BY_KIND(18.655, 20.2, 53.194)), h = a * a;
    real k, P = FN(gelu_exp)(a, a, h, ROUNDER + BIAS, &k);
    real far, w = P * FN(near_and_far)(k, &far) * FN(gelu_slope)(a, h);
    /* for x > 0 W only matters while far is 1 */
    real y = x < 0 ? w : 1 - w;
    return FN(product)(g, FN(or_nan)(y, x), x < 0 ? far : R(1));
}

/* erf(x) = 1 - e^z for x > 0, z = log(erfc(x)) = c x + x^2 L(x), c = -2 / sqrt(pi). Near 0 the line c x is all of it,
 * and its rounding error is added. Where erfc is small, an error of L matters no more. */
BODY FN(erf_log)(real a, real w) {
#if FR_KIND == FR_LEAN
    return FMA(POLY3(w, -0x1.a4f94cp-4f, 0x1.5cda6ap-13f, 0x1.4d52bep-11f, 0x1.396934p-17f), a,
               POLY3(w, -0x1.45f2fep-1f, 0x1.39bf42p-6f, -0x1.b67908p-10f, -0x1.f0b7a2p-14f));
#elif FR_KIND == FR_WIDE
    return FMA(POLY6(w, -0x1.a4f4e33681ad2p-4, 0x1.b6219c08a291cp-13, 0x1.334f9fec0922bp-11, -0x1.419298875f271p-14,
                     -0x1.c63d016f02f32p-17, -0x1.a6a18e65af93fp-22, -0x1.527edde590db2p-30),
               a,
               POLY6(w, -0x1.45f306dc35c6bp-1, 0x1.3966aacb2ce38p-6, -0x1.bc4ebfc6cddc8p-10, -0x1.2783db7baa88ap-16,
                     0x1.666470ad186bdp-15, 0x1.7dcb14d0e572fp-19, 0x1.186acf0dc8729p-25));
#else
    real p =
        FMA(POLY3(w, -0x1.2a7216047e106p+0, -0x1.031c0153d7e03p-1, -0x1.fce3372b39f83p-6, -0x1.eeb8ccc5092cfp-14), a,
            POLY3(w, -0x1.45f306dc9c887p-1, -0x1.ff4b78c236cf3p-1, -0x1.48c785a9bf10cp-3, -0x1.a657f22e38accp-9));
    real q = FMA(POLY3(w, 0x1.ab7852bc4a2d0p+0, 0x1.4301d19f2652cp-1, 0x1.18df52e5ee844p-5, 0x1.eecf67d75b1e0p-14), a,
                 POLY3(w, 1, 0x1.5440e2f22cfa1p+0, 0x1.8152961057021p-3, 0x1.b778cee30268cp-9));
    return p / q;
#endif
}
/* ULP: lean 1.85, full 2, full without FMA 1.9 */
BODY FN(erf)(real x) {
    const real c = BY_TYPE(-0x1.20dd76p+0f, -0x1.20dd750429b6dp+0);
    real a = FN(size_at_most)(x, BY_TYPE(4, 6)), w = a * a, line = c * a;
    real low = FN(product_low)(c, a, line);
#if FR_KIND != FR_WIDE
    low = FMA(BY_TYPE(0x1.f7ac92p-25f, -0x1.1ae3a914fed80p-56), a, low);
#endif
    real z = line + FMA(w, FN(erf_log)(a, w), low);
    real y = FN(size)(FN(expm1_below)(z, NO_LOW));
    return FN(or_nan)(FN(with_sign)(y, x), x);
}
/* 2 / sqrt(pi) e^(-x^2) */
/* ULP: lean 2, full 2, full without FMA 2.2 */
BODY FN(erf_backward)(real g, real x) {
    real a = FN(size_at_most)(x, BY_KIND(13.19, 17.3, 37.61)), h = a * a;
    real far, e = FN(exp_far)(-h, -FN(product_low)(a, a, h), &far);
    return FN(product)(g, FN(or_nan)(FMA(e, R(0x1.06eba8214db69p-3), e), x), far);
}

/* gelu_tanh(x) = x / 2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(v). v log2(e) = x (C1 + C2 x^2) is kept as
 * x (w + wl): the rounding error of w would be multiplied by |v|. */
BODY FN(gelu_tanh_reduce)(real x, real h, real magic, real *shifted) {
#if FR_KIND == FR_WIDE
    real w = FMA(R(0x1.a5a7cf7572a98p-4), h, R(0x1.26aec21bce759p+1));
    *shifted = FMA(x, w, magic);
    return FMA(x, w, -(*shifted - magic));
#else
    const real c1 = BY_TYPE(0x1.26aep+1f, 0x1.26aec21bce000p+1),
               c1_low = BY_TYPE(0x1.84379cp-16f, 0x1.d652ed2859b43p-41);
    const real c2 = BY_TYPE(0x1.a5a7dp-4f, 0x1.a5a7cf7572a98p-4),
               c2_low = BY_TYPE(-0x1.151aaep-29f, -0x1.b91c940e4cfcfp-58);
    real h_low = FN(fused)(x, x, -h);
    real w = FMA(c2, h, c1), d = w - c1;
    real low = FN(fused)(c2, h, -d);
    low = FMA(c2_low, h, low + c1_low);
    low = FMA(c2, h_low, low);
    *shifted = FMA(x, w, magic);
    return FMA(x, low, FN(fused)(x, w, -(*shifted - magic)));
#endif
}
/* ULP: lean 2.35, full 2.25, full without FMA 2.35 */
BODY FN(gelu_tanh)(real x) {
    real z = FN(at_least)(FN(at_most)(x, BY_TYPE(6, 9)), BY_TYPE(-11, -22));
    real k, r = FN(gelu_tanh_reduce)(z, z * z, ROUNDER + BIAS + BY_TYPE(40, 140), &k);
    real S = FN(power)(k), P = FN(exp2_minus)(r, BY_TYPE(0x1p40f, 0x1p140));
    real y = z * S / (S + P);
    return x <= BY_TYPE(6, 9) ? y : x;
}
/* ULP: lean 5.4, full 5.2, full without FMA 5.7 */
BODY FN(gelu_tanh_backward)(real g, real x) {
    real z = FN(at_least)(FN(at_most)(x, BY_TYPE(5.5, 9)), BY_KIND(-12.906, -13.65, -26.79)), h = z * z;
    real k, r = FN(gelu_tanh_reduce)(z, h, ROUNDER + BIAS, &k);
    real far, S = FN(near_and_far)(k, &far), P = FN(exp2_minus)(r, 1);
    real u = POLY1(h, 0x1.9884533d43651p+0, 0x1.b6676bf7450f0p-3); /* dv/dx */
    real T = FMA(P, FMA(z, u, R(1)), S);
    real y = S * T / FMA(P, P, S * FMA(R(2), P, S));
    return FN(product)(g, FN(or_nan)(y, x), far);
}

/* mish(x) = x tanh(log(1 + e^x)) = x n / (n + 2 P^2), n = S (S + 2 P) */
#define MISH_GONE BY_KIND(-158, -1066, -1086) /* as GATE_GONE, but P^2 has to stay normal */
/* ULP: lean 2.9, full 2.9, full without FMA 3.9 */
BODY FN(mish)(real x) {
    real z = FN(at_least)(x, MISH_GONE * LN2);
    real S, r = FN(reduce)(z, NO_LOW, LIFT(MISH_GONE), &S);
    real low, P = FN(exp_poly_low)(r, -1, TWO_TO(LIFT(MISH_GONE)), &low), P2 = P + P;
    real w = z * S, n = S * (S + P2); /* products with S are exact */
    real top = x < 0 ? FMA(w, P2, w * S) : z * n;
    real y = top / FMA(P2, P, FMA(P2, low, n));
    return x <= BY_TYPE(12, 24) ? y : x;
}
/* ULP: lean 4.8, full 4.25, full without FMA 5 */
BODY FN(mish_backward)(real g, real x) {
    real z = FN(at_least)(FN(at_most)(x, BY_TYPE(12, 24)), FAR_LOW);
    real far, E = FN(exp_far)(z, NO_LOW, &far);
    real u = FMA(R(4), z, R(4)), v = FMA(R(4), z, R(6));
    real e2 = E + 2, d = FMA(E * e2, FMA(E, e2, R(4)), R(4));
    real falling = E * FMA(FMA(E + 4, E, v), E, u);
    real rising = FMA(FMA(FMA(R(-4), z, R(2)), E, FMA(R(-4), z, R(4))), E, R(4));
    real t = (x < 0 ? falling : -rising) / d;
    real y = x < 0 ? t : 1 + t;
    return FN(product)(g, FN(or_nan)(y, x), far);
}

/* dish(x) = x / 2 (1 + x / s), s = sqrt(1 + x^2); below -1/2, where that cancels, -|x| / 2 / (s^2 + |x| s). A very
 * large x is scaled down: there s is |x|. */
/* ULP: lean 2.8, full 2.9, full without FMA 3.2 */
BODY FN(dish)(real x) {
    int left = x<R(-0.5), huge = FN(size)(x)> BY_KIND(0x1p30f, INFINITY, 0x1p250);
    real c = huge ? BY_KIND(0x1p-66f, 1, 0x1p-522) : R(1), one = huge ? BY_KIND(0x1p-120f, 1, 0x1p-1000) : R(1);
    real a = FN(at_most)(FN(size)(x) * c, BY_TYPE(0x1p62f, 0x1p502)), v = FMA(a, a, one), s = FN(root)(v);
    real q = a / (left ? FMA(a, s, v) : s), half = R(0.5) * x;
    real y = left ? R(-0.5) * c * q : FMA(half, FN(with_sign)(q, x), half);
    return FN(with_sign)(x < -LARGEST ? R(0) : FN(size)(y), x); /* half of the smallest number is 0 */
}
/* (1 + u) (1 + u - u^2) / 2, u = x / s. With a = |x| and v = s^2, that is b = (1 - a s) / (2 v (v + a s)) for x < 0,
 * and 1 - b otherwise. The rounding errors of all parts count; h, about 1 / (2 v), is exact enough for them. If a is
 * large, b is -(1 / (2 a))^2. */
/* ULP: lean 2.8, full 2.9, full without FMA 3 */
BODY FN(dish_backward)(real g, real x) {
    real size = FN(size)(x), a = FN(at_most)(size, BY_TYPE(0x1p13f, 0x1p28));
    int far = x < -BY_TYPE(0x1p13f, 0x1p28);
    real w = a * a, high = FN(not_below)(w, 1), v = FMA(a, a, 1), s = FN(root)(v), p = a * s, n = 1 - p, m = v + p,
         d = v * m;
    FN(word) half = {R(0.5)}, one = {1}, h = {v};
    h.bits = half.bits + one.bits - h.bits;
    real v_low = (high - v) + FN(at_most)(w, 1) + FN(product_low)(a, a, w);
    real p_low = FMA(p, h.number * (v_low - FN(product_low)(s, s, v)), FN(product_low)(a, s, p));
    real error = h.number * FMA(h.number + h.number, FN(product_low)(v, m, d), FMA(R(3), v_low, p_low + ((v - m) + p)));
    n = n + (((1 - n) - p) - FMA(error, n, p_low));
    real q = (far ? R(1) : n) / (far ? size : d);
    real b = R(0.5) * q, up = 1 - b;
    return FN(or_nan)((far ? -(g * b) : g) * (x < 0 ? b : up), x);
}

#else /* the same formulas on pairs of doubles: hilo.h */

#define HL_NO_LIFT ((hl_lift){1, 1, 0})
/* x sigmoid(z) */
BODY hl_gated(real x, hl_pair z, hl_lift f) {
    hl_scaled s = hl_sigmoid(z);
    real y = hl_raise(f.down, hl_round(hl_mul1(hl_of(s), hl_finite(x) * f.up)), s.k);
    y = hl_abs(z.hi) < 0x1p-60 ? 0.5 * x : y;
    y = z.hi > 40 ? x : y;
    return y;
}
/* g times the derivative of x sigmoid(z(x)) / z' or the like: z and w as in hl_gate_slope */
BODY hl_silu_slope(real g, hl_pair z) {
    hl_scaled s = hl_gate_slope(z, z);
    hl_pair d = hl_from_zero(z, HL_SILU_ZERO);
    real c = hl_crossing(d, HL_SILU_SLOPE, hl_silu_crossing(d.hi));
    int near = hl_abs(d.hi) < 0x1p-5;
    return hl_raise(g, near ? c : hl_round(hl_of(s)), near ? 0.0 : s.k);
}
/* ULP: 0.85 */
BODY FN(silu)(real x) {
    hl_pair z = hl_clamped(x, -1500, 1500);
    real y = hl_gated(z.hi, z, HL_NO_LIFT);
    return x > 40 ? x : y;
}
/* ULP: 0.9 */
BODY FN(silu_backward)(real g, real x) { return hl_silu_slope(g, hl_clamped(x, -1500, 1500)); }

/* its derivative is that of silu at beta x */
/* ULP: 0.9 */
BODY FN(swish)(real x, real beta) { return hl_gated(x, hl_argument(beta, x), hl_lift_of(x)); }
/* ULP: 0.9 */
BODY FN(swish_backward)(real g, real x, real beta) {
    real y = hl_silu_slope(g, hl_argument(beta, x));
    return x == x ? y : x; /* beta = 0 would hide a NaN */
}
/* x^2 e / (1 + e)^2 for e = exp(-|beta x|) = q^2, in factors because x^2 may be as large as e is small */
BODY FN(swish_by_beta)(real g, real x, real beta) {
    hl_lift f = hl_lift_of(x);
    hl_scaled q = hl_exp(hl_minus_abs(hl_argument(beta, 0.5 * x)));
    hl_pair e = hl_mul(hl_of(q), hl_of(q));
    hl_pair d = hl_add(hl_make(1, 0), hl_value(hl_at(e, q.k + q.k)));
    real a = hl_finite(x) * f.up;
    hl_pair v = hl_mul1(hl_mul1(hl_div(e, hl_mul(d, d)), a), a);
    real y = hl_raise_far(g, hl_round(v), 2 * (q.k - f.k));
    return x == x ? y : x; /* beta = 0 would hide a NaN */
}

#define HL_QUICK 0x1.b3b645a1cac08p+0, 0x1.89374bc6a7efap-55 /* 1.702 */
/* ULP: 0.9 */
BODY FN(quick_gelu)(real x) {
    hl_pair z = hl_clamped(x, -800, 800);
    real y = hl_gated(z.hi, hl_mul1(hl_make(HL_QUICK), z.hi), HL_NO_LIFT);
    return x > 40 ? x : y;
}
/* ULP: 0.85 */
BODY FN(quick_gelu_backward)(real g, real x) {
    return hl_silu_slope(g, hl_mul1(hl_make(HL_QUICK), hl_clamped(x, -881, 881).hi));
}

/* The Gaussian tail: Phi(-a) = F / (a + 1) m 2^k for a in [1, 54.7], m 2^k = e^(-a^2/2) */
typedef struct {
    hl_pair F, d; /* d = a + 1 */
    real r;       /* about 1 / d */
    hl_scaled m;
} hl_gauss_parts;
HL_INLINE hl_gauss_parts hl_gauss(real a) {
    hl_gauss_parts h;
    hl_pair d5 = hl_sum(5, a);
    h.d = hl_sum(1, a);
    real both = 1 / (h.d.hi * d5.hi); /* one division computes two quotients */
    h.r = both * d5.hi;
    hl_pair u = hl_div_by(hl_make(a + a, 0), d5, both * h.d.hi);
    hl_pair t = hl_sum(u.hi, -1);
    t = hl_fast(t.hi, t.lo + u.lo);
    hl_pair p = hl_add_any(hl_make(HL_GAUSS_2), hl_mul1(t, hl_gauss_tail(t.hi)));
    p = hl_add_any(hl_make(HL_GAUSS_1), hl_mul(t, p));
    h.F = hl_add_any(hl_make(HL_GAUSS_0), hl_mul(t, p));
    hl_pair q = hl_prod(a, a);
    h.m = hl_exp(hl_times2(q, -0.5));
    return h;
}
#define HL_C0 0x1.9884533d43651p-2, -0x1.cbc0d30ebfd15p-56   /* 1 / sqrt(2 pi) */
/* (Phi(a) - 1/2) / a for a in [0, 1] */
HL_PAIR hl_gauss_slope(real a) {
    hl_pair w = hl_prod(a, a);
    hl_pair p = hl_add(hl_make(HL_CENTER_1), hl_mul1(w, hl_gauss_center(w.hi)));
    return hl_add(hl_make(HL_CENTER_0), hl_mul(w, p));
}
/* ULP: 0.85 */
BODY FN(gelu)(real x) {
    int neg = x < 0;
    real a = hl_abs(x);
    a = a > 40 ? 40.0 : a;
    hl_gauss_parts h = hl_gauss(a);
    hl_pair q = hl_div_by(hl_mul(h.F, hl_of(h.m)), h.d, h.r);
    hl_pair w = hl_value(hl_at(q, h.m.k));
    hl_pair P = hl_if(neg, q, hl_add(hl_make(1, 0), hl_neg(w)));
    hl_pair half = hl_mul1(hl_gauss_slope(a), neg ? -a : a);
    P = hl_if(a < 1, hl_add(hl_make(0.5, 0), half), P);
    real k = neg ? h.m.k : 0.0;
    real y = hl_scale(hl_round(hl_mul1(P, a)), a < 1 ? 0.0 : k);
    y = a < 0x1p-60 ? 0.5 * x : hl_signed(y, x);
    return x <= 9 ? y : x;
}
/* Phi(x) + x phi(x): W for x < 0, 1 - W otherwise, W = m (F - c a (a + 1)) / (a + 1), c = 1 / sqrt(2 pi);
 * 1/2 + x (slope + c e^(-x^2/2)) in the middle */
/* ULP: 0.85 */
BODY FN(gelu_backward)(real g, real x) {
    int neg = x < 0;
    real a = hl_abs(x);
    a = a > 54.7 ? 54.7 : a;
    hl_gauss_parts h = hl_gauss(a);
    hl_pair c = hl_mul1(hl_mul(hl_make(HL_C0), h.d), a);
    hl_pair n = hl_add_any(h.F, hl_neg(c));
    hl_pair q = hl_div_by(hl_mul(n, hl_of(h.m)), h.d, h.r);
    hl_pair w = hl_value(hl_at(q, h.m.k));
    w = hl_if(neg, q, hl_add(hl_make(1, 0), hl_neg(w)));
    hl_pair half = hl_add(hl_gauss_slope(a), hl_mul(hl_make(HL_C0), hl_value(h.m)));
    half = hl_mul1(half, neg ? -a : a);
    real v = hl_round(hl_if(a < 1, hl_add_any(hl_make(0.5, 0), half), w));
    hl_pair d = hl_from_zero(hl_make(x, 0), HL_GELU_ZERO);
    real z = hl_crossing(d, HL_GELU_SLOPE, hl_gelu_crossing(d.hi));
    int near = hl_abs(d.hi) < 0x1p-4;
    real k = neg ? h.m.k : 0.0;
    return hl_raise(g, near ? z : v, a < 1 ? 0.0 : k);
}

#define HL_ROOT_2 0x1.6a09e667f3bcdp+0, -0x1.bdd3413b26456p-54
#define HL_ERF 0x1.20dd750429b6dp+0, 0x1.1ae3a914fed80p-56 /* 2 / sqrt(pi) */
/* Phi(a + d) - Phi(-a - d), a + d = sqrt(2) |x|, by the value at a and the derivative */
/* ULP: 0.85 */
BODY FN(erf)(real x) {
    real b = hl_abs(x);
    b = b > 6 ? 6.0 : b;
    hl_pair A = hl_mul1(hl_make(HL_ROOT_2), b);
    real a = A.hi;
    hl_gauss_parts h = hl_gauss(a);
    hl_pair q = hl_div_by(hl_mul(h.F, hl_of(h.m)), h.d, h.r);
    hl_pair tail = hl_add(hl_make(1, 0), hl_times2(hl_value(hl_at(q, h.m.k)), -2));
    hl_pair v = hl_if(a < 1, hl_mul1(hl_gauss_slope(a), a + a), tail);
    v.lo = v.lo + A.lo * (2 * hl_make(HL_C0).hi * hl_value(h.m).hi);
    real tiny = hl_round(hl_mul1(hl_make(HL_ERF), b * 0x1p600)) * 0x1p-600;
    return hl_signed(b < 0x1p-300 ? tiny : hl_round(v), x);
}
/* ULP: 0.85 */
BODY FN(erf_backward)(real g, real x) {
    real b = hl_abs(x);
    b = b > 38.7 ? 38.7 : b;
    hl_scaled m = hl_exp(hl_neg(hl_prod(b, b)));
    return hl_raise(g, hl_round(hl_mul(hl_of(m), hl_make(HL_ERF))), m.k);
}

/* gelu_tanh(x) = x sigmoid(2 u), 2 u = C1 x + C2 x^3, C1 = 2 sqrt(2/pi), C2 = 0.044715 C1 */
#define HL_C1 0x1.9884533d43651p+0, -0x1.cbc0d30ebfd15p-54
#define HL_C2 0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c70p-61
#define HL_3C2 0x1.b6676bf7450f0p-3, 0x1.bba7351828aabp-57
/* ULP: 0.85 */
BODY FN(gelu_tanh)(real x) {
    real c = hl_clamped(x, -27.3, 27.3).hi;
    hl_pair z = hl_mul1(hl_add_any(hl_make(HL_C1), hl_mul(hl_make(HL_C2), hl_prod(c, c))), c);
    real y = hl_gated(c, z, HL_NO_LIFT);
    return x > 9 ? x : y;
}
/* s + s (1 - s) w, s = sigmoid(2 u), w = C1 x + 3 C2 x^3 */
/* ULP: 0.85 */
BODY FN(gelu_tanh_backward)(real g, real x) {
    real c = hl_clamped(x, -27.3, 27.3).hi;
    hl_pair q = hl_prod(c, c);
    hl_pair z = hl_mul1(hl_add_any(hl_make(HL_C1), hl_mul(hl_make(HL_C2), q)), c);
    hl_pair w = hl_mul1(hl_add_any(hl_make(HL_C1), hl_mul(hl_make(HL_3C2), q)), c);
    hl_scaled s = hl_gate_slope(z, w);
    hl_pair d = hl_from_zero(hl_make(x, 0), HL_GELU_TANH_ZERO);
    real v = hl_crossing(d, HL_GELU_TANH_SLOPE, hl_gelu_tanh_crossing(d.hi));
    int near = hl_abs(d.hi) < 0x1p-5;
    return hl_raise(g, near ? v : hl_round(hl_of(s)), near ? 0.0 : s.k);
}

/* mish(x) = x n / d with e = exp(-|x|):
 * x < 0: n = e (2 + e), d = 2 + 2 e + e^2; otherwise n = 1 + 2 e, d = 1 + 2 e + 2 e^2 */
HL_PAIR hl_mish_den(int neg, hl_pair e) {
    hl_pair s = hl_add(hl_make(neg ? 2.0 : 1.0, 0), hl_times2(e, 2));
    return hl_add(s, hl_times2(hl_mul(e, e), neg ? 1.0 : 2.0));
}
/* ULP: 0.85 */
BODY FN(mish)(real x) {
    int neg = x < 0;
    real c = hl_clamped(x, -1500, 1500).hi, f = hl_abs(x) < 0x1p-500 ? 0x1p600 : 1.0;
    hl_scaled m = hl_exp(hl_make(-hl_abs(c), 0));
    hl_pair e = hl_value(m), d = hl_mish_den(neg, e);
    hl_pair n = hl_add(hl_make(neg ? 2.0 : 1.0, 0), hl_times2(e, neg ? 1.0 : 2.0));
    n = hl_mul(n, hl_if(neg, hl_of(m), hl_make(1, 0)));
    hl_pair q = hl_mul1(hl_div(n, d), c * f);
    real y = hl_signed(hl_raise(f == 1 ? 1.0 : 0x1p-600, hl_round(q), neg ? m.k : 0.0), x);
    return x <= 20 ? y : x;
}
/* With a = |x|, e = exp(-a), d as above:
 * x < 0: e (4 (1 - a) + (6 - 4 a) e + 4 e^2 + e^3) / d^2; otherwise (1 + 4 e + (4 a + 6) e^2 + 4 (a + 1) e^3) / d^2 */
/* ULP: 0.9 */
BODY FN(mish_backward)(real g, real x) {
    int neg = x < 0;
    real a = hl_abs(hl_clamped(x, -1500, 1500).hi), a4 = neg ? -4 * a : 4 * a;
    hl_scaled m = hl_exp(hl_make(-a, 0));
    hl_pair e = hl_value(m), d = hl_mish_den(neg, e);
    hl_pair s4 = hl_sum(a4, 4), s6 = hl_sum(a4, 6);
    hl_pair t = hl_add_any(hl_if(neg, hl_make(4, 0), s6), hl_mul(e, hl_if(neg, hl_make(1, 0), s4)));
    t = hl_add_any(hl_if(neg, s6, hl_make(4, 0)), hl_mul(e, t));
    t = hl_add_any(hl_if(neg, s4, hl_make(1, 0)), hl_mul(e, t));
    t = hl_mul(t, hl_if(neg, hl_of(m), hl_make(1, 0)));
    real v = hl_round(hl_div(t, hl_mul(d, d)));
    hl_pair o = hl_from_zero(hl_make(x, 0), HL_MISH_ZERO);
    real z = hl_crossing(o, HL_MISH_SLOPE, hl_mish_crossing(o.hi));
    int near = hl_abs(o.hi) < 0x1p-5;
    return hl_raise(g, near ? z : v, (neg & !near) ? m.k : 0.0);
}

#define HL_SIXTH hl_make(0x1.5555555555555p-3, 0x1.5555555555555p-57)
/* ULP: 0.55 */
BODY FN(hard_swish)(real x) {
    real inner = hl_round(hl_mul(hl_mul1(hl_sum(x, 3), x), HL_SIXTH));
    inner = hl_abs(x) < 0x1p-900 ? 0.5 * x : inner; /* the products' errors would underflow */
    real y = x >= 3 ? x : inner;
    return x <= -3 ? -0.0 : y;
}
/* (2 x + 3) / 6 */
/* ULP: 0.5 */
BODY FN(hard_swish_backward)(real g, real x) {
    real inner = g * hl_round(hl_mul(hl_sum(x + x, 3), HL_SIXTH));
    real y = x >= 3 ? g : inner;
    return x <= -3 ? 0.0 : y;
}

/* x min(max(slope x + offset, 0), 1). A comparison with x, because GCC does not vectorize a select by parameters. */
/* ULP: 0.85 */
BODY FN(hard_swish_line)(real x, real slope, real offset) {
    hl_scaled m = hl_split(hl_finite(x)), line = hl_line(m, slope, offset);
    real y = hl_raise_far(1, hl_round(hl_mul1(hl_of(line), m.hi)), line.k + m.k),
         rough = hl_raise_far(1, hl_round(hl_of(line)), line.k);
    y = ((rough >= 1) | (x > 0x1.fffffffffffffp1023)) ? x : y;
    y = hl_signed((x < -0x1.fffffffffffffp1023) | ((rough <= 0) & (x <= 0x1.fffffffffffffp1023)) ? 0.0 : y, x);
    y = x == x ? y : x;
    return x <= (IS_SIXTH(slope, offset) ? INFINITY : NAN) ? FN(hard_swish)(x) : y;
}
/* ULP: 0.85 */
BODY FN(hard_swish_line_backward)(real g, real x, real slope, real offset) {
    hl_scaled m = hl_split(hl_finite(x)), line = hl_line(m, slope, offset);
    m.hi = m.hi + m.hi;
    hl_scaled twice = hl_line(m, slope, offset);
    real y = hl_raise_far(g, hl_round(hl_of(twice)), twice.k);
    real rough = hl_raise_far(1, hl_round(hl_of(line)), line.k);
    y = ((rough >= 1) | (x > 0x1.fffffffffffffp1023)) ? g : y;
    y = (x < -0x1.fffffffffffffp1023) | ((rough <= 0) & (x <= 0x1.fffffffffffffp1023)) ? 0.0 : y;
    y = x == x ? y : x;
    return x <= (IS_SIXTH(slope, offset) ? INFINITY : NAN) ? FN(hard_swish_backward)(g, x) : y;
}

/* a, 1 + a^2 and its root */
typedef struct {
    hl_pair w, v, s; /* a^2, 1 + a^2, sqrt(1 + a^2) */
} hl_dish_parts;
HL_INLINE hl_dish_parts hl_dish(real a) {
    hl_dish_parts h;
    h.w = hl_prod(a, a);
    h.v = hl_add_any(hl_make(1, 0), h.w);
    real r = FR_SQRT(h.v.hi);
    h.s = hl_fast(r, (hl_residual(h.v.hi, r, r) + h.v.lo) / (r + r));
    return h;
}
/* ULP: 0.85 */
BODY FN(dish)(real x) {
    real size = hl_abs(x), a = size > 0x1p60 ? 0x1p60 : size;
    hl_dish_parts h = hl_dish(a);
    hl_pair sum = hl_add(h.s, hl_make(a, 0));
    hl_pair d = hl_if(x < 0, hl_mul(h.s, sum), h.s), n = hl_if(x < 0, hl_make(1, 0), sum);
    real y = 0.5 * hl_round(hl_mul1(hl_div(n, d), x < 0 ? -a : a));
    real far = x < 0 ? -0.25 / size : x;
    y = a < 0x1p-60 ? 0.5 * x : y;
    return size < 0x1p60 ? y : far;
}
/* ULP: 1.1 */
BODY FN(dish_backward)(real g, real x) {
    real size = hl_abs(x), a = size > 0x1p60 ? 0x1p60 : size;
    hl_dish_parts h = hl_dish(a);
    hl_pair t = hl_mul(h.s, h.v), one = hl_make(1, 0);
    hl_pair n = hl_add_any(one, hl_neg(hl_mul(h.w, h.v)));
    hl_pair d = hl_mul(t, hl_add(t, hl_mul1(hl_add_any(hl_make(2, 0), h.w), a)));
    hl_pair u = hl_div(hl_make(a, 0), h.s);
    hl_pair right = hl_mul(hl_add(one, u), hl_add(one, hl_mul(u, hl_add(one, hl_neg(u)))));
    real y = 0.5 * hl_round(hl_if(x < 0, hl_div(n, d), right));
    hl_scaled m = hl_split(hl_finite(size));
    real far = hl_raise(g, hl_round(hl_div(hl_make(-0.25, 0), hl_prod(m.hi, m.hi))), -2 * m.k);
    y = g * y;
    far = x < 0 ? far : g;
    return size > 0x1p60 ? far : y;
}

#endif
