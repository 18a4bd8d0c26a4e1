/* Gradients of softmax and its logarithm from the output, over a row and over a tile. Included by instance.h, once per
 * instance.
 *
 * An element whose output says that it was masked has gradient 0, and its grad does not count, NaN included. A product
 * with the output 0 is 0 by itself, unless grad or its distance from the sum is not finite; and the smallest output
 * shows whether a logarithm is -inf. Only then are sums and results computed with a selection for each element. */

/* ---- The sum of g y over the row, or of g alone for the logarithm ---- */

#ifndef FASTRELU_ROW_GRADIENTS
#define FASTRELU_ROW_GRADIENTS
#define FR_ABS(x) ((x) < 0 ? -(x) : (x))
enum { FR_DOT_PLAIN, FR_DOT_SELECT, FR_DOT_LOG, FR_DOT_LOG_SELECT };
enum {
    FR_DOT_GROUP = 4,
    FR_DOT_BYTES = 1 << 13,          /* of an input: rows of few elements that are gone through at a time */
    FR_DOT_SETS = 8,                 /* of columns of longer rows, or */
    FR_DOT_SETS_COMPENSATED = 4,     /* if sums have errors: both need 17 KiB of a stack that may have 64 */
    FR_DOT_LINES = 16,               /* the lines of all sets whose results are written together */
    FR_SET_LANES = FR_ROW_LANES + 1, /* from one set to the next, which else were half a page apart */
    FR_DOT_FETCHED = 1 << 12
};
/* The rows of a tile: those of few elements as many at a time as stay in the first cache until their gradients are
 * written; longer ones so many sets at a time that neighboring lines of the cache are read. No processor foresees
 * single ones that lie far apart. */
#define FOR_WIDTHS(at, count, tile, sets)                                                                 \
    for (ptrdiff_t at = 0, count = 0,                                                                     \
                   fit = FR_DOT_BYTES / ((tile)->n * (ptrdiff_t)sizeof(store)) / FR_COLUMNS * FR_COLUMNS, \
                   few = fit > FR_TILE_WIDTH ? FR_TILE_WIDTH : fit,                                       \
                   most = (tile)->n > FR_FEW ? (sets) * FR_COLUMNS : few;                                 \
         count = (tile)->width - at < most ? (tile)->width - at : most, at < (tile)->width; at += count)
#endif

#undef DOT_SETS
#define DOT_SETS (COMPENSATED ? FR_DOT_SETS_COMPENSATED : FR_DOT_SETS)

/* Adding a number of this size to the largest number does not overflow. */
#undef DOT_HUGE
#define DOT_HUGE BY_TYPE(0x1p100, 0x1p960)

/* In the kinds that fuse, FR_DOT_GROUP products of one lane, one after the other, are added up in the type of the row:
 * their sum, whose error is at most as many roundings, is what the lane adds. */
#undef DOT_GROUPS
#define DOT_GROUPS(way) (KEEPS && (way) <= FR_DOT_SELECT)

FR_INLINE void FN(dot_select)(store *v, store *w, int way) {
    if (way == FR_DOT_SELECT) *v = *w == 0 ? 0 : *v;
    if (way == FR_DOT_LOG_SELECT) *v = *w < -LARGEST ? 0 : *v;
    if (way >= FR_DOT_LOG) *w = 1;
}
/* Adds p to its lane. An infinite p gives the first sum the error that it gives others. */
FR_INLINE void FN(dot_add)(int first, double *hi, double *lo, store p) {
#if COMPENSATED
    if (first) *hi = 0 + p, *lo = p - p;
    else fr_add_to(hi, lo, p);
#else
    *hi = (first ? 0 : *hi) + (double)p;
    (void)lo;
#endif
}
/* Adds an element to its lane; for FR_DOT_LOG also the smallest w to `least`. */
FR_INLINE void FN(dot_lane)(int first, double *hi, double *lo, store *least, store v, store w, int way) {
    if (way == FR_DOT_LOG) *least = w < *least ? w : *least;
    FN(dot_select)(&v, &w, way);
#if FR_KIND == FR_WIDE
    *hi = FR_FMA((double)v, (double)w, first ? 0 : *hi); /* the product is exact */
    (void)lo;
#else
    const store p = way >= FR_DOT_LOG ? v : v * w;
    FN(dot_add)(first, hi, lo, p);
    if (COMPENSATED && way < FR_DOT_LOG) *lo += FN(fused)(v, w, -p);
#endif
    (void)least;
}
FR_INLINE void FN(dot_lanes)(int first, double *hi, double *lo, store *least, const store *g, const store *y, int way) {
    FOR_LANES_FLAT(j) FN(dot_lane)(first, &hi[j], &lo[j], &least[j], g[j], y[j], way);
}
/* p + g y */
FR_INLINE store FN(dot_product)(store p, store g, store y, int way) {
    FN(dot_select)(&g, &y, way);
    return (store)FMA(g, y, p);
}
FR_INLINE void FN(dot_group)(store *p, const store *g, const store *y, int way) {
    FOR_LANES_FLAT(j) p[j] = FN(dot_product)(p[j], g[j], y[j], way);
}

