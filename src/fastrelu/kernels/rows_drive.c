/* Runs over the rows of an array of any strides: rows that are contiguous go straight to the kernel; others are
 * gathered several at a time, neighbors together because they share cache lines. */
#include "rows.h"

#include <string.h>

#include "guard.h"

enum { FR_ROWS_TILE = FR_COLUMNS, FR_ROWS_TILE_BYTES = 1 << 18, FR_SHORT_ROW = 64, FR_COLUMN_BYTES = 1 << 20 };

typedef struct {
    const fr_row_call *call;
    ptrdiff_t index[FR_ROW_AXES];
    char *at[FR_ROW_OPERANDS];
    int direct[FR_ROW_OPERANDS];
    char *room[2]; /* `width` rows of each input that needs a copy */
    double *dense;
    ptrdiff_t width, pitch;
    int tiles, columns; /* rows are gathered; rows are taken side by side */
} fr_row_walk;

static void fr_row_seek(fr_row_walk *walk, ptrdiff_t row) {
    const fr_row_call *call = walk->call;
    for (int k = 0; k < FR_ROW_OPERANDS; k++) walk->at[k] = call->operand[k].origin;
    for (int axis = call->naxes - 1; axis >= 0; axis--) {
        walk->index[axis] = row % call->shape[axis];
        row /= call->shape[axis];
        for (int k = 0; k < FR_ROW_OPERANDS; k++)
            if (walk->at[k]) walk->at[k] += walk->index[axis] * call->operand[k].stride[axis];
    }
}

/* Advances by m rows, which may end the last axis but not go beyond its end. */
static void fr_row_step(fr_row_walk *walk, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    for (int axis = call->naxes - 1; axis >= 0; axis--, m = 1) {
        walk->index[axis] += m;
        for (int k = 0; k < FR_ROW_OPERANDS; k++)
            if (walk->at[k]) walk->at[k] += m * call->operand[k].stride[axis];
        if (walk->index[axis] < call->shape[axis]) return;
        for (int k = 0; k < FR_ROW_OPERANDS; k++)
            if (walk->at[k]) walk->at[k] -= call->shape[axis] * call->operand[k].stride[axis];
        walk->index[axis] = 0;
    }
}

/* Copies n elements of m rows between an array and a tile; the shorter stride is the inner loop. */
#define FR_TRANSFER(type, to, to_along, to_across, from, from_along, from_across)   \
    if (inside_along)                                                               \
        for (ptrdiff_t r = 0; r < m; r++)                                           \
            for (ptrdiff_t i = 0; i < n; i++)                                       \
                *(type *)((to) + i * (to_along) + r * (to_across)) =                \
                    *(const type *)((from) + i * (from_along) + r * (from_across)); \
    else                                                                            \
        for (ptrdiff_t i = 0; i < n; i++)                                           \
            for (ptrdiff_t r = 0; r < m; r++)                                       \
                *(type *)((to) + i * (to_along) + r * (to_across)) =                \
                    *(const type *)((from) + i * (from_along) + r * (from_across));

static void fr_transfer(char *to, ptrdiff_t to_along, ptrdiff_t to_across, const char *from, ptrdiff_t from_along,
                        ptrdiff_t from_across, ptrdiff_t n, ptrdiff_t m, ptrdiff_t itemsize, int inside_along) {
    if (itemsize == sizeof(uint32_t)) {
        FR_TRANSFER(uint32_t, to, to_along, to_across, from, from_along, from_across)
    } else {
        FR_TRANSFER(uint64_t, to, to_along, to_across, from, from_along, from_across)
    }
}

static int fr_along_is_shorter(const fr_row_operand *operand, ptrdiff_t across) {
    ptrdiff_t along = operand->along;
    return (along < 0 ? -along : along) <= (across < 0 ? -across : across);
}

static void fr_fill(char *to, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t itemsize, uint64_t bits) {
    for (ptrdiff_t i = 0; i < n; i++) memcpy(to + i * stride, &bits, (size_t)itemsize);
}

/* Overwrites the masked elements of a row with `left_out`. Returns whether any element is not masked. */
static int fr_leave_out(const fr_row_call *call, char *row, ptrdiff_t stride, const char *mask) {
    ptrdiff_t along = call->operand[FR_ROW_WHERE].along;
    int any = 0;
    for (ptrdiff_t i = 0; i < call->n; i++) {
        if (mask[i * along]) any = 1;
        else memcpy(row + i * stride, &call->left_out, (size_t)call->itemsize);
    }
    return any;
}

