/* Kernels over a whole row: softmax and its logarithm, and what all kernels over rows share. Included by instance.h,
 * once per instance.
 *
 * A row is added up in FR_ROW_LANES partial sums, element i in lane i % FR_ROW_LANES, and the lanes in a fixed tree:
 * the bits depend on the row alone. Sums of float are in double; sums of double are compensated.
 *
 * The exponentials are e^(x - m) for the row's largest element m. Rounding x - m would cost up to 2^-18 of the result
 * in float: if |m| is moderate, the exponent is reduced from x itself, and the result lacks a factor e^(m - K ln2)
 * common to the row, where K is the integer next to m / ln2; if |m| is large, x - m is exact wherever the result is not
 * 0. A factor 2^ROW_LIFT keeps the exponentials normal, and the rounding errors of their sums, to far below results
 * that are 0: each result is rounded once if it is subnormal, and subnormal numbers take Intel's processors 40 ns each.
 * At ROW_LOW, where they stay, 2^k is 0, and so are they: a product that is rounded to 0 would take AMD's processors
 * four times as long, and rows are often masked with large negative numbers. */

#ifndef FASTRELU_ROWS
#define FASTRELU_ROWS

/* A loop over all lanes or columns, vectorized as a whole. GCC would unroll it first, and then not vectorize it. Where
 * an element takes few instructions, FOR_LANES_FLAT also unrolls the loop over vectors that is left: 15 is less than
 * all lanes and at least all vectors. FOR_FEW is a loop within it, n known to the compiler, that is unrolled first. */
#if defined(__GNUC__) && !defined(__clang__)
#define FOR_LANES(j) FR_INDEPENDENT _Pragma("GCC unroll 1") for (int j = 0; j < FR_ROW_LANES; j++)
#define FOR_LANES_FLAT(j) FR_INDEPENDENT _Pragma("GCC unroll 15") for (int j = 0; j < FR_ROW_LANES; j++)
#define FOR_FEW(i, n) _Pragma("GCC unroll 4") for (ptrdiff_t i = 0; i < (n); i++)
#else
#define FOR_LANES(j) FR_INDEPENDENT for (int j = 0; j < FR_ROW_LANES; j++)
#define FOR_LANES_FLAT(j) FOR_LANES(j)
#define FOR_FEW(i, n) for (ptrdiff_t i = 0; i < (n); i++)
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define FR_APART static __declspec(noinline)
#else
#define FR_APART FR_UNUSED static __attribute__((noinline))
#endif

enum {
    FR_ROW_LANES = 16,
    FR_MAX_LANES = 32,
    FR_COLUMN_BATCH = 4,       /* more need a large part of a small stack: a set has 5 KiB of sums */
    FR_SET_NEAR = 1 << 13,     /* bytes of a set that stays in the first cache, */
    FR_SET_FORESEEN = 1 << 17, /* and in the second, if its lines are */
    FR_SET_PITCH = 1 << 12,    /* nearer than this */
    FR_ROW_BLOCK = 1024,
    FR_ROW_LAG = 128,
    FR_ROW_LONG = 8192,
    FR_NO_LIMIT = -1
};

/* Arrays of 16 numbers begin with a cache line. */
#define FR_LINES _Alignas(64)

/* hi + lo */
typedef struct {
    double hi, lo;
} fr_total;

typedef struct {
    FR_LINES double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
    int64_t same; /* how many elements equal the largest, if they are counted instead of added */
} fr_lanes;

