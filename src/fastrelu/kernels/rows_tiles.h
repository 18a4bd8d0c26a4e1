/* Kernels over a tile: the forward functions over rows side by side. Included by instance.h, once per instance. */

/* ---- Rows side by side, FR_COLUMNS at a time: the same operations on each as above. Lane l of a row is then one of
 * FR_ROW_LANES rows of sums. ---- */

#define FOR_COLUMNS(at, tile)                                                                        \
    for (ptrdiff_t at = 0, end_of_##at = (tile)->width * (ptrdiff_t)sizeof(store); at < end_of_##at; \
         at += FR_COLUMNS * (ptrdiff_t)sizeof(store))

/* Rows go through each step up to FR_COLUMN_BATCH sets of FR_COLUMNS at a time. Of few elements, because within one set
 * each operation waits for the one before. Of more, one set if it stays in the cache and its lines are foreseen; else a
 * block of lines of each set after the other, because no processor foresees lines of the cache that lie far apart. */
#define SET_IS_NEAR(n, pitch) \
    ((n) <= ((pitch) < FR_SET_PITCH ? FR_SET_FORESEEN : FR_SET_NEAR) / FR_COLUMNS / (ptrdiff_t)sizeof(store))
#define FOR_BATCHES(at, count, tile)                                                                             \
    for (ptrdiff_t at = 0, count = 0, one_##at = (tile)->n > FR_FEW && SET_IS_NEAR((tile)->n, (tile)->pitch[0]), \
                   most_of_##at = one_##at ? 1 : FR_COLUMN_BATCH, end_of_##at = (tile)->width / FR_COLUMNS;      \
         count = end_of_##at - at < most_of_##at ? end_of_##at - at : most_of_##at, at < end_of_##at; at += count)
/* The lines of one set that come before those of the next. */
#define FOR_LINES(from, end, n, pitch) \
    for (ptrdiff_t from = 0, end = 0;  \
         end = SET_IS_NEAR(n, pitch) || (n) - from < FR_ROW_LANES ? (n) : from + FR_ROW_LANES, from < (n); from = end)
#define COLUMNS_AT(k) ((k) * FR_COLUMNS * (ptrdiff_t)sizeof(store))

typedef struct {
    FR_LINES store m[FR_COLUMNS];
    FR_LINES real origin[FR_COLUMNS], magic[FR_COLUMNS], low[FR_COLUMNS], top[FR_COLUMNS]; /* as in row */
    FR_LINES real unit[FR_COLUMNS], unit_low[FR_COLUMNS];
    FR_LINES double hi[FR_ROW_LANES][FR_COLUMNS], lo[FR_ROW_LANES][FR_COLUMNS]; /* the first lane becomes the sum */
} FN(columns);

/* One for each row of FR_COLUMNS. */
static const FN(count) FN(bit)[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};

/* Sets the largest elements that are infinite to 0, and finds the limits of these rows; returns one bit for each. */
FR_APART unsigned FN(limits_of)(ptrdiff_t *limit, store *m, const char *x, ptrdiff_t pitch, ptrdiff_t n, int flip) {
    FN(count) infinite = 0, highest = 0;
    FOR_LANES(j) {
        infinite |= FN(row_is_finite)(m[j]) ? 0 : FN(bit)[j];
        highest |= m[j] > LARGEST ? FN(bit)[j] : 0;
        m[j] = FN(row_is_finite)(m[j]) ? m[j] : (store)0;
    }
    FOR_LANES(j) limit[j] = FR_NO_LIMIT;
    for (int j = 0; j < FR_COLUMNS && highest >> j; j++)
        if (highest >> j & 1) limit[j] = FN(limit_of)(x + j * (ptrdiff_t)sizeof(store), pitch, n, flip);
    return (unsigned)infinite;
}
/* What the elements of each row share, of `count` sets of columns; `infinite` gets one bit for each row whose largest
 * element is. The exponential of that element and the units are computed only if asked for. */
FR_INLINE void FN(columns_top)(FN(columns) * c, unsigned *infinite, ptrdiff_t (*limit)[FR_COLUMNS], const char *x,
                               ptrdiff_t pitch, ptrdiff_t n, ptrdiff_t count, int flip, int tops, int units) {
    FR_LINES store odd[FR_COLUMNS]; /* 0 or NaN */
    int rare = 0;
    FOR_LANES(j) odd[j] = 0;
    FOR_LINES(from, end, n, pitch)
    for (ptrdiff_t k = 0; k < count; k++) {
        FR_LINES store m[FR_COLUMNS];
        FOR_LANES(j) m[j] = from ? c[k].m[j] : -(store)INFINITY;
        for (ptrdiff_t i = from; i < end; i++) {
            const store *at = (const store *)(x + COLUMNS_AT(k) + i * pitch);
            FOR_LANES(j) {
                store v = FN(signed_as)(at[j], flip);
                m[j] = v > m[j] ? v : m[j];
            }
        }
        FOR_LANES(j) c[k].m[j] = m[j], odd[j] += m[j] - m[j];
        infinite[k] = 0;
    }
    FOR_LANES(j) rare |= odd[j] == 0 ? 0 : 1;
    for (ptrdiff_t k = 0; k < count && rare; k++)
        infinite[k] = FN(limits_of)(limit[k], c[k].m, x + COLUMNS_AT(k), pitch, n, flip);
    for (ptrdiff_t k = 0; k < count; k++) FOR_LANES(j) {
            const FN(row) row = FN(row_of)(c[k].m[j]);
            c[k].origin[j] = row.origin, c[k].magic[j] = row.magic, c[k].low[j] = row.low;
            if (tops) c[k].top[j] = row.top;
            if (units) c[k].unit[j] = row.unit, c[k].unit_low[j] = row.unit_low;
        }
}

FR_INLINE void FN(columns_join)(double (*hi)[FR_COLUMNS], double (*lo)[FR_COLUMNS], ptrdiff_t n) {
#if !COMPENSATED
    if (n >= FR_ROW_LANES / 2) {
        for (int l = 0; l < 8 && l + 8 < n; l++) FOR_LANES(j) hi[l][j] += hi[l + 8][j];
        FOR_LANES(j)
        hi[0][j] = ((hi[0][j] + hi[4][j]) + (hi[2][j] + hi[6][j])) + ((hi[1][j] + hi[5][j]) + (hi[3][j] + hi[7][j]));
        return;
    }
#endif
    for (int w = FR_ROW_LANES / 2; w; w /= 2)
        for (int l = 0; l < w && l + w < n; l++) FOR_LANES(j) {
#if COMPENSATED
                fr_add_to(&hi[l][j], &lo[l][j], hi[l + w][j]);
                lo[l][j] += lo[l + w][j];
#else
                hi[l][j] += hi[l + w][j];
#endif
            }
#if COMPENSATED
    FOR_LANES(j) {
        const fr_total total = fr_total_close((fr_total){hi[0][j], lo[0][j]});
        hi[0][j] = total.hi, lo[0][j] = total.lo;
    }
#endif
    (void)lo;
}
FR_INLINE fr_total FN(column_total)(const FN(columns) * c, int j) {
    fr_total total = {c->hi[0][j], COMPENSATED ? c->lo[0][j] : 0};
    return total;
}

/* The exponentials of one element of FR_COLUMNS rows, added to their lanes. */
FR_INLINE void FN(columns_add)(double *hi, double *lo, const store *x, real *e, const real *origin, const real *magic,
                               const real *low, const real *top, FN(count) * same, int flip, int first) {
    FR_LINES real e_lo[FR_COLUMNS];
#if FR_KIND == FR_HILO
    FOR_LANES(j) {
        hl_scaled v = FN(row_exp)(FN(signed_as)(x[j], flip), origin[j]);
        real s = hl_pow2(v.k + 600);
        e[j] = v.hi * s;
        e_lo[j] = v.lo * s;
    }
    (void)magic, (void)low;
#else
    FOR_LANES(j) e[j] = FN(row_exp)((real)FN(signed_as)(x[j], flip), origin[j], magic[j], low[j]);
#endif
    FN(add_lanes)(first, hi, lo, e, e_lo, top, same);
}
/* The same in lane `lane`; the exponentials stay in `keep` unless that is NULL or the kind keeps none. */
FR_INLINE void FN(columns_step)(FN(columns) * c, const char *from, char *keep, int lane, FN(count) * same, int flip,
                                int beside, int first) {
    FR_LINES real own[FR_COLUMNS];
    real *e = own;
#if KEEPS
    if (keep) e = (real *)keep;
#else
    (void)keep;
#endif
    FN(columns_add)(c->hi[lane], c->lo[lane], (const store *)from, e, c->origin, c->magic, c->low,
                    beside ? c->top : NULL, same, flip, first);
}
/* How many others equal the largest, of elements of which `same` do. */
FR_INLINE double FN(others_of)(FN(count) same) {
#if FR_KIND == FR_LEAN
    return (double)(same - 1);
#else
    FN(word) u;
    u.bits = (uint64_t)same;
    return FN(number_of)(u) - 1;
#endif
}
/* The sums of n elements from their lanes. */
FR_INLINE void FN(columns_close)(FN(columns) * c, const FN(count) * same, ptrdiff_t n, int beside) {
    FN(columns_join)(c->hi, c->lo, n);
    if (beside) FOR_LANES(j) {
            const fr_total total = FN(beside_of)(FN(column_total)(c, j), FN(others_of)(same[j]), c->top[j]);
            c->hi[0][j] = total.hi;
            if (COMPENSATED) c->lo[0][j] = total.lo;
        }
}
/* As row_sum, of two elements: beside the largest there is one, which needs no sum. */
FR_INLINE void FN(columns_sum_pair)(FN(columns) * c, const char *x, ptrdiff_t pitch, int flip) {
    const store *one = (const store *)x, *two = (const store *)(x + pitch);
    FR_LINES store other[FR_COLUMNS];
    FOR_LANES(j) other[j] = FN(signed_as)(one[j], flip) == c->m[j] ? two[j] : one[j];
    FN(columns_step)(c, (const char *)other, NULL, 0, NULL, flip, 0, 1);
    FN(columns_join)(c->hi, c->lo, 1);
    FOR_LANES(j) {
        const fr_total total = FN(beside_of)(FN(column_total)(c, j), 0, 0);
        c->hi[0][j] = total.hi;
        if (COMPENSATED) c->lo[0][j] = total.lo;
    }
}
/* As row_sum, of `count` sets of columns. */
FR_INLINE void FN(columns_sum)(FN(columns) * c, const char *x, ptrdiff_t pitch, char *keep, ptrdiff_t keep_pitch,
                               ptrdiff_t n, ptrdiff_t count, int flip, int beside) {
    FN(count) same[FR_COLUMN_BATCH][FR_COLUMNS];
    const ptrdiff_t lanes = n < FR_ROW_LANES ? n : FR_ROW_LANES;
    if (n == 2 && beside && !keep) {
        for (ptrdiff_t k = 0; k < count; k++) FN(columns_sum_pair)(&c[k], x + COLUMNS_AT(k), pitch, flip);
        return;
    }
#define SUM_LINES(from, end, first)                                                                               \
    for (ptrdiff_t k = 0; k < count; k++)                                                                         \
        for (ptrdiff_t i = from; i < (end); i++)                                                                  \
            FN(columns_step)(&c[k], x + COLUMNS_AT(k) + i * pitch,                                                \
                             keep ? keep + COLUMNS_AT(k) + i * keep_pitch : NULL, (int)(i - from), same[k], flip, \
                             beside, first);
    for (ptrdiff_t k = 0; k < count; k++) FOR_LANES(j) same[k][j] = 0;
    SUM_LINES(0, lanes, 1)
    for (ptrdiff_t from = lanes, end; from < n; from = end) {
        end = n - from < FR_ROW_LANES ? n : from + FR_ROW_LANES;
        SUM_LINES(from, end, 0)
    }
#undef SUM_LINES
    for (ptrdiff_t k = 0; k < count; k++) FN(columns_close)(&c[k], same[k], n, beside);
}

/* As row_divide, of `count` sets of columns, with a factor for each row unless f is NULL. */
FR_INLINE void FN(columns_divide)(const FN(columns) * c, const char *x, ptrdiff_t pitch, char *out, ptrdiff_t out_pitch,
                                  ptrdiff_t n, ptrdiff_t count, int flip, const double (*f)[FR_COLUMNS]) {
    FR_LINES real r_hi[FR_COLUMN_BATCH][FR_COLUMNS], r_lo[FR_COLUMN_BATCH][FR_COLUMNS];
    FR_LINES real factor[FR_COLUMN_BATCH][FR_COLUMNS];
    for (ptrdiff_t k = 0; k < count; k++) FOR_LANES(j) {
            const double own = f ? f[k][j] : 1;
            const FN(factor) r = FN(factor_of)(FN(column_total)(&c[k], j), own, f != NULL);
            r_hi[k][j] = r.hi, r_lo[k][j] = r.lo, factor[k][j] = (real)own;
        }
    FOR_LINES(from, end, n, pitch)
    for (ptrdiff_t k = 0; k < count; k++)
        for (ptrdiff_t i = from; i < end; i++) {
            store *to = (store *)(out + COLUMNS_AT(k) + i * out_pitch);
            const store *at = KEEPS ? to : (const store *)(x + COLUMNS_AT(k) + i * pitch);
            FOR_LANES(j)
            to[j] = FN(probability)(at[j], c[k].origin[j], c[k].magic[j], c[k].low[j], r_hi[k][j], r_lo[k][j],
                                    factor[k][j], flip, f != NULL);
        }
}

/* Writes rows whose largest element is infinite. Those of a whole tile that have no limit, as many do that are masked
 * altogether, become NaN side by side. */
FR_INLINE void FN(columns_limits)(unsigned infinite, const ptrdiff_t *limit, char *out, ptrdiff_t pitch, ptrdiff_t n,
                                  int logarithm, const int whole) {
    unsigned left = infinite;
    if (!infinite) return;
    if (whole) {
        FR_LINES store none[FR_COLUMNS];
        FN(count) limited = 0;
        FOR_LANES(j) limited |= limit[j] >= 0 ? FN(bit)[j] : 0;
        left = infinite & (unsigned)limited;
        const FN(count) bad = (FN(count))(infinite & ~left);
        FOR_LANES(j) none[j] = bad & FN(bit)[j] ? (store)NAN : (store)0;
        for (ptrdiff_t i = 0; i < n && left != infinite; i++) {
            store *to = (store *)(out + i * pitch);
            FOR_LANES(j) to[j] = none[j] != none[j] ? none[j] : to[j];
        }
    }
    for (int j = 0; j < FR_COLUMNS && left; j++)
        if (left >> j & 1) FN(write_limit)(out + j * (ptrdiff_t)sizeof(store), pitch, n, limit[j], logarithm);
}

FR_INLINE void FN(softmax_columns)(const fr_tile *tile, ptrdiff_t n, int flip) {
    const ptrdiff_t pitch = tile->pitch[0], out_pitch = tile->out_pitch;
    FN(columns) c[FR_COLUMN_BATCH];
    ptrdiff_t limit[FR_COLUMN_BATCH][FR_COLUMNS];
    unsigned infinite[FR_COLUMN_BATCH];
    FOR_BATCHES(at, count, tile) {
        const char *x = tile->in[0] + COLUMNS_AT(at);
        char *out = tile->out + COLUMNS_AT(at);
        FN(columns_top)(c, infinite, limit, x, pitch, n, count, flip, 0, 0);
        for (ptrdiff_t k = 0; k < count && PAIRS(n); k++) {
            const store *one = (const store *)(x + COLUMNS_AT(k)), *two = (const store *)((const char *)one + pitch);
            store *to = (store *)(out + COLUMNS_AT(k)), *beside = (store *)((char *)to + out_pitch);
            FOR_LANES(j)
            FN(pair_softmax)(&to[j], &beside[j], FN(signed_as)(one[j], flip), FN(signed_as)(two[j], flip), c[k].m[j]);
            FN(columns_limits)(infinite[k], limit[k], out + COLUMNS_AT(k), out_pitch, n, 0, 1);
        }
        if (PAIRS(n)) continue;
        FN(columns_sum)(c, x, pitch, out, out_pitch, n, count, flip, 0);
        FN(columns_divide)(c, x, pitch, out, out_pitch, n, count, flip, NULL);
        for (ptrdiff_t k = 0; k < count; k++)
            FN(columns_limits)(infinite[k], limit[k], out + COLUMNS_AT(k), out_pitch, n, 0, 1);
    }
}
FR_UNUSED static void FN(softmax_tile_row)(fr_tile *tile) {
    if (tile->n == 2) FN(softmax_columns)(tile, 2, 0);
    else FN(softmax_columns)(tile, tile->n, 0);
}
FR_UNUSED static void FN(softmin_tile_row)(fr_tile *tile) {
    if (tile->n == 2) FN(softmax_columns)(tile, 2, 1);
    else FN(softmax_columns)(tile, tile->n, 1);
}

FR_INLINE void FN(log_softmax_columns)(fr_tile *tile, ptrdiff_t n) {
    const ptrdiff_t pitch = tile->pitch[0], out_pitch = tile->out_pitch;
    FR_LINES real hi[FR_COLUMN_BATCH][FR_COLUMNS], lo[FR_COLUMN_BATCH][FR_COLUMNS];
    FN(columns) c[FR_COLUMN_BATCH];
    ptrdiff_t limit[FR_COLUMN_BATCH][FR_COLUMNS];
    unsigned infinite[FR_COLUMN_BATCH];
    FOR_BATCHES(at, count, tile) {
        const char *from = tile->in[0] + COLUMNS_AT(at);
        char *to = tile->out + COLUMNS_AT(at);
        FN(columns_top)(c, infinite, limit, from, pitch, n, count, 0, n != 2, !PAIRS(n));
        if (!PAIRS(n)) FN(columns_sum)(c, from, pitch, NULL, 0, n, count, 0, 1);
        for (ptrdiff_t k = 0; k < count; k++) {
            if (PAIRS(n)) {
                const store *one = (const store *)(from + COLUMNS_AT(k)),
                            *two = (const store *)((const char *)one + pitch);
                FOR_LANES(j) hi[k][j] = FN(pair_logarithm)(c[k].m[j], FN(other_of)(one[j], two[j], c[k].m[j]));
                FOR_LANES(j) lo[k][j] = 0;
            } else {
                FOR_LANES(j) {
                    const FN(factor) y = FN(logarithm_of)(FN(column_total)(&c[k], j), c[k].unit[j], c[k].unit_low[j]);
                    hi[k][j] = y.hi, lo[k][j] = y.lo;
                }
            }
        }
        FOR_LINES(start, end, n, pitch)
        for (ptrdiff_t k = 0; k < count; k++)
            for (ptrdiff_t i = start; i < end; i++) {
                const store *x = (const store *)(from + COLUMNS_AT(k) + i * pitch);
                store *out = (store *)(to + COLUMNS_AT(k) + i * out_pitch);
                FOR_LANES(j) out[j] = FN(log_probability)(x[j], c[k].m[j], hi[k][j], lo[k][j]);
            }
        for (ptrdiff_t k = 0; k < count; k++)
            FN(columns_limits)(infinite[k], limit[k], to + COLUMNS_AT(k), out_pitch, n, 1, 1);
    }
}
FR_UNUSED static void FN(log_softmax_tile_row)(fr_tile *tile) {
    if (tile->n == 2) FN(log_softmax_columns)(tile, 2);
    else FN(log_softmax_columns)(tile, tile->n);
}