/* Labels are checked here, where they are used: another thread may change them at any time. */
static int fr_run_row(const fr_row_walk *walk, const char *const *in, char *out, ptrdiff_t across) {
    const fr_row_call *call = walk->call;
    if (!call->loss) {
        call->kernel(in, out, call->n);
        return FR_ROWS_DONE;
    }
    fr_target target = *call->target;
    double loss = 0;
    target.x = in[0];
    target.shares = in[1];
    target.grad = out;
    target.dense = walk->dense;
    const char *labels = walk->at[FR_ROW_LABEL];
    int64_t label = 0;
    if (labels) {
        label = *(const volatile int64_t *)(labels + across * call->operand[FR_ROW_LABEL].stride[call->naxes - 1]);
        target.label = (ptrdiff_t)label;
    }
    const int is_ignored = labels && label == call->ignored;
    const int is_none = labels && !is_ignored && (uint64_t)label >= (uint64_t)call->n;
    if (!is_ignored && !is_none) loss = call->loss(&target, call->n);
    else if (out) memset(out, 0, (size_t)(call->n * call->itemsize));
    *(double *)(walk->at[FR_ROW_LOSS] + across * call->operand[FR_ROW_LOSS].stride[call->naxes - 1]) = loss;
    return is_none ? FR_ROWS_NO_CLASS : FR_ROWS_DONE;
}

/* Runs the kernel on m rows that differ in the last axis alone. */
static int fr_run_tile(const fr_row_walk *walk, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    const int last = call->naxes - 1;
    int status = FR_ROWS_DONE;
    for (int k = 0; k < 2; k++) {
        const fr_row_operand *operand = &call->operand[k];
        if (walk->at[k] && !walk->direct[k])
            fr_transfer(walk->room[k], call->itemsize, walk->pitch, walk->at[k], operand->along, operand->stride[last],
                        call->n, m, call->itemsize, fr_along_is_shorter(operand, operand->stride[last]));
    }
    const fr_row_operand *result = &call->operand[FR_ROW_OUT];
    for (ptrdiff_t r = 0; r < m; r++) {
        const char *in[2] = {0, 0};
        for (int k = 0; k < 2; k++)
            if (walk->at[k])
                in[k] =
                    walk->direct[k] ? walk->at[k] + r * call->operand[k].stride[last] : walk->room[k] + r * walk->pitch;
        char *out = !walk->at[FR_ROW_OUT]      ? NULL
                    : walk->direct[FR_ROW_OUT] ? walk->at[FR_ROW_OUT] + r * result->stride[last]
                                               : walk->room[0] + r * walk->pitch;
        int any = 1;
        if (walk->at[FR_ROW_WHERE])
            any = fr_leave_out(call, walk->room[0] + r * walk->pitch, call->itemsize,
                               walk->at[FR_ROW_WHERE] + r * call->operand[FR_ROW_WHERE].stride[last]);
        if (any) status |= fr_run_row(walk, in, out, r);
        else fr_fill(out, call->itemsize, call->n, call->itemsize, call->alone);
    }
    if (walk->at[FR_ROW_OUT] && !walk->direct[FR_ROW_OUT])
        fr_transfer(walk->at[FR_ROW_OUT], result->along, result->stride[last], walk->room[0], call->itemsize,
                    walk->pitch, call->n, m, call->itemsize, fr_along_is_shorter(result, result->stride[last]));
    return status;
}

/* The same for rows side by side; returns 0, with nothing written, if the kernel refuses. */
static int fr_run_columns(const fr_row_walk *walk, ptrdiff_t m) {
    const fr_row_call *call = walk->call;
    const fr_row_operand *from = &call->operand[FR_ROW_IN], *result = &call->operand[FR_ROW_OUT];
    const fr_row_operand *where = &call->operand[FR_ROW_WHERE];
    const int last = call->naxes - 1, masked = walk->at[FR_ROW_WHERE] != NULL;
    const ptrdiff_t size = call->itemsize, line = FR_COLUMNS * size, n = call->n;
    const char *in = walk->at[FR_ROW_IN];
    char *out = walk->at[FR_ROW_OUT], *room = walk->room[0];
    ptrdiff_t pitch = from->along, out_pitch = result->along;
    int any[FR_COLUMNS];
    if (m < FR_COLUMNS || from->stride[last] != size || masked) {
        fr_transfer(room, line, size, in, from->along, from->stride[last], n, m, size,
                    fr_along_is_shorter(from, from->stride[last]));
        for (ptrdiff_t r = m; r < FR_COLUMNS; r++) fr_fill(room + r * size, line, n, size, 0);
        in = room;
        pitch = line;
    }
    for (ptrdiff_t r = 0; r < m && masked; r++) {
        any[r] = fr_leave_out(call, room + r * size, line, walk->at[FR_ROW_WHERE] + r * where->stride[last]);
        if (!any[r]) fr_fill(room + r * size, line, n, size, 0);
    }
    const int direct = m == FR_COLUMNS && result->stride[last] == size;
    if (!call->columns(in, pitch, direct ? out : room, direct ? out_pitch : line, n)) return 0;
    if (!direct)
        fr_transfer(out, out_pitch, result->stride[last], room, line, size, n, m, size,
                    fr_along_is_shorter(result, result->stride[last]));
    for (ptrdiff_t r = 0; r < m && masked; r++)
        if (!any[r]) fr_fill(out + r * result->stride[last], out_pitch, n, size, call->alone);
    return 1;
}