/* The sum over n elements, a multiple of FR_ROW_LANES, and those of `rest`; the destination of the results is
 * prefetched. Returns whether a logarithm is -inf. */
FR_INLINE int FN(dot_over)(fr_lanes *s, const store *g, const store *y, ptrdiff_t n, const store *rest_g,
                           const store *rest_y, const store *written, int way) {
    enum { lines = 64 / (int)sizeof(store) };
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
    store least[FR_ROW_LANES];
    int gone = 0;
    ptrdiff_t i = 0;
    FOR_LANES_FLAT(j) hi[j] = lo[j] = least[j] = 0;
    if (DOT_GROUPS(way)) {
        store p[FR_ROW_LANES];
        for (; i + FR_DOT_GROUP * FR_ROW_LANES <= n; i += FR_DOT_GROUP * FR_ROW_LANES) {
            for (int k = 0; k < FR_DOT_GROUP * FR_ROW_LANES; k += lines) FR_FETCH_TO(written + i + k);
            FOR_LANES_FLAT(j) p[j] = 0;
            for (int k = 0; k < FR_DOT_GROUP * FR_ROW_LANES; k += FR_ROW_LANES)
                FN(dot_group)(p, g + i + k, y + i + k, way);
            FOR_LANES_FLAT(j) FN(dot_add)(0, &hi[j], &lo[j], p[j]);
        }
        FOR_LANES_FLAT(j) p[j] = 0;
        for (; i < n; i += FR_ROW_LANES) FN(dot_group)(p, g + i, y + i, way);
        FN(dot_group)(p, rest_g, rest_y, way);
        FOR_LANES_FLAT(j) FN(dot_add)(0, &hi[j], &lo[j], p[j]);
        FOR_LANES_FLAT(j) s->hi[j] = hi[j], s->lo[j] = lo[j];
        return 0;
    }
    for (; i < n; i += FR_ROW_LANES) {
        for (int k = 0; k < FR_ROW_LANES; k += lines) FR_FETCH_TO(written + i + k);
        FN(dot_lanes)(0, hi, lo, least, g + i, y + i, way);
    }
    FN(dot_lanes)(0, hi, lo, least, rest_g, rest_y, way);
    FOR_LANES_FLAT(j) gone |= least[j] < -LARGEST;
    FOR_LANES_FLAT(j) s->hi[j] = hi[j], s->lo[j] = lo[j];
    return gone;
}
/* The same for a row of few elements, which has one lane. */
FR_INLINE int FN(dot_few)(fr_total *total, const store *g, const store *y, ptrdiff_t n, int way) {
    double hi = 0, lo = 0;
    store least = 0, p;
    for (ptrdiff_t i = 0, k; i < n; i = k) {
        k = i + 1;
        if (DOT_GROUPS(way)) {
            p = FN(dot_product)(0, g[i], y[i], way);
            for (; k < n && k < i + FR_DOT_GROUP; k++) p = FN(dot_product)(p, g[k], y[k], way);
            FN(dot_add)(i == 0, &hi, &lo, p);
        } else {
            FN(dot_lane)(i == 0, &hi, &lo, &least, g[i], y[i], way);
        }
    }
    *total = fr_total_close((fr_total){hi, lo});
    return least < -LARGEST;
}
/* Are the next row and the destination of the results prefetched? Together with a longer row they would not stay in the
 * first cache. */
