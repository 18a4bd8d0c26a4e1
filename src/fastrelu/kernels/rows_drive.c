/* Runs over the rows of an array of any strides. Rows that are contiguous, and not short, go straight to the kernel;
 * rows that lie across memory go side by side to the kernel of a tile, or of a fold if they are few and long. Others
 * are gathered: short rows, and rows of any layout that lie across, into a tile; a few long ones one after the other,
 * and long ones whose elements lie closer together than they do. */
#include "rows.h"

#include <string.h>

#include "guard.h"
#include "transpose.h"
#include "two_sum.h"

enum {
    FR_SHORT_ROW = 128,        /* up to this length contiguous rows are gathered into a tile, or */
    FR_BAND_SHORT = 32,        /* if there is a kernel over a band: which gets rows of up to */
    FR_BAND_LONG = 512,        /* this length, of double to FR_SHORT_ROW, */
    FR_BAND_BYTES = 1 << 14,   /* and about that many bytes */
    FR_TILE_BYTES = 1 << 14,   /* of a gathered tile wider than FR_COLUMNS */
    FR_TILE_WIDE = 1 << 18,    /* and of one of long rows, or */
    FR_TILE_MASKED = 1 << 16,  /* if results are written to the array and read again with their masks */
    FR_TILE_FAR = 3 << 18,     /* bytes of FR_COLUMNS rows from which they are gathered: then each is read once; */
    FR_FAR_MASKED = 1 << 18,   /* masked ones are copied anyway */
    FR_TILE_NEAR = 4,          /* tiles in a line of the array up to which they are not: then lines are near; */
    FR_NEAR_MASKED = 3,        /* and masked ones */
    FR_TILE_MOST = 1 << 26,    /* bytes of FR_COLUMNS rows up to which they are */
    FR_PICK_BYTES = 1 << 12,   /* of rows that are copied under their masks, before they are transposed */
    FR_LONG_BYTES = 1 << 14,   /* from which a row is copied under its mask to its results, not to a copy */
    FR_ROWS_BYTES = 1 << 18,   /* of rows that are gathered one after the other, unless they lie across */
    FR_TILE_EMPTY = 1 << 11,   /* elements that a tile of long rows lacks: from then on they are gathered so */
    FR_CRITICAL_LINES = 16,    /* of lines that are a critical pitch apart, in all operands, stay in the caches */
    FR_CRITICAL_LONG = 1 << 9, /* elements so far apart up to which gradients of softmax are computed as they lie; */
    FR_TILE_CACHE = 3 << 19,   /* longer ones too, unless the second-level cache has so many bytes for two wide tiles */
    FR_CRITICAL_FAR = 6 << 10, /* with a smaller one those of log_softmax as well, if a row has more bytes than this */
    FR_STRIP = 1 << 9,         /* bytes of each line of results that a thread writes at least, */
    FR_STRIP_LIGHT = 1 << 11,  /* of hardmax, which computes little, */
    FR_STRIP_FAR = 1 << 7,     /* and of so many bytes of results that lines leave the caches before they */
    FR_STRIPS_FAR = 1 << 21    /* are written again, so that threads seldom meet in one; not in softmax gradients */
};

typedef struct {
    const fr_row_call *call;
    char *at[FR_ROW_OPERANDS];
    ptrdiff_t index[FR_ROW_AXES]; /* of which the axes of the call are used */
} fr_row_walk;

static void fr_row_copy(fr_row_walk *to, const fr_row_walk *from) {
    memcpy(to, from, offsetof(fr_row_walk, index) + (size_t)from->call->naxes * sizeof(ptrdiff_t));
}

/* The sums of the losses of a chunk, in lanes: the bits do not depend on how rows are brought to the kernels. */
typedef struct {
    double hi[FR_COLUMNS], lo[FR_COLUMNS];
    ptrdiff_t row; /* the next one */
} fr_loss_sums;

/* How rows are brought to the kernels. */
typedef struct {
    int blocks;             /* as they lie, to the kernel of hardmax */
    int tiles, direct;      /* side by side; and without a copy */
    int fold;               /* side by side, fewer than FR_COLUMNS */
    int gathered;           /* one by one: an operand has a copy */
    int sinks;              /* rows have one more element in their copy */
    ptrdiff_t n;            /* elements of a row as the kernel gets it */
    ptrdiff_t band;         /* rows of a band; or 0 */
    ptrdiff_t width, pitch; /* rows per copy; bytes from one element of a tile, or from one gathered row, to the next */
    char *room[2], *mask;   /* copies of the inputs and of the mask, */
    char *picked;           /* and of the rows under it, before they become a tile */
    fr_loss_sums *sums;     /* NULL: each loss is written */
} fr_row_plan;

/* Operands that only some calls have are not walked: a small call would notice. */
static int fr_walked(const fr_row_call *call) { return call->finish || call->slope ? FR_ROW_OPERANDS : FR_ROW_USUAL; }

static void fr_row_seek(fr_row_walk *walk, ptrdiff_t row) {
    const fr_row_call *call = walk->call;
    const int operands = fr_walked(call);
    for (int k = 0; k < operands; k++) walk->at[k] = call->operand[k].origin;
    for (int axis = call->naxes - 1; axis >= 0; axis--) {
        walk->index[axis] = row % call->shape[axis];
        row /= call->shape[axis];
        for (int k = 0; k < operands; k++)
            if (walk->at[k]) walk->at[k] += walk->index[axis] * call->operand[k].stride[axis];
    }
}

/* Advances by m along an axis, which may end there but not go beyond. */
static void fr_row_advance(fr_row_walk *walk, int axis, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    const int operands = fr_walked(call);
    for (; axis >= 0; axis--, m = 1) {
        const ptrdiff_t from = walk->index[axis], next = from + m;
        const int ends = next == call->shape[axis];
        const ptrdiff_t to = ends ? 0 : next;
        walk->index[axis] = to;
        for (int k = 0; k < operands && to != from; k++)
            if (walk->at[k]) walk->at[k] += (to - from) * call->operand[k].stride[axis];
        if (!ends) return;
    }
}
/* The same by m rows of the last axis. */
static void fr_row_step(fr_row_walk *walk, ptrdiff_t m) { fr_row_advance(walk, walk->call->naxes - 1, m); }
/* Rows from here to the end of the last axis, at most `most`. */
static ptrdiff_t fr_row_run(const fr_row_walk *walk, ptrdiff_t most) {
    const int last = walk->call->naxes - 1;
    const ptrdiff_t left = walk->call->shape[last] - walk->index[last];
    return left < most ? left : most;
}
/* Runs from here on of as many rows as the first has, which are the whole last axis and differ in the axis before
 * alone; at most as many as make `most` rows. */
