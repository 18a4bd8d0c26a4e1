/* Counts, extremes and moments of the columns of a matrix. Included by instance.h.
 *
 * Sums run along the rows in double, four rows at a time; if rows are short, several of them side by side fill the
 * lanes, which are added up at the end. Moments are taken about a shift, ideally the mean of the data so far: one pass
 * is enough unless the mean has moved away from it; then the tile, which is still in the caches, is read again about
 * its own mean. The fast passes assume that every element is finite; if a sum is not, the tile is read again by the
 * careful pass. The plain pass has no shift and no limits of saturation. Nothing is fused: every instruction set gives
 * the same bits. */

#ifndef FASTRELU_STATS
#define FASTRELU_STATS

#define FR_ALL(x) 1
#define FR_FINITE(x) (((x) < 0 ? -(x) : (x)) <= (store)(sizeof(store) == 4 ? FLT_MAX : DBL_MAX))
#define FR_LESSER(a, b) ((a) < (b) ? (a) : (b))
#define FR_GREATER(a, b) ((a) > (b) ? (a) : (b))

/* A vector comparison is -1 where it holds: a mask, which is added as it is. */
#define FR_MASK(condition) ((condition) ? (whole) - 1 : (whole)0)

/* Prefetch distance: the loops are bound by memory, and some processors do not prefetch far enough ahead. */
enum { FR_AHEAD = 4096 }; /* bytes, measured */

/* For an element: does it count, its distance from the shift, is it saturated? */
#define FR_WEIGH_ROW(r, counted, moved, limited)                                                \
    const store x##r = x[i + r * step];                                                         \
    const int taken##r = counted(x##r);                                                         \
    const whole zero##r = FR_MASK(x##r == 0), odd##r = FR_MASK(!taken##r);                      \
    const whole out##r = limited ? FR_MASK(taken##r & ((x##r <= below) | (x##r >= above))) : 0; \
    const store low##r = taken##r ? x##r : (store)INFINITY;                                     \
    const store high##r = taken##r ? x##r : -(store)INFINITY;                                   \
    const double d##r = taken##r ? (moved) ? (double)x##r - shift : (double)x##r : 0;

#define FR_WEIGH(name, counted, moved, limited)                                                                     \
    static void FN(name##_rows)(FN(fr_lanes) *restrict a, const store *restrict x, ptrdiff_t step, ptrdiff_t start, \
                                ptrdiff_t stop, store below, store above) {                                         \
        for (ptrdiff_t i = start; i < stop; i++) {                                                                  \
            const double shift = a->shift[i];                                                                       \
            FR_WEIGH_ROW(0, counted, moved, limited)                                                                \
            FR_WEIGH_ROW(1, counted, moved, limited)                                                                \
            FR_WEIGH_ROW(2, counted, moved, limited)                                                                \
            FR_WEIGH_ROW(3, counted, moved, limited)                                                                \
            a->zeros[i] += (zero0 + zero1) + (zero2 + zero3);                                                       \
            if (limited) a->saturated[i] += (out0 + out1) + (out2 + out3);                                          \
            a->nonfinite[i] += (odd0 + odd1) + (odd2 + odd3);                                                       \
            const store low = FR_LESSER(FR_LESSER(low0, low1), FR_LESSER(low2, low3));                              \
            const store high = FR_GREATER(FR_GREATER(high0, high1), FR_GREATER(high2, high3));                      \
            a->low[i] = FR_LESSER(low, a->low[i]);                                                                  \
            a->high[i] = FR_GREATER(high, a->high[i]);                                                              \
            a->sum[i] += (d0 + d1) + (d2 + d3);                                                                     \
            a->square[i] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);                                              \
        }                                                                                                           \
    }                                                                                                               \
    static void FN(name##_row)(FN(fr_lanes) *restrict a, const store *restrict x, ptrdiff_t width, store below,     \
                               store above) {                                                                       \
        const ptrdiff_t step = 0;                                                                                   \
        for (ptrdiff_t i = 0; i < width; i++) {                                                                     \
            const double shift = a->shift[i];                                                                       \
            FR_WEIGH_ROW(0, counted, moved, limited)                                                                \
            a->zeros[i] += zero0;                                                                                   \
            if (limited) a->saturated[i] += out0;                                                                   \
            a->nonfinite[i] += odd0;                                                                                \
            a->low[i] = FR_LESSER(low0, a->low[i]);                                                                 \
            a->high[i] = FR_GREATER(high0, a->high[i]);                                                             \
            a->sum[i] += d0;                                                                                        \
            a->square[i] += d0 * d0;                                                                                \
        }                                                                                                           \
    }

#endif

#if FR_KIND == FR_LEAN || FR_KIND == FR_FULL

#if FR_KIND == FR_LEAN
#define whole int32_t
#else
#define whole int64_t
#endif

typedef struct {
    whole zeros[FR_LANES], saturated[FR_LANES], nonfinite[FR_LANES]; /* negative, like the masks */
    store low[FR_LANES], high[FR_LANES];
    double shift[FR_LANES], sum[FR_LANES], square[FR_LANES];
} FN(fr_lanes);

FR_WEIGH(weigh_plain, FR_ALL, 0, 0)
FR_WEIGH(weigh, FR_ALL, 1, 1)
FR_WEIGH(weigh_finite, FR_FINITE, 1, 1)

enum { FN(PLAIN), FN(QUICK), FN(CAREFUL) };

