/* Kernels over a band: up to FR_COLUMNS contiguous rows of moderate length. Each pass goes over one row after the
 * other, with the operations of the kernels over one row; what the elements of a row share is computed for all rows at
 * once, so that no row waits for the reductions and divisions of its own. Included by instance.h, once per instance. */

#ifndef FASTRELU_BANDS
#define FASTRELU_BANDS

/* Where row r begins. */
#define BAND_ROW(tile, k, r) ((const store *)((tile)->in[k] + (r) * (tile)->pitch[k]))
#define BAND_OUT(tile, r) ((store *)((tile)->out + (r) * (tile)->out_pitch))
#define FOR_ROWS(r, tile) for (ptrdiff_t r = 0; r < (tile)->width; r++)

#if defined(__GNUC__) && !defined(__clang__)
#define FOR_PART(j, count) FR_INDEPENDENT _Pragma("GCC unroll 1") for (int j = 0; j < (count); j++)
#else
#define FOR_PART(j, count) FR_INDEPENDENT for (int j = 0; j < (count); j++)
#endif

#endif

/* The lanes of all rows, added up as in lanes_join: the first half of it. */
typedef struct {
    FR_LINES double hi[FR_COLUMNS][8], lo[FR_COLUMNS][8];
} FN(halves);
FR_INLINE void FN(band_fold)(FN(halves) * h, ptrdiff_t r, const double *hi, const double *lo) {
    FOR_PART(j, 8) {
        double sum = hi[j], low = COMPENSATED ? lo[j] : 0;
#if COMPENSATED
        fr_add_to(&sum, &low, hi[j + 8]);
        h->lo[r][j] = low + lo[j + 8];
#else
        sum += hi[j + 8];
#endif
        h->hi[r][j] = sum;
        (void)low;
    }
    (void)lo;
}
/* Rows that do not exist. */
FR_INLINE void FN(band_fill)(FN(halves) * h, ptrdiff_t rows) {
    for (ptrdiff_t r = rows; r < FR_COLUMNS; r++) FOR_PART(j, 8) h->hi[r][j] = h->lo[r][j] = j == 0;
}
FR_APART void FN(band_join_rows)(const FN(halves) * h, double *hi, double *lo) {
    FR_LINES double four[4][FR_COLUMNS];
#if COMPENSATED
    FR_LINES double low[4][FR_COLUMNS];
    for (int r = 0; r < FR_COLUMNS; r++)
        for (int j = 0; j < 4; j++) {
            four[j][r] = h->hi[r][j];
            low[j][r] = h->lo[r][j];
            fr_add_to(&four[j][r], &low[j][r], h->hi[r][j + 4]);
            low[j][r] += h->lo[r][j + 4];
        }
    for (int w = 2; w; w /= 2)
        for (int j = 0; j < w; j++) FOR_LANES(r) {
                fr_add_to(&four[j][r], &low[j][r], four[j + w][r]);
                low[j][r] += low[j + w][r];
            }
    FOR_LANES(r) {
        const fr_total total = fr_total_close((fr_total){four[0][r], low[0][r]});
        hi[r] = total.hi, lo[r] = total.lo;
    }
#else
    for (int r = 0; r < FR_COLUMNS; r++)
        for (int j = 0; j < 4; j++) four[j][r] = h->hi[r][j] + h->hi[r][j + 4];
    FOR_LANES(r) hi[r] = (four[0][r] + four[2][r]) + (four[1][r] + four[3][r]), lo[r] = 0;
#endif
}

/* What the elements of each row share. */
typedef struct {
    FR_LINES store m[FR_COLUMNS];
    FR_LINES real origin[FR_COLUMNS], magic[FR_COLUMNS], low[FR_COLUMNS], top[FR_COLUMNS]; /* as in row */
    FR_LINES real unit[FR_COLUMNS], unit_low[FR_COLUMNS];
    FR_LINES double hi[FR_COLUMNS], lo[FR_COLUMNS];
    double others[FR_COLUMNS]; /* that equal the largest */
    ptrdiff_t limit[FR_COLUMNS];
    unsigned infinite; /* one bit for each row whose largest element is */
} FN(band);