static ptrdiff_t fr_row_runs(const fr_row_walk *walk, ptrdiff_t run, ptrdiff_t most) {
    const int last = walk->call->naxes - 1;
    if (!last || run != walk->call->shape[last]) return 1;
    const ptrdiff_t left = walk->call->shape[last - 1] - walk->index[last - 1];
    return left * run < most ? left : most < run ? 1 : most / run;
}
static void fr_row_step_runs(fr_row_walk *walk, ptrdiff_t run, ptrdiff_t runs) {
    if (runs == 1) fr_row_step(walk, run);
    else fr_row_advance(walk, walk->call->naxes - 2, runs);
}
/* Bytes from one run to the next. */
static ptrdiff_t fr_next_run(const fr_row_call *call, int k) {
    return call->naxes > 1 ? call->operand[k].stride[call->naxes - 2] : 0;
}
/* Bytes from one row of an operand to the next. */
static ptrdiff_t fr_across(const fr_row_call *call, int k) { return call->operand[k].stride[call->naxes - 1]; }

static void fr_fill(char *to, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t itemsize, uint64_t bits) {
    for (ptrdiff_t i = 0; i < n && itemsize == 4; i++) *(uint32_t *)(to + i * stride) = (uint32_t)bits;
    for (ptrdiff_t i = 0; i < n && itemsize == 8; i++) *(uint64_t *)(to + i * stride) = bits;
}

/* May a row be masked altogether that has this first result: NaN, or of a hardmax 1? */
static int fr_is_suspect(const char *result, ptrdiff_t size, int hardmax) {
    const double value = size == sizeof(double) ? *(const double *)result : *(const float *)result;
    return hardmax ? value == 1 : value != value;
}

static int fr_is_hardmax(const fr_row_call *call) { return call->kernel == call->flavor->forward[FR_HARDMAX]; }
/* Of softmax or softmin? It waits for memory, not for what it computes. */
static int fr_is_softmax_gradient(const fr_row_call *call) {
    const fr_kernel *of = call->flavor->from_output;
    return call->kernel == of[FR_SOFTMAX] || call->kernel == of[FR_SOFTMIN];
}
static int fr_is_log_gradient(const fr_row_call *call) {
    return call->kernel == call->flavor->from_output[FR_LOG_SOFTMAX];
}

/* Gives those of m rows that are masked altogether their results; `mask` is where their mask begins. The 1 of a hardmax
 * of nothing but -inf, which stands at the first element, is moved to the first one that takes part. `first` are the
 * first results of the rows next to each other, or NULL. */
static void fr_settle(const fr_row_call *call, const char *mask, ptrdiff_t m, char *out, ptrdiff_t across,
                      ptrdiff_t along, const char *first) {
    const ptrdiff_t size = call->itemsize, mask_along = call->operand[FR_ROW_WHERE].along;
    const int hardmax = fr_is_hardmax(call);
    if (first && !call->flavor->suspect(first, m, hardmax)) return;
    for (ptrdiff_t r = 0; r < m; r++, mask += fr_across(call, FR_ROW_WHERE)) {
        char *row = out + r * across;
        ptrdiff_t i = 0;
        if (!fr_is_suspect(row, size, hardmax)) continue;
        while (i < call->n && !mask[i * mask_along]) i++;
        if (i == call->n) {
            fr_fill(row, along, call->n, size, call->alone);
        } else if (i && hardmax) {
            memcpy(row + i * along, row, (size_t)size);
            memset(row, 0, (size_t)size);
        }
    }
}

/* Labels are checked here, where they are used: another thread may change them at any time. */
static int fr_read_label(const fr_row_call *call, const char *address, ptrdiff_t *label) {
    const int64_t found = *(const volatile int64_t *)address;
    const int ignored = found == call->ignored, none = !ignored && (uint64_t)found >= (uint64_t)call->n;
    *label = none || ignored ? -1 : (ptrdiff_t)found;
    if (ignored && call->skipped) fr_add(call->skipped, 1);
    return none ? FR_ROWS_NO_CLASS : FR_ROWS_DONE;
}
/* Those of m rows of the last axis, from the row `first` after the current one on; and their losses. */
static int fr_read_labels(const fr_row_walk *walk, ptrdiff_t first, ptrdiff_t m, int32_t *label) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t across = fr_across(call, FR_ROW_LABEL);
    const char *from = walk->at[FR_ROW_LABEL] + first * across;
    int64_t copy[FR_TILE_WIDTH];
    for (ptrdiff_t r = 0; r < m && across != sizeof(int64_t); r++) copy[r] = *(const int64_t *)(from + r * across);
    const int64_t *labels = across == sizeof(int64_t) ? (const int64_t *)from : copy;
    const fr_label_counts counts = call->flavor->read_labels(label, labels, m, call->n, call->ignored);
    if (counts.ignored && call->skipped) fr_add(call->skipped, counts.ignored);
    return counts.wrong ? FR_ROWS_NO_CLASS : FR_ROWS_DONE;
}
static void fr_end_chunk(fr_loss_sums *sums, const fr_row_call *call) {
    double *to = call->sums + (sums->row - 1) / call->chunk * 2;
    for (int w = FR_COLUMNS / 2; w; w /= 2)
        for (int j = 0; j < w; j++) {
            fr_add_to(&sums->hi[j], &sums->lo[j], sums->hi[j + w]);
            sums->lo[j] += sums->lo[j + w];
        }
    to[0] = sums->hi[0], to[1] = sums->lo[0] - sums->lo[0] == 0 ? sums->lo[0] : 0; /* an infinite sum has no error */
    memset(sums->hi, 0, sizeof sums->hi);
    memset(sums->lo, 0, sizeof sums->lo);
}
static void fr_add_losses(fr_loss_sums *sums, const fr_row_call *call, ptrdiff_t m, const double *loss) {
    while (m) {
        const ptrdiff_t before = sums->row % call->chunk, left = call->chunk - before, now = m < left ? m : left;
        call->flavor->add_losses(sums->hi, sums->lo, (int)(before % FR_COLUMNS), loss, now);
        sums->row += now, loss += now, m -= now;
        if (now == left) fr_end_chunk(sums, call);
    }
}
static void fr_write_losses(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t first, ptrdiff_t m,
                            const double *loss) {
    if (plan->sums) {
        fr_add_losses(plan->sums, walk->call, m, loss);
        return;
    }
    if (!walk->at[FR_ROW_LOSS]) return;
    const ptrdiff_t across = fr_across(walk->call, FR_ROW_LOSS);
    char *to = walk->at[FR_ROW_LOSS] + first * across;
    if (across == sizeof(double)) memcpy(to, loss, (size_t)m * sizeof(double));
    else
        for (ptrdiff_t r = 0; r < m; r++) *(double *)(to + r * across) = loss[r];
}

/* --- Changed elements --- */

static void fr_load_elements(const fr_row_call *call, char *to, const char *from, const char *bias, ptrdiff_t n) {
    call->flavor->load(to, from, bias, n, call->load);
}
/* Copies the sinks of m rows of the last axis next to each other. */
static void fr_read_sinks(const fr_row_walk *walk, char *to, ptrdiff_t m) {
    const ptrdiff_t across = fr_across(walk->call, FR_ROW_SINK), size = walk->call->itemsize;
    fr_transfer(to, 0, size, walk->at[FR_ROW_SINK], 0, across, 1, m, size);
}

/* --- Factors --- */

/* Multiplies or divides the results of m rows, up to FR_TILE_WIDTH if they lie side by side, by the factor of each.
 * What is masked is 0, whatever the factor and the other elements of the row are. */
