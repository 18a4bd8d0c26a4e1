/* The loop of the ufuncs along an axis: NumPy's operands as a call of the rows engine. Included by _row_kernels.pyx. */
#ifndef FASTRELU_ROWS_UFUNC_H
#define FASTRELU_ROWS_UFUNC_H

#include <Python.h>
#include <math.h>
#include <numpy/npy_common.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "rows.h"

/* What a ufunc computes from the operands of each row, in the order of its inputs; a mask is the last. */
typedef enum {
    FR_NORMALIZE,   /* x: one of the normalizers */
    FR_FROM_RESULT, /* grad, y: its gradient */
    FR_SUM,         /* x: the logarithm of the sum of exponentials, */
    FR_MEAN,        /*    or of their mean */
    FR_SUM_GRADIENT /* grad, a number for the row, and x */
} fr_row_form;

typedef struct {
    const fr_rows *flavor;
    fr_row_form form;
    int kind, inputs, masked; /* a normalizer; all inputs; whether the last of them is a mask */
    ptrdiff_t itemsize;       /* of the type that computes */
    uint64_t absent, alone;
    fr_move load, store,
        store_sum; /* of a 16-bit type, the last from double; NULL: operands have the type that computes */
} fr_row_ufunc;

enum { FR_SUMS_AT_ONCE = 256 };

/* Computes results of the rows from their sums, in the type of the ufunc; double for one that rounds them to 16 bits.
 */
static void fr_store_sums(const fr_row_ufunc *how, const double *sums, ptrdiff_t rows, ptrdiff_t n, const char *mask,
                          ptrdiff_t across, ptrdiff_t along, char *out, ptrdiff_t stride) {
    ptrdiff_t known = n;
    double log_count = n ? log((double)n) : NAN;
    for (ptrdiff_t r = 0; r < rows; r++) {
        double value = sums[r];
        if (how->form == FR_MEAN) {
            ptrdiff_t count = n;
            for (ptrdiff_t i = 0; i < n && mask; i++) count -= !mask[r * across + i * along];
            if (count != known) log_count = count ? log((double)count) : NAN;
            known = count;
            value -= log_count;
        }
        if (how->itemsize == sizeof(double) || how->load) *(double *)(out + r * stride) = value;
        else *(float *)(out + r * stride) = (float)value;
    }
}

/* Multiplies each row of results by its gradient. Those of masked elements stay 0, whatever the gradient is. */
static void fr_scale_rows(const fr_row_ufunc *how, const char *grad, ptrdiff_t step, ptrdiff_t rows, ptrdiff_t n,
                          const char *mask, ptrdiff_t across, ptrdiff_t along, char *out, ptrdiff_t out_across,
                          ptrdiff_t out_along) {
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t i = 0; i < n; i++) {
            char *at = out + r * out_across + i * out_along;
            if (mask && !mask[r * across + i * along]) continue;
            if (how->itemsize == sizeof(double)) *(double *)at *= *(const double *)(grad + r * step);
            else *(float *)at *= *(const float *)(grad + r * step);
        }
}

static void fr_no_memory(void) {
    const PyGILState_STATE state = PyGILState_Ensure(); /* NumPy looks for an error after the loop */
    PyErr_SetString(PyExc_MemoryError, "no memory for the rows of an array");
    PyGILState_Release(state);
}

/* Working memory, kept from one block to the next: only the first, before anything is written, may find none. */
typedef struct {
    char *data;
    size_t size;
} fr_room;

/* Computes rows of the types that compute; returns whether there was memory. */
static int fr_row_native_loop(char **args, const npy_intp *dimensions, const npy_intp *steps, const fr_row_ufunc *how,
                              fr_room *room) {
    const ptrdiff_t all = dimensions[0], n = dimensions[1];
    const int reduces = how->form == FR_SUM || how->form == FR_MEAN, scales = how->form == FR_SUM_GRADIENT;
    const npy_intp *along = steps + how->inputs + 1 - scales; /* the gradient of a sum has no axis */
    const ptrdiff_t most = reduces && all > FR_SUMS_AT_ONCE ? FR_SUMS_AT_ONCE : all;
    const int mask = how->masked ? how->inputs - 1 : -1, out = how->inputs;
    const fr_target nothing = {0};
    double sums[FR_SUMS_AT_ONCE];
    for (ptrdiff_t start = 0; start < all; start += most) {
        const ptrdiff_t rows = all - start < most ? all - start : most;
        fr_row_call call;
        memset(&call, 0, sizeof call);
        call.flavor = how->flavor;
        call.absent = how->absent;
        call.alone = how->alone;
        call.n = n;
        call.itemsize = how->itemsize;
        call.naxes = 1;
        call.shape[0] = rows;
        if (reduces) {
            call.loss = how->flavor->logsumexp;
            call.tile = how->flavor->logsumexp_tile;
            call.target = &nothing;
            call.operand[FR_ROW_LOSS].origin = (char *)sums;
            call.operand[FR_ROW_LOSS].stride[0] = sizeof(double);
            for (ptrdiff_t r = 0; r < rows && n == 0; r++) sums[r] = -INFINITY;
        } else if (how->form == FR_FROM_RESULT) {
            call.kernel = how->flavor->from_output[how->kind];
            call.tile = how->flavor->from_output_tile[how->kind];
            call.band = how->flavor->from_output_band[how->kind];
            call.fold = how->flavor->from_output_fold[how->kind];
        } else {
            call.kernel = how->flavor->forward[how->kind];
            call.tile = how->flavor->forward_tile[how->kind];
            call.band = how->flavor->forward_band[how->kind];
            call.fold = how->flavor->forward_fold[how->kind];
        }
        for (int j = scales; j <= out - reduces; j++) {
            const int which = j == mask     ? FR_ROW_WHERE
                              : j == out    ? FR_ROW_OUT
                              : j == scales ? FR_ROW_IN
                                            : FR_ROW_SECOND;
            call.operand[which].origin = args[j] + start * steps[j];
            call.operand[which].along = along[j];
            call.operand[which].stride[0] = steps[j];
        }
        const size_t size = fr_rows_room(&call, rows);
        if (size > room->size) {
            free(room->data);
            room->data = size == SIZE_MAX ? NULL : (char *)malloc(size);
            room->size = room->data ? size : 0;
            if (!room->data) return 0;
        }
        const char *where = mask < 0 ? NULL : args[mask] + start * steps[mask];
        const ptrdiff_t across = mask < 0 ? 0 : steps[mask], mask_along = mask < 0 ? 0 : along[mask];
        const fr_guard caller = fr_guard_open();
        fr_run_rows(&call, 0, rows, room->data);
        if (reduces)
            fr_store_sums(how, sums, rows, n, where, across, mask_along, args[out] + start * steps[out], steps[out]);
        else if (scales)
            fr_scale_rows(how, args[0] + start * steps[0], steps[0], rows, n, where, across, mask_along,
                          args[out] + start * steps[out], steps[out], along[out]);
        fr_guard_close(caller);
    }
    return 1;
}

