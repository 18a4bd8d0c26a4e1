/* Kernels over a whole row: softmax, its logarithm, their gradients, cross-entropy. Included by instance.h, once per
 * instance.
 *
 * A row is added up in FR_ROW_LANES partial sums, element i in lane i % FR_ROW_LANES, and the lanes in a fixed tree:
 * the bits depend on the row alone. Sums of float are in double; sums of double are compensated.
 *
 * The exponentials are e^(x - m) for the row's largest element m. Rounding x - m would cost up to 2^-18 of the result
 * in float: if |m| is moderate, the exponent is reduced from x itself, and the result lacks a factor e^(m - K ln2)
 * common to the row, where K is the integer next to m / ln2; if |m| is large, x - m is exact wherever the result is not
 * 0. A factor 2^ROW_LIFT keeps the exponentials normal down to results that are 0, so each result is rounded once if it
 * is subnormal. */

#ifndef FASTRELU_ROWS
#define FASTRELU_ROWS

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_INLINE static __forceinline
#else
#define FR_INLINE static inline __attribute__((always_inline, unused))
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_APART static __declspec(noinline)
#else
#define FR_APART FR_UNUSED static __attribute__((noinline))
#endif

enum { FR_ROW_LANES = 16, FR_MAX_LANES = 32, FR_ROW_BLOCK = 1024, FR_ROW_LAG = 64, FR_ROW_LONG = 8192 };

/* hi + lo */
typedef struct {
    double hi, lo;
} fr_total;

typedef struct {
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
} fr_lanes;

FR_INLINE void fr_lanes_clear(fr_lanes *s) {
    for (int j = 0; j < FR_ROW_LANES; j++) s->hi[j] = s->lo[j] = 0;
}
/* hi + lo + v, where lo takes up the rounding error of hi */
FR_INLINE void fr_lane_add(double *hi, double *lo, double v) {
    double s = *hi + v, t = s - *hi;
    *lo += (*hi - (s - t)) + (v - t);
    *hi = s;
}
FR_INLINE fr_total fr_total_add(fr_total total, double v) {
    fr_lane_add(&total.hi, &total.lo, v);
    double hi = total.hi + total.lo;
    total.lo = total.lo - (hi - total.hi);
    total.hi = hi;
    return total;
}
FR_INLINE fr_total fr_lanes_join(fr_lanes *s) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int j = 0; j < w; j++) {
            fr_lane_add(&s->hi[j], &s->lo[j], s->hi[j + w]);
            s->lo[j] += s->lo[j + w];
        }
    fr_total total = {s->hi[0], s->lo[0]};
    return fr_total_add(total, 0);
}

#endif

#undef COMPENSATED
#undef KEEPS
#undef ROW_LIFT
#undef ROW_NEAR
#undef ROW_LOW
#undef ROW_LITTLE
#define COMPENSATED (FR_KIND == FR_FULL || FR_KIND == FR_HILO)
/* Does the output hold the exponentials between the passes? In the accurate kinds they are computed twice instead. */
#define KEEPS (FR_KIND == FR_LEAN || FR_KIND == FR_FULL)
#define ROW_LIFT BY_KIND(64, 0, 600)
#define ROW_NEAR BY_TYPE(300, 1500)
#define ROW_LITTLE (FR_KIND == FR_LEAN ? 0x1p-16 : FR_KIND == FR_WIDE ? 0x1p-12 : 0x1p-32)
#define ROW_LOW BY_KIND(-130, -200, -1100)

FR_INLINE store FN(signed_as)(store x, int flip) { return flip ? -x : x; }

/* If sums are not compensated, `lo` is not used. */
FR_INLINE void FN(lanes_clear)(fr_lanes *s) {
    const int n = COMPENSATED ? FR_ROW_LANES : 0;
    for (int j = 0; j < FR_ROW_LANES; j++) {
        s->hi[j] = 0;
        if (j < n) s->lo[j] = 0;
    }
}
FR_INLINE fr_total FN(total_add)(fr_total total, double v) {
    if (COMPENSATED) return fr_total_add(total, v);
    total.hi += v;
    return total;
}
FR_INLINE fr_total FN(lanes_join)(fr_lanes *s) {
    if (COMPENSATED) return fr_lanes_join(s);
    double eight[8], four[4];
    for (int j = 0; j < 8; j++) eight[j] = s->hi[j] + s->hi[j + 8];
    for (int j = 0; j < 4; j++) four[j] = eight[j] + eight[j + 4];
    fr_total total = {(four[0] + four[2]) + (four[1] + four[3]), 0};
    return total;
}

/* Copies m < FR_ROW_LANES elements, without a call. */
FR_INLINE void FN(copy_few)(store *to, const store *from, ptrdiff_t m) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        if (m & w) {
            for (int j = 0; j < w; j++) to[j] = from[j];
            to += w, from += w;
        }
}

