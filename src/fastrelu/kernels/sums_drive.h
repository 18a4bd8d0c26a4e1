/* Runs the loops of sums_loops.h over arrays of any strides and sums their terms; included by table.h.
 *
 * A run of `inner` terms is halved block by block (elements i and i + h are added) until one term is left; blocks, runs
 * and tasks are then added one after the other with compensation (the rounding errors are summed in a second double).
 * In double the halving is compensated too; in float the terms are doubles, which have 29 bits more than the result. */
#include "guard.h"
#include "sums.h"
#include "two_sum.h"

enum {
    FR_TERM_BLOCK = 512, /* elements whose terms stay in the first-level cache */
    FR_SUMS_ROW = 2048,  /* sums that stay in the second-level cache while the rows pass */
    FR_SUMS_ROWS = 4,    /* rows that are added while their sums are in registers */
    FR_SUMS_RUN = 32,    /* runs from this length on are summed by themselves, shorter ones in blocks of many */
    FR_PIECE = 8192,     /* elements of a long run that make one unit of a task's work */
    FR_SPAN = 1024,      /* least number of neighboring elements for a task, if kept is cut */
    FR_TASK = 16384,     /* elements below which a task is not worth its own sums */
    FR_FEW_TERMS = 64,   /* terms of a sum below which a task is not worth its own */
    FR_TASKS = 64
};

/* Adds m terms to m sums, one to each. The neutral element of addition is -0. */
static void fr_add_terms(double *high, double *low, const double *terms, ptrdiff_t m) {
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < m; i++) fr_add_to(&high[i], &low[i], terms[i]);
}
/* Adds FR_SUMS_ROWS rows of m terms, one after the other. */
static void fr_add_rows(double *high, double *low, const double *const *row, ptrdiff_t m) {
    const double *a = row[0], *b = row[1], *c = row[2], *d = row[3];
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < m; i++) {
        double sum = high[i], lost = low[i];
        fr_add_to(&sum, &lost, a[i]);
        fr_add_to(&sum, &lost, b[i]);
        fr_add_to(&sum, &lost, c[i]);
        fr_add_to(&sum, &lost, d[i]);
        high[i] = sum;
        low[i] = lost;
    }
}
static void fr_add_pairs(double *high, double *low, const double *high2, const double *low2, ptrdiff_t m) {
    FR_INDEPENDENT
    for (ptrdiff_t i = 0; i < m; i++) {
        double e, s = fr_two_sum(high[i], high2[i], &e);
        high[i] = s;
        low[i] += low2[i] + e;
    }
}

/* The sum of m terms, which it overwrites. */
static double fr_fold(double *t, ptrdiff_t m) {
    ptrdiff_t h = 1;
    while (2 * h < m) h *= 2;
    for (; h >= 8; h /= 2) {
        ptrdiff_t pairs = m - h;
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < pairs; i++) t[i] += t[i + h];
        m = h;
    }
    for (; h >= 1; h /= 2) {
        for (ptrdiff_t i = 0; i + h < m; i++) t[i] += t[i + h];
        m = h;
    }
    return t[0];
}
/* The same with the rounding errors in l. */
static double fr_fold_exact(double *t, double *l, ptrdiff_t m) {
    ptrdiff_t h = 1;
    for (ptrdiff_t i = 0; i < m; i++) l[i] = 0;
    while (2 * h < m) h *= 2;
    for (; h >= 1; h /= 2) {
        ptrdiff_t pairs = m - h;
        FR_INDEPENDENT
        for (ptrdiff_t i = 0; i < pairs; i++) {
            double e, s = fr_two_sum(t[i], t[i + h], &e);
            t[i] = s;
            l[i] = (l[i] + l[i + h]) + e;
        }
        m = h;
    }
    return t[0];
}

/* The place of a 16-bit type among the formats. */
static inline int fr_format_of_half(int type) { return type == FR_float16 ? FR_AS_HALF : FR_AS_BFLOAT; }

/* high + low, where low may be NaN next to an infinity, and must not change the sign of a zero */
static inline double fr_whole(double high, double low) { return ((low == 0) | (low != low)) ? high : high + low; }