FR_INLINE int FN(dot_fetches)(ptrdiff_t n) { return n * (ptrdiff_t)sizeof(store) <= FR_DOT_FETCHED; }
#define ROW_DOT(name, way)                                                                                \
    FR_APART int FN(name)(fr_lanes * s, const store *g, const store *y, ptrdiff_t n, const store *rest_g, \
                          const store *rest_y, const store *written) {                                    \
        return FN(dot_over)(s, g, y, n, rest_g, rest_y, written, way);                                    \
    }
ROW_DOT(dot_row, FR_DOT_PLAIN)
ROW_DOT(dot_select_row, FR_DOT_SELECT)
ROW_DOT(dot_log_row, FR_DOT_LOG)
ROW_DOT(dot_log_select_row, FR_DOT_LOG_SELECT)
#undef ROW_DOT

FR_INLINE int FN(row_dot_once)(fr_total *total, const store *g, const store *y, const store *out, ptrdiff_t n,
                               int way) {
    const ptrdiff_t left = n % FR_ROW_LANES, whole = n - left;
    fr_lanes s;
    int gone;
    if (n <= FR_FEW) {
        gone = FN(dot_few)(total, g, y, n, way);
    } else {
        store rest_g[FR_ROW_LANES], rest_y[FR_ROW_LANES];
        FN(load_few)(rest_g, g + whole, left);
        FN(load_few)(rest_y, y + whole, left);
        if (!FN(dot_fetches)(n)) out = g;
        gone = way == FR_DOT_PLAIN    ? FN(dot_row)(&s, g, y, whole, rest_g, rest_y, out)
               : way == FR_DOT_SELECT ? FN(dot_select_row)(&s, g, y, whole, rest_g, rest_y, out)
               : way == FR_DOT_LOG    ? FN(dot_log_row)(&s, g, y, whole, rest_g, rest_y, out)
                                      : FN(dot_log_select_row)(&s, g, y, whole, rest_g, rest_y, out);
        *total = FN(lanes_join)(&s);
    }
    return way == FR_DOT_LOG ? gone : !(FR_ABS(total->hi) < DOT_HUGE);
}
/* Returns whether elements have to be selected. */
FR_INLINE int FN(row_dot)(fr_total *total, const store *g, const store *y, const store *out, ptrdiff_t n, int way) {
    const int masked = FN(row_dot_once)(total, g, y, out, n, way);
    if (masked) FN(row_dot_once)(total, g, y, out, n, way + 1); /* the way with a selection */
    return masked;
}

/* The same for rows side by side. */

/* Of FR_COLUMNS rows. */
typedef real FN(sums)[FR_COLUMNS];