/* The largest element; NaNs are ignored. */
FR_INLINE void FN(max_step)(store *m, const store *x, int lanes, int flip) {
    for (int j = 0; j < lanes; j++) {
        store v = FN(signed_as)(x[j], flip);
        m[j] = v > m[j] ? v : m[j];
    }
}
/* of at least `lanes` elements; the last step overlaps the one before */
FR_INLINE store FN(max_of)(const store *x, ptrdiff_t n, int lanes, int flip) {
    store m[FR_MAX_LANES];
    for (int j = 0; j < lanes; j++) m[j] = -(store)INFINITY;
    for (ptrdiff_t i = 0; i + lanes <= n; i += lanes) FN(max_step)(m, x + i, lanes, flip);
    FN(max_step)(m, x + n - lanes, lanes, flip);
    for (int w = lanes / 2; w >= 8; w /= 2)
        for (int j = 0; j < w; j++) m[j] = m[j + w] > m[j] ? m[j + w] : m[j];
    store most = m[0];
    for (int j = 1; j < (lanes < 8 ? lanes : 8); j++) most = m[j] > most ? m[j] : most;
    return most;
}
FR_INLINE store FN(row_max)(const store *x, ptrdiff_t n, int flip) {
    return n >= FR_MAX_LANES ? FN(max_of)(x, n, FR_MAX_LANES, flip)
           : n >= 8          ? FN(max_of)(x, n, 8, flip)
                             : FN(max_of)(x, n, 1, flip);
}

/* Constants that the exponentials of a row share. */
typedef struct {
    real origin, magic, low; /* x - origin is reduced; magic adds the exponent; below low the result is 0 */
    real top;                /* the exponential of the largest element */
    double unit;             /* the same, more precisely: 1 up to the common factor */
} FN(row);

#if FR_KIND != FR_HILO
BODY FN(row_exp)(real x, real origin, real magic, real low) {
    real z = x - origin;
    z = low > z ? low : z;
    real shifted = FMA(z, R(LOG2E), magic);
    real k = shifted - magic;
#if FR_KIND == FR_FULL /* |k| < 2^12: one bit less in the first part of ln2 than elsewhere */
    real r = FMA(k, -0x1.3de6af278ece6p-42, FMA(k, -0x1.62e42fefa3000p-1, z));
#else
    real r = FN(minus_k_ln2)(z, k);
#endif
    return FN(exp_poly)(r, 1, 1) * FN(power)(shifted);
}
#endif

FR_INLINE FN(row) FN(row_of)(store m) {
    FN(row) row;
#if KEEPS
    int near = FN(size)(m) < ROW_NEAR;
    real K = near ? FMA(m, R(LOG2E), ROUNDER) - ROUNDER : R(0);
    row.origin = near ? R(0) : m;
    row.magic = ROUNDER + BIAS + ROW_LIFT - K;
    row.low = (near ? m : R(0)) + ROW_LOW;
    row.top = FN(row_exp)(m, row.origin, row.magic, row.low);
#if FR_KIND == FR_LEAN
    row.unit = near ? exp_poly_wide((double)m - (double)K * 0x1.62e42fefa39efp-1, 1, 1) * 0x1p64 : 0x1p64;
#else
    row.unit = row.top;
#endif
#else
    row.origin = m;
    row.magic = ROUNDER + BIAS;
    row.low = ROW_LOW;
    row.top = FR_KIND == FR_HILO ? R(0x1p600) : R(1);
    row.unit = row.top;
#endif
    return row;
}

#if FR_KIND == FR_HILO
/* e^(x - m) in scaled form, 0 for a very negative x - m */
HL_SCALED FN(row_exp)(real x, real m) {
    hl_pair z = hl_sum(x, -m);
    int gone = z.hi < ROW_LOW;
    z.hi = gone ? ROW_LOW : z.hi;
    z.lo = gone ? R(0) : z.lo;
    hl_scaled e = hl_exp(z);
    e.hi = gone ? R(0) : e.hi;
    e.lo = gone ? R(0) : e.lo;
    return e;
}
#endif

/* Writes the exponentials of n elements, a multiple of FR_ROW_LANES, to `e`, and their low parts to `e_lo`. */
FR_INLINE void FN(row_exps)(const store *x, real *e, real *e_lo, ptrdiff_t n, const FN(row) * row, int flip) {
    const real origin = row->origin;
#if FR_KIND == FR_HILO
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        hl_scaled v = FN(row_exp)(FN(signed_as)(x[i], flip), origin);
        real s = hl_pow2(v.k + 600);
        e[i] = v.hi * s;
        e_lo[i] = v.lo * s;
    }
#else
    (void)e_lo;
    const real magic = row->magic, low = row->low;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) e[i] = FN(row_exp)((real)FN(signed_as)(x[i], flip), origin, magic, low);