#define TYPE(name, number, storage, kernels, fast, accurate)                                           \
    FR_WITH_##kernels(if (type == FR_##name) for (ptrdiff_t i = 0; i < count; i++)((storage *)to)[i] = \
                          (storage)fr_whole(from.high[i], from.low[i]);)
/* Overwrites sums that are rounded to 16 bits. */
static void fr_round_pairs(fr_pairs from, ptrdiff_t count, int type, char *to) {
#include "types.def"
    if (type < FR_OWN_TYPES) return;
    for (ptrdiff_t i = 0; i < count; i++) from.high[i] = fr_whole(from.high[i], from.low[i]);
    fr_convert_table.store[FR_float64][fr_format_of_half(type)]((const char *)from.high, to, count);
}
#undef TYPE

/* Does a term have no more digits than the sum is rounded to? */
static inline int fr_is_full(const fr_sums_job *job) { return fr_types[job->type].size == sizeof(double); }

/* Is dx itself added, in float, instead of terms? */
static inline int fr_adds_floats(const fr_sums_job *job) { return job->biased && !fr_is_full(job) && job->inner == 1; }

/* The same of 16 bits: as much as the kernel reads in blocks of bytes, because there are no terms in double. */
static inline int fr_adds_halves(const fr_sums_job *job) { return job->biased && job->biased->half && job->inner == 1; }

static void fr_sums_split(fr_sums_job *job) {
    ptrdiff_t run = job->inner, n = job->outer * job->kept * run;
    job->pieces = run >= 2 * FR_PIECE ? run / FR_PIECE : 1;
    ptrdiff_t want = n / FR_TASK < FR_TASKS ? n / FR_TASK : FR_TASKS;
    if (want < 1) want = 1;
    ptrdiff_t across = job->pieces > 1 ? job->kept : job->kept * run / FR_SPAN;
    if (across > want) across = want;
    if (across > job->kept) across = job->kept;
    if (across < 1) across = 1;
    ptrdiff_t along = (want + across - 1) / across, units = job->outer * job->pieces;
    if (along > units) along = units;
    if (along > job->outer * run / FR_FEW_TERMS) along = job->outer * run / FR_FEW_TERMS;
    job->across = (int)across;
    job->along = (int)(along > 1 ? along : 1);
}

/* The start of part `part` of `of` equal parts of n. */
static inline ptrdiff_t fr_part(ptrdiff_t n, ptrdiff_t part, ptrdiff_t of) {
    return n / of * part + n % of * part / of;
}

/* The workspace of a task. Its blocks are too large for a small stack. */
typedef struct {
    const fr_sums_job *job;
    ptrdiff_t itemsize;
    int dense[FR_MAX_OPERANDS];        /* contiguous over every range that a kernel takes in one call */
    int same[FR_MAX_OPERANDS];         /* in every row, which begins every block */
    ptrdiff_t filled[FR_MAX_OPERANDS]; /* elements of the same rows that the block holds */
    double *high[FR_MAX_PARAMETERS], *low[FR_MAX_PARAMETERS], *terms[FR_MAX_PARAMETERS], *lost;
    const double *row[FR_SUMS_ROWS]; /* rows of dx that are not added yet */
    int waiting, waits;              /* how many; do rows wait? */
    int whole;                       /* are rows passed to the kernel as they are, not in blocks? */
    ptrdiff_t most;                  /* elements of a block of short runs */
    char *block[FR_MAX_OPERANDS];    /* of operands that are not contiguous */
} fr_sums_state;

/* FR_BIASED_BLOCKS: of a residual, and of the sum that f gets. */
enum { FR_BIASED_BLOCKS = 2 };
enum { FR_TERM_BYTES = FR_TERM_BLOCK * sizeof(double) }; /* of a block; no operand is wider than the terms */

static size_t fr_sums_room(const fr_sums_job *job) {
    return (size_t)(job->nparams + 1 + 3 + job->nparams + FR_BIASED_BLOCKS) * FR_TERM_BYTES +
           (size_t)(2 * job->nparams) * FR_SUMS_ROW * sizeof(double) + FR_CACHE_LINE;
}

