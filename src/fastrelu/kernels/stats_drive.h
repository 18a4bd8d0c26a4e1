/* Cuts an array of any strides into tiles for the kernels of statistics (stats_loops.h), and merges their results. Cuts
 * and merges follow from the shape alone: the result has the same bits for any number of threads. */
#ifndef FASTRELU_SUMMARY_H
#define FASTRELU_SUMMARY_H

#include <math.h>

#include "copy.h"
#include "guard.h"
#include "stats.h"

enum { FR_STATS_TILE = 16384, FR_WIDE_ROWS = 512, FR_DIRECT_ROWS = 4096, FR_STATS_RUN = 1024, FR_STATS_CHUNKS = 64 };

/* The axes of an array in two groups, each from the largest stride to the smallest: axes that number the units, and
 * axes along which the elements of one unit lie. If the innermost axis of all is in the first group, its units are the
 * columns of matrices; otherwise each unit by itself is a matrix of one column. */
typedef struct {
    const char *data;
    ptrdiff_t itemsize;
    fr_summarize kernel;
    double limits[2];
    int nouter, nrows;
    ptrdiff_t outer_shape[FR_MAX_AXES], outer_stride[FR_MAX_AXES];
    ptrdiff_t rows_shape[FR_MAX_AXES], rows_stride[FR_MAX_AXES];
    ptrdiff_t outer, columns, column_stride, rows;
    ptrdiff_t panel, panels, tile, chunk, chunks; /* columns per panel, rows per tile and per chunk */
    int direct;                                   /* do tiles reach the kernel without a copy? */
} fr_stats_plan;

static void fr_stats_cuts(fr_stats_plan *plan) {
    ptrdiff_t wanted, least, narrowest;
    plan->outer = plan->rows = 1;
    for (int k = 0; k < plan->nouter; k++) plan->outer *= plan->outer_shape[k];
    for (int k = 0; k < plan->nrows; k++) plan->rows *= plan->rows_shape[k];
    plan->panels = (plan->columns + FR_LANES - 1) / FR_LANES;
    plan->panel = (plan->columns + plan->panels - 1) / plan->panels;
    plan->tile = FR_STATS_TILE / plan->panel / 64 * 64; /* a multiple of the rows that a kernel takes side by side */
    /* A tile costs one merge per column: tiles that are not gathered have more rows. */
    narrowest = plan->columns - (plan->panels - 1) * plan->panel;
    plan->direct = plan->nrows <= 1 && plan->column_stride == plan->itemsize && 2 * narrowest > FR_JOINED;
    least = plan->direct ? FR_DIRECT_ROWS : FR_WIDE_ROWS;
    if (plan->tile < least) plan->tile = least;
    wanted = FR_STATS_CHUNKS / plan->outer;
    plan->chunk = wanted > 1 ? (plan->rows + wanted - 1) / wanted : plan->rows;
    plan->chunk = (plan->chunk + plan->tile - 1) / plan->tile * plan->tile;
    least = (16 * FR_STATS_TILE / plan->columns / plan->tile + 1) * plan->tile;
    if (plan->chunk < least) plan->chunk = least;
    plan->chunks = (plan->rows + plan->chunk - 1) / plan->chunk;
}

static ptrdiff_t fr_stats_tasks(const fr_stats_plan *plan) { return plan->outer * plan->chunks; }
static ptrdiff_t fr_stats_units(const fr_stats_plan *plan) { return plan->outer * plan->columns; }
static ptrdiff_t fr_stats_buffer(const fr_stats_plan *plan) {
    return plan->direct ? 0 : plan->tile * plan->panel * plan->itemsize;
}

static void fr_summary_clear(fr_summary *s, ptrdiff_t n) {
    static const fr_summary nothing = {0, 0, 0, 0, 0, 0, 0, INFINITY, -INFINITY};
    for (ptrdiff_t i = 0; i < n; i++) s[i] = nothing;
}

/* Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", with each mean in two parts: the
 * difference of the large parts is exact, or the means are so far apart that its rounding error does not matter. */
static void fr_summary_merge(fr_summary *into, const fr_summary *from, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        fr_summary *a = into + i;
        const fr_summary *b = from + i;
        a->nonfinite += b->nonfinite;
        if (b->finite == 0) continue;
        if (a->finite == 0) {
            const int64_t nonfinite = a->nonfinite;
            *a = *b;
            a->nonfinite = nonfinite;
            continue;
        }
        const double na = (double)a->finite, nb = (double)b->finite, share = nb / (na + nb);
        const double apart = (b->mean - a->mean) + (b->rest - a->rest);
        const double mean = a->mean + apart * share;
        a->rest += (a->mean - mean) + apart * share;
        a->mean = mean;
        a->square += b->square + apart * apart * (na * share);
        a->finite += b->finite;
        a->zeros += b->zeros;
        a->saturated += b->saturated;
        if (b->low < a->low) a->low = b->low;
        if (b->high > a->high) a->high = b->high;
    }
}

