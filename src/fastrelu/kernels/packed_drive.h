/* Runs the kernels of packed elements over arrays of any strides, in C order: contiguous operands go straight to a
 * kernel, others are gathered into blocks that stay in the first-level cache. */
#ifndef FASTRELU_PACKED_DRIVE_H
#define FASTRELU_PACKED_DRIVE_H

#include "guard.h"
#include "packed.h"
#include "view.h"

/* Elements of a block: shares end where a line of the bits ends. */
enum { FR_PACKED_BLOCK = 512, FR_PACKED_OPERANDS = 4 };

/* What is done with a block. */
enum { FR_PACKED_MASK, FR_PACKED_SELECT, FR_PACKED_WORDS, FR_PACKED_QUANTIZE, FR_PACKED_DEQUANTIZE, FR_PACKED_LOOKUP };

typedef struct {
    fr_view view; /* inputs, then the output */
    int inputs, has_output;
    ptrdiff_t n, size[FR_PACKED_OPERANDS];
    int direct[FR_PACKED_OPERANDS]; /* is it contiguous in C order? */
    const fr_packed *loops;
    const fr_stream *stream; /* NULL: the output is not streamed */
    int type;                /* of the kernels */
    ptrdiff_t itemsize;
    fr_move load, store; /* between the type in memory and that of the kernels; NULL: they are the same */
    int step;            /* FR_PACKED_MASK, ... */
    unsigned char *bits;
    fr_kernel forward, gradient;
    const char *numbers[2][FR_MAX_PARAMETERS]; /* the parameters of both */
    int nnumbers[2];
    const char *ones; /* as many as a block has elements */
    const char *inside, *outside;
    uint32_t limit;

    const char *scale, *zero; /* NULL: two operands after the first */
    double range[2];
    int is_signed, several; /* several tables: an operand has the index of the first entry for each element */
    int level;              /* the type in which is quantized */
    fr_move load_level;     /* to it, from that of the result in memory */
    const unsigned char *table;
} fr_packed_plan;

typedef union {
    FR_ON_A_LINE char line[FR_CACHE_LINE];
    double full[FR_PACKED_BLOCK];
    float lean[FR_PACKED_BLOCK];
    char bytes[FR_PACKED_BLOCK * 8];
} fr_packed_block;

static void fr_packed_call(const fr_packed_plan *plan, int which, const char *const *data, int ndata, char *out,
                           ptrdiff_t n) {
    const char *in[FR_MAX_INPUTS];
    for (int j = 0; j < ndata; j++) in[j] = data[j];
    for (int j = 0; j < plan->nnumbers[which]; j++) in[ndata + j] = plan->numbers[which][j];
    (which ? plan->gradient : plan->forward)(in, out, n);
}

/* The bits of the derivatives, which are the gradient of ones, before the result, which may overwrite x; without a
 * gradient those of the result. */
static void fr_packed_mask(const fr_packed_plan *plan, const char *const *in, char *out, ptrdiff_t first, ptrdiff_t n) {
    fr_packed_block x, block;
    const char *data[2] = {plan->ones, in[0]};
    char *y = plan->store ? block.bytes : out;
    if (plan->load) {
        plan->load(in[0], x.bytes, n);
        data[1] = x.bytes;
    }
    if (plan->gradient) {
        fr_packed_call(plan, 1, data, 2, block.bytes, n);
        plan->loops->pack[plan->type](block.bytes, plan->bits + first / 8, n);
    }
    if (!out) return;
    fr_packed_call(plan, 0, data + 1, 1, y, n);
    if (!plan->gradient) plan->loops->pack[plan->type](y, plan->bits + first / 8, n);
    if (plan->store) plan->store(y, out, n);
}

static void fr_packed_select(const fr_packed_plan *plan, const char *const *in, char *out, ptrdiff_t first,
                             ptrdiff_t n) {
    fr_packed_block g;
    const char *grad = in[0];
    if (plan->load) {
        plan->load(grad, g.bytes, n);
        grad = g.bytes;
    }
    plan->loops->select[plan->type](grad, plan->inside, plan->outside ? plan->outside : in[1], !plan->outside,
                                    plan->bits + first / 8, plan->store ? g.bytes : out, n);
    if (plan->store) plan->store(g.bytes, out, n);
}

static void fr_packed_words(const fr_packed_plan *plan, const char *const *in, char *out, ptrdiff_t first,
                            ptrdiff_t n) {
    (void)out;
    plan->loops->pack_words((const uint32_t *)in[0], plan->limit, plan->bits + first / 8, n);
}