FR_INLINE store FN(larger)(store a, store b) { return b > a ? b : a; }
/* The largest of FR_ROW_LANES elements at a time, to 8; the last step overlaps the one before. */
FR_APART void FN(band_max_row)(store *most, const store *x, ptrdiff_t n, int flip) {
    const store *end = x + n;
    store m[FR_ROW_LANES];
    FOR_LANES(j) m[j] = -(store)INFINITY;
    for (; x + FR_ROW_LANES <= end; x += FR_ROW_LANES) FOR_LANES(j) m[j] = FN(larger)(m[j], FN(signed_as)(x[j], flip));
    x = end - FR_ROW_LANES;
    FOR_LANES(j) m[j] = FN(larger)(m[j], FN(signed_as)(x[j], flip));
    FOR_PART(j, 8) most[j] = FN(larger)(m[j], m[j + 8]);
}
FR_APART void FN(band_top_rows)(FN(band) * b, const fr_tile *tile, int flip) {
    FR_LINES store most[FR_COLUMNS][8], four[4][FR_COLUMNS];
    int infinite = 0;
    FOR_ROWS(r, tile) FN(band_max_row)(most[r], BAND_ROW(tile, 0, r), tile->n, flip);
    for (ptrdiff_t r = tile->width; r < FR_COLUMNS; r++) FOR_PART(j, 8) most[r][j] = 0;
    for (int r = 0; r < FR_COLUMNS; r++)
        for (int j = 0; j < 4; j++) four[j][r] = FN(larger)(most[r][j], most[r][j + 4]);
    FOR_LANES(r) {
        b->m[r] = FN(larger)(FN(larger)(four[0][r], four[1][r]), FN(larger)(four[2][r], four[3][r]));
        infinite |= FN(row_is_finite)(b->m[r]) ? 0 : 1;
    }
    b->infinite = 0;
    for (ptrdiff_t r = 0; r < tile->width && infinite; r++) {
        if (FN(row_is_finite)(b->m[r])) continue;
        b->infinite |= 1U << r;
        b->limit[r] = FN(limit_of)((const char *)BAND_ROW(tile, 0, r), sizeof(store), tile->n, flip);
        b->m[r] = 0;
    }
    FOR_LANES(r) {
        const FN(row) row = FN(row_of)(b->m[r]);
        b->origin[r] = row.origin, b->magic[r] = row.magic, b->low[r] = row.low, b->top[r] = row.top;
        b->unit[r] = row.unit, b->unit_low[r] = row.unit_low;
    }
}
FR_INLINE FN(row) FN(band_row)(const FN(band) * b, ptrdiff_t r) {
    return (FN(row)){b->origin[r], b->magic[r], b->low[r], b->top[r], b->unit[r], b->unit_low[r]};
}

/* As row_sum, of at least FR_ROW_LANES elements; returns how many equal the largest. The exponentials stay in `keep` if
 * `keeps`. */