#endif
}

/* Adds FR_ROW_LANES exponentials to the lanes. */
FR_INLINE void FN(add_lanes)(double *hi, double *lo, const real *e, const real *e_lo) {
#if COMPENSATED && defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1 /* unrolled, GCC with AVX-512 would not vectorize across the lanes */
#endif
    for (int j = 0; j < FR_ROW_LANES; j++) {
#if COMPENSATED
        fr_lane_add(&hi[j], &lo[j], e[j]);
#if FR_KIND == FR_HILO
        lo[j] += e_lo[j];
#endif
#else
        hi[j] += (double)e[j];
#endif
    }
    (void)lo, (void)e_lo;
}
/* Adds n exponentials. A function of its own, like the next one: inlined, GCC does not vectorize across the lanes. */
FR_APART void FN(add_row)(fr_lanes *s, const real *e, const real *e_lo, ptrdiff_t n) {
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
    for (int j = 0; j < FR_ROW_LANES; j++) hi[j] = s->hi[j], lo[j] = s->lo[j];
    for (ptrdiff_t i = 0; i < n; i += FR_ROW_LANES) FN(add_lanes)(hi, lo, e + i, FR_KIND == FR_HILO ? e_lo + i : NULL);
    for (int j = 0; j < FR_ROW_LANES; j++) s->hi[j] = hi[j], s->lo[j] = lo[j];
}

#if KEEPS
/* Both at once: the exponentials of FR_ROW_LAG elements earlier are added, so that no sum waits for its exponential.
 * Meanwhile the memory that is read and written afterwards is prefetched: this pass is bound by arithmetic, that one by
 * memory. */
FR_INLINE void FN(exps_and_sum)(fr_lanes *s, const store *x, real *e, ptrdiff_t n, const FN(row) * row, real origin,
                                int flip, const store *read, const store *written) {
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
    const real magic = row->magic, low = row->low;
    for (int j = 0; j < FR_ROW_LANES; j++) hi[j] = s->hi[j], lo[j] = s->lo[j];
    for (ptrdiff_t i = 0; i + FR_ROW_LAG < n; i += FR_ROW_LANES) {
        const store *from = x + FR_ROW_LAG + i;
        real *to = e + FR_ROW_LAG + i;
        for (int j = 0; j < FR_ROW_LANES; j += 64 / (int)sizeof(store)) {
            FR_FETCH(read + i + j);
            FR_FETCH_TO(written + i + j);
        }
        FR_INDEPENDENT
        for (int j = 0; j < FR_ROW_LANES; j++) to[j] = FN(row_exp)(FN(signed_as)(from[j], flip), origin, magic, low);
        FN(add_lanes)(hi, lo, e + i, NULL);
    }
    for (int j = 0; j < FR_ROW_LANES; j++) s->hi[j] = hi[j], s->lo[j] = lo[j];
}
#define ROW_EXPS(name, origin, flip)                                                                                   \
    FR_APART void FN(name)(fr_lanes * s, const store *x, real *e, ptrdiff_t n, const FN(row) * row, const store *read, \
                           const store *written) {                                                                     \
        FN(exps_and_sum)(s, x, e, n, row, origin, flip, read, written);                                                \
    }
ROW_EXPS(exps_near_row, 0, 0)
ROW_EXPS(exps_far_row, row->origin, 0)
ROW_EXPS(exps_flipped_row, row->origin, 1)
#undef ROW_EXPS
#endif

/* Writes the exponentials of n elements, a multiple of FR_ROW_LANES, to `e`, and adds them to the lanes. */
FR_INLINE void FN(block_sum)(fr_lanes *s, const store *x, real *e, ptrdiff_t n, const FN(row) * row, int flip,
                             const store *read, const store *written) {
#if KEEPS
    const ptrdiff_t lag = n < FR_ROW_LAG ? n : FR_ROW_LAG;
    FN(row_exps)(x, e, NULL, lag, row, flip);
    if (flip) FN(exps_flipped_row)(s, x, e, n, row, read, written);
    else if (row->origin == 0) FN(exps_near_row)(s, x, e, n, row, read, written);
    else FN(exps_far_row)(s, x, e, n, row, read, written);
    FN(add_row)(s, e + n - lag, NULL, lag);
#else
    real e_lo[FR_ROW_BLOCK];
    (void)read, (void)written;
    FN(row_exps)(x, e, e_lo, n, row, flip);
    FN(add_row)(s, e, e_lo, n);
#endif
}

/* The sum of a row's exponentials; they stay in `keep` unless that is NULL or the kind keeps none. The addresses behind
 * the row are prefetched as the next row; `out` is the destination of the results. */