static void fr_sums_furnish(fr_sums_state *state, const fr_sums_job *job, char *room) {
    state->job = job;
    state->itemsize = fr_types[job->type].size;
    room += -(uintptr_t)room % FR_CACHE_LINE;
    for (int p = 0; p < job->nparams; p++) {
        state->high[p] = (double *)room;
        state->low[p] = state->high[p] + FR_SUMS_ROW;
        state->terms[p] = state->low[p] + FR_SUMS_ROW;
        room = (char *)(state->terms[p] + FR_TERM_BLOCK);
    }
    state->lost = (double *)room;
    for (int j = 0; j < 3 + job->nparams + FR_BIASED_BLOCKS; j++) state->block[j] = room += FR_TERM_BYTES;
}

/* Is an operand contiguous over every `span` consecutive elements in the logical order? */
static int fr_is_dense(const fr_view *view, int operand, ptrdiff_t span, ptrdiff_t itemsize) {
    ptrdiff_t size = 1;
    for (int k = 0; k < view->naxes && size < span; k++) {
        if (view->stride[k][operand] != size * itemsize) return 0;
        size *= view->shape[k];
    }
    return 1;
}

/* Does each row of an operand hold the same elements? */
static int fr_is_same(const fr_view *view, int operand, ptrdiff_t row) {
    ptrdiff_t size = 1;
    for (int k = 0; k < view->naxes; k++) {
        size *= view->shape[k];
        if (size > row && view->stride[k][operand] != 0) return 0;
    }
    return 1;
}

/* Adds 16-bit elements, with the rounding of NumPy's sums. Kernels without such a loop add in two blocks. */
static void fr_sums_add_halves(const fr_call *call, int type, const char *x, const char *y, char *sum,
                               char *const *block, ptrdiff_t m) {
    const fr_combine direct = fr_convert_table.direct[type - FR_OWN_TYPES][FR_ADD];
    if (direct) {
        direct(x, y, sum, m);
        return;
    }
    call->load(x, block[0], m);
    call->load(y, block[1], m);
    fr_convert_table.combine[call->type][FR_ADD](block[0], block[1], block[0], m);
    fr_convert_table.store[call->type][call->format](block[0], sum, m);
}

/* Computes 16-bit dx from inputs of which the first two are data; returns it in float. The blocks of terms and of their
 * rounding errors hold what is converted. */
static const char *fr_sums_halves(fr_sums_state *state, const char **inputs, const char *bias, const char *residual,
                                  char *sum, char *out, ptrdiff_t m) {
    const fr_biased *biased = state->job->biased;
    const fr_call *call = biased->half;
    const int type = state->job->type;
    char *const block[] = {(char *)state->terms[0], (char *)state->lost};
    if (biased->add) fr_sums_add_halves(call, type, inputs[1], bias, sum, block, m), inputs[1] = sum;
    if (residual) fr_sums_add_halves(call, type, sum, residual, sum, block, m);
    if (call->direct && m >= FR_DIRECT_FROM) {
        call->direct(inputs, out, m);
    } else {
        for (int j = 0; j < 2; j++) {
            call->load(inputs[j], block[j], m);
            inputs[j] = block[j];
        }
        call->scalar(inputs, block[0], m);
        call->store(block[0], out, m);
    }
    fr_convert_table.load[FR_float32][call->format](out, block[1], m);
    return block[1];
}

/* Computes dx, which is added to sums if they are not NULL; or the terms of the bias, if wanted, are copies in double.
 * The bias is one number only for a kernel that adds it. Returns dx as it is added: 16-bit elements in float. */