static void fr_packed_quantize(const fr_packed_plan *plan, const char *const *in, char *out, ptrdiff_t first,
                               ptrdiff_t n) {
    fr_packed_block a, b;
    const char *x = in[0];
    (void)first;
    if (plan->forward) {
        if (plan->load) {
            plan->load(x, a.bytes, n);
            x = a.bytes;
        }
        fr_packed_call(plan, 0, &x, 1, b.bytes, n);
        x = b.bytes;
        if (plan->store) {
            plan->store(b.bytes, a.bytes, n);
            x = a.bytes;
        }
    }
    if (plan->load_level) {
        plan->load_level(x, b.bytes, n);
        x = b.bytes;
    }
    plan->loops->quantize[plan->level](x, plan->scale ? plan->scale : in[1], plan->zero ? plan->zero : in[2],
                                       !plan->scale, plan->range, out, n);
}

static void fr_packed_dequantize(const fr_packed_plan *plan, const char *const *in, char *out, ptrdiff_t first,
                                 ptrdiff_t n) {
    fr_packed_block x;
    const fr_dequantize dequantize = plan->store ? plan->loops->dequantize_odd : plan->loops->dequantize[plan->type];
    (void)first;
    dequantize(in[0], plan->scale ? plan->scale : in[1], plan->zero ? plan->zero : in[2], !plan->scale, plan->is_signed,
               plan->store ? x.bytes : out, n);
    if (plan->store) plan->store(x.bytes, out, n);
}

static void fr_packed_lookup(const fr_packed_plan *plan, const char *const *in, char *out, ptrdiff_t first,
                             ptrdiff_t n) {
    const unsigned char *x = (const unsigned char *)in[0];
    unsigned char *to = (unsigned char *)out;
    (void)first;
    if (plan->several) {
        const int64_t *start = (const int64_t *)in[1];
        for (ptrdiff_t i = 0; i < n; i++) to[i] = plan->table[start[i] + x[i]];
    } else plan->loops->lookup(plan->table, x, to, n);
}

/* One block: the operands as they are in memory, and the index of the first element. */
static void (*const fr_packed_steps[])(const fr_packed_plan *, const char *const *in, char *out, ptrdiff_t first,
                                       ptrdiff_t n) = {fr_packed_mask,     fr_packed_select,     fr_packed_words,
                                                       fr_packed_quantize, fr_packed_dequantize, fr_packed_lookup};

static ptrdiff_t fr_packed_blocks(const fr_packed_plan *plan) {
    return (plan->n + FR_PACKED_BLOCK - 1) / FR_PACKED_BLOCK;
}

/* Part `part` of `parts` of the blocks. */
static void fr_packed_part(const fr_packed_plan *plan, ptrdiff_t part, ptrdiff_t parts) {
    const ptrdiff_t blocks = fr_packed_blocks(plan);
    ptrdiff_t first = blocks * part / parts * FR_PACKED_BLOCK, stop = blocks * (part + 1) / parts * FR_PACKED_BLOCK;
    ptrdiff_t index[FR_MAX_AXES] = {0};
    fr_packed_block block[FR_PACKED_OPERANDS];
    const int o = plan->inputs;
    int gathered = plan->has_output && !plan->direct[o];
    for (int j = 0; j < plan->inputs; j++) gathered |= !plan->direct[j];
    /* No step needs a block: the whole share at once. */
    const int whole = !gathered && !plan->stream && !plan->forward && !plan->gradient && !plan->load && !plan->store &&
                      !plan->load_level;
    const ptrdiff_t most = whole ? stop - first : FR_PACKED_BLOCK;
    if (stop > plan->n) stop = plan->n;
    if (gathered) fr_advance(&plan->view, index, first);
    fr_guard caller = fr_guard_open();
    while (first < stop) {
        const ptrdiff_t m = stop - first < most ? stop - first : most;
        const char *in[FR_PACKED_OPERANDS], *next[FR_PACKED_OPERANDS];
        int nexts = 0;
        for (int j = 0; j < plan->inputs; j++) {
            in[j] = plan->view.origin[j] + first * plan->size[j];
            if (plan->direct[j]) next[nexts++] = in[j] + m * plan->size[j];
            else {
                fr_copy(&plan->view, j, index, m, block[j].bytes, plan->size[j], 1);
                in[j] = block[j].bytes;
            }
        }
        if (!plan->has_output) fr_packed_steps[plan->step](plan, in, NULL, first, m);
        else {
            char *out = plan->view.origin[o] + first * plan->size[o];
            const int to_block = !plan->direct[o] || plan->stream;
            fr_packed_steps[plan->step](plan, in, to_block ? block[o].bytes : out, first, m);
            if (!plan->direct[o]) fr_copy(&plan->view, o, index, m, block[o].bytes, plan->size[o], 0);
            else if (plan->stream) plan->stream->move(out, block[o].bytes, m * plan->size[o], next, nexts);
        }
        if (gathered) fr_advance(&plan->view, index, m);
        first += m;
    }
    if (plan->stream) plan->stream->finish();
    fr_guard_close(caller);
}

#endif