FR_INLINE void fr_lanes_clear(fr_lanes *s) {
    for (int j = 0; j < FR_ROW_LANES; j++) s->hi[j] = s->lo[j] = 0;
    s->same = 0;
}
/* The high part becomes the sum of both, rounded. */
FR_INLINE fr_total fr_total_close(fr_total total) {
    const double hi = total.hi + total.lo;
    return (fr_total){hi, total.lo - (hi - total.hi)};
}
FR_INLINE fr_total fr_total_add(fr_total total, double v) {
    fr_add_to(&total.hi, &total.lo, v);
    return fr_total_close(total);
}
FR_INLINE fr_total fr_lanes_join(fr_lanes *s) {
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int j = 0; j < w; j++) {
            fr_add_to(&s->hi[j], &s->lo[j], s->hi[j + w]);
            s->lo[j] += s->lo[j + w];
        }
    return fr_total_close((fr_total){s->hi[0], s->lo[0]});
}

#endif

#undef COMPENSATED
#undef KEEPS
#undef ROW_LIFT
#undef ROW_NEAR
#undef ROW_LOW
#define COMPENSATED (FR_KIND == FR_FULL || FR_KIND == FR_HILO)
/* Does the output hold the exponentials between the passes? In the accurate kinds they are computed twice instead. */
#define KEEPS (FR_KIND == FR_LEAN || FR_KIND == FR_FULL)
#define ROW_LIFT BY_KIND(64, 0, 600)
#define ROW_NEAR BY_TYPE(300, 1500)
/* 2^(k + ROW_LIFT) is 0 at k = -191, in double at -1623, and garbage below. Where K is subtracted, both it and k have
 * been rounded: hence a little less. */
#define ROW_LOW (BY_KIND(-190.999, -1023, -1622.999) * LN2)

FR_INLINE store FN(signed_as)(store x, int flip) { return flip ? -x : x; }