/* Adds count times size bytes to a total; returns 0 if that overflows. */
static int fr_add_bytes(size_t *total, ptrdiff_t count, ptrdiff_t size) {
    if (size && (size_t)count > ((size_t)PTRDIFF_MAX - *total) / (size_t)size) return 0;
    *total += (size_t)count * (size_t)size;
    return 1;
}

/* Chooses how `count` rows are brought to the kernel, and computes the bytes that this takes; returns 0 if they
 * overflow. */
static int fr_choose_walk(fr_row_walk *walk, const fr_row_call *call, ptrdiff_t count, size_t *size) {
    const ptrdiff_t bytes = call->n * call->itemsize; /* no overflow: an array has that many */
    const ptrdiff_t dense = call->target && call->target->dense ? call->n : 0;
    int tiles = 0;
    walk->call = call;
    walk->pitch = bytes;
    for (int k = 0; k <= FR_ROW_OUT; k++) {
        walk->direct[k] = !call->operand[k].origin || call->operand[k].along == call->itemsize || call->n == 1;
        if (k != FR_ROW_WHERE) tiles |= !walk->direct[k];
    }
    if (call->operand[FR_ROW_WHERE].origin) walk->direct[FR_ROW_IN] = 0, tiles = 1;
    walk->width = 1;
    walk->columns = call->columns && (tiles || call->n <= FR_SHORT_ROW) && bytes <= FR_COLUMN_BYTES / FR_COLUMNS &&
                    count >= FR_COLUMNS / 4;
    if (tiles) {
        walk->width = FR_ROWS_TILE_BYTES / bytes < 1              ? 1
                      : FR_ROWS_TILE_BYTES / bytes < FR_ROWS_TILE ? FR_ROWS_TILE_BYTES / bytes
                                                                  : FR_ROWS_TILE;
        if (walk->width > count) walk->width = count;
        if (walk->columns) walk->width = FR_COLUMNS;
    }
    walk->tiles = tiles;
    *size = 0;
    return fr_add_bytes(size,
                        walk->columns ? FR_COLUMNS
                        : tiles       ? 2 * walk->width
                                      : 0,
                        bytes) && /* side by side: one input */
           fr_add_bytes(size, dense, sizeof(double));
}

size_t fr_rows_room(const fr_row_call *call, ptrdiff_t rows) {
    fr_row_walk walk;
    size_t size;
    if (rows == 0 || call->n == 0) return 0;
    return fr_choose_walk(&walk, call, rows, &size) ? size : SIZE_MAX;
}

int fr_run_rows(const fr_row_call *call, ptrdiff_t start, ptrdiff_t stop, char *room) {
    fr_row_walk walk;
    size_t size;
    int status = FR_ROWS_DONE;
    if (start >= stop || call->n == 0) return status;
    fr_choose_walk(&walk, call, stop - start, &size);
    const int columns = walk.columns;
    walk.dense = NULL;
    walk.room[0] = walk.room[1] = room;
    if (call->target && call->target->dense) {
        walk.dense = (double *)room;
        walk.room[0] = room + call->n * (ptrdiff_t)sizeof(double);
    }
    if (walk.tiles) walk.room[1] = walk.room[0] + walk.width * walk.pitch;
    fr_guard caller = fr_guard_open();
    fr_row_seek(&walk, start);
    while (start < stop) {
        ptrdiff_t m = call->shape[call->naxes - 1] - walk.index[call->naxes - 1];
        if (m > stop - start) m = stop - start;
        if (columns && m > FR_COLUMNS) m = FR_COLUMNS;
        if (!columns && walk.tiles && m > walk.width) m = walk.width;
        if (!columns || !fr_run_columns(&walk, m)) status |= fr_run_tile(&walk, m);
        fr_row_step(&walk, m);
        start += m;
    }
    fr_guard_close(caller);
    return status;
}