FR_INLINE fr_total FN(row_sum)(const store *x, store *keep, const store *out, ptrdiff_t n, const FN(row) * row,
                               int flip) {
    real room[FR_ROW_BLOCK], last[FR_ROW_LANES], last_lo[FR_ROW_LANES];
    const int left = (int)(n % FR_ROW_LANES);
    const ptrdiff_t whole = n - left;
    fr_lanes s;
    FN(lanes_clear)(&s);
    if (left) { /* first, so that the final sum does not wait for them */
        store rest[FR_ROW_LANES];
        for (int j = 0; j < FR_ROW_LANES; j++) rest[j] = 0;
        FN(copy_few)(rest, x + whole, left);
        FN(row_exps)(rest, last, last_lo, FR_ROW_LANES, row, flip);
        for (int j = 0; j < FR_ROW_LANES; j++) {
            last[j] = j < left ? last[j] : 0;
            if (FR_KIND == FR_HILO) last_lo[j] = j < left ? last_lo[j] : 0;
        }
#if KEEPS
        if (keep) FN(copy_few)(keep + whole, last, left);
#endif
    }
#if KEEPS
    if (keep) FN(block_sum)(&s, x, keep, whole, row, flip, x + n, out + (n < FR_ROW_LONG ? n : FR_ROW_BLOCK));
#endif
    for (ptrdiff_t i = 0; i < whole && !(keep && KEEPS); i += FR_ROW_BLOCK) {
        const ptrdiff_t m = whole - i < FR_ROW_BLOCK ? whole - i : FR_ROW_BLOCK;
        FN(block_sum)(&s, x + i, room, m, row, flip, x + i + n, out + i);
    }
    if (left) FN(add_row)(&s, last, last_lo, FR_ROW_LANES);
    return FN(lanes_join)(&s);
}

/* Sets the exponentials equal to the largest to 0 and counts them; so it does with those up to `bottom`, which are
 * negligible beside the smallest result. */
FR_APART ptrdiff_t FN(drop_row)(real *e, const real *e_lo, ptrdiff_t n, real top, real bottom) {
    ptrdiff_t same = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
#if FR_KIND == FR_HILO
        int is_top = (e[i] == top) & (e_lo[i] == 0);
#else
        (void)e_lo;
        int is_top = e[i] == top;
#endif
        same += is_top;
        e[i] = is_top | (e[i] <= bottom) ? R(0) : e[i];
    }
    return same;
}

/* The sum of all exponentials but one of the largest, added up without them. They are taken from `kept` unless that is
 * NULL. */
FR_APART fr_total FN(apart_row)(const store *x, const store *kept, ptrdiff_t n, const FN(row) * row) {
    real e[FR_ROW_BLOCK], e_lo[FR_ROW_BLOCK];
    store rest[FR_ROW_LANES];
    ptrdiff_t same = -1;
#if FR_KIND == FR_HILO
    const real bottom = 0;
#else
    const real bottom = FN(row_exp)(-R(INFINITY), row->origin, row->magic, row->low);
#endif
    fr_lanes s;
    FN(lanes_clear)(&s);
    for (ptrdiff_t i = 0; i < n; i += FR_ROW_BLOCK) {
        ptrdiff_t m = n - i < FR_ROW_BLOCK ? n - i : FR_ROW_BLOCK, whole = m - m % FR_ROW_LANES;
        if (kept) {
            for (ptrdiff_t j = 0; j < m; j++) e[j] = (real)kept[i + j];
        } else {
            FN(row_exps)(x + i, e, e_lo, whole, row, 0);
            for (int j = 0; j < FR_ROW_LANES; j++) rest[j] = -(store)INFINITY;
            for (int j = 0; j < m - whole; j++) rest[j] = x[i + whole + j];
            if (whole < m) FN(row_exps)(rest, e + whole, e_lo + whole, FR_ROW_LANES, row, 0);
        }
        same += FN(drop_row)(e, e_lo, m, row->top, bottom);
        for (ptrdiff_t j = m; j % FR_ROW_LANES; j++) e[j] = e_lo[j] = 0;
        FN(add_row)(&s, e, e_lo, m);
    }
    return FN(total_add)(FN(lanes_join)(&s), (double)same * (double)row->top);
}
/* The same as the sum of all minus the largest, unless cancellation leaves too little. */
FR_INLINE fr_total FN(row_beside)(const store *x, store *keep, const store *out, ptrdiff_t n, const FN(row) * row) {
    fr_total total = FN(total_add)(FN(row_sum)(x, keep, out, n, row, 0), -(double)row->top);
    if (total.hi < ROW_LITTLE * (double)row->top) total = FN(apart_row)(x, KEEPS ? keep : NULL, n, row);
    return total;
}

