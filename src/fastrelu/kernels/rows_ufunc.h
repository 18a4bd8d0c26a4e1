/* The loop of the ufuncs along an axis: NumPy's operands as a call of the engine of rows. Included by _rows.pyx. */
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
    ptrdiff_t itemsize;
    uint64_t absent, alone;
} fr_row_ufunc;

enum { FR_SUMS_AT_ONCE = 256 };

/* Computes results of the rows from their sums, in the type of the ufunc. */
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
        if (how->itemsize == sizeof(double)) *(double *)(out + r * stride) = value;
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

static void fr_row_ufunc_loop(char **args, const npy_intp *dimensions, const npy_intp *steps, void *data) {
    const fr_row_ufunc *how = (const fr_row_ufunc *)data;
    const ptrdiff_t all = dimensions[0], n = dimensions[1];
    const int reduces = how->form == FR_SUM || how->form == FR_MEAN, scales = how->form == FR_SUM_GRADIENT;
    const npy_intp *along = steps + how->inputs + 1 - scales; /* the gradient of a sum has no axis */
    const ptrdiff_t most = reduces && all > FR_SUMS_AT_ONCE ? FR_SUMS_AT_ONCE : all;
    const int mask = how->masked ? how->inputs - 1 : -1, out = how->inputs;
    const fr_target nothing = {0};
    double sums[FR_SUMS_AT_ONCE];
    char *room = NULL;
    size_t held = 0;
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
        } else {
            call.kernel = how->flavor->forward[how->kind];
            call.tile = how->flavor->forward_tile[how->kind];
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
        fr_rows_prepare(&call, rows);
        const size_t size = fr_rows_room(&call, rows);
        if (size > held) {
            free(room);
            room = size == SIZE_MAX ? NULL : (char *)malloc(size);
            held = size;
            if (!room) {
                const PyGILState_STATE state = PyGILState_Ensure(); /* NumPy looks for an error after the loop */
                PyErr_SetString(PyExc_MemoryError, "no memory for the rows of an array");
                PyGILState_Release(state);
                return;
            }
        }
        const char *where = mask < 0 ? NULL : args[mask] + start * steps[mask];
        const ptrdiff_t across = mask < 0 ? 0 : steps[mask], mask_along = mask < 0 ? 0 : along[mask];
        const fr_guard caller = fr_guard_open();
        fr_run_rows(&call, 0, rows, room);
        if (reduces)
            fr_store_sums(how, sums, rows, n, where, across, mask_along, args[out] + start * steps[out], steps[out]);
        else if (scales)
            fr_scale_rows(how, args[0] + start * steps[0], steps[0], rows, n, where, across, mask_along,
                          args[out] + start * steps[out], steps[out], along[out]);
        fr_guard_close(caller);
    }
    free(room);
}

#endif