FR_INLINE int64_t FN(band_row_sum)(FN(halves) * h, ptrdiff_t r, const store *x, store *keep, ptrdiff_t n,
                                   const FN(row) row, int flip, int beside, int keeps) {
    const int left = (int)(n % FR_ROW_LANES);
    const ptrdiff_t whole = n - left;
    FR_LINES real own[FR_ROW_LANES], e_lo[FR_ROW_LANES], top[FR_ROW_LANES];
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
    FN(count) same[FR_ROW_LANES];
    int64_t equal = 0;
    FOR_LANES(j) top[j] = row.top, same[j] = 0;
    for (ptrdiff_t i = 0; i < whole; i += FR_ROW_LANES) {
#if KEEPS
        real *e = keeps ? keep + i : own;
#else
        real *e = own;
#endif
        FN(row_exps)(x + i, e, e_lo, FR_ROW_LANES, &row, flip);
        FN(add_lanes)(i == 0, hi, lo, e, e_lo, beside ? top : NULL, same);
    }
    if (left) {
        store rest[FR_ROW_LANES];
        FN(load_few)(rest, x + whole, left);
        FN(row_exps)(rest, own, e_lo, FR_ROW_LANES, &row, flip);
        FOR_LANES(j) {
            own[j] = j < left ? own[j] : 0;
            if (FR_KIND == FR_HILO) e_lo[j] = j < left ? e_lo[j] : 0;
        }
#if KEEPS
        if (keeps) FN(store_few)(keep + whole, own, left);
#endif
        FN(add_lanes)(0, hi, lo, own, e_lo, beside ? top : NULL, same);
    }
    FN(band_fold)(h, r, hi, lo);
    if (beside) FOR_LANES(j) equal += same[j];
    (void)keep, (void)keeps;
    return equal;
}
#define BAND_ROW_SUM(name, flip, beside)                                                             \
    FR_APART int64_t FN(name)(FN(halves) * h, ptrdiff_t r, const store *x, store *keep, ptrdiff_t n, \
                              const FN(row) row) {                                                   \
        return FN(band_row_sum)(h, r, x, keep, n, row, flip, beside, !beside && KEEPS);              \
    }
BAND_ROW_SUM(band_sum_row, 0, 0)
BAND_ROW_SUM(band_flipped_sum_row, 1, 0)
BAND_ROW_SUM(band_beside_row, 0, 1)
#undef BAND_ROW_SUM
FR_INLINE void FN(band_sum)(FN(band) * b, const fr_tile *tile, int flip, int beside) {
    FN(halves) h;
    FOR_ROWS(r, tile) {
        const store *x = BAND_ROW(tile, 0, r);
        const int64_t same = beside ? FN(band_beside_row)(&h, r, x, NULL, tile->n, FN(band_row)(b, r))
                             : flip ? FN(band_flipped_sum_row)(&h, r, x, BAND_OUT(tile, r), tile->n, FN(band_row)(b, r))
                                    : FN(band_sum_row)(&h, r, x, BAND_OUT(tile, r), tile->n, FN(band_row)(b, r));
        b->others[r] = (double)(same - 1);
    }
    for (ptrdiff_t r = tile->width; r < FR_COLUMNS; r++) b->others[r] = 0;
    FN(band_fill)(&h, tile->width);
    FN(band_join_rows)(&h, b->hi, b->lo);
}
FR_INLINE void FN(band_limits)(const FN(band) * b, const fr_tile *tile, int logarithm) {
    for (ptrdiff_t r = 0; r < tile->width && b->infinite; r++)
        if (b->infinite >> r & 1)
            FN(write_limit)((char *)BAND_OUT(tile, r), sizeof(store), tile->n, b->limit[r], logarithm);
}

/* Writes ELEMENT of the element v for each v of a row. */
#define BAND_WRITE(from, to, n, ELEMENT)              \
    {                                                 \
        const store *given = from;                    \
        store *out = to, rest[FR_ROW_LANES];          \
        ptrdiff_t i = 0;                              \
        const ptrdiff_t whole = n - n % FR_ROW_LANES; \
        FR_INDEPENDENT                                \
        for (; i < whole; i++) {                      \
            const store v = given[i];                 \
            out[i] = ELEMENT;                         \
        }                                             \
        if (i < n) {                                  \
            FN(load_few)(rest, given + i, n - i);     \
            FOR_LANES(j) {                            \
                const store v = rest[j];              \
                rest[j] = ELEMENT;                    \
            }                                         \
            FN(store_few)(out + i, rest, n - i);      \
        }                                             \
    }
