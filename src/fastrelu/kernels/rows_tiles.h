/* Kernels over a tile: the forward functions over rows side by side. Included by instance.h, once per instance. */

/* ---- Rows side by side, FR_COLUMNS at a time: the same operations on each as above. Lane l of a row is then one of
 * FR_ROW_LANES rows of sums. ---- */

#define FOR_COLUMNS(at, tile)                                                                        \
    for (ptrdiff_t at = 0, end_of_##at = (tile)->width * (ptrdiff_t)sizeof(store); at < end_of_##at; \
         at += FR_COLUMNS * (ptrdiff_t)sizeof(store))

/* Rows of few elements go through each step FR_COLUMN_BATCH times FR_COLUMNS at a time: within one set of columns each
 * operation waits for the one before. Longer rows stay in the cache this way: one set at a time. */
#define FOR_BATCHES(at, count, tile)                                                            \
    for (ptrdiff_t at = 0, count = 0, most_of_##at = (tile)->n <= FR_FEW ? FR_COLUMN_BATCH : 1, \
                   end_of_##at = (tile)->width / FR_COLUMNS;                                    \
         count = end_of_##at - at < most_of_##at ? end_of_##at - at : most_of_##at, at < end_of_##at; at += count)
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
    for (ptrdiff_t k = 0; k < count; k++) {
        FR_LINES store m[FR_COLUMNS];
        FOR_LANES(j) m[j] = -(store)INFINITY;
        for (ptrdiff_t i = 0; i < n; i++) {
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
/* As row_sum. Of two elements beside the largest there is one, which needs no sum. */
FR_INLINE void FN(columns_sum)(FN(columns) * c, const char *x, ptrdiff_t pitch, char *keep, ptrdiff_t keep_pitch,
                               ptrdiff_t n, int flip, int beside) {
    if (n == 2 && beside && !keep) {
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
        return;
    }
    FN(count) same[FR_COLUMNS];
    ptrdiff_t i = 0;
    FOR_LANES(j) same[j] = 0;
    for (; i < n && i < FR_ROW_LANES; i++, x += pitch, keep = keep ? keep + keep_pitch : NULL)
        FN(columns_step)(c, x, keep, (int)i, same, flip, beside, 1);
    for (; i < n; i++, x += pitch, keep = keep ? keep + keep_pitch : NULL)
        FN(columns_step)(c, x, keep, (int)(i % FR_ROW_LANES), same, flip, beside, 0);
    FN(columns_close)(c, same, n, beside);
}

/* As row_divide, with a factor for each row unless f is NULL. */
FR_INLINE void FN(columns_divide)(const FN(columns) * c, const char *x, ptrdiff_t pitch, char *out, ptrdiff_t out_pitch,
                                  ptrdiff_t n, int flip, const double *f) {
    real r_hi[FR_COLUMNS], r_lo[FR_COLUMNS], factor[FR_COLUMNS];
    FOR_LANES(j) {
        const double own = f ? f[j] : 1;
        const FN(factor) r = FN(factor_of)(FN(column_total)(c, j), own, f != NULL);
        r_hi[j] = r.hi, r_lo[j] = r.lo, factor[j] = (real)own;
    }
    for (ptrdiff_t i = 0; i < n; i++) {
        store *to = (store *)(out + i * out_pitch);
        const store *from = KEEPS ? to : (const store *)(x + i * pitch);
        FOR_LANES(j)
        to[j] = FN(probability)(from[j], c->origin[j], c->magic[j], c->low[j], r_hi[j], r_lo[j], factor[j], flip,
                                f != NULL);
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
        for (ptrdiff_t k = 0; k < count; k++)
            FN(columns_sum)(&c[k], x + COLUMNS_AT(k), pitch, out + COLUMNS_AT(k), out_pitch, n, flip, 0);
        for (ptrdiff_t k = 0; k < count; k++) {
            FN(columns_divide)(&c[k], x + COLUMNS_AT(k), pitch, out + COLUMNS_AT(k), out_pitch, n, flip, NULL);
            FN(columns_limits)(infinite[k], limit[k], out + COLUMNS_AT(k), out_pitch, n, 0, 1);
        }
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
    FN(columns) c[FR_COLUMN_BATCH];
    ptrdiff_t limit[FR_COLUMN_BATCH][FR_COLUMNS];
    unsigned infinite[FR_COLUMN_BATCH];
    FOR_BATCHES(at, count, tile) {
        const char *from = tile->in[0] + COLUMNS_AT(at);
        char *to = tile->out + COLUMNS_AT(at);
        FN(columns_top)(c, infinite, limit, from, pitch, n, count, 0, n != 2, !PAIRS(n));
        for (ptrdiff_t k = 0; k < count && !PAIRS(n); k++)
            FN(columns_sum)(&c[k], from + COLUMNS_AT(k), pitch, NULL, 0, n, 0, 1);
        for (ptrdiff_t k = 0; k < count; k++) {
            FR_LINES real hi[FR_COLUMNS], lo[FR_COLUMNS];
            if (PAIRS(n)) {
                const store *one = (const store *)(from + COLUMNS_AT(k)),
                            *two = (const store *)((const char *)one + pitch);
                FOR_LANES(j) hi[j] = FN(pair_logarithm)(c[k].m[j], FN(other_of)(one[j], two[j], c[k].m[j])), lo[j] = 0;
            } else {
                FOR_LANES(j) {
                    const FN(factor) y = FN(logarithm_of)(FN(column_total)(&c[k], j), c[k].unit[j], c[k].unit_low[j]);
                    hi[j] = y.hi, lo[j] = y.lo;
                }
            }
            for (ptrdiff_t i = 0; i < n; i++) {
                const store *x = (const store *)(from + COLUMNS_AT(k) + i * pitch);
                store *out = (store *)(to + COLUMNS_AT(k) + i * out_pitch);
                FOR_LANES(j) out[j] = FN(log_probability)(x[j], c[k].m[j], hi[j], lo[j]);
            }
            FN(columns_limits)(infinite[k], limit[k], to + COLUMNS_AT(k), out_pitch, n, 1, 1);
        }
    }
}
FR_UNUSED static void FN(log_softmax_tile_row)(fr_tile *tile) {
    if (tile->n == 2) FN(log_softmax_columns)(tile, 2);
    else FN(log_softmax_columns)(tile, tile->n);
}
