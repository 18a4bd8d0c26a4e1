/* Operands of any strides: the addresses of their elements, and runs of elements copied into a block or back. */
#ifndef FASTRELU_VIEW_H
#define FASTRELU_VIEW_H

#include <string.h>

#include "copy.h"
#include "drive.h"

static inline char *fr_at(const fr_view *view, int operand, const ptrdiff_t *index) {
    char *p = view->origin[operand];
    for (int k = 0; k < view->naxes; k++) p += index[k] * view->stride[k][operand];
    return p;
}

/* Advances the index by m elements. */
static inline void fr_advance(const fr_view *view, ptrdiff_t *index, ptrdiff_t m) {
    for (int k = 0; k < view->naxes; k++) {
        index[k] += m;
        if (index[k] < view->shape[k]) return;
        m = index[k] / view->shape[k];
        index[k] -= m * view->shape[k];
    }
}

/* Are m elements best copied along axis 1: rows shorter than there are of them, and closer to each other than their
 * elements, as in Fortran order? */
static inline int fr_copies_across(const fr_view *view, int operand, ptrdiff_t m) {
    const ptrdiff_t row = view->shape[0];
    if (row >= m || row * row > m || view->naxes < 2) return 0;
    const ptrdiff_t along = view->stride[0][operand], across = view->stride[1][operand];
    return (across < 0 ? -across : across) < (along < 0 ? -along : along);
}

/* Copies m elements from `index` on between an operand and a block. */
static inline void fr_copy(const fr_view *view, int operand, const ptrdiff_t *index, ptrdiff_t m, char *block,
                           ptrdiff_t itemsize, int into_block) {
    ptrdiff_t at[FR_MAX_AXES];
    memcpy(at, index, sizeof *at * (size_t)view->naxes);
    const ptrdiff_t stride = view->stride[0][operand], row = view->shape[0];
    const int across_rows = fr_copies_across(view, operand, m);
    while (m > 0) {
        ptrdiff_t run = row - at[0] < m ? row - at[0] : m;
        char *p = fr_at(view, operand, at);
        if (across_rows && at[0] == 0 && run < m) {
            const ptrdiff_t left = view->shape[1] - at[1], rows = m / row < left ? m / row : left;
            const ptrdiff_t across = view->stride[1][operand], packed = row * itemsize;
            for (ptrdiff_t i = 0; i < row; i++) {
                if (into_block) fr_copy_run(itemsize, block + i * itemsize, packed, p + i * stride, across, rows);
                else fr_copy_run(itemsize, p + i * stride, across, block + i * itemsize, packed, rows);
            }
            run = rows * row;
            block += run * itemsize;
            m -= run;
            fr_advance(view, at, run);
            continue;
        }
        if (into_block) fr_copy_run(itemsize, block, itemsize, p, stride, run);
        else fr_copy_run(itemsize, p, stride, block, itemsize, run);
        block += run * itemsize;
        m -= run;
        fr_advance(view, at, run);
    }
}

#endif