/* log(1 + t), t >= 0. Maximum error: wide 2^-38 relative, full 1.5 ULP. */
#if FR_KIND == FR_WIDE || FR_KIND == FR_FULL
FR_INLINE double FN(row_log1p)(double t) {
    FN(word) s = {1 + t};
    int64_t k = t > 1 ? (int64_t)(s.bits >> SHIFT) - BIAS : 0;
    s.bits -= (uint64_t)k << SHIFT;
    double f = k ? s.number - 1 : t;
    double q = (f + f) / (2 + f), w = q * q;
    double y = FMA(q * w, FN(log1p_poly)(w), q);
    return FMA((double)k, 0x1.62e42fefa3000p-1, FMA((double)k, 0x1.3de6af278ece6p-42, y));
}
#endif

/* log(sum) - m, from the sum of all but one of the largest */
#if FR_KIND == FR_HILO
HL_PAIR FN(row_log)(fr_total beside) {
    hl_pair t = hl_make(beside.hi * 0x1p-600, beside.lo * 0x1p-600);
    double first = row_log1p_wide(t.hi);
    hl_pair d = hl_add_any(t, hl_neg(hl_of(hl_expm1(hl_make(first, 0)))));
    return t.hi < 0x1p-60 ? t : hl_fast(first, (d.hi + d.lo) / (1 + t.hi));
}
#elif FR_KIND == FR_FULL
BODY FN(row_log)(fr_total beside, double unit) { return row_log1p_full(beside.hi / unit); }
#else
FR_INLINE double FN(row_log)(fr_total beside, double unit) { return row_log1p_wide(beside.hi / unit); }
#endif

/* The probabilities of a row times f, from the exponentials in `out` or from x. */
FR_INLINE void FN(row_divide)(const store *x, store *out, ptrdiff_t n, const FN(row) * row, fr_total total, int flip,
                              double f, int scaled) {
#if KEEPS
    const real r = (real)(1 / total.hi), factor = (real)f;
    (void)x, (void)row, (void)flip;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = scaled ? (out[i] * r) * factor : out[i] * r;
#elif FR_KIND == FR_WIDE
    const real r = scaled ? f / total.hi : 1 / total.hi, origin = row->origin, magic = row->magic, low = row->low;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = (store)(FN(row_exp)((real)FN(signed_as)(x[i], flip), origin, magic, low) * r);
#else
    const hl_pair r = hl_div(hl_make(1, 0), hl_make(total.hi * 0x1p-600, total.lo * 0x1p-600));
    const real m = row->origin, r_hi = r.hi, r_lo = r.lo;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        hl_scaled e = FN(row_exp)(FN(signed_as)(x[i], flip), m);
        real y = hl_scale(hl_round(hl_mul(hl_of(e), hl_make(r_hi, r_lo))), e.k);
        out[i] = scaled ? y * f : y;
    }
#endif
}

/* A row whose largest element is infinite: its limit if it has one, that is, if it holds a single +inf. */
FR_UNUSED static void FN(row_infinite)(const store *x, store *out, ptrdiff_t n, int flip, int logarithm) {
    ptrdiff_t highest = 0, nans = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        highest += FN(signed_as)(x[i], flip) > LARGEST;
        nans += x[i] != x[i];
    }
    store others = highest == 1 && nans == 0 ? logarithm ? -(store)INFINITY : (store)0 : (store)NAN;
    store largest = others != others ? others : logarithm ? (store)0 : (store)1;
    for (ptrdiff_t i = 0; i < n; i++) out[i] = FN(signed_as)(x[i], flip) > LARGEST ? largest : others;
}

FR_INLINE int FN(row_is_finite)(store m) { return m - m == 0; }

FR_INLINE void FN(softmax)(const char *const *in, char *to, ptrdiff_t n, int flip) {
    const store *x = (const store *)in[0];
    store *out = (store *)to;
    store m = FN(row_max)(x, n, flip);
    if (!FN(row_is_finite)(m)) {
        FN(row_infinite)(x, out, n, flip, 0);
        return;
    }
    const FN(row) row = FN(row_of)(m);
    FN(row_divide)(x, out, n, &row, FN(row_sum)(x, out, out, n, &row, flip), flip, 1, 0);
}
FR_UNUSED static void FN(softmax_row)(const char *const *in, char *out, ptrdiff_t n) { FN(softmax)(in, out, n, 0); }
FR_UNUSED static void FN(softmin_row)(const char *const *in, char *out, ptrdiff_t n) { FN(softmax)(in, out, n, 1); }

FR_UNUSED static void FN(log_softmax_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *x = (const store *)in[0];
    store *out = (store *)to;
    const store m = FN(row_max)(x, n, 0);
    if (!FN(row_is_finite)(m)) {
        FN(row_infinite)(x, out, n, 0, 1);
        return;
    }
    const FN(row) row = FN(row_of)(m);
    const fr_total beside = FN(row_beside)(x, NULL, out, n, &row);
#if FR_KIND == FR_HILO
    const hl_pair logarithm = FN(row_log)(beside);
    const real hi = logarithm.hi, lo = logarithm.lo;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        hl_pair z = hl_sum(x[i], -m), s = hl_sum(z.hi, -hi);
        real y = s.hi + (s.lo + (z.lo - lo));
        out[i] = z.hi < -LARGEST ? z.hi - hi : y;
    }
