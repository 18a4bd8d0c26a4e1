/* Kernels over a fold: fewer than FR_COLUMNS long rows that lie side by side, each line of them behind the one before.
 * That is one run of numbers, which is taken FR_COLUMNS at a time as it lies: nothing is copied, and no lane is empty.
 * Included by instance.h, once per instance.
 *
 * Several lines, a sheet, fill whole sets of FR_COLUMNS columns: of 12 rows, 4 lines fill 3 sets. A row is then several
 * columns of a sheet. Each of them has its own lanes, and they all together are the FR_ROW_LANES of the row: sums are
 * the same, bit by bit, as those of the kernel over one row. */

#ifndef FASTRELU_FOLDS
#define FASTRELU_FOLDS

enum {
    FR_FOLD_SHEET = (FR_COLUMNS - 1) * FR_COLUMNS, /* numbers, at most */
    FR_FOLD_GROUP = FR_DOT_GROUP * FR_ROW_LANES,   /* lines */
    FR_FOLD_BYTES = 1 << 13,                       /* about that many stay in the cache until all sets are through; */
    FR_FOLD_LANES = 4                              /* less with fewer lanes: a set would wait for its own sums */
};

typedef struct {
    ptrdiff_t rows, lanes;         /* of each column: the largest power of 2 that divides the number of rows */
    ptrdiff_t lines, sheet, block; /* of a sheet; the numbers in it; sheets that are gone through set by set */
} fr_row_fold;
FR_INLINE fr_row_fold fr_row_fold_of(ptrdiff_t rows, ptrdiff_t itemsize) {
    const ptrdiff_t lanes = rows & -rows, lines = FR_ROW_LANES / lanes, sheet = rows * lines;
    const ptrdiff_t fit = FR_FOLD_BYTES / (FR_FOLD_GROUP * rows * itemsize);
    const ptrdiff_t groups = lanes < FR_FOLD_LANES || fit < 1 ? 1 : fit;
    return (fr_row_fold){rows, lanes, lines, sheet, sheet == FR_COLUMNS ? PTRDIFF_MAX : groups * FR_FOLD_GROUP / lines};
}
/* Puts the lanes of all columns into those of their rows. */
FR_APART void fr_fold_rows(double (*to)[FR_COLUMNS], double (*from)[FR_COLUMNS], const fr_row_fold *fold) {
    ptrdiff_t i = 0;
    for (ptrdiff_t line = 0; line < fold->lines; line++)
        for (ptrdiff_t r = 0; r < fold->rows; r++, i++)
            for (ptrdiff_t l = 0; l < fold->lanes; l++)
                to[l * fold->lines + line][r] = from[i / FR_COLUMNS * fold->lanes + l][i % FR_COLUMNS];
}

/* The sheets are taken in two parts: as they lie, up to a multiple of FR_ROW_LANES lines, or of FR_FOLD_GROUP; and what
 * is left from a copy, filled up. */
#define FOR_PARTS(p) for (int p = 0; p < 2; p++)
/* Sheets that stay in the cache until all their sets are through. */
#define FOR_BLOCKS(from, count, part, fold)                                                                         \
    for (ptrdiff_t from = 0, count = 0, end_of_##from = (part).sheets;                                              \
         count = end_of_##from - from < (fold)->block ? end_of_##from - from : (fold)->block, from < end_of_##from; \
         from += count)
/* As FOR_LANES, for a loop of few operations: Clang would unroll it first, and then not vectorize it. */
#if defined(__clang__)
#define FOR_FEW_STEPS(j) \
    _Pragma("clang loop vectorize(assume_safety) unroll(disable)") for (int j = 0; j < FR_ROW_LANES; j++)
#else
#define FOR_FEW_STEPS(j) FOR_LANES(j)
#endif
/* The first column of each set. */
#define FOR_SETS(s, fold) for (ptrdiff_t s = 0, end_of_##s = (fold)->sheet; s < end_of_##s; s += FR_COLUMNS)

#endif

typedef struct {
    const store *in[2];
    store *out;
    ptrdiff_t sheets;
} FN(fold_part);

