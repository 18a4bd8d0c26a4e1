/* Runs a kernel over operands of any stride: unit strides go straight to the kernel, anything else is
 * gathered into blocks that stay in the first-level cache. */
#include "drive.h"

#include <stdint.h>
#include <string.h>

#include "guard.h"

enum { FR_BLOCK = 512, FR_CACHE_LINE = 64 };

typedef union {
    float f[FR_BLOCK];
    double d[FR_BLOCK];
} fr_block;

/* How an operand reaches the kernel. */
enum { FR_DIRECT, FR_NUMBER, FR_COPY };

void fr_run(fr_kernel kernel, const char *const *in, char *out, ptrdiff_t n) {
    fr_guard caller = fr_guard_open();
    kernel(in, out, n);
    fr_guard_close(caller);
}

int fr_take_numbers(fr_domain domain, double *numbers, float *rounded, int n) {
    fr_guard caller = fr_guard_open();
    for (int j = 0; j < n && rounded; j++) {
        volatile double number = numbers[j]; /* nor may the compiler move the rounding out of the guard */
        volatile float nearest = (float)number;
        numbers[j] = rounded[j] = nearest;
    }
    int valid = domain(numbers);
    fr_guard_close(caller);
    return valid;
}

static ptrdiff_t fr_cut(const fr_call *call, const char *out, ptrdiff_t n, int part, int parts) {
    if (part == parts) return n;
    ptrdiff_t at = n / parts * part;
    ptrdiff_t past = (ptrdiff_t)((uintptr_t)(out + at * call->itemsize) % FR_CACHE_LINE) / call->itemsize;
    return at > past ? at - past : 0;
}

void fr_run_part(const fr_call *call, const char *const *in, char *out, ptrdiff_t n, int part, int parts) {
    ptrdiff_t start = fr_cut(call, out, n, part, parts), stop = fr_cut(call, out, n, part + 1, parts);
    const char *at[FR_MAX_INPUTS];
    for (int j = 0; j < call->ndata; j++) at[j] = in[j] + start * call->itemsize;
    for (int j = call->ndata; j < call->ndata + call->nparams; j++) at[j] = in[j];
    fr_run(call->scalar, at, out + start * call->itemsize, stop - start);
}

static void fr_copy_strided(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t from_stride, ptrdiff_t n,
                            ptrdiff_t itemsize) {
    if (itemsize == sizeof(uint32_t))
        for (ptrdiff_t i = 0; i < n; i++) *(uint32_t *)(to + i * to_stride) = *(const uint32_t *)(from + i * from_stride);
    else
        for (ptrdiff_t i = 0; i < n; i++) *(uint64_t *)(to + i * to_stride) = *(const uint64_t *)(from + i * from_stride);
}

static char *fr_at(const fr_view *view, int operand, const ptrdiff_t *index) {
    char *p = view->origin[operand];
    for (int k = 0; k < view->naxes; k++) p += index[k] * view->stride[k][operand];
    return p;
}

/* Moves the index on by m elements. */
static void fr_advance(const fr_view *view, ptrdiff_t *index, ptrdiff_t m) {
    for (int k = 0; k < view->naxes; k++) {
        index[k] += m;
        if (index[k] < view->shape[k]) return;
        m = index[k] / view->shape[k];
        index[k] -= m * view->shape[k];
    }
}

/* m elements from `index` on between an operand and a block. */
static void fr_copy(const fr_view *view, int operand, const ptrdiff_t *index, ptrdiff_t m, char *block,
                    ptrdiff_t itemsize, int into_block) {
    ptrdiff_t at[FR_MAX_AXES];
    memcpy(at, index, sizeof *at * (size_t)view->naxes);
    ptrdiff_t stride = view->stride[0][operand];
    while (m > 0) {
        ptrdiff_t run = view->shape[0] - at[0] < m ? view->shape[0] - at[0] : m;
        char *p = fr_at(view, operand, at);
        if (into_block)
            fr_copy_strided(block, itemsize, p, stride, run, itemsize);
        else
            fr_copy_strided(p, stride, block, itemsize, run, itemsize);
        block += run * itemsize;
        m -= run;
        fr_advance(view, at, run);
    }
}

/* Does the operand look like one axis of this stride (within the first axis only, if `row`)? */
static int fr_is_linear(const fr_view *view, int operand, ptrdiff_t stride, int row) {
    if (view->stride[0][operand] != stride) return 0;
    for (int k = 1; k < view->naxes && !row; k++)
        if (view->stride[k][operand] != view->stride[k - 1][operand] * view->shape[k - 1]) return 0;
    return 1;
}