#else
    const real logarithm = (real)FN(row_log)(beside, row.unit), largest = m;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = (store)(((real)x[i] - largest) - logarithm);
#endif
}

/* ---- FR_COLUMNS rows side by side, element i of all of them on one cache line: for short rows, and for rows whose
 * neighbors are contiguous to them. The same operations on each row as above. Returns 0, with nothing written, if a row
 * needs another treatment. ---- */
#if KEEPS
FR_INLINE int FN(columns)(const char *from, ptrdiff_t pitch, char *to, ptrdiff_t out_pitch, ptrdiff_t n, int flip,
                          int log) {
    store m[FR_COLUMNS];
    real origin[FR_COLUMNS], magic[FR_COLUMNS], low[FR_COLUMNS], factor[FR_COLUMNS];
    FN(row) row[FR_COLUMNS];
    double hi[FR_ROW_LANES][FR_COLUMNS], lo[FR_ROW_LANES][FR_COLUMNS];
    for (int j = 0; j < FR_COLUMNS; j++) m[j] = -(store)INFINITY;
    for (ptrdiff_t i = 0; i < n; i++) {
        const store *x = (const store *)(from + i * pitch);
        for (int j = 0; j < FR_COLUMNS; j++) {
            store v = FN(signed_as)(x[j], flip);
            m[j] = v > m[j] ? v : m[j];
        }
    }
    int finite = 1;
    for (int j = 0; j < FR_COLUMNS; j++) finite &= FN(row_is_finite)(m[j]);
    if (!finite) return 0;
    for (int j = 0; j < FR_COLUMNS; j++) {
        row[j] = FN(row_of)(m[j]);
        origin[j] = row[j].origin;
        magic[j] = row[j].magic;
        low[j] = row[j].low;
    }
    const int lanes = n < FR_ROW_LANES ? (int)n : FR_ROW_LANES;
    for (int l = 0; l < lanes; l++)
        for (int j = 0; j < FR_COLUMNS; j++) {
            hi[l][j] = 0;
            if (COMPENSATED) lo[l][j] = 0;
        }
    for (ptrdiff_t i = 0; i < n; i++) {
        const store *x = (const store *)(from + i * pitch);
        store *out = (store *)(to + i * out_pitch);
        real e[FR_COLUMNS];
        double *h = hi[i % FR_ROW_LANES], *l = lo[i % FR_ROW_LANES];
        for (int j = 0; j < FR_COLUMNS; j++) e[j] = FN(row_exp)(FN(signed_as)(x[j], flip), origin[j], magic[j], low[j]);
        for (int j = 0; j < FR_COLUMNS && !log; j++) out[j] = e[j];
#if COMPENSATED
        for (int j = 0; j < FR_COLUMNS; j++) fr_lane_add(&h[j], &l[j], e[j]);
#else
        (void)l;
        for (int j = 0; j < FR_COLUMNS; j++) h[j] += (double)e[j];
#endif
    }
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int l = 0; l < w && l + w < lanes; l++)
            for (int j = 0; j < FR_COLUMNS; j++) {
#if COMPENSATED
                fr_lane_add(&hi[l][j], &lo[l][j], hi[l + w][j]);
                lo[l][j] += lo[l + w][j];
#else
                hi[l][j] += hi[l + w][j];
#endif
            }
    for (int j = 0; j < FR_COLUMNS; j++) {
        fr_total total = {hi[0][j], COMPENSATED ? lo[0][j] : 0};
        total = FN(total_add)(total, 0);
        if (log) {
            total = FN(total_add)(total, -(double)row[j].top);
            if (total.hi < ROW_LITTLE * (double)row[j].top) return 0;
            factor[j] = (real)FN(row_log)(total, row[j].unit);
        } else {
            factor[j] = (real)(1 / total.hi);
        }
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        const store *x = (const store *)(from + i * pitch);
        store *out = (store *)(to + i * out_pitch);
        FR_INDEPENDENT
        for (int j = 0; j < FR_COLUMNS; j++) out[j] = log ? (x[j] - m[j]) - factor[j] : out[j] * factor[j];
    }
    return 1;
}
FR_UNUSED static int FN(softmax_columns_row)(const char *x, ptrdiff_t pitch, char *out, ptrdiff_t out_pitch,
                                             ptrdiff_t n) {
    return FN(columns)(x, pitch, out, out_pitch, n, 0, 0);
}
FR_UNUSED static int FN(log_softmax_columns_row)(const char *x, ptrdiff_t pitch, char *out, ptrdiff_t out_pitch,
                                                 ptrdiff_t n) {
    return FN(columns)(x, pitch, out, out_pitch, n, 0, 1);
}
FR_UNUSED static int FN(softmin_columns_row)(const char *x, ptrdiff_t pitch, char *out, ptrdiff_t out_pitch,
                                             ptrdiff_t n) {
    return FN(columns)(x, pitch, out, out_pitch, n, 1, 0);
}
#endif