/* One pass: adds up the lanes, then the columns. */
static void FN(pass)(FN(fr_lanes) * a, const store *x, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t columns,
                     ptrdiff_t joined, const double *limits, int how) {
    static void (*const fours_of[])(FN(fr_lanes) *, const store *, ptrdiff_t, ptrdiff_t, ptrdiff_t, store, store) = {
        FN(weigh_plain_rows), FN(weigh_rows), FN(weigh_finite_rows)};
    static void (*const row_of[])(FN(fr_lanes) *, const store *, ptrdiff_t, store, store) = {
        FN(weigh_plain_row), FN(weigh_row), FN(weigh_finite_row)};
    const store below = (store)limits[0], above = (store)limits[1];
    const ptrdiff_t lanes = joined * columns;
    const ptrdiff_t full = rows / joined, fours = full / 4 * 4, left = rows % joined * columns;
    for (ptrdiff_t i = 0; i < lanes; i++) {
        a->zeros[i] = a->saturated[i] = a->nonfinite[i] = 0;
        a->low[i] = (store)INFINITY;
        a->high[i] = -(store)INFINITY;
        a->sum[i] = a->square[i] = 0;
    }
    for (ptrdiff_t i = columns; i < lanes; i++) a->shift[i] = a->shift[i - columns];
    const ptrdiff_t line = 64 / (ptrdiff_t)sizeof(store);
    const ptrdiff_t ahead = FR_AHEAD / (lanes * (ptrdiff_t)sizeof(store)) / 4 * 4 + 4;
    for (ptrdiff_t r = 0; r < fours; r += 4) {
        const store *soon = x + (r + ahead) * step;
        for (ptrdiff_t start = 0, at = 0; start < lanes; start += FR_JOINED) {
            /* Lines are prefetched in the order of memory, not in the order of use: this halves the time. */
            const ptrdiff_t stop = lanes - start < FR_JOINED ? lanes : start + FR_JOINED;
            for (ptrdiff_t rest = 4 * (stop - start); rest > 0; rest -= line) {
                FR_FETCH(soon + at);
                if ((at += line) >= lanes) at -= lanes, soon += step;
            }
            fours_of[how](a, x + r * step, step, start, stop, below, above);
        }
    }
    for (ptrdiff_t r = fours; r < full; r++) row_of[how](a, x + r * step, lanes, below, above);
    if (left) row_of[how](a, x + full * step, left, below, above);
    for (ptrdiff_t half = lanes / 2; half >= columns; half /= 2) {
        for (ptrdiff_t i = 0; i < half; i++) {
            a->zeros[i] += a->zeros[i + half];
            a->saturated[i] += a->saturated[i + half];
            a->nonfinite[i] += a->nonfinite[i + half];
            a->low[i] = FR_LESSER(a->low[i + half], a->low[i]);
            a->high[i] = FR_GREATER(a->high[i + half], a->high[i]);
            a->sum[i] += a->sum[i + half];
            a->square[i] += a->square[i + half];
        }
    }
}

/* Is a sum not finite, that is, was there an element that is not? */
static int FN(is_unusual)(const FN(fr_lanes) * a, ptrdiff_t columns) {
    double test = 0;
    for (ptrdiff_t i = 0; i < columns; i++) test += a->sum[i] - a->sum[i];
    return !(test == 0);
}

/* Moves the shifts to the means, and tells whether one was further away than the elements are spread. */
static int FN(recenter)(FN(fr_lanes) * a, ptrdiff_t rows, ptrdiff_t columns) {
    int far = 0;
    for (ptrdiff_t i = 0; i < columns; i++) {
        const double n = (double)(rows + a->nonfinite[i]), mean = n > 0 ? a->sum[i] / n : 0;
        far |= a->sum[i] * mean > 0.5 * a->square[i];
    }
    for (ptrdiff_t i = 0; i < columns && far; i++) {
        const double n = (double)(rows + a->nonfinite[i]);
        a->shift[i] += n > 0 ? a->sum[i] / n : 0;
    }
    return far;
}

static void FN(summarize)(const char *data, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, const double *limits,
                          const double *shift, fr_summary *out) {
    const store *x = (const store *)data;
    ptrdiff_t joined = 1;
    while (2 * joined * columns <= FR_JOINED) joined *= 2;
    const ptrdiff_t step = joined > 1 ? joined * columns : stride / (ptrdiff_t)sizeof(store);
    FN(fr_lanes) a;
    memcpy(a.shift, shift, sizeof *shift * (size_t)columns);
    int how = FN(PLAIN);
    if (limits[0] > -INFINITY || limits[1] < INFINITY) how = FN(QUICK);
    for (ptrdiff_t i = 0; i < columns; i++) how = shift[i] != 0 ? FN(QUICK) : how;
    FN(pass)(&a, x, step, rows, columns, joined, limits, how);
    const int unusual = FN(is_unusual)(&a, columns);
    if (unusual) FN(pass)(&a, x, step, rows, columns, joined, limits, FN(CAREFUL));
    if (FN(recenter)(&a, rows, columns))
        FN(pass)(&a, x, step, rows, columns, joined, limits, unusual ? FN(CAREFUL) : FN(QUICK));

    for (ptrdiff_t i = 0; i < columns; i++) {
        const double n = (double)(rows + a.nonfinite[i]), apart = n > 0 ? a.sum[i] / n : 0;
        const double mean = a.shift[i] + apart;
        out[i].finite = rows + a.nonfinite[i];
        out[i].nonfinite = -(int64_t)a.nonfinite[i];
        out[i].zeros = -(int64_t)a.zeros[i];
        out[i].saturated = -(int64_t)a.saturated[i];
        out[i].mean = mean;
        out[i].rest = (a.shift[i] - mean) + apart;
        out[i].square = FR_GREATER(a.square[i] - a.sum[i] * apart, 0.0);
        out[i].low = (double)a.low[i];
        out[i].high = (double)a.high[i];
    }
}

#undef whole

#endif