static const char *fr_sums_biased(fr_sums_state *state, const char *const *in, int number, const char *residual,
                                  char *out, double *sums, int keeps_terms, ptrdiff_t m) {
    const fr_sums_job *job = state->job;
    const fr_biased *biased = job->biased;
    char *sum = state->block[2 + job->nparams + 2];
    double *terms = state->terms[0];
    const char *inputs[FR_MAX_OPERANDS] = {in[0], in[1]}, **slot = &inputs[2 + biased->nnumbers], *dx = out;
    for (int j = 0; j < biased->nnumbers; j++) inputs[2 + j] = biased->number[j];
    /* A block of doubles that ends within a tile costs more in registers than through memory. */
    if (biased->fused && (number || !fr_is_full(job) || m % FR_TILE == 0 || m > FR_TERM_BLOCK)) {
        slot[number ? 0 : 1] = in[2];
        slot[2] = residual;
        biased->fused(inputs, out, (char *)sums, m);
    } else if (biased->half) {
        dx = fr_sums_halves(state, inputs, in[2], residual, sum, out, m);
    } else {
        if (biased->add) biased->add(inputs[1], in[2], sum, m), inputs[1] = sum;
        if (residual) biased->add(sum, residual, sum, m);
        biased->gradient(inputs, out, m);
    }
    if (!keeps_terms) return dx;
    if (fr_is_full(job)) memcpy(terms, dx, (size_t)m * sizeof *terms);
    else FR_INDEPENDENT for (ptrdiff_t i = 0; i < m; i++) terms[i] = ((const float *)(const void *)dx)[i];
    return dx;
}

/* The m elements of an operand from `index` on: where they are, or in a block. */
static const char *fr_sums_load(fr_sums_state *state, int operand, const ptrdiff_t *index, ptrdiff_t m) {
    const fr_view *view = &state->job->view;
    if (state->dense[operand]) return fr_at(view, operand, index);
    if (state->filled[operand] >= m && m > 0) return state->block[operand];
    state->filled[operand] = state->same[operand] ? m : 0;
    fr_copy(view, operand, index, m, state->block[operand], state->itemsize, 1);
    return state->block[operand];
}

/* Computes dx, which it returns as it is added, and the terms of m elements from `index` on, and advances the index
 * past them. With sums, a fused kernel adds dx to them. */
static const char *fr_sums_block(fr_sums_state *state, ptrdiff_t *index, ptrdiff_t m, int numbers, int keeps_terms,
                                 double *sums) {
    const fr_sums_job *job = state->job;
    const fr_view *view = &job->view;
    const char *in[FR_MAX_INPUTS];
    double *terms[FR_MAX_PARAMETERS];
    int nin = 2 + job->nparams;
    for (int j = 0; j < nin; j++) {
        const int number = numbers && j >= 2 && (!job->biased || job->biased->fused);
        in[j] = number ? fr_at(view, j, index) : fr_sums_load(state, j, index, m);
    }
    for (int p = 0; p < job->nparams; p++) terms[p] = state->terms[p];
    fr_terms kernel = numbers ? job->scalar : job->array;
    char *out = state->dense[nin] ? fr_at(view, nin, index) : state->block[nin];
    const char *dx = out;
    if (job->biased) {
        const char *residual = job->biased->residual ? fr_sums_load(state, nin + 1, index, m) : NULL;
        dx = fr_sums_biased(state, in, numbers, residual, out, sums, keeps_terms, m);
    } else kernel(in, out, terms, m);
    if (out == state->block[nin]) fr_copy(view, nin, index, m, out, state->itemsize, 0);
    fr_advance(view, index, m);
    return dx;
}

/* One long run: elements [start, stop) of `inner` for sum number i */
static void fr_sums_long(fr_sums_state *state, ptrdiff_t *index, ptrdiff_t count, ptrdiff_t i) {
    const fr_sums_job *job = state->job;
    while (count > 0) {
        ptrdiff_t m = count < FR_TERM_BLOCK ? count : FR_TERM_BLOCK;
        fr_sums_block(state, index, m, 1, 1, NULL);
        for (int p = 0; p < job->nparams; p++) {
            double *t = state->terms[p], e = -0.0;
            double sum = fr_is_full(job) ? fr_fold_exact(t, state->lost, m) : fr_fold(t, m);
            if (fr_is_full(job)) e = state->lost[0];
            fr_add_pairs(&state->high[p][i], &state->low[p][i], &sum, &e, 1);
        }
        count -= m;
    }
}

/* Adds numbers of 24 bits, which need no compensation in double, to m sums. In blocks, strips may end after the last
 * sum: what is added there to no sum lies in the room too. */