FR_APART void FN(band_divide_row)(const store *x, store *to, ptrdiff_t n, const FN(row) row, FN(factor) r, int flip) {
    const real hi = r.hi, lo = r.lo, origin = row.origin, magic = row.magic, low = row.low;
    BAND_WRITE(KEEPS ? to : x, to, n, FN(probability)(v, origin, magic, low, hi, lo, 1, flip, 0))
}
FR_APART void FN(band_subtract_row)(const store *x, store *to, ptrdiff_t n, store m, FN(factor) logarithm) {
    const real hi = logarithm.hi, lo = logarithm.lo;
    BAND_WRITE(x, to, n, FN(log_probability)(v, m, hi, lo))
}
#undef BAND_WRITE

FR_INLINE void FN(softmax_band)(const fr_tile *tile, int flip) {
    FN(band) b;
    FR_LINES real hi[FR_COLUMNS], lo[FR_COLUMNS];
    FN(band_top_rows)(&b, tile, flip);
    FN(band_sum)(&b, tile, flip, 0);
    FOR_LANES(r) {
        const FN(factor) f = FN(factor_of)((fr_total){b.hi[r], b.lo[r]}, 1, 0);
        hi[r] = f.hi, lo[r] = f.lo;
    }
    FOR_ROWS(r, tile)
    FN(band_divide_row)(BAND_ROW(tile, 0, r), BAND_OUT(tile, r), tile->n, FN(band_row)(&b, r),
                        (FN(factor)){hi[r], lo[r]}, flip);
    FN(band_limits)(&b, tile, 0);
}
FR_UNUSED static void FN(softmax_band_row)(fr_tile *tile) { FN(softmax_band)(tile, 0); }
FR_UNUSED static void FN(softmin_band_row)(fr_tile *tile) { FN(softmax_band)(tile, 1); }

FR_UNUSED static void FN(log_softmax_band_row)(fr_tile *tile) {
    FN(band) b;
    FR_LINES real hi[FR_COLUMNS], lo[FR_COLUMNS];
    FN(band_top_rows)(&b, tile, 0);
    FN(band_sum)(&b, tile, 0, 1);
    FOR_LANES(r) {
        const fr_total total = FN(beside_of)((fr_total){b.hi[r], b.lo[r]}, b.others[r], b.top[r]);
        const FN(factor) logarithm = FN(logarithm_of)(total, b.unit[r], b.unit_low[r]);
        hi[r] = logarithm.hi, lo[r] = logarithm.lo;
    }
    FOR_ROWS(r, tile)
    FN(band_subtract_row)(BAND_ROW(tile, 0, r), BAND_OUT(tile, r), tile->n, b.m[r], (FN(factor)){hi[r], lo[r]});
    FN(band_limits)(&b, tile, 1);
}

/* ---- Gradients ---- */

/* As dot_over, of at least FR_ROW_LANES elements. */
FR_INLINE int FN(band_dot)(FN(halves) * h, ptrdiff_t r, const store *g, const store *y, ptrdiff_t n, int way) {
    const int left = (int)(n % FR_ROW_LANES);
    const ptrdiff_t whole = n - left;
    double hi[FR_ROW_LANES], lo[FR_ROW_LANES];
    store least[FR_ROW_LANES], rest_g[FR_ROW_LANES], rest_y[FR_ROW_LANES];
    ptrdiff_t i = 0;
    int gone = 0;
    FOR_LANES(j) least[j] = 0;
    if (DOT_GROUPS(way)) {
        store p[FR_ROW_LANES];
        for (const ptrdiff_t step = FR_DOT_GROUP * FR_ROW_LANES; i + step <= n; i += step) {
            FOR_LANES(j) p[j] = FN(dot_product)(0, g[i + j], y[i + j], way);
            for (int k = FR_ROW_LANES; k < FR_DOT_GROUP * FR_ROW_LANES; k += FR_ROW_LANES)
                FN(dot_group)(p, g + i + k, y + i + k, way);
            FOR_LANES(j) FN(dot_add)(i == 0, &hi[j], &lo[j], p[j]);
        }
        const ptrdiff_t added = i;
        for (; i < whole; i += FR_ROW_LANES)
            FOR_LANES(j) p[j] = FN(dot_product)(i == added ? 0 : p[j], g[i + j], y[i + j], way);
        if (left) {
            FN(load_few)(rest_g, g + whole, left);
            FN(load_few)(rest_y, y + whole, left);
            FOR_LANES(j) p[j] = FN(dot_product)(added == whole ? 0 : p[j], rest_g[j], rest_y[j], way);
        }
        if (added < n) FOR_LANES(j) FN(dot_add)(added == 0, &hi[j], &lo[j], p[j]);
    } else {
        for (; i < whole; i += FR_ROW_LANES) FN(dot_lanes)(i == 0, hi, lo, least, g + i, y + i, way);
        if (left) {
            FN(load_few)(rest_g, g + whole, left);
            FN(load_few)(rest_y, y + whole, left);
            FN(dot_lanes)(0, hi, lo, least, rest_g, rest_y, way);
        }
    }
    FN(band_fold)(h, r, hi, lo);
    if (way == FR_DOT_LOG) FOR_LANES(j) gone |= least[j] < -LARGEST;
    return gone;
}
FR_APART int FN(band_dot_row)(FN(halves) * h, ptrdiff_t r, const store *g, const store *y, ptrdiff_t n) {
    return FN(band_dot)(h, r, g, y, n, FR_DOT_PLAIN);
}
FR_APART int FN(band_dot_log_row)(FN(halves) * h, ptrdiff_t r, const store *g, const store *y, ptrdiff_t n) {
    return FN(band_dot)(h, r, g, y, n, FR_DOT_LOG);
}

