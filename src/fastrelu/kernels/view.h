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

/* Copies m elements from `index` on between an operand and a block. */
static inline void fr_copy(const fr_view *view, int operand, const ptrdiff_t *index, ptrdiff_t m, char *block,
                           ptrdiff_t itemsize, int into_block) {
    ptrdiff_t at[FR_MAX_AXES];
    memcpy(at, index, sizeof *at * (size_t)view->naxes);
    ptrdiff_t stride = view->stride[0][operand];
    while (m > 0) {
        ptrdiff_t run = view->shape[0] - at[0] < m ? view->shape[0] - at[0] : m;
        char *p = fr_at(view, operand, at);
        if (into_block) fr_copy_run(itemsize, block, itemsize, p, stride, run);
        else fr_copy_run(itemsize, p, stride, block, itemsize, run);
        block += run * itemsize;
        m -= run;
        fr_advance(view, at, run);
    }
}

#endif