/* The sum of a group of one row: `count` products. */
FR_INLINE store FN(columns_dot_group)(const store *const *g, const store *const *y, ptrdiff_t count, int j, int way) {
    store p = FN(dot_product)(0, g[0][j], y[0][j], way);
    FOR_FEW(i, count - 1) p = FN(dot_product)(p, g[i + 1][j], y[i + 1][j], way);
    return p;
}
/* Adds up to FR_DOT_GROUP elements of FR_COLUMNS rows to one lane of each. */
FR_INLINE void FN(columns_dot_lane)(int first, double *hi, double *lo, store *least, const store *const *g,
                                    const store *const *y, ptrdiff_t count, int way) {
    FOR_LANES_FLAT(j) {
        if (DOT_GROUPS(way)) {
            FN(dot_add)(first, &hi[j], &lo[j], FN(columns_dot_group)(g, y, count, j, way));
        } else {
            double sum = first ? 0 : hi[j], low = first || !COMPENSATED ? 0 : lo[j];
            FOR_FEW(i, count) FN(dot_lane)(first && i == 0, &sum, &low, &least[j], g[i][j], y[i][j], way);
            hi[j] = sum;
            if (COMPENSATED) lo[j] = low;
        }
    }
}
/* The same of `sets` times FR_COLUMNS rows, whose elements are a step apart. */
FR_INLINE void FN(columns_dot_lines)(int first, double (*hi)[FR_COLUMNS], double (*lo)[FR_COLUMNS], store *least,
                                     const char *g, ptrdiff_t g_step, const char *y, ptrdiff_t y_step, ptrdiff_t count,
                                     ptrdiff_t sets, int way) {
    const store *from_g[FR_DOT_GROUP], *from_y[FR_DOT_GROUP];
    for (ptrdiff_t k = 0; k < sets; k++, hi += FR_SET_LANES, lo += FR_SET_LANES) {
        FOR_FEW(i, count) {
            from_g[i] = (const store *)(g + COLUMNS_AT(k) + i * g_step);
            from_y[i] = (const store *)(y + COLUMNS_AT(k) + i * y_step);
        }
        FN(columns_dot_lane)(first, *hi, *lo, least, from_g, from_y, count, way);
    }
}
/* The sums of `sets` times FR_COLUMNS rows in `lanes` lanes of each; continues them unless `first`. */
FR_INLINE void FN(columns_dot_lanes)(int first, double (*hi)[FR_COLUMNS], double (*lo)[FR_COLUMNS], store *least,
                                     const char *g, ptrdiff_t g_pitch, const char *y, ptrdiff_t y_pitch, ptrdiff_t n,
                                     ptrdiff_t lanes, ptrdiff_t sets, int way) {
#define DOT_LINES(start, count)                                                                                        \
    FN(columns_dot_lines)(start, hi + l, lo + l, least, g + (i + l) * g_pitch, lanes * g_pitch, y + (i + l) * y_pitch, \
                          lanes * y_pitch, count, sets, way)
#define DOT_LEFT(start)                                         \
    for (ptrdiff_t l = 0; l < lanes && i + l < n; l++) {        \
        const ptrdiff_t left = (n - i - l + lanes - 1) / lanes; \
        if (left == 1) DOT_LINES(start, 1);                     \
        else if (left == 2) DOT_LINES(start, 2);                \
        else if (left == 3) DOT_LINES(start, 3);                \
        else DOT_LINES(start, 4);                               \
    }
    const ptrdiff_t block = FR_DOT_GROUP * lanes;
    ptrdiff_t i = 0;
    if (first && n < block) {
        DOT_LEFT(1)
        return;
    }
    if (first) {
        for (ptrdiff_t l = 0; l < lanes; l++) DOT_LINES(1, FR_DOT_GROUP);
        i = block;
    }
    for (; i + block <= n; i += block)
        for (ptrdiff_t l = 0; l < lanes; l++) DOT_LINES(0, FR_DOT_GROUP);
    DOT_LEFT(0)
#undef DOT_LEFT
#undef DOT_LINES
}
FR_INLINE void FN(columns_dot)(FN(sums) * sum, FN(sums) * low, double (*hi)[FR_COLUMNS], double (*lo)[FR_COLUMNS],
                               store *least, const fr_tile *tile, ptrdiff_t at, ptrdiff_t lanes, ptrdiff_t sets,
                               int way) {
    FN(columns_dot_lanes)(1, hi, lo, least, tile->in[0] + at, tile->pitch[0], tile->in[1] + at, tile->pitch[1], tile->n,
                          lanes, sets, way);
    for (ptrdiff_t k = 0; k < sets; k++, hi += FR_SET_LANES, lo += FR_SET_LANES) {
        FN(columns_join)(hi, lo, lanes);
        FOR_LANES_FLAT(j) sum[k][j] = (real)hi[0][j];
        if (FR_KIND == FR_HILO) FOR_LANES_FLAT(j) low[k][j] = (real)lo[0][j];
    }
}
/* The sums of `width` rows; returns whether elements have to be selected. */
FR_INLINE int FN(dot_columns)(const fr_tile *tile, ptrdiff_t at, ptrdiff_t width, FN(sums) * sum, FN(sums) * low,
                              int way) {
    FR_LINES store least[FR_COLUMNS];
    FR_LINES real odd[FR_COLUMNS];
    FN(count) found = 0;
    const ptrdiff_t sets = width / FR_COLUMNS;
    FOR_LANES_FLAT(j) least[j] = 0, odd[j] = 0;
    if (tile->n <= FR_FEW) {
        for (ptrdiff_t k = 0; k < sets; k++) {
            FR_LINES double hi[1][FR_COLUMNS], lo[1][FR_COLUMNS];
            FN(columns_dot)(sum + k, low + k, hi, lo, least, tile, at + COLUMNS_AT(k), 1, 1, way);
        }
    } else {
        FR_LINES double hi[DOT_SETS * FR_SET_LANES][FR_COLUMNS], lo[DOT_SETS * FR_SET_LANES][FR_COLUMNS];
        FN(columns_dot)(sum, low, hi, lo, least, tile, at, FR_ROW_LANES, sets, way);
    }
    for (ptrdiff_t k = 0; k < sets; k++) FOR_LANES_FLAT(j) odd[j] += FN(size)(sum[k][j]);
    if (way == FR_DOT_LOG) FOR_LANES_FLAT(j) found |= least[j] < -LARGEST;
    else FOR_LANES_FLAT(j) found |= !(odd[j] < DOT_HUGE);
    return found != 0;
}
#define DOT_COLUMNS(name, way)                                                                                  \
    FR_APART int FN(name)(const fr_tile *tile, ptrdiff_t at, ptrdiff_t width, FN(sums) * sum, FN(sums) * low) { \
        return FN(dot_columns)(tile, at, width, sum, low, way);                                                 \
    }
