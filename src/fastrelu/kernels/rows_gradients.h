/* Gradients of softmax and its logarithm from the output, over a row and over a tile. Included by instance.h, once per
 * instance. */

/* ---- Gradients from the output. An element whose output says that it was masked has gradient 0. ---- */

/* Adds g y to FR_ROW_LANES lanes, or g alone if `log`. */
FR_INLINE void FN(dot_lanes)(int first, double *hi, double *lo, const store *g, const store *y, int log) {
    FOR_LANES(j) {
        store v = g[j], w = y[j];
        v = (log ? w < -LARGEST : w == 0) ? 0 : v;
        w = log ? 1 : w;
        double sum = first ? 0 : hi[j];
#if COMPENSATED
        double low = first ? 0 : lo[j];
        real p = v * w;
        fr_add_to(&sum, &low, p);
        lo[j] = log ? low : low + FN(fused)(v, w, -p);
#elif FR_KIND == FR_LEAN
        sum += (double)(log ? v : v * w); /* one rounding more than below, and half the conversions */
#else
        sum = FR_FMA((double)v, (double)w, sum); /* the product is exact */
#endif
        hi[j] = sum;
    }
    (void)lo;
}
#define ROW_DOT(name, log)                                                                           \
    FR_APART void FN(name)(fr_lanes * s, const store *g, const store *y, ptrdiff_t n, int first) {   \
        double hi[FR_ROW_LANES], lo[FR_ROW_LANES];                                                   \
        FOR_LANES(j) hi[j] = lo[j] = 0;                                                              \
        if (!first) FOR_LANES(j) hi[j] = s->hi[j], lo[j] = s->lo[j];                                 \
        for (ptrdiff_t i = 0; i < n; i += FR_ROW_LANES) FN(dot_lanes)(0, hi, lo, g + i, y + i, log); \
        FOR_LANES(j) s->hi[j] = hi[j], s->lo[j] = lo[j];                                             \
    }
ROW_DOT(dot_row, 0)
ROW_DOT(dot_log_row, 1)
#undef ROW_DOT

/* The sum of g y over the row, or of g alone if `log`. */
FR_INLINE fr_total FN(row_dot)(const store *g, const store *y, ptrdiff_t n, int log) {
    const int left = (int)(n % FR_ROW_LANES);
    const ptrdiff_t whole = n - left;
    fr_lanes s;
    if (log && whole) FN(dot_log_row)(&s, g, y, whole, 1);
    else if (whole) FN(dot_row)(&s, g, y, whole, 1);
    if (left) {
        store gs[FR_ROW_LANES], ys[FR_ROW_LANES];
        FOR_LANES(j) gs[j] = ys[j] = 0;
        FN(copy_few)(gs, g + whole, left);
        FN(copy_few)(ys, y + whole, left);
        if (log) FN(dot_log_row)(&s, gs, ys, FR_ROW_LANES, !whole);
        else FN(dot_row)(&s, gs, ys, FR_ROW_LANES, !whole);
    }
    return FN(lanes_join)(&s);
}

/* y (g - sum of g y) */
FR_INLINE FN(factor) FN(dot_parts)(fr_total dot) {
#if FR_KIND == FR_LEAN
    const real hi = (real)dot.hi;
    return (FN(factor)){hi, (real)(dot.hi - (double)hi)};
#else
    return (FN(factor)){dot.hi, dot.lo};
#endif
}
FR_INLINE store FN(softmax_gradient)(store g, store y, real hi, real lo, int flip) {
    real p = (real)y;
#if FR_KIND == FR_HILO
    hl_pair d = hl_sum(g, -hi);
    d = hl_fast(d.hi, d.lo - lo);
    real v = hl_round(hl_mul1(d, p));
#else
    real v = p * (((real)g - hi) - lo);
#endif
    return (store)(p == 0 ? R(0) : flip ? -v : v);
}
/* g - e^y (sum of g) */
FR_INLINE store FN(log_softmax_gradient)(store g, store y, real hi, real lo) {
#if FR_KIND == FR_HILO
    hl_scaled e = hl_exp(hl_clamped(y, -1500, 1500));
    hl_pair t = hl_mul(hl_of(e), hl_make(hi, lo));
    t = hl_make(hl_scale(t.hi, e.k), hl_scale(t.lo, e.k));
    hl_pair d = hl_sum(g, -t.hi);
    real v = d.hi + (d.lo - t.lo);
#else
    (void)lo;
    real far, e = FN(exp_far)(FN(at_least)((real)y, FAR_LOW), NO_LOW, &far);
    real v = FN(or_nan)((real)g - FN(product)(hi, e, far), (real)y);
#endif
    return (store)((real)y < -LARGEST ? R(0) : v);
}