#define BAND_GRADIENT(name, way, DOT, SLOPE)                                                                  \
    FR_UNUSED static void FN(name##_from_output_band_row)(fr_tile * tile) {                                   \
        const ptrdiff_t n = tile->n;                                                                          \
        FN(halves) h;                                                                                         \
        FR_LINES double hi[FR_COLUMNS], lo[FR_COLUMNS];                                                       \
        FR_LINES real one[FR_COLUMNS], two[FR_COLUMNS], magic[FR_COLUMNS], low[FR_COLUMNS];                   \
        int masked = 0;                                                                                       \
        FOR_ROWS(r, tile) masked |= DOT(&h, r, BAND_ROW(tile, 0, r), BAND_ROW(tile, 1, r), n);                \
        FN(band_fill)(&h, tile->width);                                                                       \
        FN(band_join_rows)(&h, hi, lo);                                                                       \
        if (way != FR_DOT_LOG) FOR_LANES(r) masked |= !(FR_ABS(hi[r]) < DOT_HUGE);                            \
        if (masked) { /* rare, or each element has to be selected anyway */                                   \
            FOR_ROWS(r, tile) {                                                                               \
                const char *in[2] = {(const char *)BAND_ROW(tile, 0, r), (const char *)BAND_ROW(tile, 1, r)}; \
                FN(name##_from_output_row)(in, (char *)BAND_OUT(tile, r), n);                                 \
            }                                                                                                 \
            return;                                                                                           \
        }                                                                                                     \
        FOR_LANES(r) {                                                                                        \
            const FN(slope) s_of = SLOPE((real)hi[r], (real)lo[r]);                                           \
            one[r] = s_of.hi, two[r] = s_of.lo, magic[r] = s_of.magic, low[r] = s_of.low;                     \
        }                                                                                                     \
        FOR_ROWS(r, tile)                                                                                     \
        FN(name##_gradient_row)(BAND_ROW(tile, 0, r), BAND_ROW(tile, 1, r), BAND_OUT(tile, r), n,             \
                                (FN(slope)){one[r], two[r], magic[r], low[r]});                               \
    }
BAND_GRADIENT(softmax, FR_DOT_PLAIN, FN(band_dot_row), FN(slope_of))
BAND_GRADIENT(softmin, FR_DOT_PLAIN, FN(band_dot_row), FN(slope_of))
BAND_GRADIENT(log_softmax, FR_DOT_LOG, FN(band_dot_log_row), FN(log_slope_of))
#undef BAND_GRADIENT