static void fr_add_floats(double *high, const float *t, ptrdiff_t rows, ptrdiff_t m, int in_blocks) {
    enum { STRIP = 32 }; /* sums that stay in registers */
    const ptrdiff_t end = in_blocks ? m : m - STRIP + 1;
    ptrdiff_t k = 0;
    for (; rows > 1 && k < end; k += STRIP) {
        double sum[STRIP];
        memcpy(sum, &high[k], sizeof sum);
        for (ptrdiff_t r = 0; r < rows; r++)
            for (int i = 0; i < STRIP; i++) sum[i] += t[r * m + k + i];
        memcpy(&high[k], sum, sizeof sum);
    }
    for (ptrdiff_t r = 0; r < rows; r++) FR_INDEPENDENT for (ptrdiff_t i = k; i < m; i++) high[i] += t[r * m + i];
}

/* Short runs, for the sums 0 to m, of some rows; of more than one only if all sums fit into a block. */
static void fr_sums_short(fr_sums_state *state, ptrdiff_t *index, ptrdiff_t m, ptrdiff_t rows) {
    const fr_sums_job *job = state->job;
    const ptrdiff_t inner = job->inner, step = state->whole ? m : state->most / inner;
    const int floats = fr_adds_floats(job), doubles = job->biased && fr_is_full(job);
    /* Many rows of a block are added sooner to sums that stay in registers. */
    const int inside = floats && job->biased->fused && rows == 1;
    if (state->waits) state->row[state->waiting++] = (const double *)(void *)fr_at(&job->view, 2 + job->nparams, index);
    for (ptrdiff_t i = 0; i < m; i += step) {
        ptrdiff_t some = m - i < step ? m - i : step;
        double *sums = inside ? &state->high[0][i] : NULL;
        const void *dx = fr_sums_block(state, index, rows * some * inner, 0, !floats && !doubles, sums);
        if (inside || state->waits) continue;
        if (floats) fr_add_floats(&state->high[0][i], dx, rows, some, job->biased->half != NULL);
        for (int p = 0; p < job->nparams && !floats; p++) {
            const double *t = doubles ? dx : state->terms[p];
            double *high = &state->high[p][i], *low = &state->low[p][i];
            for (ptrdiff_t r = 0; r < rows; r++, t += some * inner) {
                if (inner == 1) fr_add_terms(high, low, t, some);
                else
                    for (ptrdiff_t k = 0; k < some; k++)
                        for (ptrdiff_t l = 0; l < inner; l++) fr_add_terms(&high[k], &low[k], &t[k * inner + l], 1);
            }
        }
    }
    if (state->waiting == FR_SUMS_ROWS) {
        fr_add_rows(state->high[0], state->low[0], state->row, m);
        state->waiting = 0;
    }
}

