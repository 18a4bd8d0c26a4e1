/* Bodies of "accurate" float64: unevaluated sums of two doubles where a single double is not precise enough.
 *
 * A number is a pair hi + lo, or such a pair times 2^k with the power applied last, so that a result is rounded once
 * (twice if it is subnormal). Sums, products and quotients of pairs are good to about 2^-100; the results are limited
 * by the plain arithmetic in the tails of the series below, about 2^-58. A fused multiply-add occurs only where its
 * result is exact or the same without it, so every machine gives the same bits.
 *
 * "max" is the largest error found by sampling, in ULP of the result with grad = 1; the limit is 1.1. The coefficients
 * come from tools/fit_hilo.py, which also checks them. */

/* ---- Pairs ---- */

typedef struct {
    real hi, lo;
} hl_pair;

typedef struct {
    real hi, lo, k; /* (hi + lo) 2^k, k a whole number */
} hl_scaled;

#if defined(_MSC_VER) && !defined(__clang__)
#define HL_INLINE static __forceinline
#else
#define HL_INLINE static inline __attribute__((always_inline, unused))
#endif
#define HL_PAIR HL_INLINE hl_pair
#define HL_SCALED HL_INLINE hl_scaled

HL_PAIR hl_make(real hi, real lo) {
    hl_pair r = {hi, lo};
    return r;
}
HL_SCALED hl_at(hl_pair v, real k) {
    hl_scaled r = {v.hi, v.lo, k};
    return r;
}
HL_PAIR hl_of(hl_scaled v) { return hl_make(v.hi, v.lo); }