static void fr_finish_rows(const fr_row_call *call, const char *factor, char *out, ptrdiff_t along, ptrdiff_t across,
                           ptrdiff_t m, const char *mask) {
    const ptrdiff_t size = call->itemsize, n = call->n, step = fr_across(call, FR_ROW_FACTOR);
    const ptrdiff_t mask_along = call->operand[FR_ROW_WHERE].along;
    const ptrdiff_t mask_across = mask ? fr_across(call, FR_ROW_WHERE) : 0;
    const int divides = call->finish == FR_DIVIDED;
    double own[FR_TILE_WIDTH];
    if (across == size && m > 1 && (!mask || mask_across == 1)) {
        if (step) fr_transfer((char *)own, 0, size, factor, 0, step, 1, m, size);
        call->flavor->finish(out, along, n, m, step ? (const char *)own : factor, step != 0, divides);
        for (ptrdiff_t i = 0; i < n && mask; i++)
            call->flavor->select(out + i * along, out + i * along, mask + i * mask_along, m, 0);
        return;
    }
    for (ptrdiff_t r = 0; r < m; r++, out += across, factor += step, mask = mask ? mask + mask_across : NULL) {
        if ((along == size || n == 1) && (!mask || mask_along == 1)) {
            call->flavor->finish(out, 0, 1, n, factor, 0, divides);
            if (mask) call->flavor->select(out, out, mask, n, 0);
            continue;
        }
        for (ptrdiff_t i = 0; i < n; i++)
            if (mask && !mask[i * mask_along]) memset(out + i * along, 0, (size_t)size);
            else call->flavor->finish(out + i * along, 0, 1, 1, factor, 0, divides);
    }
}

/* Has an operand the same number for all rows? */
static int fr_is_number(const fr_row_call *call, int k) {
    int same = 1;
    for (int axis = 0; axis < call->naxes; axis++) same &= call->operand[k].stride[axis] == 0;
    return same;
}

/* --- Tiles --- */

/* Are runs of so many rows one run of memory in an operand, line by line? */
static int fr_are_lines(const fr_row_call *call, int k, ptrdiff_t run, ptrdiff_t size) {
    return fr_across(call, k) == size && call->operand[k].along == run * size &&
           fr_next_run(call, k) == call->n * run * size;
}

/* Copies runs of the next rows, which are one run of memory in both operands, under their masks: to columns of a tile.
 */
static void fr_pick_runs(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t run, ptrdiff_t runs, char *to) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, n = call->n;
    call->flavor->select(plan->picked, walk->at[FR_ROW_IN], walk->at[FR_ROW_WHERE], runs * run * n, call->absent);
    fr_transfer_runs(to, plan->pitch, size, run * size, plan->picked, run * size, size, n * run * size, n, run, runs,
                     size);
}
/* Copies `run` of the next rows, from the row `first` after the current one on, under their masks: to columns of a
 * tile. Those that are one run of memory in both operands, and whose lines are short, are copied as they lie before. */
static void fr_pick(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t first, ptrdiff_t run, char *to) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, n = call->n, across = fr_across(call, FR_ROW_IN);
    ptrdiff_t mask_across = fr_across(call, FR_ROW_WHERE), mask_along = call->operand[FR_ROW_WHERE].along;
    ptrdiff_t along = call->operand[FR_ROW_IN].along;
    const char *from = walk->at[FR_ROW_IN] + first * across, *mask = walk->at[FR_ROW_WHERE] + first * mask_across;
    const int rows = along == size && across == n * size, lines = across == size && along == run * size;
    if ((rows && mask_along == 1 && mask_across == n) ||
        (lines && mask_across == 1 && mask_along == run && run < FR_COLUMNS)) {
        call->flavor->select(plan->picked, from, mask, run * n, call->absent);
        fr_transfer(to, plan->pitch, size, plan->picked, along, across, n, run, size);
        return;
    }
    if (mask_across != 1) {
        fr_transfer(plan->mask, plan->width, 1, mask, mask_along, mask_across, n, run, 1);
        mask = plan->mask, mask_along = plan->width;
    }
    if (across != size) {
        fr_transfer(to, plan->pitch, size, from, along, across, n, run, size);
        from = to, along = plan->pitch;
    }
    call->flavor->select_lines(to, plan->pitch, from, along, mask, mask_along, n, run, call->absent);
}

/* Copies the masks of the next rows, which lie side by side, to the lines of a tile. */
static const char *fr_read_masks(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t rows) {
    const fr_row_call *call = walk->call;
    fr_row_walk next;
    fr_row_copy(&next, walk);
    for (ptrdiff_t done = 0, run, runs; done < rows; done += runs * run) {
        if (done) fr_row_step_runs(&next, run, runs);
        run = fr_row_run(&next, rows - done);
        runs = fr_row_runs(&next, run, rows - done);
        fr_transfer_runs(plan->mask + done, plan->width, 1, run, next.at[FR_ROW_WHERE],
                         call->operand[FR_ROW_WHERE].along, 1, fr_next_run(call, FR_ROW_WHERE), call->n, run, runs, 1);
    }
    return plan->mask;
}

/* Computes rows that lie side by side, at least FR_COLUMNS and one run of the last axis, without a copy or from a copy
 * under their masks. The last tile may overlap the one before: then its first `known` losses are, too. */
static void fr_run_direct(fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t rows, int *status) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize;
    const ptrdiff_t most = walk->at[FR_ROW_WHERE]       ? plan->width
                           : call->loss || call->finish ? FR_TILE_WIDTH
                                                        : PTRDIFF_MAX;
    fr_tile tile;
    tile.n = call->n;
    tile.target = call->target;
    for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++) tile.pitch[k] = call->operand[k].along;
    tile.out_pitch = call->operand[FR_ROW_OUT].along;
    for (ptrdiff_t done = 0; done < rows; done += tile.width) {
        const ptrdiff_t known = rows - done < FR_COLUMNS ? FR_COLUMNS - (rows - done) : 0;
        done -= known;
        tile.width = rows - done < most ? (rows - done) / FR_COLUMNS * FR_COLUMNS : most;
        for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++) tile.in[k] = walk->at[k] ? walk->at[k] + done * size : NULL;
        tile.out = walk->at[FR_ROW_OUT] ? walk->at[FR_ROW_OUT] + done * size : NULL;
        if (walk->at[FR_ROW_LABEL]) {
            memset(tile.label, 0, (size_t)known * sizeof *tile.label);
            *status |= fr_read_labels(walk, done + known, tile.width - known, tile.label + known);
        }
        if (walk->at[FR_ROW_WHERE]) {
            fr_pick(walk, plan, done, tile.width, plan->room[0]);
            tile.in[0] = plan->room[0], tile.pitch[0] = plan->pitch;
        }
        call->tile(&tile);
        const char *mask =
            walk->at[FR_ROW_WHERE] ? walk->at[FR_ROW_WHERE] + done * fr_across(call, FR_ROW_WHERE) : NULL;
        if (mask && tile.out && fr_across(call, FR_ROW_WHERE) == 1)
            call->flavor->settle(tile.out, tile.out_pitch, mask, call->operand[FR_ROW_WHERE].along, tile.n, tile.width,
                                 call->alone, fr_is_hardmax(call));
        else if (mask && tile.out) fr_settle(call, mask, tile.width, tile.out, size, tile.out_pitch, tile.out);
        if (call->finish)
            fr_finish_rows(call, walk->at[FR_ROW_FACTOR] + done * fr_across(call, FR_ROW_FACTOR), tile.out,
                           tile.out_pitch, size, tile.width, mask);
        fr_write_losses(walk, plan, done + known, tile.width - known, tile.loss + known);
    }
    fr_row_step(walk, rows);
}