static void fr_sums_run(const fr_sums_job *job, int task, char *room) {
    fr_guard caller = fr_guard_open();
    fr_sums_state state;
    ptrdiff_t inner = job->inner, units = job->outer * job->pieces;
    int across = task % job->across, along = task / job->across, is_long = inner >= FR_SUMS_RUN;
    ptrdiff_t first = fr_part(job->kept, across, job->across), last = fr_part(job->kept, across + 1, job->across);
    ptrdiff_t from = fr_part(units, along, job->along), to = fr_part(units, along + 1, job->along);
    fr_sums_furnish(&state, job, room);
    const ptrdiff_t row_size = job->kept * inner;
    state.most = fr_adds_halves(job) ? FR_TERM_BYTES / job->biased->half->itemsize : FR_TERM_BLOCK;
    const ptrdiff_t rows = is_long || job->across > 1 || row_size > state.most ? 1 : state.most / row_size;
    /* Many rows may begin and end anywhere. */
    const ptrdiff_t span = is_long ? inner : rows > 1 ? PTRDIFF_MAX : row_size;
    state.whole = job->biased && job->biased->fused && inner == 1 && rows == 1;
    for (int j = 0; j < 3 + job->nparams + (job->biased && job->biased->residual); j++) {
        state.dense[j] = fr_is_dense(&job->view, j, span, state.itemsize);
        state.same[j] = rows > 1 && fr_is_same(&job->view, j, row_size);
        state.filled[j] = 0;
        state.whole &= state.dense[j];
    }
    /* Doubles of rows longer than a block are added from dx itself, some rows at a time. */
    state.waits =
        job->biased && fr_is_full(job) && inner == 1 && row_size > FR_TERM_BLOCK && state.dense[2 + job->nparams];
    state.waiting = 0;

    for (ptrdiff_t at = first; at < last; at += FR_SUMS_ROW) {
        ptrdiff_t m = last - at < FR_SUMS_ROW ? last - at : FR_SUMS_ROW;
        for (int p = 0; p < job->nparams; p++)
            for (ptrdiff_t i = 0; i < m; i++) state.high[p][i] = state.low[p][i] = -0.0;
        for (ptrdiff_t unit = from; unit < to; unit += rows) {
            ptrdiff_t row = unit / job->pieces, piece = unit % job->pieces;
            ptrdiff_t start = fr_part(inner, piece, job->pieces), stop = fr_part(inner, piece + 1, job->pieces);
            for (ptrdiff_t i = 0; i < (is_long ? m : 1); i++) {
                ptrdiff_t index[FR_MAX_AXES];
                memset(index, 0, sizeof *index * (size_t)job->view.naxes);
                fr_advance(&job->view, index, (row * job->kept + at + i) * inner + start);
                if (is_long) fr_sums_long(&state, index, stop - start, i);
                else fr_sums_short(&state, index, m, to - unit < rows ? to - unit : rows);
            }
        }
        for (int r = 0; r < state.waiting; r++) fr_add_terms(state.high[0], state.low[0], state.row[r], m);
        state.waiting = 0;
        for (int p = 0; p < job->nparams; p++) {
            fr_pairs sums = {state.high[p], state.low[p]};
            if (job->along == 1 && job->result[p]) {
                fr_round_pairs(sums, m, job->type, job->result[p] + at * state.itemsize);
            } else {
                size_t where = (size_t)(along * job->kept + at), size = (size_t)m * sizeof(double);
                memcpy(job->part[p].high + where, sums.high, size);
                memcpy(job->part[p].low + where, sums.low, size);
            }
        }
    }
    fr_guard_close(caller);
}

static void fr_sums_merge(const fr_sums_job *job) {
    fr_guard caller = fr_guard_open();
    for (int p = 0; p < job->nparams; p++) {
        fr_pairs all = job->part[p];
        for (int k = 1; k < job->along; k++)
            fr_add_pairs(all.high, all.low, all.high + k * job->kept, all.low + k * job->kept, job->kept);
        if (job->result[p]) fr_round_pairs(all, job->kept, job->type, job->result[p]);
    }
    fr_guard_close(caller);
}

static void fr_sums_gather(fr_pairs from, const ptrdiff_t *index, ptrdiff_t n, fr_pairs into) {
    fr_guard caller = fr_guard_open();
    for (ptrdiff_t i = 0; i < n; i++)
        fr_add_pairs(into.high + index[i], into.low + index[i], from.high + i, from.low + i, 1);
    fr_guard_close(caller);
}

static void fr_sums_round(fr_pairs from, ptrdiff_t count, int type, char *to) {
    fr_guard caller = fr_guard_open();
    fr_round_pairs(from, count, type, to);
    fr_guard_close(caller);
}

#define OP(name, parameters, rounding, cost, domain, gradient, learned, direct) \
    FR_WITH_##learned(                                                          \
        {#name, cost, FR_COUNT_##parameters, rounding(name##_terms_scalar), rounding(name##_terms_array)}, )
static const fr_learned fr_learned_table[] = {
#include "ops.def"
};
#undef OP

static const fr_sums fr_sums_here = {
    fr_learned_table, (int)(sizeof fr_learned_table / sizeof *fr_learned_table),
    fr_sums_split,    fr_sums_room,
    fr_sums_run,      fr_sums_merge,
    fr_sums_gather,   fr_sums_round,
};