/* a + b, exact; |a| >= |b| or a = 0 */
HL_PAIR hl_fast(real a, real b) {
    real s = a + b;
    return hl_make(s, b - (s - a));
}
/* a + b, exact */
HL_PAIR hl_sum(real a, real b) {
    hl_pair r;
    r.hi = fr_two_sum(a, b, &r.lo);
    return r;
}
/* a * b, exact while 2^-960 < |a b| and, without FMA, |a|, |b| < 2^990 */
HL_PAIR hl_prod(real a, real b) {
    real p = a * b;
#if FR_HAS_FMA
    return hl_make(p, FR_FMA(a, b, -p));
#else
    real c = 134217729 * a, d = 134217729 * b; /* Dekker: halves of 26 bits */
    real ah = c - (c - a), al = a - ah, bh = d - (d - b), bl = b - bh;
    return hl_make(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl);
#endif
}
/* n - q d, rounded once; q within 2 ULP of n / d, so that n - round(q d) is exact */
BODY hl_residual(real n, real q, real d) {
#if FR_HAS_FMA
    return FR_FMA(-q, d, n);
#else
    hl_pair p = hl_prod(q, d);
    return (n - p.hi) - p.lo;
#endif
}
HL_PAIR hl_neg(hl_pair a) { return hl_make(-a.hi, -a.lo); }
/* times a power of two */
HL_PAIR hl_times2(hl_pair a, real s) { return hl_make(a.hi * s, a.lo * s); }
/* a + b with |a| >= |b|, no cancellation */
HL_PAIR hl_add(hl_pair a, hl_pair b) {
    hl_pair s = hl_fast(a.hi, b.hi);
    return hl_make(s.hi, s.lo + (a.lo + b.lo));
}
/* a + b, any two */
HL_PAIR hl_add_any(hl_pair a, hl_pair b) {
    hl_pair s = hl_sum(a.hi, b.hi);
    return hl_make(s.hi, s.lo + (a.lo + b.lo));
}
HL_PAIR hl_mul(hl_pair a, hl_pair b) {
    hl_pair p = hl_prod(a.hi, b.hi);
    return hl_make(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}
HL_PAIR hl_mul1(hl_pair a, real b) {
    hl_pair p = hl_prod(a.hi, b);
    return hl_make(p.hi, p.lo + a.lo * b);
}
/* n / d, given about 1 / d.hi */
HL_PAIR hl_div_by(hl_pair n, hl_pair d, real r) {
    real q = n.hi * r;
    real e = hl_residual(n.hi, q, d.hi) + (n.lo - q * d.lo);
    return hl_make(q, e * r);
}
HL_PAIR hl_div(hl_pair n, hl_pair d) { return hl_div_by(n, d, 1 / d.hi); }
HL_PAIR hl_if(int c, hl_pair a, hl_pair b) { return hl_make(c ? a.hi : b.hi, c ? a.lo : b.lo); }
BODY hl_round(hl_pair a) { return a.hi + a.lo; }

/* ---- Signs and powers of two ---- */

BODY hl_abs(real x) {
    uint64_t u;
    memcpy(&u, &x, 8);
    u &= 0x7fffffffffffffffu;
    memcpy(&x, &u, 8);
    return x;
}
/* |m| with the sign of x */
BODY hl_signed(real m, real x) {
    uint64_t u, v;
    memcpy(&u, &m, 8);
    memcpy(&v, &x, 8);
    u = (u & 0x7fffffffffffffffu) | (v & 0x8000000000000000u);
    memcpy(&m, &u, 8);
    return m;
}
#define HL_MAGIC 0x1.8p52 /* x + HL_MAGIC - HL_MAGIC rounds x to a whole number */
/* 2^k for a whole number k in [-1022, 1023]: the biased exponent, moved to its place */
BODY hl_pow2(real k) {
    real y = k + (HL_MAGIC + 1023);
    uint64_t u;
    memcpy(&u, &y, 8);
    u <<= 52;
    memcpy(&y, &u, 8);
    return y;
}
/* g v 2^k for k in [-2200, 2200], in three steps: no power and no intermediate product overflows or underflows, and a
 * subnormal result is rounded by the last step only. */
BODY hl_raise(real g, real v, real k) {
    real k1 = ((k + 1) * 0x1.5555555555555p-2 + HL_MAGIC) - HL_MAGIC;
    real s1 = hl_pow2(k1), s2 = hl_pow2(k - (k1 + k1));
    return g * s2 * v * s1 * s1;
}

/* g v 2^k for k in [-6000, 6000] and 2^-1000 < |v| < 2^1000, or v = 0 */
BODY hl_raise_far(real g, real v, real k) {
    k = k > 2200 ? 2200.0 : k;
    return hl_raise(g, v, k < -2200 ? -2200.0 : k);
}

/* v 2^k for k in [-1623, 400] */
BODY hl_scale(real v, real k) { return v * hl_pow2(k + 600) * 0x1p-600; }

/* Powers of two, up = 1 / down = 2^k, such that x up is in the middle of the range: hl_prod may underflow or overflow
 * near its ends. Its choices are added, not nested: then GCC moves those of parameters out of a loop. */
typedef struct {
    real up, down, k;
} hl_lift;
HL_INLINE hl_lift hl_lift_of(real x) {
    real a = hl_abs(x), k = (a < 0x1p-500 ? 600.0 : 0.0) + (a > 0x1p500 ? -600.0 : 0.0);
    hl_lift f = {hl_pow2(k), hl_pow2(-k), k};
    return f;
}
/* x as hi 2^k, 1 <= |hi| < 2 */
HL_SCALED hl_split(real x) {
    hl_lift f = hl_lift_of(x);
    real m = x * f.up, k;
    uint64_t u;
    memcpy(&u, &m, 8);
    u = (u >> 52 & 0x7ff) | 0x4330000000000000u; /* 2^52 + the biased exponent */
    memcpy(&k, &u, 8);
    k = k - (0x1p52 + 1023);
    return hl_at(hl_make(m * hl_pow2(-k), 0), k - f.k);
}
/* a X 2^m.k + b, X = m.hi + m.lo of order 1 or less: terms that are less than 2^-200 of the other one do not count */
HL_SCALED hl_line(hl_scaled m, real a, real b) {
    hl_scaled A = hl_split(a), B = hl_split(b);
    real ka = (A.hi == 0 ? -4000.0 : A.k) + (m.hi == 0 ? -4000.0 : m.k), kb = B.hi == 0 ? -4000.0 : B.k;
    real k = ka > kb ? ka : kb, da = ka - k, db = kb - k;
    da = da < -200 ? -200.0 : da;
    db = db < -200 ? -200.0 : db;
    hl_pair p = hl_times2(hl_mul1(hl_of(m), A.hi), hl_pow2(da));
    return hl_at(hl_add_any(p, hl_make(B.hi * hl_pow2(db), 0)), k);
}
/* clamps infinity, which would give NaN where the largest finite number gives the limit */
BODY hl_finite(real x) {
    x = x > 0x1.fffffffffffffp1023 ? 0x1.fffffffffffffp1023 : x;
    return x < -0x1.fffffffffffffp1023 ? -0x1.fffffffffffffp1023 : x;
}

/* ---- Series ---- */

/* Four terms at a time: powers of x shorten the chain of dependent operations, whose latency is the cost. */
BODY hl_four(real x, real x2, real c0, real c1, real c2, real c3) { return (c0 + x * c1) + x2 * (c2 + x * c3); }

/* (e^r - 1 - r - r^2/2) / r^3 for |r| <= 0.3467; fit 2^-66 and rounded 2^-59.3 relative to e^r - 1 */
BODY hl_exp_tail(real r) {
    real r2 = r * r, r4 = r2 * r2;
    real p = (0x1.ae643440b654bp-26 + r * 0x1.1f7315649f2d7p-29) + r2 * 0x1.61b2cab08aa6ap-33;
    p = p * r4 +
        hl_four(r, r2, 0x1.a01a01a019b27p-13, 0x1.a01a01a6db488p-16, 0x1.71de3a5906976p-19, 0x1.27e4db5bb725ap-22);
    p = p * r4 +
        hl_four(r, r2, 0x1.5555555555555p-3, 0x1.5555555555556p-5, 0x1.1111111111111p-7, 0x1.6c16c16c162cfp-10);
    return p;
}
/* (atanh(s) / s - 1) / w for w = s^2 <= 1/9; fit 2^-62.7 and rounded 2^-58.7 relative to atanh */
BODY hl_atanh_tail(real w) {
    real w2 = w * w, w4 = w2 * w2;
    real p = (0x1.bc380b4991530p-5 + w * 0x1.32e05887288f1p-5) + w2 * 0x1.401db1fc029a9p-4;
    p = p * w4 + hl_four(w, w2, 0x1.745d199385743p-4, 0x1.3b13515dfacaep-4, 0x1.111abde884a49p-4, 0x1.e0a2d22740494p-5);
    p = p * w4 + hl_four(w, w2, 0x1.5555555555555p-2, 0x1.9999999999944p-3, 0x1.2492492499d49p-3, 0x1.c71c71bede7f9p-4);
    return p;
}
/* F(t) = Phi(-a) e^(a^2/2) (a + 1), t = 2 a / (a + 5) - 1, a in [0.98, 56], is a polynomial of degree 23 (fit 2^-63.2,
 * rounded 2^-59.1); three coefficients in pairs, then the terms from t^3 on, over t^3 */
#define HL_GAUSS_0 0x1.d8979b0f2b39dp-2, 0x1.cab6586850b23p-56
#define HL_GAUSS_1 -0x1.76ff86859eb14p-4, 0x1.91e16013c83aap-59
#define HL_GAUSS_2 0x1.fc66cc64a13e3p-6, -0x1.1ef58841ad17dp-60
BODY hl_gauss_tail(real t) {
    real t2 = t * t, t4 = t2 * t2;
    real p = -0x1.ab545d95104e6p-32;
    p = p * t4 +
        hl_four(t, t2, -0x1.148833e88979fp-25, 0x1.32aa243f643b5p-28, 0x1.4b76f249b7dfcp-28, -0x1.3aa2969373828p-31);
    p = p * t4 +
        hl_four(t, t2, -0x1.5f4e4ed6bbdb6p-20, 0x1.1482d82db8fbep-23, 0x1.a9096f79c2db2p-23, -0x1.d6821b1a6b4dap-26);
    p = p * t4 +
        hl_four(t, t2, -0x1.c1b1d36c54ce0p-15, -0x1.4c0d4dd5c16eap-17, 0x1.30049ea9909a8p-17, -0x1.302dceb2b41d0p-24);
    p = p * t4 +
        hl_four(t, t2, 0x1.ab6d038d15dc1p-8, -0x1.b75f4f7dc1110p-10, 0x1.0571a800f57ebp-17, 0x1.7e61dfd2d1ee6p-13);
    p = p * t4 +
        hl_four(t, t2, 0x1.47c1d03054855p-7, -0x1.b08e0007b4cccp-6, 0x1.92037bab47bcdp-6, -0x1.f11aab030d5d9p-7);
    return p;
}
/* (Phi(a) - 1/2) / a in w = a^2 <= 1.01, degree 11 (fit 2^-68.4, rounded 2^-60.1); two coefficients
 * in pairs, then the terms from w^2 on, over w^2 */
#define HL_CENTER_0 0x1.9884533d43651p-2, -0x1.cbc4fcb9f764dp-56
#define HL_CENTER_1 -0x1.1058377e2cee0p-4, -0x1.659d7c74c9e2dp-58
BODY hl_gauss_center(real w) {
    real w2 = w * w, w4 = w2 * w2;
    real p = 0x1.5fea26ba20a11p-38 + w * -0x1.7b332eda6b1d8p-43;
    p = p * w4 +
        hl_four(w, w2, 0x1.658a1ff8ad1bcp-21, -0x1.622231bc35915p-25, 0x1.3873229507644p-29, -0x1.f04ca46814f37p-34);
    p = p * w4 +
        hl_four(w, w2, 0x1.46d04297691d3p-7, -0x1.37403f6ba0d0bp-10, 0x1.e42b0d51f1229p-14, -0x1.3ce8fabab0155p-17);
    return p;
}
/* (x - tanh x) / x^3 in w = x^2 <= 0.51, degree 15 (fit 2^-69.6, rounded 2^-58.8); two
 * coefficients in pairs, then the terms from w^2 on, over w^2 */
#define HL_SHRINK_0 0x1.5555555555555p-2, 0x1.55539c9317e6ep-56
#define HL_SHRINK_1 -0x1.1111111111111p-3, -0x1.b60f848f4d031p-60
BODY hl_shrink_tail(real w) {
    real w2 = w * w, w4 = w2 * w2;
    real p = 0x1.442e3679d7409p-21 + w * -0x1.8c1a538441a44p-24;
    p = p * w4 +
        hl_four(w, w2, 0x1.490feceeb4cc1p-15, -0x1.08b4c6aa3d33cp-16, 0x1.9d9d41512173cp-18, -0x1.2556a5f6c9b7ap-19);
    p = p * w4 +
        hl_four(w, w2, 0x1.7da3639de57b1p-10, -0x1.355816ed3fe48p-11, 0x1.f57c0164f02d2p-13, -0x1.966f63138471fp-14);
    p = p * w4 +
        hl_four(w, w2, 0x1.ba1ba1ba1ba13p-5, -0x1.664f4882c0c6cp-6, 0x1.226e355e58579p-7, -0x1.d6d3d0dad2c84p-9);
    return p;
}
/* Derivatives near their zeros, where their terms cancel: f'(zero + d) = d (slope + crossing(d)), |d| <= 2^-5, for gelu
 * 2^-4; rounded 2^-57.9 or better. A zero is stored in three parts, because x may equal the sum of the first two. */
#define HL_SILU_ZERO -0x1.474973c84120bp+0, -0x1.f8d74bc9ac154p-54, -0x1.44a50180ba780p-108
#define HL_SILU_SLOPE 0x1.be1410460527fp-3, -0x1.2541062177473p-58
#define HL_GELU_ZERO -0x1.80ead197f00b4p-1, 0x1.13e74c58cada8p-56, 0x1.65d4b5b9cdd03p-111
#define HL_GELU_SLOPE 0x1.b9d98fa5a3215p-2, 0x1.f7c1a23190c7cp-56
#define HL_GELU_TANH_ZERO -0x1.81429f9e97e4dp-1, 0x1.4f523ed77dbdcp-55, -0x1.a649fca8ac0e5p-109
#define HL_GELU_TANH_SLOPE 0x1.b8bacd2c96b91p-2, 0x1.7626c1c5b2d9bp-56
#define HL_MISH_ZERO -0x1.31432c0d12d84p+0, -0x1.bf319154da210p-55, -0x1.3b82ea8c1efc4p-109
#define HL_MISH_SLOPE 0x1.115acb42500bbp-2, 0x1.1ad6ac91fc893p-56
BODY hl_silu_crossing(real d) {
    real d2 = d * d, d4 = d2 * d2;
    real p =
        hl_four(d, d2, 0x1.098e9990a2627p-13, 0x1.a2a7cb1c40d0dp-11, 0x1.85510a95207ddp-13, -0x1.5731b63bc2ccfp-15);
    p = p * d4 +
        hl_four(d, d2, 0x1.2c563458cc0adp-3, 0x1.353eb573ca457p-6, -0x1.f2d0e32bc4899p-7, -0x1.b0f82c4990352p-8);
    return p * d;
}
BODY hl_gelu_crossing(real d) {
    real d2 = d * d, d4 = d2 * d2;
    real p = 0x1.86866e9c48fa9p-13 + d * 0x1.6905e9a8d7356p-14;
    p = p * d4 +
        hl_four(d, d2, 0x1.3e346def05f90p-6, 0x1.297b9d6f54c66p-8, -0x1.258a6950f332ep-9, -0x1.8680ebb05d4bfp-11);
    p = p * d4 +
        hl_four(d, d2, 0x1.8d9a941de3ac5p-2, -0x1.2a2ef9bb865aep-6, -0x1.d2fa4c17c7e58p-4, -0x1.e4088244f8f2bp-7);
    return p * d;
}
BODY hl_gelu_tanh_crossing(real d) {
    real d2 = d * d, d4 = d2 * d2;
    real p = 0x1.14a82c70b18e1p-12;
    p = p * d4 +
        hl_four(d, d2, 0x1.427996dc22b6bp-6, 0x1.58c9ec48b58d7p-8, -0x1.3d8d63703b8a5p-9, -0x1.e615a2ee9b24cp-11);
    p = p * d4 +
        hl_four(d, d2, 0x1.8cd1a2b2fff33p-2, -0x1.029615edb077dp-6, -0x1.d2b77346470abp-4, -0x1.104a83edba1d8p-6);
    return p * d;
}
BODY hl_mish_crossing(real d) {
    real d2 = d * d, d4 = d2 * d2;
    real p = -0x1.605c1f56ec2d0p-15;
    p = p * d4 +
        hl_four(d, d2, -0x1.b87ddfb522f92p-9, 0x1.1e5e1a5f12f15p-10, 0x1.03799227cd78bp-10, 0x1.0a54025d3f1ddp-12);
    p = p * d4 +
        hl_four(d, d2, 0x1.a34a251d8ad7bp-3, 0x1.574f121a868dcp-5, -0x1.4c222fe64d4fbp-6, -0x1.03369d4acc186p-6);
    return p * d;
}

/* ---- exp ---- */

/* e^z = (1 + p) 2^k for a pair z in [-1500, 1500]; k = 0 for |z| < 0.34. Relative error of p about 2^-58 if
 * k = 0, of 1 + p about 2^-60. ln2 is split so that k times each of the first two parts is exact. */
#define HL_LOG2E 0x1.71547652b82fep+0
#define HL_LN2_1 0x1.62e42fefa3800p-1
#define HL_LN2_2 0x1.ef35793c76000p-45
#define HL_LN2_3 0x1.cc01f97b57a08p-87
HL_SCALED hl_exp_core(hl_pair z) {
    real k = (z.hi * HL_LOG2E + HL_MAGIC) - HL_MAGIC;
    hl_pair r = hl_sum(z.hi - k * HL_LN2_1, k * -HL_LN2_2);
    r.lo = r.lo + (z.lo - k * HL_LN2_3);
    hl_pair u = hl_prod(r.hi, r.hi);
    real t = r.hi * u.hi * hl_exp_tail(r.hi);
    hl_pair h = hl_fast(r.hi, 0.5 * u.hi);
    real lo = h.lo + (t + (r.lo + (0.5 * u.lo + r.lo * (h.hi + t)))); /* e^(hi + lo) = e^hi (1 + lo) */
    return hl_at(hl_fast(h.hi, lo), k);
}
HL_SCALED hl_exp(hl_pair z) {
    hl_scaled p = hl_exp_core(z);
    hl_pair m = hl_fast(1, p.hi);
    return hl_at(hl_make(m.hi, m.lo + p.lo), p.k);
}
/* The value of a scaled number <= 1 that is going to be added to one of order 1: if it is tiny, its exact exponent does
 * not matter. */
HL_PAIR hl_value(hl_scaled m) { return hl_times2(hl_of(m), hl_pow2(m.k < -200 ? -200.0 : m.k)); }

/* expm1(z) for z in [-1500, 1500]; k = 0 up to z = 138 */
HL_SCALED hl_expm1(hl_pair z) {
    hl_scaled p = hl_exp_core(z);
    real k = p.k < -200 ? -200.0 : p.k;
    k = k > 200 ? 200.0 : k;
    real s = hl_pow2(k);
    return hl_at(hl_add(hl_sum(s, -1), hl_times2(hl_of(p), s)), p.k > 200 ? p.k - 200 : 0.0);
}

/* b x as a pair for use under exp: clamped to +-1500, 0 for 0 * inf */
HL_PAIR hl_argument(real b, real x) {
    hl_lift f = hl_lift_of(b);
    hl_pair z = hl_prod(b * f.up, x * f.down);
    int far = hl_abs(z.hi) >= 1500;
    real end = z.hi > 0 ? 1500.0 : -1500.0;
    z.lo = (far | (z.lo != z.lo)) ? 0.0 : z.lo;
    z.hi = far ? end : z.hi;
    z.hi = b == 0 ? 0.0 : z.hi;
    return z;
}
HL_PAIR hl_clamped(real x, real lo, real hi) {
    x = x < lo ? lo : x;
    return hl_make(x > hi ? hi : x, 0);
}
/* -|z| */
HL_PAIR hl_minus_abs(hl_pair z) {
    real l = hl_signed(1, z.hi) * -z.lo;
    return hl_make(-hl_abs(z.hi), l);
}

/* ---- log1p ---- */

/* 2 atanh(q 2^k), |q 2^k| <= 1/3 */
HL_SCALED hl_twice_atanh(hl_pair q, real k) {
    hl_pair S = hl_value(hl_at(q, k));
    hl_pair w = hl_prod(S.hi, S.hi);
    real t = w.hi * hl_atanh_tail(w.hi) + (w.lo + 2 * S.hi * S.lo) * 0x1.5555555555555p-2;
    hl_pair s = hl_fast(q.hi, q.hi * t);
    return hl_at(hl_times2(hl_fast(s.hi, s.lo + (q.lo + q.lo * t)), 2), k);
}
/* log1p(e) = 2 atanh(e / (2 + e)) of e = e^z, z <= 0, by m 2^k = e. In scaled form, because e may be tiny. */
HL_SCALED hl_log1p_exp(hl_pair z) {
    hl_scaled m = hl_exp(z);
    return hl_twice_atanh(hl_div(hl_of(m), hl_add(hl_make(2, 0), hl_value(m))), m.k);
}

/* ---- Logistic function: sigmoid, silu, swish, gelu_tanh, softplus' ---- */

/* sigmoid(z) = 1 / (1 + e) for z >= 0, e / (1 + e) below, e = exp(-|z|); k = 0 for z >= 0 */
HL_SCALED hl_sigmoid(hl_pair z) {
    int neg = z.hi < 0;
    hl_scaled m = hl_exp(hl_minus_abs(z));
    hl_pair d = hl_add(hl_make(1, 0), hl_value(m));
    hl_pair n = hl_if(neg, hl_of(m), hl_make(1, 0));
    return hl_at(hl_div(n, d), neg ? m.k : 0.0);
}
/* s + s (1 - s) w for s = sigmoid(z) and w with the sign of z, that is
 * e (1 + e - |w|) / (1 + e)^2 for z < 0 and (1 + e + |w| e) / (1 + e)^2 otherwise */
HL_SCALED hl_gate_slope(hl_pair z, hl_pair w) {
    int neg = z.hi < 0;
    hl_scaled m = hl_exp(hl_minus_abs(z));
    hl_pair e = hl_value(m);
    hl_pair d = hl_add(hl_make(1, 0), e);
    hl_pair a = hl_minus_abs(w);
    hl_pair we = hl_mul(a, hl_if(neg, hl_make(-1, 0), e));
    hl_pair t = hl_add_any(d, hl_neg(we));
    hl_pair n = hl_mul(t, hl_if(neg, hl_of(m), hl_make(1, 0)));
    return hl_at(hl_div(n, hl_mul(d, d)), neg ? m.k : 0.0);
}
/* x - zero, for a derivative near its zero crossing; see HL_SILU_ZERO */
HL_PAIR hl_from_zero(hl_pair x, real hi, real lo, real last) {
    hl_pair l = hl_sum(x.lo, -lo), d = hl_sum(x.hi - hi, l.hi);
    return hl_fast(d.hi, d.lo + (l.lo - last));
}
/* d (c + tail): the derivative near its zero, rounded */
BODY hl_crossing(hl_pair d, real hi, real lo, real tail) {
    hl_pair c = hl_fast(hi, tail);
    return hl_round(hl_mul(d, hl_make(c.hi, c.lo + lo)));
}