DOT_COLUMNS(columns_dot_row, FR_DOT_PLAIN)
DOT_COLUMNS(columns_dot_select_row, FR_DOT_SELECT)
DOT_COLUMNS(columns_dot_log_row, FR_DOT_LOG)
DOT_COLUMNS(columns_dot_log_select_row, FR_DOT_LOG_SELECT)
#undef DOT_COLUMNS

/* The same for rows of at most FR_DOT_GROUP elements, in the kinds that add groups. */
FR_INLINE int FN(dot_of_few)(store *sum, const store *const *g, const store *const *y, ptrdiff_t n, int way) {
    FN(count) found = 0;
    FOR_LANES_FLAT(j) {
        const store p = FN(columns_dot_group)(g, y, n, j, way);
        sum[j] = 0 + p + (COMPENSATED ? p - p : 0);
        found |= !(FR_ABS(sum[j]) < DOT_HUGE);
    }
    return found != 0;
}

/* ---- The gradients ---- */

/* What the elements of a row share: the sum, and for the logarithm how e^y is scaled. */
typedef struct {
    real hi, lo, magic, low;
} FN(slope);

/* y (g - sum of g y) */
FR_INLINE FN(slope) FN(slope_of)(real hi, real lo) { return (FN(slope)){hi, lo, 0, 0}; }
FR_INLINE store FN(softmax_gradient)(store g, store y, FN(slope) s, int flip, int masked) {
    real p = (real)y;
#if FR_KIND == FR_HILO
    hl_pair d = hl_sum(g, -s.hi);
    d = hl_fast(d.hi, d.lo - s.lo);
    real v = hl_round(hl_mul1(d, flip ? -p : p)) + R(0);
#else
    real v = FMA(flip ? -p : p, (real)g - s.hi, R(0)); /* +0 for -0 */
#endif
    return (store)(masked && p == 0 ? R(0) : v);
}

/* g - e^y (sum of g). In the kinds that fuse, the sum is a factor of the polynomial: with y = k ln2 + r the product is
 * (2^-lift sum e^r) 2^(k + lift), rounded once, in the subtraction. The lift follows the exponent of the sum, so that
 * 2^(k + lift) is normal down to products that are 0. */
FR_INLINE FN(slope) FN(log_slope_of)(real sum, real rest) {
#if KEEPS
    (void)rest;
    const real most = BY_TYPE(120, 1000), wanted = FN(exponent_bits)(FN(size)(sum)) - (BIAS - SHIFT - 2);
    const real lift = wanted < most ? wanted : most, scaled = sum * FN(power)(ROUNDER + BIAS - lift);
    return (FN(slope)){scaled, scaled - scaled == 0 ? scaled : R(0), ROUNDER + BIAS + lift, -LN2 * (lift + (BIAS - 2))};
#else
    return (FN(slope)){sum, rest, 0, 0};
#endif
}
FR_INLINE store FN(log_softmax_gradient)(store g, store y, FN(slope) s, int masked) {
#if FR_KIND == FR_HILO
    hl_scaled e = hl_exp(hl_clamped(y, -1500, 1500));
    hl_pair t = hl_mul(hl_of(e), hl_make(s.hi, s.lo));
    t = hl_make(hl_scale(t.hi, e.k), hl_scale(t.lo, e.k));
    hl_pair d = hl_sum(g, -t.hi);
    real v = d.hi + (d.lo - t.lo);
#elif FR_KIND == FR_WIDE
    real far, e = FN(exp_far)(FN(at_least)((real)y, FAR_LOW), NO_LOW, &far);
    real v = (real)g - FN(product)(s.hi, e, far);
#else
    real z = s.low > y ? s.low : y, shifted = FMA(z, R(LOG2E), s.magic);
    real r = FN(minus_k_ln2)(z, shifted - s.magic);
    real v = FMA(-FMA(FN(exp_step)(r, 1, s.lo), r, s.hi), FN(power)(shifted), g);
#endif
    return (store)(masked && (real)y < -LARGEST ? R(0) : v);
}