/* Copies the lines that are left of an operand, and fills them up to `step` lines. */
FR_APART void FN(fold_fill)(store *to, const char *from, const fr_row_fold *fold, ptrdiff_t n, int step, store fill) {
    const ptrdiff_t left = n % step * fold->rows;
    const store *x = (const store *)from + n * fold->rows - left;
    for (ptrdiff_t i = 0; i < step * fold->rows; i++) to[i] = i < left ? x[i] : fill;
}
/* The parts of a tile: the second one has its own inputs and results. */
FR_INLINE void FN(fold_cut)(FN(fold_part) * part, const fr_tile *tile, const fr_row_fold *fold, store *first,
                            store *second, store *made, int step) {
    part[0] = (FN(fold_part)){{(const store *)tile->in[0], (const store *)tile->in[1]},
                              (store *)tile->out,
                              tile->n / step * step / fold->lines};
    part[1] = (FN(fold_part)){{first, second}, made, tile->n % step ? step / fold->lines : 0};
}
/* Copies the results of the second part back. */
FR_APART void FN(fold_end)(const fr_tile *tile, const fr_row_fold *fold, const store *made, int step) {
    const ptrdiff_t left = tile->n % step * fold->rows;
    store *out = (store *)tile->out + tile->n * fold->rows - left;
    for (ptrdiff_t i = 0; i < left; i++) out[i] = made[i];
}
/* Gives each column of a sheet what its row has. */
FR_APART void FN(fold_spread)(real *to, const real *from, const fr_row_fold *fold) {
    for (ptrdiff_t i = 0; i < fold->sheet; i += fold->rows)
        for (ptrdiff_t r = 0; r < fold->rows; r++) to[i + r] = from[r];
}

/* What each column of a sheet has from its row: as in columns, or as in slope. */
typedef struct {
    FR_LINES real origin[FR_FOLD_SHEET], magic[FR_FOLD_SHEET], low[FR_FOLD_SHEET], top[FR_FOLD_SHEET];
} FN(sheet);

/* ---- Forward ---- */

FR_INLINE void FN(fold_top)(FN(columns) * c, FN(sheet) * sheet, unsigned *infinite, ptrdiff_t *limit,
                            const fr_tile *tile, const fr_row_fold *fold, const FN(fold_part) * part, int flip) {
    FR_LINES store most[FR_FOLD_SHEET];
    for (ptrdiff_t i = 0; i < fold->sheet; i++) most[i] = -(store)INFINITY;
    FOR_PARTS(p)
    FOR_BLOCKS(from, count, part[p], fold)
    FOR_SETS(s, fold) {
        const store *x = part[p].in[0] + from * fold->sheet + s;
        FR_LINES store m[FR_COLUMNS];
        FOR_LANES(j) m[j] = most[s + j];
        for (ptrdiff_t i = 0; i < count; i++, x += fold->sheet) FOR_LANES(j) {
                const store v = FN(signed_as)(x[j], flip);
                m[j] = v > m[j] ? v : m[j];
            }
        FOR_LANES(j) most[s + j] = m[j];
    }
    for (ptrdiff_t j = 0; j < FR_COLUMNS; j++) c->m[j] = j < fold->rows ? -(store)INFINITY : 0;
    for (ptrdiff_t i = 0; i < fold->sheet; i += fold->rows)
        for (ptrdiff_t r = 0; r < fold->rows; r++) c->m[r] = most[i + r] > c->m[r] ? most[i + r] : c->m[r];
    *infinite = FN(limits_of)(limit, c->m, tile->in[0], fold->rows * (ptrdiff_t)sizeof(store), tile->n, flip);
    FOR_LANES(j) {
        const FN(row) row = FN(row_of)(c->m[j]);
        c->origin[j] = row.origin, c->magic[j] = row.magic, c->low[j] = row.low, c->top[j] = row.top;
        c->unit[j] = row.unit, c->unit_low[j] = row.unit_low;
    }
    FN(fold_spread)(sheet->origin, c->origin, fold);
    FN(fold_spread)(sheet->magic, c->magic, fold);
    FN(fold_spread)(sheet->low, c->low, fold);
    FN(fold_spread)(sheet->top, c->top, fold);
}
/* As columns_sum. */
FR_INLINE void FN(fold_sum)(FN(columns) * c, const FN(sheet) * sheet, const fr_row_fold *fold,
                            const FN(fold_part) * part, int keeps, int flip, int beside) {
    FR_LINES double hi[FR_ROW_LANES][FR_COLUMNS], lo[FR_ROW_LANES][FR_COLUMNS]; /* of one set behind those of another */
    FR_LINES real own[FR_COLUMNS];
    FN(count) same[FR_FOLD_SHEET], equal[FR_COLUMNS];
    memset(hi, 0, sizeof hi), memset(lo, 0, sizeof lo), memset(same, 0, sizeof same);
    FOR_PARTS(p)
    FOR_BLOCKS(from, count, part[p], fold)
    FOR_SETS(s, fold) {
        const store *x = part[p].in[0] + from * fold->sheet + s;
        store *keep = part[p].out + from * fold->sheet + s;
        const ptrdiff_t lane = s / FR_COLUMNS * fold->lanes;
        for (ptrdiff_t i = 0; i < count; i += fold->lanes)
            for (ptrdiff_t l = lane; l < lane + fold->lanes; l++, x += fold->sheet, keep += fold->sheet)
                FN(columns_add)(hi[l], lo[l], x, keeps && KEEPS ? (real *)(void *)keep : own, sheet->origin + s,
                                sheet->magic + s, sheet->low + s, beside ? sheet->top + s : NULL, same + s, flip, 0);
    }
    memset(c->hi, 0, sizeof c->hi), memset(c->lo, 0, sizeof c->lo), memset(equal, 0, sizeof equal);
    fr_fold_rows(c->hi, hi, fold);
    if (COMPENSATED) fr_fold_rows(c->lo, lo, fold);
    for (ptrdiff_t i = 0; i < fold->sheet && beside; i += fold->rows)
        for (ptrdiff_t r = 0; r < fold->rows; r++) equal[r] += same[i + r];
    FN(columns_close)(c, equal, FR_ROW_LANES, beside);
}