enum { FR_HALVES_AT_ONCE = 4096, FR_ROW_UFUNC_MOST = 4 };

/* Copies elements of 16 bits between an operand and a block of them. */
static void fr_move_halves(char *block, char *at, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t across, ptrdiff_t along,
                           int load) {
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t i = 0; i < n; i++, block += sizeof(uint16_t)) {
            char *element = at + r * across + i * along;
            memcpy(load ? block : element, load ? element : block, sizeof(uint16_t));
        }
}

/* Rows of a 16-bit type: a block of them is loaded, computed and stored at a time. */
static int fr_row_half_loop(char **args, const npy_intp *dimensions, const npy_intp *steps, const fr_row_ufunc *how,
                            fr_room *room) {
    const ptrdiff_t all = dimensions[0], n = dimensions[1];
    const int reduces = how->form == FR_SUM || how->form == FR_MEAN, scales = how->form == FR_SUM_GRADIENT;
    const int out = how->inputs, mask = how->masked ? out - 1 : -1;
    const npy_intp *along = steps + out + 1 - scales;
    const ptrdiff_t fitting = n > 0 ? FR_HALVES_AT_ONCE / n : FR_HALVES_AT_ONCE;
    const ptrdiff_t most = fitting > all ? all : fitting < 1 ? 1 : fitting;
    const size_t wide = (size_t)most * (size_t)(n + 1) * sizeof(double);
    char *block = n < PTRDIFF_MAX / 64 ? (char *)malloc((FR_ROW_UFUNC_MOST + 1) * wide) : NULL;
    if (!block) return 0;
    char *halves = block + FR_ROW_UFUNC_MOST * wide;
    int enough = 1;
    for (ptrdiff_t start = 0; start < all; start += most) {
        const ptrdiff_t rows = all - start < most ? all - start : most;
        const npy_intp inner[] = {rows, n};
        char *given[FR_ROW_UFUNC_MOST];
        npy_intp strides[2 * FR_ROW_UFUNC_MOST], *core = strides + out + 1 - scales;
        fr_guard caller = fr_guard_open();
        for (int j = 0; j <= out; j++) {
            char *at = args[j] + start * steps[j];
            const int row = !(scales && j == 0) && !(reduces && j == out);
            const ptrdiff_t length = row ? n : 1;
            const ptrdiff_t size = reduces && j == out ? (ptrdiff_t)sizeof(double) : how->itemsize;
            given[j] = j == mask ? at : block + (size_t)j * wide;
            strides[j] = j == mask ? steps[j] : length * size;
            if (row) core[j] = j == mask ? along[j] : size;
            if (j == mask || j == out) continue;
            fr_move_halves(halves, at, rows, length, steps[j], row ? along[j] : 0, 1);
            how->load(halves, given[j], rows * length);
        }
        fr_guard_close(caller);
        enough = fr_row_native_loop(given, inner, strides, how, room);
        if (!enough) break;
        caller = fr_guard_open();
        const ptrdiff_t length = reduces ? 1 : n;
        (reduces ? how->store_sum : how->store)(given[out], halves, rows * length);
        fr_guard_close(caller);
        fr_move_halves(halves, args[out] + start * steps[out], rows, length, steps[out], reduces ? 0 : along[out], 0);
    }
    free(block);
    return enough;
}

static void fr_row_ufunc_loop(char **args, const npy_intp *dimensions, const npy_intp *steps, void *data) {
    const fr_row_ufunc *how = (const fr_row_ufunc *)data;
    fr_room room = {NULL, 0};
    if (!(how->load ? fr_row_half_loop : fr_row_native_loop)(args, dimensions, steps, how, &room)) fr_no_memory();
    free(room.data);
}

#endif