#define ROW_GRADIENT(name, GRADIENT, masked)                                                        \
    FR_INLINE void FN(name)(const store *g, const store *y, store *out, ptrdiff_t n, FN(slope) s) { \
        enum { line = 64 / (int)sizeof(store) };                                                    \
        store some_g[FR_ROW_LANES], some_y[FR_ROW_LANES];                                           \
        const ptrdiff_t next = FN(dot_fetches)(n) ? n : 0;                                          \
        ptrdiff_t i = 0;                                                                            \
        for (; i + FR_ROW_LANES <= n; i += FR_ROW_LANES) {                                          \
            for (int k = 0; k < FR_ROW_LANES; k += line) FR_FETCH(g + next + i + k);                \
            for (int k = 0; k < FR_ROW_LANES; k += line) FR_FETCH(y + next + i + k);                \
            FOR_LANES_FLAT(j) out[i + j] = GRADIENT(g[i + j], y[i + j], s, masked);                 \
        }                                                                                           \
        if (i == n) return;                                                                         \
        FN(load_few)(some_g, g + i, n - i);                                                         \
        FN(load_few)(some_y, y + i, n - i);                                                         \
        FOR_LANES_FLAT(j) some_g[j] = GRADIENT(some_g[j], some_y[j], s, masked);                    \
        FN(store_few)(out + i, some_g, n - i);                                                      \
    }