FR_INLINE void FN(softmax_fold)(const fr_tile *tile, int flip) {
    const fr_row_fold fold = fr_row_fold_of(tile->width, sizeof(store));
    FR_LINES store rest[FR_ROW_LANES * FR_COLUMNS], made[FR_ROW_LANES * FR_COLUMNS];
    FR_LINES real hi[FR_COLUMNS], lo[FR_COLUMNS];
    FN(columns) c;
    FN(sheet) sheet;
    FN(fold_part) part[2];
    ptrdiff_t limit[FR_COLUMNS];
    unsigned infinite;
    FN(fold_fill)(rest, tile->in[0], &fold, tile->n, FR_ROW_LANES, flip ? (store)INFINITY : -(store)INFINITY);
    FN(fold_cut)(part, tile, &fold, rest, NULL, made, FR_ROW_LANES);
    FN(fold_top)(&c, &sheet, &infinite, limit, tile, &fold, part, flip);
    FN(fold_sum)(&c, &sheet, &fold, part, 1, flip, 0);
    FOR_LANES(j) {
        const FN(factor) r = FN(factor_of)(FN(column_total)(&c, j), 1, 0);
        hi[j] = r.hi, lo[j] = r.lo;
    }
    real *factor = sheet.top, r_lo[FR_FOLD_SHEET];
    FN(fold_spread)(factor, hi, &fold);
    FN(fold_spread)(r_lo, lo, &fold);
    FOR_PARTS(p)
    FOR_BLOCKS(from, count, part[p], &fold)
    FOR_SETS(s, &fold) {
        store *out = part[p].out + from * fold.sheet + s;
        const store *x = KEEPS ? out : part[p].in[0] + from * fold.sheet + s;
        for (ptrdiff_t i = 0; i < count; i++, x += fold.sheet, out += fold.sheet) FOR_LANES(j)
        out[j] = FN(probability)(x[j], sheet.origin[s + j], sheet.magic[s + j], sheet.low[s + j], factor[s + j],
                                 r_lo[s + j], 1, flip, 0);
    }
    FN(fold_end)(tile, &fold, made, FR_ROW_LANES);
    FN(columns_limits)(infinite, limit, tile->out, fold.rows * (ptrdiff_t)sizeof(store), tile->n, 0, 0);
}
FR_UNUSED static void FN(softmax_fold_row)(fr_tile *tile) { FN(softmax_fold)(tile, 0); }
FR_UNUSED static void FN(softmin_fold_row)(fr_tile *tile) { FN(softmax_fold)(tile, 1); }