/* ---- Gradients from the output. An element whose output says that it was masked has gradient 0. ---- */

/* The sum of g y over the row, or of g alone if `log`. */
FR_INLINE fr_total FN(row_dot)(const store *g, const store *y, ptrdiff_t n, int log) {
    fr_lanes s;
    FN(lanes_clear)(&s);
    for (ptrdiff_t i = 0; i < n; i += FR_ROW_LANES) {
        store gs[FR_ROW_LANES], ys[FR_ROW_LANES];
        const store *g_at = g + i, *y_at = y + i;
        if (n - i < FR_ROW_LANES) {
            for (int j = 0; j < FR_ROW_LANES; j++) gs[j] = ys[j] = 0;
            for (int j = 0; j < n - i; j++) gs[j] = g[i + j], ys[j] = y[i + j];
            g_at = gs, y_at = ys;
        }
        for (int j = 0; j < FR_ROW_LANES; j++) {
            store v = g_at[j], w = y_at[j];
            v = (log ? w < -LARGEST : w == 0) ? 0 : v;
            w = log ? 1 : w;
#if COMPENSATED
            real p = v * w;
            fr_lane_add(&s.hi[j], &s.lo[j], p);
            if (!log) s.lo[j] += FN(fused)(v, w, -p);
#else
            s.hi[j] += (double)v * (double)w;
#endif
        }
    }
    return FN(lanes_join)(&s);
}

/* y (g - sum of g y) */
FR_INLINE void FN(softmax_gradient)(const char *const *in, char *to, ptrdiff_t n, int flip) {
    const store *g = (const store *)in[0], *y = (const store *)in[1];
    store *out = (store *)to;
    const fr_total dot = FN(row_dot)(g, y, n, 0);
#if FR_KIND == FR_LEAN
    const real hi = (real)dot.hi, lo = (real)(dot.hi - (double)hi);
#else
    const real hi = dot.hi, lo = dot.lo;
#endif
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        real p = (real)y[i];
#if FR_KIND == FR_HILO
        hl_pair d = hl_sum(g[i], -hi);
        d = hl_fast(d.hi, d.lo - lo);
        real v = hl_round(hl_mul1(d, p));
#else
        real v = p * (((real)g[i] - hi) - lo);
#endif
        out[i] = (store)(p == 0 ? R(0) : flip ? -v : v);
    }
}
FR_UNUSED static void FN(softmax_from_output_row)(const char *const *in, char *out, ptrdiff_t n) {
    FN(softmax_gradient)(in, out, n, 0);
}
FR_UNUSED static void FN(softmin_from_output_row)(const char *const *in, char *out, ptrdiff_t n) {
    FN(softmax_gradient)(in, out, n, 1);
}

/* g - e^y (sum of g) */
FR_UNUSED static void FN(log_softmax_from_output_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *g = (const store *)in[0], *y = (const store *)in[1];
    store *out = (store *)to;
    const fr_total sum = FN(row_dot)(g, y, n, 1);
    const real hi = (real)sum.hi;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) {
        real v;
#if FR_KIND == FR_HILO
        hl_scaled e = hl_exp(hl_clamped(y[i], -1500, 1500));
        hl_pair t = hl_mul(hl_of(e), hl_make(hi, sum.lo));
        t = hl_make(hl_scale(t.hi, e.k), hl_scale(t.lo, e.k));
        hl_pair d = hl_sum(g[i], -t.hi);
        v = d.hi + (d.lo - t.lo);
#else
        real far, e = FN(exp_far)(FN(at_least)((real)y[i], FAR_LOW), NO_LOW, &far);
        v = FN(or_nan)((real)g[i] - FN(product)(hi, e, far), (real)y[i]);
#endif
        out[i] = (store)((real)y[i] < -LARGEST ? R(0) : v);
    }
}

/* ---- Cross-entropy: sum of q (-log p) over the classes, and its gradient scale (p (sum of q) - q) ---- */

typedef struct {
    double whole, moment; /* sums of q, and of q (x - m) where x is finite */
    double outside;       /* the sum of q where the logit is -inf */
} FN(targets);

