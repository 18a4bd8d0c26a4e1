/* Operands of any strides: the addresses of their elements, and runs of elements copied into a block or back. */
#ifndef FASTRELU_VIEW_H
#define FASTRELU_VIEW_H

#include <stdint.h>
#include <string.h>

#include "drive.h"

static inline void fr_copy_strided(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride, ptrdiff_t n,
                                   ptrdiff_t itemsize) {
    if (itemsize == sizeof(uint32_t))
        for (ptrdiff_t i = 0; i < n; i++)
            *(uint32_t *)(to + i * to_stride) = *(const uint32_t *)(from + i * from_stride);
    else
        for (ptrdiff_t i = 0; i < n; i++)
            *(uint64_t *)(to + i * to_stride) = *(const uint64_t *)(from + i * from_stride);
}

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
        if (into_block) fr_copy_strided(block, itemsize, p, stride, run, itemsize);
        else fr_copy_strided(p, stride, block, itemsize, run, itemsize);
        block += run * itemsize;
        m -= run;
        fr_advance(view, at, run);
    }
}

#endif