FR_UNUSED static void FN(log_softmax_fold_row)(fr_tile *tile) {
    const fr_row_fold fold = fr_row_fold_of(tile->width, sizeof(store));
    FR_LINES store rest[FR_ROW_LANES * FR_COLUMNS], made[FR_ROW_LANES * FR_COLUMNS];
    FR_LINES real hi[FR_COLUMNS], lo[FR_COLUMNS], most[FR_COLUMNS];
    FN(columns) c;
    FN(sheet) sheet;
    FN(fold_part) part[2];
    ptrdiff_t limit[FR_COLUMNS];
    unsigned infinite;
    FN(fold_fill)(rest, tile->in[0], &fold, tile->n, FR_ROW_LANES, -(store)INFINITY);
    FN(fold_cut)(part, tile, &fold, rest, NULL, made, FR_ROW_LANES);
    FN(fold_top)(&c, &sheet, &infinite, limit, tile, &fold, part, 0);
    FN(fold_sum)(&c, &sheet, &fold, part, 0, 0, 1);
    FOR_LANES(j) {
        const FN(factor) y = FN(logarithm_of)(FN(column_total)(&c, j), c.unit[j], c.unit_low[j]);
        hi[j] = y.hi, lo[j] = y.lo, most[j] = (real)c.m[j];
    }
    real *m = sheet.origin, *y_hi = sheet.magic, *y_lo = sheet.low;
    FN(fold_spread)(m, most, &fold);
    FN(fold_spread)(y_hi, hi, &fold);
    FN(fold_spread)(y_lo, lo, &fold);
    FOR_PARTS(p)
    FOR_BLOCKS(from, count, part[p], &fold)
    FOR_SETS(s, &fold) {
        const store *x = part[p].in[0] + from * fold.sheet + s;
        store *out = part[p].out + from * fold.sheet + s;
        for (ptrdiff_t i = 0; i < count; i++, x += fold.sheet, out += fold.sheet) FOR_LANES(j)
        out[j] = FN(log_probability)(x[j], (store)m[s + j], y_hi[s + j], y_lo[s + j]);
    }
    FN(fold_end)(tile, &fold, made, FR_ROW_LANES);
    FN(columns_limits)(infinite, limit, tile->out, fold.rows * (ptrdiff_t)sizeof(store), tile->n, 1, 0);
}

/* ---- Gradients ---- */

/* As columns_dot, of all rows; returns whether elements have to be selected. */
FR_INLINE int FN(fold_dot)(real *sum, real *low, const fr_row_fold *fold, const FN(fold_part) * part, int way) {
    FR_LINES double hi[FR_ROW_LANES][FR_COLUMNS], lo[FR_ROW_LANES][FR_COLUMNS]; /* as in fold_sum */
    FR_LINES double all_hi[FR_ROW_LANES][FR_COLUMNS], all_lo[FR_ROW_LANES][FR_COLUMNS];
    FR_LINES store least[FR_COLUMNS];
    int found = 0;
    memset(hi, 0, sizeof hi), memset(lo, 0, sizeof lo);
    memset(all_hi, 0, sizeof all_hi), memset(all_lo, 0, sizeof all_lo);
    FOR_LANES(j) least[j] = 0;
    FOR_PARTS(p)
    FOR_BLOCKS(from, count, part[p], fold)
    FOR_SETS(s, fold) {
        const char *g = (const char *)(part[p].in[0] + from * fold->sheet + s);
        const char *y = (const char *)(part[p].in[1] + from * fold->sheet + s);
        const ptrdiff_t pitch = fold->sheet * (ptrdiff_t)sizeof(store), lane = s / FR_COLUMNS * fold->lanes;
        FN(columns_dot_lanes)(0, hi + lane, lo + lane, least, g, pitch, y, pitch, count, fold->lanes, 1, way);
    }
    fr_fold_rows(all_hi, hi, fold);
    if (COMPENSATED) fr_fold_rows(all_lo, lo, fold);
    FN(columns_join)(all_hi, all_lo, FR_ROW_LANES);
    FOR_LANES(j) {
        sum[j] = (real)all_hi[0][j], low[j] = FR_KIND == FR_HILO ? (real)all_lo[0][j] : 0;
        found |= way == FR_DOT_LOG ? least[j] < -LARGEST : !(FN(size)(sum[j]) < DOT_HUGE);
    }
    return found;
}
#define FOLD_DOT(name, way)                                                                              \
    FR_APART int FN(name)(real * sum, real * low, const fr_row_fold *fold, const FN(fold_part) * part) { \
        return FN(fold_dot)(sum, low, fold, part, way);                                                  \
    }
FOLD_DOT(fold_dot_row, FR_DOT_PLAIN)
FOLD_DOT(fold_dot_select_row, FR_DOT_SELECT)
FOLD_DOT(fold_dot_log_row, FR_DOT_LOG)
FOLD_DOT(fold_dot_log_select_row, FR_DOT_LOG_SELECT)
#undef FOLD_DOT