/* Are m long rows side by side so few that they are computed one after the other? */
static int fr_are_few(const fr_row_call *call, ptrdiff_t m) {
    return call->n > FR_SHORT_ROW && m < FR_COLUMNS && (FR_COLUMNS - m) * call->n >= FR_TILE_EMPTY;
}

/* Copies the next rows, or a run of those that are not copied, and computes them. Returns how many. */
static ptrdiff_t fr_run_tile(fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t most, int *status) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, n = call->n;
    fr_row_walk next;
    ptrdiff_t run = fr_row_run(walk, most), rows = 0;
    fr_tile tile;
    if (plan->direct && run >= FR_COLUMNS) {
        const int once = walk->at[FR_ROW_OUT] && (call->loss || walk->at[FR_ROW_OUT] == walk->at[FR_ROW_IN] ||
                                                  walk->at[FR_ROW_OUT] == walk->at[FR_ROW_SECOND]);
        const ptrdiff_t last = run % FR_COLUMNS;
        rows = once || (last <= FR_COLUMNS / 4 && fr_are_few(call, last)) ? run - last : run;
        fr_run_direct(walk, plan, rows, status);
        return rows;
    }
    fr_row_copy(&next, walk);
    if (plan->direct) most = run;
    else if (most > plan->width) most = plan->width;
    while (rows < most) {
        run = fr_row_run(&next, most - rows);
        const int masked = next.at[FR_ROW_WHERE] != NULL, picked = masked && !call->load;
        const int single =
            call->naxes == 1 || call->load || next.at[FR_ROW_LABEL] ||
            (masked && !(fr_are_lines(call, FR_ROW_IN, run, size) && fr_are_lines(call, FR_ROW_WHERE, run, 1)));
        const ptrdiff_t runs = single ? 1 : fr_row_runs(&next, run, most - rows);
        if (picked && runs > 1) fr_pick_runs(&next, plan, run, runs, plan->room[0] + rows * size);
        else if (picked) fr_pick(&next, plan, 0, run, plan->room[0] + rows * size);
        else if (masked) /* for elements that change first */
            fr_transfer(plan->mask + rows, plan->width, 1, next.at[FR_ROW_WHERE], call->operand[FR_ROW_WHERE].along,
                        fr_across(call, FR_ROW_WHERE), n, run, 1);
        for (int k = FR_ROW_IN + picked; k <= FR_ROW_SECOND; k++)
            if (next.at[k] && runs == 1)
                fr_transfer(plan->room[k] + rows * size, plan->pitch, size, next.at[k], call->operand[k].along,
                            fr_across(call, k), n, run, size);
            else if (next.at[k])
                fr_transfer_runs(plan->room[k] + rows * size, plan->pitch, size, run * size, next.at[k],
                                 call->operand[k].along, fr_across(call, k), fr_next_run(call, k), n, run, runs, size);
        if (plan->sinks) fr_read_sinks(&next, plan->room[0] + n * plan->pitch + rows * size, run);
        else if (next.at[FR_ROW_LABEL]) *status |= fr_read_labels(&next, 0, run, &tile.label[rows]);
        fr_row_step_runs(&next, run, runs);
        rows += runs * run;
    }
    tile.n = plan->n;
    tile.width = (rows + FR_COLUMNS - 1) / FR_COLUMNS * FR_COLUMNS;
    tile.target = call->target;
    for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++) {
        tile.in[k] = walk->at[k] ? plan->room[k] : NULL;
        tile.pitch[k] = plan->pitch;
        for (ptrdiff_t i = 0; i < plan->n && rows < tile.width && walk->at[k]; i++)
            memset(plan->room[k] + i * plan->pitch + rows * size, 0, (size_t)((tile.width - rows) * size));
    }
    tile.out = walk->at[FR_ROW_OUT] ? plan->room[0] : NULL;
    tile.out_pitch = plan->pitch;
    for (ptrdiff_t r = rows; r < tile.width; r++) tile.label[r] = -1;
    if (call->load) {
        const int dense = tile.width == plan->width; /* then the lines are one run */
        for (ptrdiff_t i = 0; i < (dense ? 1 : n); i++) {
            char *line = plan->room[0] + i * plan->pitch;
            fr_load_elements(call, line, line, walk->at[FR_ROW_SECOND] ? plan->room[1] + i * plan->pitch : NULL,
                             dense ? n * tile.width : tile.width);
        }
        if (walk->at[FR_ROW_WHERE])
            call->flavor->select_lines(plan->room[0], plan->pitch, plan->room[0], plan->pitch, plan->mask, plan->width,
                                       n, rows, call->absent);
    }
    call->tile(&tile);
    /* Then nothing is left to do for each run but to copy it, unless rows have factors or losses of their own. */
    const int number = call->finish && !walk->at[FR_ROW_WHERE] && fr_is_number(call, FR_ROW_FACTOR);
    const int single = call->naxes == 1 || (call->finish && !number) || call->loss;
    int settled =
        !walk->at[FR_ROW_WHERE] || !tile.out || !call->flavor->suspect(plan->room[0], rows, fr_is_hardmax(call));
    if (!settled && fr_across(call, FR_ROW_WHERE) == 1) {
        call->flavor->settle(plan->room[0], plan->pitch, fr_read_masks(walk, plan, rows), plan->width, n, rows,
                             call->alone, fr_is_hardmax(call));
        settled = 1;
    }
    const fr_row_operand *results = &call->operand[FR_ROW_OUT];
    const ptrdiff_t along = tile.out ? results->along : 0, across = tile.out ? fr_across(call, FR_ROW_OUT) : 0;
    const ptrdiff_t out_next = single ? 0 : fr_next_run(call, FR_ROW_OUT);
    const ptrdiff_t mask_next = single || settled ? 0 : fr_next_run(call, FR_ROW_WHERE);
    if (number) fr_finish_rows(call, walk->at[FR_ROW_FACTOR], plan->room[0], plan->pitch, size, rows, NULL);
    for (ptrdiff_t done = 0, runs; done < rows; done += runs * run) {
        const char *made = plan->room[0] + done * size, *mask = walk->at[FR_ROW_WHERE];
        char *out = walk->at[FR_ROW_OUT];
        run = fr_row_run(walk, rows - done);
        runs = single ? 1 : fr_row_runs(walk, run, rows - done);
        if (call->finish && !number && !mask)
            fr_finish_rows(call, walk->at[FR_ROW_FACTOR], plan->room[0] + done * size, plan->pitch, size, run, NULL);
        if (out && runs == 1) fr_transfer(out, along, across, made, plan->pitch, size, n, run, size);
        else if (out)
            fr_transfer_runs(out, along, across, out_next, made, plan->pitch, size, run * size, n, run, runs, size);
        fr_write_losses(walk, plan, 0, run, &tile.loss[done]);
        for (ptrdiff_t q = 0; q < runs && !settled; q++)
            fr_settle(call, mask + q * mask_next, run, out + q * out_next, across, along, made + q * run * size);
        if (call->finish && mask) fr_finish_rows(call, walk->at[FR_ROW_FACTOR], out, along, across, run, mask);
        if (done + runs * run < rows) fr_row_step_runs(walk, run, runs);
    }
    fr_row_copy(walk, &next);
    return rows;
}