#define ROW_GRADIENTS(name, way, DOT, SELECT, SLOPE, GRADIENT)                                                        \
    ROW_GRADIENT(name##_gradient_row, GRADIENT, 0)                                                                    \
    ROW_GRADIENT(name##_gradient_select_row, GRADIENT, 1)                                                             \
    FR_UNUSED static void FN(name##_from_output_row)(const char *const *in, char *to, ptrdiff_t n) {                  \
        const store *g = (const store *)in[0], *y = (const store *)in[1];                                             \
        fr_total total;                                                                                               \
        const int masked = FN(row_dot)(&total, g, y, (const store *)to, n, way);                                      \
        const FN(slope) s = SLOPE((real)total.hi, (real)total.lo);                                                    \
        if (masked) FN(name##_gradient_select_row)(g, y, (store *)to, n, s);                                          \
        else FN(name##_gradient_row)(g, y, (store *)to, n, s);                                                        \
    }                                                                                                                 \
    /* Writes the results of `width` rows line by line. */                                                            \
    FR_INLINE void FN(name##_write_lines)(const fr_tile *tile, ptrdiff_t at, ptrdiff_t width, FN(sums) * sum,         \
                                          FN(sums) * rest, int masked) {                                              \
        for (ptrdiff_t i = 0; i < tile->n; i++) {                                                                     \
            const char *g_line = tile->in[0] + at + i * tile->pitch[0],                                               \
                       *y_line = tile->in[1] + at + i * tile->pitch[1];                                               \
            char *out_line = tile->out + at + i * tile->out_pitch;                                                    \
            for (ptrdiff_t k = 0; k < width / FR_COLUMNS; k++) {                                                      \
                const store *g = (const store *)(g_line + COLUMNS_AT(k)),                                             \
                            *y = (const store *)(y_line + COLUMNS_AT(k));                                             \
                store *out = (store *)(out_line + COLUMNS_AT(k));                                                     \
                FOR_LANES_FLAT(j)                                                                                     \
                out[j] = GRADIENT(g[j], y[j], SLOPE(sum[k][j], FR_KIND == FR_HILO ? rest[k][j] : 0), masked);         \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
    /* The same, those of some lines for one set of columns after the other, unless lines are a multiple of 4 KiB     \
     * apart: a load waits for a store that differs from it by that. */                                               \
    FR_INLINE void FN(name##_write_columns)(const fr_tile *tile, ptrdiff_t at, ptrdiff_t width, FN(sums) * sum,       \
                                            FN(sums) * rest, int masked) {                                            \
        if (way == FR_DOT_PLAIN && tile->n > FR_FEW && tile->pitch[0] % FR_CRITICAL_PITCH == 0) {                     \
            FN(name##_write_lines)(tile, at, width, sum, rest, masked);                                               \
            return;                                                                                                   \
        }                                                                                                             \
        const ptrdiff_t n = tile->n, block = n > FR_FEW ? FR_DOT_LINES : n;                                           \
        for (ptrdiff_t from = 0, end; from < n; from = end) {                                                         \
            end = n - from < block ? n : from + block;                                                                \
            for (ptrdiff_t k = 0; k < width / FR_COLUMNS; k++) {                                                      \
                const ptrdiff_t here = at + COLUMNS_AT(k);                                                            \
                FR_LINES real one[FR_COLUMNS], two[FR_COLUMNS], magic[FR_COLUMNS], low[FR_COLUMNS];                   \
                FOR_LANES_FLAT(j) {                                                                                   \
                    const FN(slope) s = SLOPE(sum[k][j], FR_KIND == FR_HILO ? rest[k][j] : 0);                        \
                    one[j] = s.hi, two[j] = s.lo, magic[j] = s.magic, low[j] = s.low;                                 \
                }                                                                                                     \
                for (ptrdiff_t i = from; i < end; i++) {                                                              \
                    const store *g = (const store *)(tile->in[0] + here + i * tile->pitch[0]);                        \
                    const store *y = (const store *)(tile->in[1] + here + i * tile->pitch[1]);                        \
                    store *out = (store *)(tile->out + here + i * tile->out_pitch);                                   \
                    FOR_LANES_FLAT(j)                                                                                 \
                    out[j] = GRADIENT(g[j], y[j], ((FN(slope)){one[j], two[j], magic[j], low[j]}), masked);           \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
    FR_INLINE void FN(name##_gradient_columns)(const fr_tile *tile) {                                                 \
        FR_LINES FN(sums) sum[FR_TILE_WIDTH / FR_COLUMNS], low[FR_TILE_WIDTH / FR_COLUMNS];                           \
        FOR_WIDTHS(k, width, tile, DOT_SETS) {                                                                        \
            const ptrdiff_t at = k * (ptrdiff_t)sizeof(store);                                                        \
            if (DOT(tile, at, width, sum, low)) {                                                                     \
                SELECT(tile, at, width, sum, low);                                                                    \
                FN(name##_write_columns)(tile, at, width, sum, low, 1);                                               \
            } else {                                                                                                  \
                FN(name##_write_columns)(tile, at, width, sum, low, 0);                                               \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
    /* The same for rows of at most FR_DOT_GROUP elements. All elements of a row are read before its first result is  \
     * written, for the same reason. The gradient of the logarithm computes too much between them for this to matter. \
     */                                                                                                               \
    FR_INLINE void FN(name##_few)(const store *const *g, const store *const *y, store *const *out, ptrdiff_t n,       \
                                  const store *sum, int masked) {                                                     \
        FOR_LANES_FLAT(j) {                                                                                           \
            store v[FR_DOT_GROUP], w[FR_DOT_GROUP];                                                                   \
            const FN(slope) s = SLOPE((real)sum[j], 0);                                                               \
            FOR_FEW(i, n) v[i] = g[i][j], w[i] = y[i][j];                                                             \
            FOR_FEW(i, n) out[i][j] = GRADIENT(v[i], w[i], s, masked);                                                \
        }                                                                                                             \
    }                                                                                                                 \
    FR_INLINE void FN(name##_gradient_few)(const fr_tile *tile, ptrdiff_t n) {                                        \
        if (!DOT_GROUPS(way)) {                                                                                       \
            FN(name##_gradient_columns)(tile);                                                                        \
            return;                                                                                                   \
        }                                                                                                             \
        FR_LINES store sum[FR_COLUMNS];                                                                               \
        const store *g[FR_DOT_GROUP], *y[FR_DOT_GROUP];                                                               \
        store *out[FR_DOT_GROUP];                                                                                     \
        FOR_COLUMNS(at, tile) {                                                                                       \
            FOR_FEW(i, n) {                                                                                           \
                g[i] = (const store *)(tile->in[0] + at + i * tile->pitch[0]);                                        \
                y[i] = (const store *)(tile->in[1] + at + i * tile->pitch[1]);                                        \
                out[i] = (store *)(tile->out + at + i * tile->out_pitch);                                             \
            }                                                                                                         \
            if (FN(dot_of_few)(sum, g, y, n, FR_DOT_PLAIN)) {                                                         \
                FN(dot_of_few)(sum, g, y, n, FR_DOT_SELECT);                                                          \
                FN(name##_few)(g, y, out, n, sum, 1);                                                                 \
            } else {                                                                                                  \
                FN(name##_few)(g, y, out, n, sum, 0);                                                                 \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
    FR_UNUSED static void FN(name##_from_output_tile_row)(fr_tile * tile) {                                           \
        if (tile->n == 2) FN(name##_gradient_few)(tile, 2);                                                           \
        else if (tile->n == 3) FN(name##_gradient_few)(tile, 3);                                                      \
        else if (way == FR_DOT_PLAIN && tile->n == 4) FN(name##_gradient_few)(tile, 4);                               \
        else FN(name##_gradient_columns)(tile);                                                                       \
    }
#define SOFTMAX_GRADIENT(g, y, s, masked) FN(softmax_gradient)(g, y, s, 0, masked)
#define SOFTMIN_GRADIENT(g, y, s, masked) FN(softmax_gradient)(g, y, s, 1, masked)
ROW_GRADIENTS(softmax, FR_DOT_PLAIN, FN(columns_dot_row), FN(columns_dot_select_row), FN(slope_of), SOFTMAX_GRADIENT)
ROW_GRADIENTS(softmin, FR_DOT_PLAIN, FN(columns_dot_row), FN(columns_dot_select_row), FN(slope_of), SOFTMIN_GRADIENT)
ROW_GRADIENTS(log_softmax, FR_DOT_LOG, FN(columns_dot_log_row), FN(columns_dot_log_select_row), FN(log_slope_of),
              FN(log_softmax_gradient))
#undef ROW_GRADIENT
#undef ROW_GRADIENTS
#undef SOFTMAX_GRADIENT
#undef SOFTMIN_GRADIENT

/* ---- Results times or over a factor: rounded once more, as they are in a pass of their own ---- */

FR_INLINE void FN(finish_line)(store *out, const store *f, ptrdiff_t n, int own, int divides) {
    const store one = *f;
    if (own) {
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < n; i++) out[i] *= f[i];
    } else if (divides) {
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < n; i++) out[i] /= one;
    } else {
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < n; i++) out[i] *= one;
    }
}
FR_UNUSED static void FN(finish_row)(char *to, ptrdiff_t pitch, ptrdiff_t lines, ptrdiff_t n, const char *factor,
                                     int own, int divides) {
    const store *f = (const store *)factor;
    if (n == FR_COLUMNS && own)
        for (; lines; lines--, to += pitch) FN(finish_line)((store *)to, f, FR_COLUMNS, 1, 0);
    else if (n == FR_COLUMNS && !divides)
        for (; lines; lines--, to += pitch) FN(finish_line)((store *)to, f, FR_COLUMNS, 0, 0);
    else
        for (; lines; lines--, to += pitch) FN(finish_line)((store *)to, f, n, own, divides);
}

/* ---- The gradient of a scale: the sum of x times the gradients of scaled elements; where those are 0, x may be
 * anything ---- */

FR_UNUSED static double FN(scale_slope_row)(const fr_target *target, ptrdiff_t n) {
    const store *x = (const store *)target->x, *slopes = (const store *)target->shares;
    fr_total total;
    FN(row_dot_once)(&total, x, slopes, slopes, n, FR_DOT_SELECT);
    return total.hi;
}
FR_UNUSED static void FN(scale_slope_tile_row)(fr_tile *tile) {
    FR_LINES FN(sums) sum[FR_TILE_WIDTH / FR_COLUMNS], low[FR_TILE_WIDTH / FR_COLUMNS];
    FOR_WIDTHS(k, width, tile, DOT_SETS) {
        FN(columns_dot_select_row)(tile, k * (ptrdiff_t)sizeof(store), width, sum, low);
        for (ptrdiff_t c = 0; c < width / FR_COLUMNS; c++)
            FOR_LANES_FLAT(j) tile->loss[k + c * FR_COLUMNS + j] = sum[c][j];
    }
}