#define FOLD_WRITE(name, GRADIENT, masked)                                                                  \
    FR_INLINE void FN(name)(const fr_row_fold *fold, const FN(fold_part) * part, const FN(sheet) * slope) { \
        FOR_PARTS(p)                                                                                        \
        FOR_BLOCKS(from, count, part[p], fold)                                                              \
        FOR_SETS(s, fold) {                                                                                 \
            const ptrdiff_t at = from * fold->sheet + s;                                                    \
            const store *g = part[p].in[0] + at, *y = part[p].in[1] + at;                                   \
            store *out = part[p].out + at;                                                                  \
            FR_LINES real one[FR_COLUMNS], two[FR_COLUMNS], magic[FR_COLUMNS], low[FR_COLUMNS];             \
            FOR_LANES(j) {                                                                                  \
                one[j] = slope->origin[s + j], two[j] = slope->top[s + j];                                  \
                magic[j] = slope->magic[s + j], low[j] = slope->low[s + j];                                 \
            }                                                                                               \
            for (ptrdiff_t i = 0; i < count; i++, g += fold->sheet, y += fold->sheet, out += fold->sheet)   \
                FOR_FEW_STEPS(j)                                                                            \
            out[j] = GRADIENT(g[j], y[j], ((FN(slope)){one[j], two[j], magic[j], low[j]}), masked);         \
        }                                                                                                   \
    }
#define FOLD_GRADIENT(name, DOT, SELECT, SLOPE, GRADIENT)                                                  \
    FOLD_WRITE(name##_fold_write, GRADIENT, 0)                                                             \
    FOLD_WRITE(name##_fold_select, GRADIENT, 1)                                                            \
    FR_UNUSED static void FN(name##_from_output_fold_row)(fr_tile * tile) {                                \
        const fr_row_fold fold = fr_row_fold_of(tile->width, sizeof(store));                               \
        FR_LINES store rest[2][FR_FOLD_GROUP * FR_COLUMNS];                                                \
        FR_LINES real sum[FR_COLUMNS], low[FR_COLUMNS], magic[FR_COLUMNS], least[FR_COLUMNS];              \
        FN(fold_part) part[2];                                                                             \
        FN(sheet) slope;                                                                                   \
        for (int k = 0; k < 2; k++) FN(fold_fill)(rest[k], tile->in[k], &fold, tile->n, FR_FOLD_GROUP, 0); \
        FN(fold_cut)(part, tile, &fold, rest[0], rest[1], rest[0], FR_FOLD_GROUP);                         \
        const int masked = DOT(sum, low, &fold, part);                                                     \
        if (masked) SELECT(sum, low, &fold, part);                                                         \
        FOR_LANES(j) {                                                                                     \
            const FN(slope) s = SLOPE(sum[j], low[j]);                                                     \
            sum[j] = s.hi, low[j] = s.lo, magic[j] = s.magic, least[j] = s.low;                            \
        }                                                                                                  \
        FN(fold_spread)(slope.origin, sum, &fold);                                                         \
        FN(fold_spread)(slope.top, low, &fold);                                                            \
        FN(fold_spread)(slope.magic, magic, &fold);                                                        \
        FN(fold_spread)(slope.low, least, &fold);                                                          \
        if (masked) FN(name##_fold_select)(&fold, part, &slope);                                           \
        else FN(name##_fold_write)(&fold, part, &slope);                                                   \
        FN(fold_end)(tile, &fold, rest[0], FR_FOLD_GROUP);                                                 \
    }
#define SOFTMAX_GRADIENT(g, y, s, masked) FN(softmax_gradient)(g, y, s, 0, masked)
#define SOFTMIN_GRADIENT(g, y, s, masked) FN(softmax_gradient)(g, y, s, 1, masked)
FOLD_GRADIENT(softmax, FN(fold_dot_row), FN(fold_dot_select_row), FN(slope_of), SOFTMAX_GRADIENT)
FOLD_GRADIENT(softmin, FN(fold_dot_row), FN(fold_dot_select_row), FN(slope_of), SOFTMIN_GRADIENT)
FOLD_GRADIENT(log_softmax, FN(fold_dot_log_row), FN(fold_dot_log_select_row), FN(log_slope_of),
              FN(log_softmax_gradient))
#undef FOLD_WRITE
#undef FOLD_GRADIENT
#undef SOFTMAX_GRADIENT
#undef SOFTMIN_GRADIENT