/* Merges the chunks of all units into the first, pairwise. */
static void fr_summary_join(const fr_stats_plan *plan, fr_summary *parts) {
    const ptrdiff_t units = fr_stats_units(plan);
    fr_guard caller = fr_guard_open();
    for (ptrdiff_t step = 1; step < plan->chunks; step *= 2)
        for (ptrdiff_t k = 0; k + step < plan->chunks; k += 2 * step)
            fr_summary_merge(parts + k * units, parts + (k + step) * units, units);
    fr_guard_close(caller);
}

/* The address of an element in a group of axes, and how many more elements follow on its innermost axis. */
static ptrdiff_t fr_locate(int naxes, const ptrdiff_t *shape, const ptrdiff_t *stride, ptrdiff_t index,
                           ptrdiff_t *more) {
    ptrdiff_t offset = 0;
    *more = 1;
    for (int k = naxes - 1; k >= 0; k--) {
        const ptrdiff_t at = index % shape[k];
        if (k == naxes - 1) *more = shape[k] - at;
        offset += at * stride[k];
        index /= shape[k];
    }
    return offset;
}

/* The address of up to `*count` rows of `columns` columns from row `first` on, gathered into the buffer if the kernel
 * cannot take them in place. If the innermost axis is long enough, `*count` is cut so that the tile ends with it. */
static const char *fr_stats_tile(const fr_stats_plan *plan, const char *data, ptrdiff_t first, ptrdiff_t *count,
                                 ptrdiff_t columns, char *buffer, ptrdiff_t *stride) {
    const ptrdiff_t width = columns * plan->itemsize;
    const ptrdiff_t step = plan->nrows ? plan->rows_stride[plan->nrows - 1] : width;
    ptrdiff_t more;
    ptrdiff_t offset = fr_locate(plan->nrows, plan->rows_shape, plan->rows_stride, first, &more);
    const int dense = columns == 1 || plan->column_stride == plan->itemsize;
    ptrdiff_t rows = *count;
    if (plan->nrows && plan->rows_shape[plan->nrows - 1] * plan->panel >= FR_STATS_RUN && more < rows)
        *count = rows = more;
    if (dense && more >= rows && (step == width || 2 * columns > FR_JOINED)) {
        *stride = step;
        return data + offset;
    }
    *stride = width;
    for (char *to = buffer; rows > 0;) {
        const ptrdiff_t run = more < rows ? more : rows;
        if (columns == 1) fr_copy_run(plan->itemsize, to, plan->itemsize, data + offset, step, run);
        else
            for (ptrdiff_t r = 0; r < run; r++)
                fr_copy_run(plan->itemsize, to + r * width, plan->itemsize, data + offset + r * step,
                            plan->column_stride, columns);
        to += run * width;
        rows -= run;
        first += run;
        if (rows > 0) offset = fr_locate(plan->nrows, plan->rows_shape, plan->rows_stride, first, &more);
    }
    return buffer;
}

/* The shift for the moments of the next tile: 0, which costs least, unless the mean is large compared with the spread.
 */
static double fr_shift(const fr_summary *seen) {
    return seen->mean * seen->mean * (double)seen->finite > seen->square ? seen->mean : 0;
}

/* Adds the rows from `row` to `stop` of all columns, one panel of a tile after the other, so that memory is read almost
 * in order. */
static void fr_summary_rows(const fr_stats_plan *plan, const char *data, ptrdiff_t row, ptrdiff_t stop, char *buffer,
                            fr_summary *to) {
    for (ptrdiff_t rows = 0; row < stop; row += rows) {
        for (ptrdiff_t column = 0; column < plan->columns; column += plan->panel) {
            const ptrdiff_t left = plan->columns - column, columns = left < plan->panel ? left : plan->panel;
            ptrdiff_t stride;
            double shift[FR_LANES];
            fr_summary found[FR_LANES];
            rows = row + plan->tile < stop ? plan->tile : stop - row;
            const char *x =
                fr_stats_tile(plan, data + column * plan->column_stride, row, &rows, columns, buffer, &stride);
            for (ptrdiff_t i = 0; i < columns; i++) shift[i] = fr_shift(to + column + i);
            plan->kernel(x, stride, rows, columns, plan->limits, shift, found);
            fr_summary_merge(to + column, found, columns);
        }
    }
}

/* One part of the tasks; a task is one chunk of one index of the outer axes. */
static void fr_summary_part(const fr_stats_plan *plan, int part, int parts, char *buffer, fr_summary *out) {
    const ptrdiff_t tasks = fr_stats_tasks(plan), units = fr_stats_units(plan);
    fr_guard caller = fr_guard_open();
    for (ptrdiff_t task = tasks * part / parts; task < tasks * (part + 1) / parts; task++) {
        const ptrdiff_t chunk = task % plan->chunks, outer = task / plan->chunks, stop = (chunk + 1) * plan->chunk;
        ptrdiff_t unused;
        const char *data = plan->data + fr_locate(plan->nouter, plan->outer_shape, plan->outer_stride, outer, &unused);
        fr_summary *to = out + chunk * units + outer * plan->columns;
        fr_summary_clear(to, plan->columns);
        fr_summary_rows(plan, data, chunk * plan->chunk, stop < plan->rows ? stop : plan->rows, buffer, to);
    }
    fr_guard_close(caller);
}

#endif