/* --- Rows one by one --- */

static int fr_is_direct(const fr_row_call *call, int k) {
    return !call->operand[k].origin || call->operand[k].along == call->itemsize || call->n == 1;
}

/* Copies row r under its mask; returns whether any element takes part. */
static int fr_select(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t r, const char *from, char *to) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t along = call->operand[FR_ROW_WHERE].along, n = call->n;
    const char *mask = walk->at[FR_ROW_WHERE] + r * fr_across(call, FR_ROW_WHERE);
    if (along != 1) {
        fr_transfer(plan->mask, 1, n, mask, along, 0, n, 1, 1);
        mask = plan->mask;
    }
    return call->flavor->select(to, from, mask, n, call->absent);
}

/* Copies the next m rows, which are neighbors in memory in both operands, under their masks: one after the other. */
static void fr_select_across(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, along = call->operand[FR_ROW_IN].along;
    const ptrdiff_t mask_along = call->operand[FR_ROW_WHERE].along, lines = FR_PICK_BYTES / (m * size);
    _Alignas(64) char block[FR_PICK_BYTES];
    for (ptrdiff_t i = 0, now; i < call->n; i += now) {
        now = call->n - i < lines ? call->n - i : lines;
        call->flavor->select_lines(block, m * size, walk->at[FR_ROW_IN] + i * along, along,
                                   walk->at[FR_ROW_WHERE] + i * mask_along, mask_along, now, m, call->absent);
        fr_transfer(plan->room[0] + i * size, size, plan->pitch, block, m * size, size, now, m, size);
    }
}

/* Brings row r of the next `m` to the kernel, and its results back if they are not gathered too. Is it copied under its
 * mask already? */
static void fr_run_row(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t r, int picked, int *status) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t n = call->n;
    char *at[FR_ROW_OPERANDS];
    for (int k = 0; k < fr_walked(call); k++) {
        at[k] = walk->at[k] ? walk->at[k] + r * fr_across(call, k) : NULL;
        if (k <= FR_ROW_OUT && (!fr_is_direct(call, k) || (k == FR_ROW_OUT && plan->sinks)))
            at[k] = plan->room[k == FR_ROW_SECOND] + r * plan->pitch;
    }
    char *copy = plan->room[0] + r * plan->pitch;
    if (call->load) {
        fr_load_elements(call, copy, at[FR_ROW_IN], at[FR_ROW_SECOND], n);
        if (plan->sinks) memcpy(copy + n * call->itemsize, at[FR_ROW_SINK], (size_t)call->itemsize);
        at[FR_ROW_IN] = copy;
    }
    if (at[FR_ROW_WHERE] && !picked) {
        if (at[FR_ROW_OUT] && n * call->itemsize >= FR_LONG_BYTES && !plan->sinks) copy = at[FR_ROW_OUT];
        if (!fr_select(walk, plan, r, at[FR_ROW_IN], copy) && at[FR_ROW_OUT]) {
            fr_fill(at[FR_ROW_OUT], call->itemsize, n, call->itemsize, call->alone);
            return;
        }
        at[FR_ROW_IN] = copy;
    }
    if (!call->loss) {
        const char *in[2] = {at[FR_ROW_IN], at[FR_ROW_SECOND]};
        call->kernel(in, at[FR_ROW_OUT], plan->n);
        const char *mask = walk->at[FR_ROW_WHERE];
        if (mask) mask += r * fr_across(call, FR_ROW_WHERE);
        if (mask) fr_settle(call, mask, 1, at[FR_ROW_OUT], 0, call->itemsize, NULL);
        if (call->finish) fr_finish_rows(call, at[FR_ROW_FACTOR], at[FR_ROW_OUT], call->itemsize, 0, 1, mask);
        return;
    }
    fr_target target = *call->target;
    double loss = 0;
    target.x = at[FR_ROW_IN];
    target.shares = at[FR_ROW_SECOND];
    target.grad = at[FR_ROW_OUT];
    if (at[FR_ROW_LABEL]) *status |= fr_read_label(call, at[FR_ROW_LABEL], &target.label);
    if (!at[FR_ROW_LABEL] || target.label >= 0) loss = call->loss(&target, n);
    else if (target.grad) memset(target.grad, 0, (size_t)(n * call->itemsize));
    fr_write_losses(walk, plan, r, 1, &loss);
}

/* Brings the next m rows to the kernel over a band, as they lie, changed or under their masks. */
static void fr_run_bands(const fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    const fr_row_operand *masks = &call->operand[FR_ROW_WHERE];
    fr_tile band;
    band.n = call->n;
    for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++) band.pitch[k] = fr_across(call, k);
    band.out_pitch = fr_across(call, FR_ROW_OUT);
    for (ptrdiff_t done = 0; done < m; done += band.width) {
        band.width = m - done < plan->band ? m - done : plan->band;
        for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++)
            band.in[k] = walk->at[k] ? walk->at[k] + done * fr_across(call, k) : NULL;
        band.out = walk->at[FR_ROW_OUT] + done * band.out_pitch;
        if (call->load) { /* then m is one band */
            for (ptrdiff_t r = 0; r < m; r++) {
                const char *x = band.in[FR_ROW_IN] + r * band.pitch[FR_ROW_IN], *bias = band.in[FR_ROW_SECOND];
                if (bias) bias += r * band.pitch[FR_ROW_SECOND];
                fr_load_elements(call, plan->room[0] + r * plan->pitch, x, bias, call->n);
            }
            band.in[FR_ROW_IN] = plan->room[0];
            band.pitch[FR_ROW_IN] = plan->pitch;
        }
        if (walk->at[FR_ROW_WHERE]) { /* then, too */
            if (masks->along == 1)
                call->flavor->select_lines(plan->room[0], plan->pitch, band.in[FR_ROW_IN], band.pitch[FR_ROW_IN],
                                           walk->at[FR_ROW_WHERE], fr_across(call, FR_ROW_WHERE), m, call->n,
                                           call->absent);
            for (ptrdiff_t r = 0; r < m && masks->along != 1; r++)
                fr_select(walk, plan, r, band.in[FR_ROW_IN] + r * band.pitch[FR_ROW_IN],
                          plan->room[0] + r * plan->pitch);
            band.in[FR_ROW_IN] = plan->room[0];
            band.pitch[FR_ROW_IN] = plan->pitch;
        }
        call->band(&band);
        if (walk->at[FR_ROW_WHERE])
            fr_settle(call, walk->at[FR_ROW_WHERE], m, band.out, band.out_pitch, call->itemsize, NULL);
        if (call->finish)
            fr_finish_rows(call, walk->at[FR_ROW_FACTOR] + done * fr_across(call, FR_ROW_FACTOR), band.out,
                           call->itemsize, band.out_pitch, band.width, walk->at[FR_ROW_WHERE]);
    }
}