#define ROW_GRADIENTS(name, log, ...)                                                                        \
    FR_UNUSED static void FN(name##_from_output_row)(const char *const *in, char *to, ptrdiff_t n) {         \
        const store *g = (const store *)in[0], *y = (const store *)in[1];                                    \
        store *out = (store *)to;                                                                            \
        const FN(factor) dot = FN(dot_parts)(FN(row_dot)(g, y, n, log));                                     \
        const real hi = dot.hi, lo = dot.lo;                                                                 \
        FR_INDEPENDENT                                                                                       \
        for (ptrdiff_t i = 0; i < n; i++) out[i] = __VA_ARGS__(i, hi, lo);                                   \
    }                                                                                                        \
    FR_UNUSED static void FN(name##_from_output_tile_row)(fr_tile * tile) {                                  \
        FOR_COLUMNS(at, tile) {                                                                              \
            FN(columns) c;                                                                                   \
            FR_LINES real hi[FR_COLUMNS], lo[FR_COLUMNS];                                                    \
            const char *from_g = tile->in[0] + at, *from_y = tile->in[1] + at;                               \
            ptrdiff_t i = 0;                                                                                 \
            for (; i < tile->n && i < FR_ROW_LANES; i++, from_g += tile->pitch[0], from_y += tile->pitch[1]) \
                FN(dot_lanes)(1, c.hi[i], c.lo[i], (const store *)from_g, (const store *)from_y, log);       \
            for (; i < tile->n; i++, from_g += tile->pitch[0], from_y += tile->pitch[1])                     \
                FN(dot_lanes)(0, c.hi[i % FR_ROW_LANES], c.lo[i % FR_ROW_LANES], (const store *)from_g,      \
                              (const store *)from_y, log);                                                   \
            FN(columns_join)(&c, tile->n);                                                                   \
            FOR_LANES(j) {                                                                                   \
                const FN(factor) dot = FN(dot_parts)(FN(column_total)(&c, j));                               \
                hi[j] = dot.hi, lo[j] = dot.lo;                                                              \
            }                                                                                                \
            for (ptrdiff_t i = 0; i < tile->n; i++) {                                                        \
                const store *g = (const store *)(tile->in[0] + at + i * tile->pitch[0]);                     \
                const store *y = (const store *)(tile->in[1] + at + i * tile->pitch[1]);                     \
                store *out = (store *)(tile->out + at + i * tile->out_pitch);                                \
                FOR_LANES(j) out[j] = __VA_ARGS__(j, hi[j], lo[j]);                                          \
            }                                                                                                \
        }                                                                                                    \
    }
#define ROW_SOFTMAX(i, hi, lo) FN(softmax_gradient)(g[i], y[i], hi, lo, 0)
#define ROW_SOFTMIN(i, hi, lo) FN(softmax_gradient)(g[i], y[i], hi, lo, 1)
#define ROW_LOG_SOFTMAX(i, hi, lo) FN(log_softmax_gradient)(g[i], y[i], hi, lo)
ROW_GRADIENTS(softmax, 0, ROW_SOFTMAX)
ROW_GRADIENTS(softmin, 0, ROW_SOFTMIN)
ROW_GRADIENTS(log_softmax, 1, ROW_LOG_SOFTMAX)
#undef ROW_GRADIENTS
#undef ROW_SOFTMAX
#undef ROW_SOFTMIN
#undef ROW_LOG_SOFTMAX