/* If sums are not compensated, `lo` is not used. */
FR_INLINE void FN(lanes_clear)(fr_lanes *s) {
    const int n = COMPENSATED ? FR_ROW_LANES : 0;
    for (int j = 0; j < FR_ROW_LANES; j++) {
        s->hi[j] = 0;
        if (j < n) s->lo[j] = 0;
    }
    s->same = 0;
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

/* Reads m < FR_ROW_LANES elements and fills up with zeros; writes m elements. Compilers make masked moves of them. */
FR_INLINE void FN(load_few)(store *to, const store *from, ptrdiff_t m) {
    const int few = (int)m;
    FOR_LANES(j) {
        store v = 0;
        if (j < few) v = from[j];
        to[j] = v;
    }
}
FR_INLINE void FN(store_few)(store *to, const store *from, ptrdiff_t m) {
    const int few = (int)m;
    FOR_LANES(j) if (j < few) to[j] = from[j];
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
    if (lanes == 1) return m[0];
    /* A step for each width, in registers: GCC takes a loop over widths through memory, or one element at a time, and
     * the row waits for it. */
    store sixteen[16], eight[8], four[4];
    if (lanes == FR_MAX_LANES)
        for (int j = 0; j < 16; j++) sixteen[j] = m[j + 16] > m[j] ? m[j + 16] : m[j];
    for (int j = 0; j < 8; j++)
        if (lanes == FR_MAX_LANES) eight[j] = sixteen[j + 8] > sixteen[j] ? sixteen[j + 8] : sixteen[j];
        else eight[j] = m[j];
    for (int j = 0; j < 4; j++) four[j] = eight[j + 4] > eight[j] ? eight[j + 4] : eight[j];
    for (int j = 0; j < 2; j++) four[j] = four[j + 2] > four[j] ? four[j + 2] : four[j];
    return four[1] > four[0] ? four[1] : four[0];
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
    real unit, unit_low;     /* the same, more precisely: 1 up to the common factor */
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

#if FR_KIND == FR_LEAN
/* 2^64 e^(m - K ln2) as a sum of two numbers, with the polynomial of exp_step. Maximum error 2^-26 relative. */
FR_INLINE void FN(unit_of)(real m, real K, real *unit, real *low) {
    const real z = FMA(K, -0x1.62e4p-1f, m), r = FMA(K, -0x1.7f7d1cp-20f, z), r_low = FMA(K, -0x1.7f7d1cp-20f, z - r);
    const real q = POLY4(r, 0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558d2p-5f, 0x1.1239ccp-7f, 0x1.6a2408p-10f) * (r * r);
    const real p = r + q, p_low = q - (p - r), e = 1 + p;
    *unit = e * 0x1p64f;
    *low = ((p - (e - 1)) + (p_low + r_low)) * 0x1p64f;
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
    row.unit = row.top, row.unit_low = 0;
#if FR_KIND == FR_LEAN
    FN(unit_of)(near ? m : R(0), K, &row.unit, &row.unit_low);
#endif
#else
    row.origin = m;
    row.magic = ROUNDER + BIAS;
    row.low = ROW_LOW;
    row.top = FR_KIND == FR_HILO ? R(0x1p600) : R(1);
    row.unit = row.top, row.unit_low = 0;
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

/* The sum of all exponentials but one of the largest, from the sum of those that are not the largest. What is far below
 * the smallest result is 0, as it is beside -inf. */
FR_INLINE fr_total FN(beside_of)(fr_total total, double others, real top) {
    total = FN(total_add)(total, others * (double)top);
    if (FR_KIND == FR_WIDE) total.hi = total.hi < 0x1p-160 ? 0 : total.hi;
    return total;
}

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

/* as wide as an exponential, so that compilers vectorize the count beside the sum */
#if FR_KIND == FR_LEAN
typedef int32_t FN(count);
#else
typedef int64_t FN(count);
#endif

/* Adds FR_ROW_LANES exponentials to the lanes, or to 0 if they are `first`. Unless `top` is NULL, those equal to it are
 * counted instead. */
FR_INLINE void FN(add_lanes)(int first, double *hi, double *lo, const real *e, const real *e_lo, const real *top,
                             FN(count) * same) {
#if FR_KIND == FR_LEAN && defined(__AVX2__)
    fr_widen_and_add(first, hi, e, top, same);
#else
    FOR_LANES(j) {
        real v = e[j];
        if (top) {
            int is_top = v == top[j];
#if FR_KIND == FR_HILO
            is_top &= e_lo[j] == 0;
#endif
            v = is_top ? R(0) : v;
            same[j] += is_top;
        }
#if COMPENSATED
        double sum = first ? 0 : hi[j], low = first ? 0 : lo[j];
        fr_add_to(&sum, &low, v);
#if FR_KIND == FR_HILO
        low += e_lo[j];
#endif
        hi[j] = sum, lo[j] = low;
#else
        hi[j] = first ? (double)v : hi[j] + (double)v;
#endif
    }
#endif
    (void)lo, (void)e_lo, (void)same;
}
/* The lanes of a row in registers, and back. */
#define ROW_LANES_OPEN(s, largest)                                                      \
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];                                          \
    real top[FR_ROW_LANES];                                                             \
    FN(count) same[FR_ROW_LANES];                                                       \
    FOR_LANES(j) { hi[j] = s->hi[j], lo[j] = s->lo[j], top[j] = largest, same[j] = 0; } \
    (void)top;
#define ROW_LANES_CLOSE(s) \
    FOR_LANES(j) { s->hi[j] = hi[j], s->lo[j] = lo[j], s->same += same[j]; }

/* Adds n exponentials. Functions of their own, like the next ones: inlined, GCC does not vectorize across the lanes. */
#define ROW_ADD(name, ...)                                                                             \
    FR_APART void FN(name)(fr_lanes * s, const real *e, const real *e_lo, ptrdiff_t n, real largest) { \
        ROW_LANES_OPEN(s, largest)                                                                     \
        for (ptrdiff_t i = 0; i < n; i += FR_ROW_LANES)                                                \
            FN(add_lanes)(0, hi, lo, e + i, FR_KIND == FR_HILO ? e_lo + i : NULL, __VA_ARGS__);        \
        ROW_LANES_CLOSE(s)                                                                             \
    }
ROW_ADD(add_row, NULL, NULL)
ROW_ADD(add_beside_row, top, same)
#undef ROW_ADD

#if KEEPS
/* Both at once: the exponentials of FR_ROW_LAG elements earlier are added, so that no sum waits for its exponential.
 * Meanwhile the memory that is read and written afterwards is prefetched: this pass is bound by arithmetic, that one by
 * memory. */
FR_INLINE void FN(exps_and_sum)(fr_lanes *s, const store *x, real *e, ptrdiff_t n, const FN(row) * row, real origin,
                                int flip, int beside, const store *read, const store *written) {
    const real magic = row->magic, low = row->low;
    ROW_LANES_OPEN(s, row->top)
    for (ptrdiff_t i = 0; i + FR_ROW_LAG < n; i += FR_ROW_LANES) {
        const store *from = x + FR_ROW_LAG + i;
        real *to = e + FR_ROW_LAG + i;
        for (int j = 0; j < FR_ROW_LANES; j += 64 / (int)sizeof(store)) {
            FR_FETCH(read + i + j);
            FR_FETCH_TO(written + i + j);
        }
        FR_INDEPENDENT
        for (int j = 0; j < FR_ROW_LANES; j++) to[j] = FN(row_exp)(FN(signed_as)(from[j], flip), origin, magic, low);
        FN(add_lanes)(0, hi, lo, e + i, NULL, beside ? top : NULL, same);
    }
    ROW_LANES_CLOSE(s)
}
#define ROW_EXPS(name, origin, flip, beside)                                                                           \
    FR_APART void FN(name)(fr_lanes * s, const store *x, real *e, ptrdiff_t n, const FN(row) * row, const store *read, \
                           const store *written) {                                                                     \
        FN(exps_and_sum)(s, x, e, n, row, origin, flip, beside, read, written);                                        \
    }
ROW_EXPS(exps_near_row, 0, 0, 0)
ROW_EXPS(exps_far_row, row->origin, 0, 0)
ROW_EXPS(exps_flipped_row, row->origin, 1, 0)
ROW_EXPS(exps_near_beside_row, 0, 0, 1)
ROW_EXPS(exps_far_beside_row, row->origin, 0, 1)
#undef ROW_EXPS
#endif

/* Writes the exponentials of n elements, a multiple of FR_ROW_LANES, to `e`, and adds them to the lanes; if `beside`,
 * those of the largest are counted. */
FR_INLINE void FN(block_sum)(fr_lanes *s, const store *x, real *e, ptrdiff_t n, const FN(row) * row, int flip,
                             int beside, const store *read, const store *written) {
#if KEEPS
    const ptrdiff_t lag = n < FR_ROW_LAG ? n : FR_ROW_LAG, added = n - lag;
    const real *e_lo = NULL;
    FN(row_exps)(x, e, NULL, lag, row, flip);
    if (n <= lag) { /* all of them are added below */
    } else if (flip) FN(exps_flipped_row)(s, x, e, n, row, read, written);
    else if (row->origin == 0 && beside) FN(exps_near_beside_row)(s, x, e, n, row, read, written);
    else if (row->origin == 0) FN(exps_near_row)(s, x, e, n, row, read, written);
    else if (beside) FN(exps_far_beside_row)(s, x, e, n, row, read, written);
    else FN(exps_far_row)(s, x, e, n, row, read, written);
#else
    const ptrdiff_t lag = n, added = 0;
    real e_lo[FR_ROW_BLOCK];
    (void)read, (void)written;
    FN(row_exps)(x, e, e_lo, n, row, flip);
#endif
    if (beside) FN(add_beside_row)(s, e + added, e_lo, lag, row->top);
    else FN(add_row)(s, e + added, e_lo, lag, row->top);
}

/* The sum of a row's exponentials, or if `beside` of all but one of the largest, without cancellation. The exponentials
 * stay in `keep` unless that is NULL or the kind keeps none. The addresses behind
 * the row are prefetched as the next row; `out` is the destination of the results. */
FR_INLINE fr_total FN(row_sum)(const store *x, store *keep, const store *out, ptrdiff_t n, const FN(row) * row,
                               int flip, int beside) {
    real room[FR_ROW_BLOCK], last[FR_ROW_LANES], last_lo[FR_ROW_LANES];
    const int left = (int)(n % FR_ROW_LANES);
    const ptrdiff_t whole = n - left;
    fr_lanes s;
    FN(lanes_clear)(&s);
    if (left) { /* first, so that the final sum does not wait for them */
        store rest[FR_ROW_LANES];
        FN(load_few)(rest, x + whole, left);
        FN(row_exps)(rest, last, last_lo, FR_ROW_LANES, row, flip);
        for (int j = 0; j < FR_ROW_LANES; j++) {
            last[j] = j < left ? last[j] : 0;
            if (FR_KIND == FR_HILO) last_lo[j] = j < left ? last_lo[j] : 0;
        }
#if KEEPS
        if (keep) FN(store_few)(keep + whole, last, left);
#endif
    }
#if KEEPS
    if (keep) FN(block_sum)(&s, x, keep, whole, row, flip, beside, x + n, out + (n < FR_ROW_LONG ? n : FR_ROW_BLOCK));
#endif
    for (ptrdiff_t i = 0; i < whole && !(keep && KEEPS); i += FR_ROW_BLOCK) {
        const ptrdiff_t m = whole - i < FR_ROW_BLOCK ? whole - i : FR_ROW_BLOCK;
        FN(block_sum)(&s, x + i, room, m, row, flip, beside, x + i + n, out + i);
    }
    if (left && beside) FN(add_beside_row)(&s, last, last_lo, FR_ROW_LANES, row->top);
    else if (left) FN(add_row)(&s, last, last_lo, FR_ROW_LANES, row->top);
    const fr_total total = FN(lanes_join)(&s);
    return beside ? FN(beside_of)(total, (double)(s.same - 1), row->top) : total;
}

/* log(1 + t), t >= 0. Maximum error: wide 2^-38 relative, full 1.5 ULP. */
#if FR_KIND == FR_WIDE || FR_KIND == FR_FULL
FR_INLINE double FN(row_log1p)(double t) {
    const int large = t > 1;
    FN(word) s = {1 + t}, exponent = s;
    exponent.bits = s.bits >> SHIFT | (uint64_t)0x433 << SHIFT; /* as the last digits of 2^52 + ... */
    s.bits = (s.bits & (((uint64_t)1 << SHIFT) - 1)) | (uint64_t)BIAS << SHIFT;
    double k = large ? exponent.number - (0x1p52 + BIAS) : 0, f = large ? s.number - 1 : t;
    double q = (f + f) / (2 + f), w = q * q;
    double y = FMA(q * w, FN(log1p_poly)(w), q);
    return FMA(k, 0x1.62e42fefa3000p-1, FMA(k, 0x1.3de6af278ece6p-42, y));
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
#elif FR_KIND == FR_WIDE
FR_INLINE double FN(row_log)(fr_total beside, double unit) { return row_log1p_wide(beside.hi / unit); }
#else
/* log(1 + t) as above for t = beside / unit, as a sum of two numbers: 1 + t = 2^k (1 + f), where the bits of the sum
 * and of unit give the k that makes 0 <= f < 1. Only the quotient needs more than a float. Maximum error 2^-27
 * relative. */
typedef struct {
    real hi, lo;
} FN(logarithm);
FR_INLINE FN(logarithm) FN(row_log)(fr_total beside, real unit, real unit_low) {
    const real b = (real)beside.hi, b_low = (real)(beside.hi - (double)b);
    FN(word) u = {unit}, s = {b + unit}, scale;
    const real t = s.number - b;
    const int32_t k = (int32_t)(s.bits - u.bits) >> SHIFT; /* of rows that have a limit it may be anything */
    scale.bits = (uint32_t)(BIAS - k) << SHIFT;
    const real sum = s.number * scale.number;
    const real sum_low = ((b - (s.number - t)) + (unit - t) + (b_low + unit_low)) * scale.number;
    const real above = k ? sum - unit : b, above_low = k ? sum_low - unit_low : b_low;
    const real d = sum + unit, d_low = (unit - (d - sum)) + (sum_low + unit_low);
    const real inverse = 1 / d, q = (above + above) * inverse;
    const real q_low = (FMA(-q, d, above + above) + FMA(-q, d_low, above_low + above_low)) * inverse;
    const real w = q * q, rest = FMA(q * w, FN(log1p_poly)(w), q_low);
    const real whole = (real)k * 0x1.62e4p-1f, hi = whole + q;
    return (FN(logarithm)){hi, (q - (hi - whole)) + FMA((real)k, 0x1.7f7d1cp-20f, rest)};
}
#endif

/* ---- Elements of the results, from x, or in the kinds that keep them from the exponentials ---- */

typedef struct {
    real hi, lo;
} FN(factor);

/* What turns an exponential into a probability, times f if `scaled`. */
FR_INLINE FN(factor) FN(factor_of)(fr_total total, double f, int scaled) {
#if FR_KIND == FR_HILO
    const hl_pair r = hl_div(hl_make(1, 0), hl_make(total.hi * 0x1p-600, total.lo * 0x1p-600));
    (void)f, (void)scaled;
    return (FN(factor)){r.hi, r.lo};
#elif FR_KIND == FR_WIDE
    return (FN(factor)){scaled ? f / total.hi : 1 / total.hi, 0};
#else
    const double r = 1 / total.hi;
    (void)f, (void)scaled;
    return (FN(factor)){(real)r, (real)(r - (real)r)};
#endif
}
FR_INLINE store FN(probability)(store x, real origin, real magic, real low, real r_hi, real r_lo, real f, int flip,
                                int scaled) {
    (void)origin, (void)magic, (void)low, (void)r_lo, (void)f, (void)flip;
#if KEEPS
    const real y = FR_KIND == FR_LEAN ? FMA(x, r_hi, x * r_lo) : x * r_hi;
    return scaled ? y * f : y;
#elif FR_KIND == FR_WIDE
    (void)scaled;
    return (store)(FN(row_exp)((real)FN(signed_as)(x, flip), origin, magic, low) * r_hi);
#else
    hl_scaled e = FN(row_exp)(FN(signed_as)(x, flip), origin);
    real y = hl_scale(hl_round(hl_mul(hl_of(e), hl_make(r_hi, r_lo))), e.k);
    return scaled ? y * f : y;
#endif
}
/* (x - m) - logarithm */
FR_INLINE store FN(log_probability)(store x, store m, real hi, real lo) {
#if FR_KIND == FR_HILO
    hl_pair z = hl_sum(x, -m), s = hl_sum(z.hi, -hi);
    real y = s.hi + (s.lo + (z.lo - lo));
    return z.hi < -LARGEST ? z.hi - hi : y;
#else
    (void)lo;
    return (store)(((real)x - (real)m) - hi);
#endif
}
FR_INLINE FN(factor) FN(logarithm_of)(fr_total beside, real unit, real unit_low) {
    (void)unit, (void)unit_low;
#if FR_KIND == FR_HILO
    const hl_pair y = FN(row_log)(beside);
    return (FN(factor)){y.hi, y.lo};
#elif FR_KIND == FR_LEAN
    const FN(logarithm) y = FN(row_log)(beside, unit, unit_low);
    return (FN(factor)){y.hi + y.lo, 0};
#else
    return (FN(factor)){FN(row_log)(beside, unit), 0};
#endif
}

/* ---- Rows of two elements, in the kinds that fuse: e^(other - m) is all that they share, and the difference is exact
 * as a sum of two numbers. ---- */

#undef PAIRS
#undef PAIR_DOWN
#define PAIRS(n) (KEEPS && (n) == 2)
#define PAIR_DOWN BY_TYPE(0x1p-64, 0x1p-600) /* 2^-ROW_LIFT */
FR_INLINE store FN(other_of)(store a, store b, store m) { return a == m ? b : a; }
/* 2^ROW_LIFT e^(other - m) */
FR_INLINE real FN(pair_exp)(store m, store other) {
#if KEEPS
    const real magic = ROUNDER + BIAS + ROW_LIFT, gap = other - m, back = other - gap;
    const real gap_low = (back - m) + (other - (gap + back));
    const int gone = ROW_LOW > gap;
    const real z = gone ? ROW_LOW : gap, shifted = FMA(z, R(LOG2E), magic);
    const real r = FN(minus_k_ln2)(z, shifted - magic) + (gone ? R(0) : gap_low);
    return FN(exp_poly)(r, 1, 1) * FN(power)(shifted);
#else
    return (real)m + (real)other;
#endif
}
/* log(1 + e^(other - m)) 2^ROW_LIFT, as a sum of two numbers */
FR_INLINE FN(factor) FN(pair_log)(store m, store other) {
    const real e = FN(pair_exp)(m, other), d = FMA(e, PAIR_DOWN, R(2));
#if FR_KIND == FR_LEAN
    const real inverse = 1 / d, q = (e + e) * inverse;
    const real q_low = FMA(-q, FMA(e, PAIR_DOWN, 2 - d), FMA(-q, d, e + e)) * inverse;
#else
    const real q = (e + e) / d, q_low = 0;
#endif
    const real t = q * PAIR_DOWN, w = t * t;
    return (FN(factor)){q, FMA(q * w, FN(log1p_poly)(w), q_low)};
}
FR_INLINE real FN(pair_logarithm)(store m, store other) {
    const FN(factor) y = FN(pair_log)(m, other);
    return (y.hi + y.lo) * PAIR_DOWN;
}
/* -log p of the element `own` */
FR_INLINE double FN(pair_loss)(store m, store other, store own) {
    const FN(factor) y = FN(pair_log)(m, other);
    return ((double)y.hi + (double)y.lo) * (double)PAIR_DOWN + ((double)m - (double)own);
}
/* The probabilities of a and b. */
FR_INLINE void FN(pair_softmax)(store *to_a, store *to_b, store a, store b, store m) {
    const real e = FN(pair_exp)(m, FN(other_of)(a, b, m)), d = FMA(e, PAIR_DOWN, R(1));
    real top = 1 / d;
#if FR_KIND == FR_LEAN /* what the rounding of d and of the quotient took */
    top = FMA(top, FMA(-top, FMA(e, PAIR_DOWN, 1 - d), FMA(-top, d, R(1))), top);
#endif
    const store most = (store)top, least = (store)(e * (top * PAIR_DOWN));
    *to_a = a == m ? most : least;
    *to_b = a == m ? least : most;
}

/* ---- Rows whose largest element is infinite: they have a limit if they hold a single +inf and no NaN. ---- */

FR_INLINE int FN(row_is_finite)(store m) { return m - m == 0; }

/* The position of the single +inf. */
FR_APART ptrdiff_t FN(limit_of)(const char *x, ptrdiff_t pitch, ptrdiff_t n, int flip) {
    ptrdiff_t highest = 0, nans = 0, at = FR_NO_LIMIT;
    for (ptrdiff_t i = 0; i < n; i++) {
        store v = FN(signed_as)(*(const store *)(x + i * pitch), flip);
        if (v > LARGEST) at = i, highest++;
        nans += v != v;
    }
    return highest == 1 && nans == 0 ? at : FR_NO_LIMIT;
}
/* The results of such a row. */
FR_APART void FN(write_limit)(char *out, ptrdiff_t pitch, ptrdiff_t n, ptrdiff_t at, int logarithm) {
    const store others = at < 0 ? (store)NAN : logarithm ? -(store)INFINITY : (store)0;
    for (ptrdiff_t i = 0; i < n; i++) *(store *)(out + i * pitch) = others;
    if (at >= 0) *(store *)(out + at * pitch) = logarithm ? (store)0 : (store)1;
}

/* ---- One row ---- */

FR_INLINE void FN(row_divide)(const store *x, store *out, ptrdiff_t n, const FN(row) * row, fr_total total, int flip,
                              double f, int scaled) {
    const FN(factor) r = FN(factor_of)(total, f, scaled);
    const real hi = r.hi, lo = r.lo, factor = (real)f, origin = row->origin, magic = row->magic, low = row->low;
    const store *from = KEEPS ? out : x;
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = FN(probability)(from[i], origin, magic, low, hi, lo, factor, flip, scaled);
}

FR_INLINE void FN(softmax)(const char *const *in, char *to, ptrdiff_t n, int flip) {
    const store *x = (const store *)in[0];
    store *out = (store *)to;
    store m = FN(row_max)(x, n, flip);
    if (!FN(row_is_finite)(m)) {
        FN(write_limit)(to, sizeof(store), n, FN(limit_of)(in[0], sizeof(store), n, flip), 0);
        return;
    }
    if (PAIRS(n)) {
        FN(pair_softmax)(&out[0], &out[1], FN(signed_as)(x[0], flip), FN(signed_as)(x[1], flip), m);
        return;
    }
    const FN(row) row = FN(row_of)(m);
    FN(row_divide)(x, out, n, &row, FN(row_sum)(x, out, out, n, &row, flip, 0), flip, 1, 0);
}
FR_UNUSED static void FN(softmax_row)(const char *const *in, char *out, ptrdiff_t n) { FN(softmax)(in, out, n, 0); }
FR_UNUSED static void FN(softmin_row)(const char *const *in, char *out, ptrdiff_t n) { FN(softmax)(in, out, n, 1); }

FR_UNUSED static void FN(log_softmax_row)(const char *const *in, char *to, ptrdiff_t n) {
    const store *x = (const store *)in[0];
    store *out = (store *)to;
    const store m = FN(row_max)(x, n, 0);
    if (!FN(row_is_finite)(m)) {
        FN(write_limit)(to, sizeof(store), n, FN(limit_of)(in[0], sizeof(store), n, 0), 1);
        return;
    }
    real hi, lo = 0;
    if (PAIRS(n)) {
        hi = FN(pair_logarithm)(m, FN(other_of)(x[0], x[1], m));
    } else {
        const FN(row) row = FN(row_of)(m);
        const FN(factor) y = FN(logarithm_of)(FN(row_sum)(x, NULL, out, n, &row, 0, 1), row.unit, row.unit_low);
        hi = y.hi, lo = y.lo;
    }
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < n; i++) out[i] = FN(log_probability)(x[i], m, hi, lo);
}

/* ---- Elements that are changed as they are loaded: each step is rounded, as it is in passes of its own. ---- */

FR_UNUSED static void FN(load_row)(char *to, const char *from, const char *bias, ptrdiff_t n, const fr_row_load *load) {
    const store scale = (store)load->scale, cap = (store)load->cap, *x = (const store *)from;
    const store *b = (const store *)bias;
    store *z = (store *)to;
    ptrdiff_t m;
    for (; n > 0; n -= m, x += m, z += m, b = b ? b + m : NULL) {
        m = n < FR_ROW_BLOCK ? n : FR_ROW_BLOCK;
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < m; i++) z[i] = x[i] * scale;
        if (load->softcap) {
            const char *in[] = {(const char *)z, (const char *)&cap};
            load->softcap(in, (char *)z, m);
        }
        if (!b) continue;
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < m; i++) z[i] += b[i];
    }
}
#undef ROW_LANES_OPEN
#undef ROW_LANES_CLOSE