/* m <= FR_ROW_LANES elements from i on: their targets q, and their contribution to the sums */
FR_INLINE void FN(targets_step)(const fr_target *target, const store *x, store top, ptrdiff_t i, ptrdiff_t m,
                                double spread, fr_lanes *whole, fr_lanes *moment, double *outside) {
    const store *shares = (const store *)target->shares;
    double *q = target->dense + i;
    if (shares)
        for (ptrdiff_t j = 0; j < m; j++) q[j] = (double)shares[i + j] * (1 - target->smoothing) + spread;
    else
        for (ptrdiff_t j = 0; j < m; j++) q[j] = spread + (i + j == target->label ? 1 - target->smoothing : 0.);
    if (target->weights)
        for (ptrdiff_t j = 0; j < m; j++) q[j] *= target->weights[i + j];
    for (ptrdiff_t j = 0; j < m; j++) {
        double z = (double)x[i + j] - (double)top;
        int gone = (x[i + j] < -LARGEST) | (q[j] == 0);
        fr_lane_add(&whole->hi[j], &whole->lo[j], q[j]);
        fr_lane_add(&moment->hi[j], &moment->lo[j], gone ? 0. : q[j] * z);
        outside[j] += x[i + j] < -LARGEST ? q[j] : 0.;
    }
}

FR_INLINE FN(targets) FN(targets_of)(const fr_target *target, const store *x, store top, ptrdiff_t n) {
    fr_lanes whole, moment;
    double outside[FR_ROW_LANES];
    const double spread = target->smoothing / (double)n;
    fr_lanes_clear(&whole);
    fr_lanes_clear(&moment);
    for (int j = 0; j < FR_ROW_LANES; j++) outside[j] = 0;
    ptrdiff_t i = 0;
    for (; i + FR_ROW_LANES <= n; i += FR_ROW_LANES)
        FN(targets_step)(target, x, top, i, FR_ROW_LANES, spread, &whole, &moment, outside);
    if (i < n) FN(targets_step)(target, x, top, i, n - i, spread, &whole, &moment, outside);
    for (int j = 1; j < FR_ROW_LANES; j++) outside[0] += outside[j];
    FN(targets) found = {fr_lanes_join(&whole).hi, fr_lanes_join(&moment).hi, outside[0]};
    return found;
}

/* A row whose largest logit is infinite, with the probabilities of row_infinite. */
FR_UNUSED static double FN(cross_entropy_infinite)(const fr_target *target, ptrdiff_t n, double whole) {
    const store *x = (const store *)target->x;
    store *grad = (store *)target->grad;
    const double *q = target->dense;
    ptrdiff_t highest = 0, nans = 0, at = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        int is_highest = x[i] > LARGEST;
        at = is_highest ? i : at;
        highest += is_highest;
        nans += x[i] != x[i];
    }
    const int valid = highest == 1 && nans == 0;
    double loss = valid ? 0. : NAN;
    for (ptrdiff_t i = 0; i < n; i++) {
        double own = q ? q[i] : i == target->label ? whole : 0., p = valid ? i == at : NAN;
        if (own != 0 && i != at) loss += INFINITY;
        if (grad) grad[i] = (store)(target->scale * (whole * p - own));
    }
    return loss;
}

FR_UNUSED static double FN(cross_entropy_row)(const fr_target *target, ptrdiff_t n) {
    const store *x = (const store *)target->x;
    store *grad = (store *)target->grad;
    const int dense = target->dense != NULL;
    const store m = FN(row_max)(x, n, 0);
    FN(targets) q = {target->weights && !dense ? target->weights[target->label] : 1., 0, 0};
    if (dense) q = FN(targets_of)(target, x, m, n);
    if (!FN(row_is_finite)(m)) return FN(cross_entropy_infinite)(target, n, q.whole);

    const store own = dense ? m : x[target->label];
    const FN(row) row = FN(row_of)(m);
    const fr_total beside = FN(row_beside)(x, grad, grad ? grad : x, n, &row);
#if FR_KIND == FR_HILO
    const hl_pair logarithm = FN(row_log)(beside), z = hl_sum(m, -own), sum = hl_sum(logarithm.hi, z.hi);
    double loss = own < -LARGEST ? (double)INFINITY + logarithm.hi : sum.hi + (sum.lo + (logarithm.lo + z.lo));
#else
    double loss = (double)FN(row_log)(beside, row.unit) + ((double)m - (double)own);
#endif
    loss = q.whole == 0 && loss > 0 ? 0 : q.whole * loss;
    if (dense) loss -= q.moment;
    if (q.outside != 0) loss += q.outside * (double)INFINITY;
    if (!grad) return loss;

    const double factor = q.whole * target->scale;
    FN(row_divide)(x, grad, n, &row, FN(total_add)(beside, row.top), 0, factor, 1);
    if (dense) {
        for (ptrdiff_t i = 0; i < n; i++) grad[i] = (store)((double)grad[i] - target->scale * target->dense[i]);
    } else {
        /* p - 1, where p may be close to 1: minus the probability of all other classes */
        double others = beside.hi / row.unit;
        double rest = own == m ? factor * (others / (1 + others)) : factor - (double)grad[target->label];
        grad[target->label] = (store)-rest;
    }
    return loss;
}