/* Runs the kernel on the next m rows, which differ in the last axis alone. */
static void fr_run_each(fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t m, int *status) {
    const fr_row_call *call = walk->call;
    const int picked = walk->at[FR_ROW_WHERE] && !call->load && !fr_is_direct(call, FR_ROW_IN) &&
                       fr_across(call, FR_ROW_IN) == call->itemsize && fr_across(call, FR_ROW_WHERE) == 1;
    if (picked) fr_select_across(walk, plan, m);
    for (int k = FR_ROW_IN + picked; k <= FR_ROW_SECOND; k++)
        if (!fr_is_direct(call, k))
            fr_transfer(plan->room[k], call->itemsize, plan->pitch, walk->at[k], call->operand[k].along,
                        fr_across(call, k), call->n, m, call->itemsize);
    if (plan->band) fr_run_bands(walk, plan, m);
    else
        for (ptrdiff_t r = 0; r < m; r++) fr_run_row(walk, plan, r, picked, status);
    if (!fr_is_direct(call, FR_ROW_OUT) || plan->sinks)
        fr_transfer(walk->at[FR_ROW_OUT], call->operand[FR_ROW_OUT].along, fr_across(call, FR_ROW_OUT), plan->room[0],
                    call->itemsize, plan->pitch, call->n, m, call->itemsize);
    fr_row_step(walk, m);
}

/* Brings the next m rows, which differ in the last axis alone, to the kernel of hardmax. */
static void fr_run_block(fr_row_walk *walk, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    fr_row_block block = {{walk->at[FR_ROW_IN], walk->at[FR_ROW_WHERE]}, walk->at[FR_ROW_OUT], {0}, {0}, call->n, m};
    const int operand[] = {FR_ROW_IN, FR_ROW_WHERE, FR_ROW_OUT};
    for (int j = 0; j < 3; j++) {
        block.along[j] = call->operand[operand[j]].along;
        block.across[j] = fr_across(call, operand[j]);
    }
    call->flavor->hardmax(&block);
    fr_row_step(walk, m);
}

/* --- Folds --- */

/* Do m rows lie side by side in an operand, each line behind the one before? */
static int fr_has_lines(const fr_row_call *call, int k, ptrdiff_t m) {
    return fr_across(call, k) == call->itemsize && call->operand[k].along == m * call->itemsize;
}

/* Is a share folded that has m long rows in a run? They lie across in every operand, and their elements can be counted.
 */
static int fr_is_fold(const fr_row_call *call, ptrdiff_t m) {
    if (!call->fold || call->load || m < 2 || m >= FR_COLUMNS || call->n > INT32_MAX) return 0;
    for (int k = FR_ROW_IN; k <= FR_ROW_OUT; k++)
        if (call->operand[k].origin && k != FR_ROW_WHERE &&
            fr_distance(fr_across(call, k)) >= fr_distance(call->operand[k].along))
            return 0;
    return 1;
}

/* Copies of a fold of m rows, without the mask: of its inputs, or of its results if no input has any. */
static int fr_fold_copies(const fr_row_call *call, ptrdiff_t m) {
    int copies = 0;
    for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++)
        copies += call->operand[k].origin &&
                  (!fr_has_lines(call, k, m) || (k == FR_ROW_IN && call->operand[FR_ROW_WHERE].origin));
    return copies || fr_has_lines(call, FR_ROW_OUT, m) ? copies : 1;
}

/* Copies the next m rows to lines under their masks. */
static void fr_select_lines(const fr_row_walk *walk, const fr_row_plan *plan, char *to, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, n = call->n, across = fr_across(call, FR_ROW_IN);
    ptrdiff_t along = call->operand[FR_ROW_IN].along, mask_along = call->operand[FR_ROW_WHERE].along;
    const char *from = walk->at[FR_ROW_IN], *mask = walk->at[FR_ROW_WHERE];
    if (fr_across(call, FR_ROW_WHERE) != 1) {
        fr_transfer(plan->mask, m, 1, mask, mask_along, fr_across(call, FR_ROW_WHERE), n, m, 1);
        mask = plan->mask, mask_along = m;
    }
    if (across != size) {
        fr_transfer(to, m * size, size, from, along, across, n, m, size);
        from = to, along = m * size;
    }
    if (mask_along == m && along == m * size) call->flavor->select(to, from, mask, m * n, call->absent);
    else call->flavor->select_lines(to, m * size, from, along, mask, mask_along, n, m, call->absent);
}

/* Brings a run of the next rows, fewer than FR_COLUMNS, to the kernel over a fold; returns how many. */
static ptrdiff_t fr_run_fold(fr_row_walk *walk, const fr_row_plan *plan, ptrdiff_t most) {
    const fr_row_call *call = walk->call;
    const ptrdiff_t size = call->itemsize, n = call->n, m = fr_row_run(walk, most);
    const fr_row_operand *out = &call->operand[FR_ROW_OUT];
    const char *mask = walk->at[FR_ROW_WHERE];
    char *room = plan->room[0];
    fr_tile fold;
    fold.n = n, fold.width = m;
    for (int k = FR_ROW_IN; k <= FR_ROW_SECOND; k++) {
        const int picked = mask && k == FR_ROW_IN;
        fold.in[k] = walk->at[k];
        if (!walk->at[k] || (!picked && fr_has_lines(call, k, m))) continue;
        if (picked) fr_select_lines(walk, plan, room, m);
        else fr_transfer(room, m * size, size, walk->at[k], call->operand[k].along, fr_across(call, k), n, m, size);
        fold.in[k] = room;
        room += m * n * size;
    }
    fold.out = fr_has_lines(call, FR_ROW_OUT, m) ? walk->at[FR_ROW_OUT] : plan->room[0];
    call->fold(&fold);
    if (fold.out != walk->at[FR_ROW_OUT])
        fr_transfer(walk->at[FR_ROW_OUT], out->along, fr_across(call, FR_ROW_OUT), fold.out, m * size, size, n, m,
                    size);
    if (mask) fr_settle(call, mask, m, walk->at[FR_ROW_OUT], fr_across(call, FR_ROW_OUT), out->along, fold.out);
    if (call->finish)
        fr_finish_rows(call, walk->at[FR_ROW_FACTOR], walk->at[FR_ROW_OUT], out->along, fr_across(call, FR_ROW_OUT), m,
                       mask);
    fr_row_step(walk, m);
    return m;
}

/* --- Plans --- */

/* Adds count times size bytes to a total; returns 0 if that overflows. */
static int fr_add_bytes(size_t *total, ptrdiff_t count, ptrdiff_t size) {
    if (size && (size_t)count > ((size_t)PTRDIFF_MAX - *total) / (size_t)size) return 0;
    *total += (size_t)count * (size_t)size;
    return 1;
}