static void fr_run_blocks(const fr_call *call, const fr_view *view, ptrdiff_t start, ptrdiff_t stop) {
    fr_block block[FR_MAX_OPERANDS];
    int nin = call->ndata + call->nparams;
    /* Long rows are taken one at a time; short ones are joined into blocks. */
    int row = view->naxes > 1 && view->shape[0] >= FR_BLOCK / 2;

    int way[FR_MAX_OPERANDS], copies = 0, numbers = 0;
    for (int j = 0; j <= nin; j++) {
        int parameter = j >= call->ndata && j < nin;
        if (fr_is_linear(view, j, call->itemsize, row)) way[j] = FR_DIRECT;
        else if (parameter && fr_is_linear(view, j, 0, row)) way[j] = FR_NUMBER, numbers++;
        else way[j] = FR_COPY;
    }
    fr_kernel kernel = numbers == call->nparams ? call->scalar : call->array;
    for (int j = 0; j <= nin; j++) {
        if (way[j] == FR_NUMBER && numbers < call->nparams) way[j] = FR_COPY; /* a mixture: all arrays */
        copies += way[j] == FR_COPY;
    }

    ptrdiff_t index[FR_MAX_AXES] = {0};
    fr_advance(view, index, start);
    while (start < stop) {
        ptrdiff_t m = stop - start;
        if (row && m > view->shape[0] - index[0]) m = view->shape[0] - index[0];
        if (copies && m > FR_BLOCK) m = FR_BLOCK;
        const char *in[FR_MAX_INPUTS];
        for (int j = 0; j < nin; j++) {
            if (way[j] == FR_COPY) {
                fr_copy(view, j, index, m, (char *)&block[j], call->itemsize, 1);
                in[j] = (const char *)&block[j];
            } else {
                in[j] = fr_at(view, j, index);
            }
        }
        if (way[nin] == FR_COPY) {
            kernel(in, (char *)&block[nin], m);
            fr_copy(view, nin, index, m, (char *)&block[nin], call->itemsize, 0);
        } else {
            kernel(in, fr_at(view, nin, index), m);
        }
        fr_advance(view, index, m);
        start += m;
    }
}

void fr_run_view(const fr_call *call, const fr_view *view, ptrdiff_t start, ptrdiff_t stop) {
    fr_guard caller = fr_guard_open();
    fr_run_blocks(call, view, start, stop);
    fr_guard_close(caller);
}

/* Can the elements be computed in any order: is each input exactly the output, or apart from it? */
static int fr_any_order(char **args, const ptrdiff_t *steps, int nin, ptrdiff_t n, ptrdiff_t itemsize) {
    ptrdiff_t last = (n - 1) * steps[nin];
    const char *out_low = args[nin] + (last < 0 ? last : 0), *out_high = args[nin] + (last > 0 ? last : 0) + itemsize;
    if (steps[nin] == 0) return 0;
    for (int j = 0; j < nin; j++) {
        if (args[j] == args[nin] && steps[j] == steps[nin]) continue;
        ptrdiff_t end = (n - 1) * steps[j];
        const char *low = args[j] + (end < 0 ? end : 0), *high = args[j] + (end > 0 ? end : 0) + itemsize;
        if (low < out_high && out_low < high) return 0;
    }
    return 1;
}

void fr_ufunc_loop(char **args, const ptrdiff_t *dimensions, const ptrdiff_t *steps, void *data) {
    const fr_call *call = (const fr_call *)data;
    ptrdiff_t n = dimensions[0];
    int nin = call->ndata + call->nparams;
    if (n <= 0) return;
    fr_guard caller = fr_guard_open();
    if (n == 1) {
        call->scalar((const char *const *)args, args[nin], 1);
    } else if (fr_any_order(args, steps, nin, n, call->itemsize)) {
        fr_view view;
        view.naxes = 1;
        view.shape[0] = n;
        for (int j = 0; j <= nin; j++) {
            view.stride[0][j] = steps[j];
            view.origin[j] = args[j];
        }
        fr_run_blocks(call, &view, 0, n);
    } else {
        /* Reductions and accumulations feed an output back as the next input. */
        const char *in[FR_MAX_INPUTS];
        for (ptrdiff_t i = 0; i < n; i++) {
            for (int j = 0; j < nin; j++) in[j] = args[j] + i * steps[j];
            call->scalar(in, args[nin] + i * steps[nin], 1);
        }
    }
    fr_guard_close(caller);
}