/* Does the second-level cache hold two wide tiles? If it is not known, it is taken for one that does. */
static int fr_cache_holds_tiles = 1;

void fr_rows_suit(ptrdiff_t second_cache) { fr_cache_holds_tiles = second_cache == 0 || second_cache >= FR_TILE_CACHE; }

/* Rows whose neighbors are contiguous to them in every operand but a mask, so that a tile needs no copy? */
static int fr_lies_across(const fr_row_call *call) {
    if (call->shape[call->naxes - 1] < FR_COLUMNS) return 0;
    for (int k = FR_ROW_IN; k <= FR_ROW_OUT; k++)
        if (call->operand[k].origin && k != FR_ROW_WHERE && fr_across(call, k) != call->itemsize) return 0;
    const ptrdiff_t along = call->operand[FR_ROW_IN].along, bytes = FR_COLUMNS * call->n * call->itemsize;
    const int second = call->operand[FR_ROW_SECOND].origin != NULL;
    /* Long gradients read each line twice and write it at once; still longer ones wait longer than the copies take, and
     * those of log_softmax only then: they compute an exponential. */
    const int by_lines =
        call->n > FR_FEW &&
        ((fr_is_softmax_gradient(call) && (call->n <= FR_CRITICAL_LONG || !fr_cache_holds_tiles)) ||
         (fr_is_log_gradient(call) && call->n * call->itemsize > FR_CRITICAL_FAR && !fr_cache_holds_tiles));
    if (along % FR_CRITICAL_PITCH == 0 && call->n * (2 + second) > FR_CRITICAL_LINES && !by_lines) return 0;
    const int masked = call->operand[FR_ROW_WHERE].origin != NULL;
    return bytes <= (masked ? FR_FAR_MASKED : FR_TILE_FAR) || second ||
           along <= (masked ? FR_NEAR_MASKED : FR_TILE_NEAR) * FR_COLUMNS * call->itemsize;
}

/* Do rows lie closer together than their elements, in an operand that is copied? */
static int fr_is_across(const fr_row_call *call) {
    for (int k = FR_ROW_IN; k <= FR_ROW_OUT; k++)
        if (k != FR_ROW_WHERE && !fr_is_direct(call, k) &&
            fr_distance(fr_across(call, k)) < fr_distance(call->operand[k].along))
            return 1;
    return 0;
}

/* Is it a hardmax of rows that the kernel of blocks takes? Contiguous ones of other lengths are faster in tiles. */
static int fr_is_block(const fr_row_call *call) {
    const ptrdiff_t n = call->n;
    int along = (n >= 2 && n <= 4) || n == 8 || n == 16 || n > FR_SHORT_ROW;
    int across = n * call->shape[call->naxes - 1] >= FR_TILE_WIDTH;
    if (call->loss || call->load || !fr_is_hardmax(call) || n > INT32_MAX) return 0;
    for (int k = FR_ROW_IN; k <= FR_ROW_OUT; k++) {
        const ptrdiff_t size = k == FR_ROW_WHERE ? 1 : call->itemsize;
        if (!call->operand[k].origin) continue;
        along &= call->operand[k].along == size;
        across &= fr_across(call, k) == size;
    }
    return along | across;
}

/* Plans a share of `count` rows, and computes the bytes of its room; returns 0 if they overflow. */
static int fr_plan_rows(fr_row_plan *plan, const fr_row_call *call, ptrdiff_t count, size_t *size) {
    *size = 0;
    memset(plan, 0, sizeof *plan);
    plan->blocks = fr_is_block(call);
    if (plan->blocks) return 1;
    plan->sinks = call->load && call->operand[FR_ROW_SINK].origin;
    plan->n = call->n + plan->sinks;
    const ptrdiff_t bytes = plan->n * call->itemsize; /* no overflow: an array has that many */
    const int masked = call->operand[FR_ROW_WHERE].origin != NULL, inputs = call->operand[FR_ROW_SECOND].origin ? 2 : 1;
    int transferred = 0;
    for (int k = FR_ROW_IN; k <= FR_ROW_OUT; k++)
        if (k != FR_ROW_WHERE) transferred |= !fr_is_direct(call, k);
    plan->gathered = transferred | masked | (call->load != NULL);
    const ptrdiff_t longest = call->itemsize == sizeof(double) ? FR_SHORT_ROW : FR_BAND_LONG;
    plan->band = 0;
    if (call->band && !transferred && !plan->sinks && call->n > FR_BAND_SHORT && call->n <= longest) {
        plan->band = FR_BAND_BYTES / bytes < FR_COLUMNS ? FR_BAND_BYTES / bytes : FR_COLUMNS;
        if (plan->band < 1) plan->band = 1;
    }
    const ptrdiff_t end = call->shape[call->naxes - 1], side_by_side = count < end ? count : end;
    plan->fold = call->n > FR_SHORT_ROW && fr_is_fold(call, side_by_side);
    if (plan->fold) {
        plan->width = side_by_side;
        return fr_add_bytes(size, fr_fold_copies(call, side_by_side) * plan->width, bytes) &&
               fr_add_bytes(size, masked * plan->width, call->n);
    }
    const int across = fr_is_across(call);
    plan->tiles = !plan->band && call->tile && count >= FR_COLUMNS / 4 && bytes <= FR_TILE_MOST / FR_COLUMNS &&
                  (call->n <= FR_SHORT_ROW ? transferred || inputs == 1 || count >= FR_COLUMNS
                                           : across && !fr_are_few(call, side_by_side));
    plan->direct = plan->tiles && !call->load && fr_lies_across(call);
    if (plan->tiles) {
        /* The wider, the more of each line is read at once. */
        const int wide = call->n > FR_SHORT_ROW || (across && inputs == 2 && !call->load && call->n > FR_FEW);
        const ptrdiff_t most = !wide           ? FR_TILE_BYTES
                               : !plan->direct ? FR_TILE_WIDE
                               : masked        ? FR_TILE_MASKED
                                               : FR_TILE_BYTES;
        plan->width = most / bytes / FR_COLUMNS * FR_COLUMNS;
        if (plan->width > count) plan->width = (count + FR_COLUMNS - 1) / FR_COLUMNS * FR_COLUMNS;
        if (plan->width > FR_TILE_WIDTH) plan->width = FR_TILE_WIDTH;
        if (plan->width < FR_COLUMNS || (plan->direct && !masked)) plan->width = FR_COLUMNS;
        plan->pitch = plan->width * call->itemsize;
    } else {
        const ptrdiff_t most = (across ? FR_TILE_MOST : FR_ROWS_BYTES) / bytes;
        plan->width = most < FR_COLUMNS ? most : FR_COLUMNS;
        if ((masked || call->load) && !transferred) plan->width = plan->band ? plan->band : 1;
        if (plan->width > count) plan->width = count;
        if (plan->width < 1) plan->width = 1;
        plan->pitch = (ptrdiff_t)(((size_t)bytes | 127) + 65); /* rows begin in different lines of the cache */
    }
    const ptrdiff_t copied = plan->tiles || plan->gathered ? plan->width : 0;
    return fr_add_bytes(size, (inputs + (masked && plan->tiles)) * copied, plan->tiles ? bytes : plan->pitch) &&
           fr_add_bytes(size, masked * plan->width, call->n);
}

#include "rows_slopes.h"

/* Is the end of axis k the beginning of the next in every operand? */
static int fr_is_run(const fr_row_call *call, int outer, int k) {
    for (int i = 0; i < fr_walked(call); i++) {
        const fr_row_operand *operand = &call->operand[i];
        if (operand->origin && operand->stride[outer] != operand->stride[k] * call->shape[k]) return 0;
    }
    return 1;
}

/* How many rows threads take together. Where they lie side by side, that is a strip of the lines of the array: two
 * threads that write into the same lines of the cache, or whose prefetches reach into them, wait for each other. */
static ptrdiff_t fr_together(const fr_row_call *call, const fr_row_plan *plan, ptrdiff_t rows) {
    const ptrdiff_t last = call->naxes - 1, run = call->shape[last];
    const int far = rows >= FR_STRIPS_FAR / call->itemsize / call->n && !fr_is_softmax_gradient(call);
    const ptrdiff_t least_written = plan->blocks ? FR_STRIP_LIGHT : far ? FR_STRIP_FAR : FR_STRIP;
    const ptrdiff_t least = plan->tiles || plan->blocks ? FR_COLUMNS : 1;
    ptrdiff_t strip = 1;
    for (int k = 0; k < fr_walked(call); k++) {
        const ptrdiff_t across = fr_distance(call->operand[k].stride[last]);
        if (k == FR_ROW_WHERE || across == 0 || across >= fr_distance(call->operand[k].along)) continue;
        const int written = k == FR_ROW_OUT || (call->slope && k == FR_ROW_LOADED_SLOPE);
        const ptrdiff_t bytes = written ? least_written : FR_CACHE_LINE;
        if (call->operand[k].origin && bytes / across > strip) strip = bytes / across;
    }
    if (strip == 1) return least;
    if (run < 2 * strip) return (least + run - 1) / run * run;
    ptrdiff_t strips = run / strip;
    while (strips & (strips - 1)) strips &= strips - 1; /* a power of 2 is even for two threads, and four */
    const ptrdiff_t even = (run + strips - 1) / strips;
    return (even + least - 1) / least * least;
}

void fr_rows_merge(fr_row_call *call) {
    int last = 0;
    for (int k = 1; k < call->naxes; k++) {
        const int run = fr_is_run(call, last, k);
        if (!run) last++;
        call->shape[last] = run ? call->shape[last] * call->shape[k] : call->shape[k];
        for (int i = 0; i < fr_walked(call); i++) call->operand[i].stride[last] = call->operand[i].stride[k];
    }
    call->naxes = last + 1;
}

ptrdiff_t fr_rows_together(const fr_row_call *call, ptrdiff_t rows) {
    fr_row_plan plan;
    size_t size;
    if (rows == 0 || call->n == 0) return 1;
    (call->slope ? fr_plan_slopes : fr_plan_rows)(&plan, call, rows, &size);
    return fr_together(call, &plan, rows);
}

size_t fr_rows_room(const fr_row_call *call, ptrdiff_t rows) {
    /* Shares of all rows; too few for a whole tile; too few for any tile. Within each kind more rows take more room. */
    const ptrdiff_t counts[] = {rows, FR_COLUMNS - 1, FR_COLUMNS / 4 - 1};
    fr_row_plan plan;
    size_t most = 0, size;
    if (rows == 0 || call->n == 0) return 0;
    for (int k = 0; k < 3; k++) {
        if (k && counts[k] >= rows) continue;
        if (!(call->slope ? fr_plan_slopes : fr_plan_rows)(&plan, call, counts[k], &size)) return SIZE_MAX;
        if (size > most) most = size;
        if (k == 0 && plan.fold) break; /* its runs stay whole */
    }
    /* The rooms of threads lie behind each other: none begins within a line of the cache. */
    return most > SIZE_MAX - FR_CACHE_LINE ? SIZE_MAX : (most + FR_CACHE_LINE - 1) / FR_CACHE_LINE * FR_CACHE_LINE;
}

/* Plans a share of `count` rows in this room. */
static void fr_place_rows(fr_row_plan *plan, const fr_row_call *call, ptrdiff_t count, char *room) {
    size_t size;
    fr_plan_rows(plan, call, count, &size);
    if (plan->fold) {
        plan->room[0] = room;
        plan->mask = room + fr_fold_copies(call, plan->width) * plan->width * call->n * call->itemsize;
        return;
    }
    const ptrdiff_t copy = plan->tiles ? plan->pitch * plan->n : plan->pitch * plan->width;
    plan->room[0] = room;
    plan->room[1] = room + copy;
    plan->picked = room + (call->operand[FR_ROW_SECOND].origin ? 2 : 1) * copy;
    plan->mask = plan->picked + (plan->tiles && call->operand[FR_ROW_WHERE].origin ? copy : 0);
}

int fr_run_rows(const fr_row_call *call, ptrdiff_t start, ptrdiff_t stop, char *room) {
    fr_row_walk walk;
    fr_row_plan plan, few;
    fr_loss_sums sums;
    int status = FR_ROWS_DONE;
    if (start >= stop || call->n == 0) return status;
    if (call->slope) {
        size_t size;
        fr_plan_slopes(&plan, call, stop - start, &size);
        const ptrdiff_t copy = plan.width * plan.n * call->itemsize;
        plan.room[0] = room;
        plan.room[1] = room + copy;
        plan.mask = room + FR_SLOPE_ROOMS * copy;
    } else {
        fr_place_rows(&plan, call, stop - start, room);
    }
    memset(&sums, 0, sizeof sums);
    sums.row = start;
    plan.sums = call->sums ? &sums : NULL;
    fr_guard caller = fr_guard_open();
    walk.call = call;
    fr_row_seek(&walk, start);
    while (start < stop) {
        if (call->slope) {
            start += fr_run_slopes(&walk, &plan, room, stop - start);
            continue;
        }
        if (plan.blocks) {
            const ptrdiff_t m = fr_row_run(&walk, stop - start);
            fr_run_block(&walk, m);
            start += m;
            continue;
        }
        const ptrdiff_t left = plan.direct ? fr_row_run(&walk, stop - start) : stop - start;
        const fr_row_plan *now = &plan;
        if (plan.tiles && fr_are_few(call, left)) { /* behind the last whole tile */
            fr_place_rows(&few, call, left, room);
            few.sums = plan.sums;
            now = &few;
        }
        if (now->fold) {
            start += fr_run_fold(&walk, now, now->width < left ? now->width : left);
        } else if (now->tiles) {
            start += fr_run_tile(&walk, now, stop - start, &status);
        } else {
            const ptrdiff_t m = fr_row_run(&walk, now->gathered && now->width < left ? now->width : left);
            fr_run_each(&walk, now, m, &status);
            start += m;
        }
    }
    if (plan.sums && sums.row % call->chunk) fr_end_chunk(&sums, call);
    fr_guard_close(caller);
    return status;
}
