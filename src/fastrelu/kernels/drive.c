/* Runs a kernel over operands of any stride, box by box: contiguous operands go straight to the kernel, others are
 * gathered into blocks that stay in the first-level cache. */
#include "drive.h"

#include <stdint.h>
#include <string.h>

#include "copy.h"
#include "guard.h"

/* FR_BLOCK: elements of a block. FR_LONG: of a box if no operand needs a block. FR_SHORT_BOX: rows shorter than this
 * are always put together into a box of several rows. */
enum { FR_BLOCK = 512, FR_LONG = 4096, FR_SHORT_BOX = 16 };
/* FR_COPIED_ROW: rows shorter than this are put together too if an operand of a single row needs a block: a box costs
 * more than its elements. */
enum { FR_COPIED_ROW = 128 };
/* FR_SHORT_RUN: elements of a run below which a longer one is copied, although the lines of the cache are then touched
 * several times. FR_NEAR: bytes from one of its elements to the next up to which these lines stay in the first cache.
 */
enum { FR_SHORT_RUN = 16, FR_NEAR = 512 };
/* FR_MOVED: bytes of a streamed box. FR_WORTH_MOVING: from this size on the partly filled lines at its ends do not
 * matter. */
enum { FR_MOVED = 2048, FR_WORTH_MOVING = 1024 };
/* Bytes from which on results do not stay in the first cache. */
enum { FR_WORTH_ALIGNING = 1 << 15 };
/* FR_FAR: bytes of an operand that does not stay in the second cache. A kernel that computes much has too few loads
 * under way to hide how far its inputs are, and hardware does not prefetch enough: they are prefetched a part ahead. */
enum { FR_FAR = 1 << 20, FR_FAR_PART = 1 << 10 };
/* Bytes to prefetch where rows are not adjacent in memory. */
enum { FR_ROWS_AHEAD = 2048 };

#define TYPE(name, number, storage, kernels, fast, accurate) storage name[FR_BLOCK];
typedef union {
    FR_ON_A_LINE char line[FR_CACHE_LINE];
#include "types.def"
} fr_block;
#undef TYPE

/* How an operand reaches the kernel: directly; as one number; through a block per box; through one block that all boxes
 * share. */
enum { FR_AS_IT_IS, FR_AS_NUMBER, FR_BY_COPY, FR_COPY_ONCE };

/* The numbers are volatile so that the compiler does not move the rounding out of the guard. */
#define TYPE(name, number, storage, kernels, fast, accurate)               \
    FR_WITH_##kernels(if (type == FR_##name) for (int j = 0; j < n; j++) { \
        volatile double exact = numbers[j];                                \
        volatile storage nearest = (storage)exact;                         \
        numbers[j] = ((storage *)rounded)[j] = nearest;                    \
    })
int fr_take_numbers(fr_domain domain, double *numbers, int type, void *rounded, int n) {
    fr_guard caller = fr_guard_open();
#include "types.def"
    int valid = domain(numbers);
    fr_guard_close(caller);
    return valid;
}
#undef TYPE

static ptrdiff_t fr_cut(const fr_call *call, const char *out, ptrdiff_t n, int part, int parts) {
    if (part == parts) return n;
    ptrdiff_t at = n / parts * part;
    ptrdiff_t past = (ptrdiff_t)((uintptr_t)(out + at * call->size) % FR_CACHE_LINE) / call->size;
    return at > past ? at - past : 0;
}

/* Runs one of the kernels of a call on elements `start` to `stop` of contiguous operands. */
static void fr_run_from(const fr_call *call, fr_kernel kernel, const char *const *in, char *out, ptrdiff_t start,
                        ptrdiff_t stop) {
    const char *at[FR_MAX_INPUTS];
    for (int j = 0; j < call->ndata; j++) at[j] = in[j] + start * call->size;
    for (int j = call->ndata; j < call->ndata + call->nparams; j++) at[j] = in[j];
    kernel(at, out + start * call->size, stop - start);
}

/* Are operands of n elements so large, and does the kernel compute so much, that they are best prefetched? */
static int fr_is_far(const fr_call *call, ptrdiff_t n) {
    return FR_FETCHES && !call->light && n * call->size >= FR_FAR;
}

/* Prefetches n elements of each input from `start` on, which may lie behind their ends. */
static void fr_fetch(const fr_call *call, const char *const *in, ptrdiff_t start, ptrdiff_t n) {
    for (int j = 0; j < call->ndata; j++)
        for (ptrdiff_t k = 0; k < n * call->size; k += FR_CACHE_LINE) FR_FETCH(in[j] + start * call->size + k);
}

/* The same part by part; each part is prefetched while the one before it is computed. */
static void fr_run_far(const fr_call *call, fr_kernel kernel, const char *const *in, char *out, ptrdiff_t start,
                       ptrdiff_t stop) {
    const ptrdiff_t most = FR_FAR_PART / call->size;
    for (ptrdiff_t i = start, m; i < stop; i += m) {
        m = stop - i < most ? stop - i : most;
        fr_fetch(call, in, i + most, m);
        fr_run_from(call, kernel, in, out, i, i + m);
    }
}

/* The large arrays of NumPy begin 16 bytes after a line of the cache: then every vector crosses one. A light kernel
 * first computes the elements before a line. */
void fr_run_part(const fr_call *call, const char *const *in, char *out, ptrdiff_t n, int part, int parts) {
    const fr_guard caller = fr_guard_open();
    if (fr_is_far(call, n)) {
        fr_run_far(call, call->scalar, in, out, fr_cut(call, out, n, part, parts),
                   fr_cut(call, out, n, part + 1, parts));
    } else if (parts == 1 && !(call->light && n * call->size >= FR_WORTH_ALIGNING)) {
        call->scalar(in, out, n);
    } else {
        ptrdiff_t start = fr_cut(call, out, n, part, parts), stop = fr_cut(call, out, n, part + 1, parts);
        const ptrdiff_t past = (ptrdiff_t)((uintptr_t)(out + start * call->size) % FR_CACHE_LINE);
        if (past && call->light && (stop - start) * call->size >= FR_WORTH_ALIGNING) {
            const ptrdiff_t first = start + (FR_CACHE_LINE - past) / call->size;
            fr_run_from(call, call->scalar, in, out, start, first);
            start = first;
        }
        fr_run_from(call, call->scalar, in, out, start, stop);
    }
    fr_guard_close(caller);
}

void fr_convert_part(const fr_call *call, const char *const *in, char *out, ptrdiff_t n, int part, int parts) {
    fr_guard caller = fr_guard_open();
    const ptrdiff_t start = fr_cut(call, out, n, part, parts), stop = fr_cut(call, out, n, part + 1, parts);
    const ptrdiff_t size = call->size;
    const int far = fr_is_far(call, n);
    fr_block block[2];
    const char *at[FR_MAX_INPUTS];
    for (int j = 0; j < call->ndata; j++) at[j] = (const char *)&block[j];
    for (int j = call->ndata; j < call->ndata + call->nparams; j++) at[j] = in[j];
    if (call->direct && stop - start >= FR_DIRECT_FROM) {
        (far ? fr_run_far : fr_run_from)(call, call->direct, in, out, start, stop);
    } else {
        const ptrdiff_t most = (ptrdiff_t)sizeof(fr_block) / call->itemsize;
        for (ptrdiff_t i = start; i < stop; i += most) {
            const ptrdiff_t m = stop - i < most ? stop - i : most;
            if (far) fr_fetch(call, in, i + most, m);
            for (int j = 0; j < call->ndata; j++) call->load(in[j] + i * size, (char *)&block[j], m);
            call->scalar(at, (char *)&block[0], m);
            call->store((const char *)&block[0], out + i * size, m);
        }
    }
    fr_guard_close(caller);
}

/* --- Copies between an operand and a block --- */

/* Four contiguous runs, `next` apart, interleaved into a block: the runs of an operand that is contiguous along an axis
 * other than 0. */
#define FR_COPY_ACROSS(size, type)                                                                                   \
    static void fr_copy_across##size(char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t next, ptrdiff_t n) { \
        const type *a = (const type *)from, *b = (const type *)(from + next);                                        \
        const type *c = (const type *)(from + 2 * next), *d = (const type *)(from + 3 * next);                       \
        for (ptrdiff_t i = 0; i < n; i++) {                                                                          \
            type *four = (type *)(to + i * to_stride);                                                               \
            type w = a[i], x = b[i], y = c[i], z = d[i];                                                             \
            four[0] = w;                                                                                             \
            four[1] = x;                                                                                             \
            four[2] = y;                                                                                             \
            four[3] = z;                                                                                             \
        }                                                                                                            \
    }
FR_EACH_SIZE(FR_COPY_ACROSS)

#define FR_ACROSS_IF_SIZE(size, type) \
    if (itemsize == size) fr_copy_across##size(to, to_stride, from, next, n);
static void fr_copy_across(ptrdiff_t itemsize, char *to, ptrdiff_t to_stride, const char *from, ptrdiff_t next,
                           ptrdiff_t n) {
    FR_EACH_SIZE(FR_ACROSS_IF_SIZE)
}

static ptrdiff_t fr_size(ptrdiff_t stride) { return stride < 0 ? -stride : stride; }

/* Copies the elements of a box, `extent` of them along each of the inner axes, from an operand into a block or back.
 * Runs follow the operand's own order, so that each cache line is touched once, unless they would be short. */
static void fr_copy_box(const fr_plan *plan, int operand, char *at, const ptrdiff_t *extent, char *block,
                        int into_block) {
    ptrdiff_t itemsize = plan->size[operand], packed[FR_MAX_AXES], index[FR_MAX_AXES];
    int axes = plan->inner, run = 0;
    packed[0] = itemsize;
    index[0] = 0; /* to clear all axes would take longer than most copies */
    for (int k = 1; k < axes; k++) {
        index[k] = 0;
        packed[k] = packed[k - 1] * extent[k - 1];
        ptrdiff_t stride = fr_size(plan->view.stride[k][operand]);
        if (stride && stride < fr_size(plan->view.stride[run][operand])) run = k;
    }
    /* Runs across axis 0 are short, each on a line of its own; the hardware cannot predict the next box. */
    ptrdiff_t ahead = run > 0 ? plan->box[0] * plan->view.stride[0][operand] : 0;
    for (int k = 0; k < axes && extent[run] < FR_SHORT_RUN; k++)
        if (extent[k] > extent[run] && fr_size(plan->view.stride[k][operand]) <= FR_NEAR) run = k, ahead = 0;
    ptrdiff_t stride = plan->view.stride[run][operand];
    for (;;) {
        int runs = ahead && into_block && stride == itemsize && extent[0] - index[0] >= 4 ? 4 : 1;
        for (int k = 0; k < runs && ahead; k++) {
            FR_FETCH(at + ahead + k * plan->view.stride[0][operand]);
            FR_FETCH(at + ahead + k * plan->view.stride[0][operand] + stride * (extent[run] - 1));
        }
        const char *from = into_block ? at : block;
        char *to = into_block ? block : at;
        ptrdiff_t from_stride = into_block ? stride : packed[run], to_stride = into_block ? packed[run] : stride;
        if (runs == 4) fr_copy_across(itemsize, to, to_stride, from, plan->view.stride[0][operand], extent[run]);
        else fr_copy_run(itemsize, to, to_stride, from, from_stride, extent[run]);
        int k = 0;
        for (; k < axes; k++) {
            if (k == run) continue;
            ptrdiff_t step = k == 0 ? runs : 1;
            at += plan->view.stride[k][operand] * step;
            block += packed[k] * step;
            if ((index[k] += step) < extent[k]) break;
            index[k] = 0;
            at -= plan->view.stride[k][operand] * extent[k];
            block -= packed[k] * extent[k];
        }
        if (k == axes) return;
    }
}

/* --- Elements under a mask --- */

/* FR_CHUNK: bytes of a mask that are skipped at once where all are 0; so many are looked at to guess what is true.
 * FR_FAR_APART: if there are fewer true ones in a box, or this many bytes for each from the first to the last, even a
 * cheap function computes them by themselves, because they lie in lines of their own. */
enum { FR_MASK_WORD = 8, FR_CHUNK = 64, FR_FAR_APART = 8 };
#define FR_ALL_TRUE 0x0101010101010101u

static uint64_t fr_word(const char *mask) {
    uint64_t word;
    memcpy(&word, mask, sizeof word);
    return word;
}

/* How many of FR_CHUNK bytes, in words spread over a mask, are true: a guess, which costs next to nothing, and is wrong
 * where a byte is neither 0 nor 1. A shorter mask is not worth a look: it counts as nearly all true. */
static int fr_guess_true(const char *mask, ptrdiff_t n) {
    uint64_t sum = 0;
    const ptrdiff_t step = n / FR_MASK_WORD;
    if (n < FR_CHUNK) return FR_CHUNK - 1;
    for (ptrdiff_t k = 0; k < FR_CHUNK / FR_MASK_WORD; k++) sum += fr_word(mask + k * step);
    sum = sum * FR_ALL_TRUE >> 56;
    return sum < FR_CHUNK ? (int)sum : FR_CHUNK;
}

/* Is every byte 1? */
static int fr_all_true(const char *mask, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + FR_CHUNK <= n; i += FR_CHUNK) {
        uint64_t all = FR_ALL_TRUE;
        for (int k = 0; k < FR_CHUNK; k += FR_MASK_WORD) all &= fr_word(mask + i + k);
        if (all != FR_ALL_TRUE) return 0;
    }
    for (; i < n; i++)
        if (mask[i] != 1) return 0;
    return 1;
}

/* The first of n bytes from which on a chunk is not all 0, or n. */
static ptrdiff_t fr_first_true(const char *mask, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + FR_CHUNK <= n; i += FR_CHUNK) {
        uint64_t any = 0;
        for (int k = 0; k < FR_CHUNK; k += FR_MASK_WORD) any |= fr_word(mask + i + k);
        if (any) return i;
    }
    for (; i < n; i++)
        if (mask[i]) return i;
    return n;
}

/* The same from behind: the end of what is not all 0, or 0. */
static ptrdiff_t fr_last_true(const char *mask, ptrdiff_t n) {
    for (; n >= FR_CHUNK; n -= FR_CHUNK) {
        uint64_t any = 0;
        for (int k = 0; k < FR_CHUNK; k += FR_MASK_WORD) any |= fr_word(mask + n - FR_CHUNK + k);
        if (any) return n;
    }
    for (; n > 0; n--)
        if (mask[n - 1]) return n;
    return 0;
}

/* Lists the places of the true bytes from place i on; returns how many there are. No branch follows a single byte: a
 * processor cannot predict those of a random mask. */
static ptrdiff_t fr_list_true(const char *mask, ptrdiff_t i, ptrdiff_t n, uint16_t *place) {
    ptrdiff_t count = 0;
    while ((i += fr_first_true(mask + i, n - i)) < n) {
        const ptrdiff_t next = i + FR_CHUNK < n ? i + FR_CHUNK : n;
        for (; i + FR_MASK_WORD <= next; i += FR_MASK_WORD) {
            const uint64_t word = fr_word(mask + i);
            if (word == 0) continue;
            if (word == FR_ALL_TRUE) {
                for (int k = 0; k < FR_MASK_WORD; k++) place[count + k] = (uint16_t)(i + k);
                count += FR_MASK_WORD;
                continue;
            }
            for (int k = 0; k < FR_MASK_WORD; k++) {
                place[count] = (uint16_t)(i + k);
                count += mask[i + k] != 0;
            }
        }
        for (; i < next; i++) {
            place[count] = (uint16_t)i;
            count += mask[i] != 0;
        }
    }
    return count;
}

/* FR_MASK_SPAN: places of a row that are looked at together: where they are adjacent, elements are copied as a run. */
enum { FR_MASK_SPAN = 32 };

/* Copies elements of a row, from which places count, into a block or back. */
#define FR_COPY_PLACES(size, type)                                                                                 \
    static void fr_copy_places##size(char *row, ptrdiff_t stride, char *block, const uint16_t *place, ptrdiff_t n, \
                                     int into_block) {                                                             \
        type *packed = (type *)block;                                                                              \
        const ptrdiff_t one = sizeof(type);                                                                        \
        for (ptrdiff_t i = 0, m; i < n; i += m) {                                                                  \
            m = n - i < FR_MASK_SPAN ? n - i : FR_MASK_SPAN;                                                       \
            char *first = row + place[i] * stride;                                                                 \
            if (place[i + m - 1] - place[i] == m - 1) {                                                            \
                if (into_block) fr_copy_run##size((char *)(packed + i), one, first, stride, m);                    \
                else fr_copy_run##size(first, stride, (const char *)(packed + i), one, m);                         \
            } else if (into_block)                                                                                 \
                for (ptrdiff_t k = i; k < i + m; k++) packed[k] = *(const type *)(row + place[k] * stride);        \
            else                                                                                                   \
                for (ptrdiff_t k = i; k < i + m; k++) *(type *)(row + place[k] * stride) = packed[k];              \
        }                                                                                                          \
    }
FR_EACH_SIZE(FR_COPY_PLACES)

#define FR_PLACES_IF_SIZE(size, type) \
    if (itemsize == size) fr_copy_places##size(row, stride, block, place, m, into_block);

/* Advances the address and the index of a row of a box to the next row; returns whether there is one. */
static int fr_next_row(const fr_plan *plan, int operand, const ptrdiff_t *extent, ptrdiff_t *index, char **at) {
    for (int k = 1; k < plan->inner; k++) {
        *at += plan->view.stride[k][operand];
        if (++index[k] < extent[k]) return 1;
        index[k] = 0;
        *at -= plan->view.stride[k][operand] * extent[k];
    }
    return 0;
}

/* Copies the n elements at some places of a box, in order, from an operand into a block, or back. */
static void fr_copy_some(const fr_plan *plan, int operand, char *at, const ptrdiff_t *extent, const uint16_t *place,
                         ptrdiff_t n, char *block, int into_block) {
    const ptrdiff_t itemsize = plan->size[operand], stride = plan->view.stride[0][operand];
    ptrdiff_t index[FR_MAX_AXES], start = 0; /* of the row: the place where it starts */
    for (int k = 1; k < plan->inner; k++) index[k] = 0;
    while (n > 0) {
        ptrdiff_t m = n;
        if (plan->inner > 1)
            for (m = 0; m < n && place[m] - start < extent[0]; m++) {}
        char *row = at - start * stride;
        FR_EACH_SIZE(FR_PLACES_IF_SIZE)
        place += m;
        block += m * itemsize;
        n -= m;
        start += extent[0];
        fr_next_row(plan, operand, extent, index, &at);
    }
}

/* Copies the elements of a row that a mask lets through from a block. */
#define FR_COPY_MASKED(size, type)                                                                                    \
    static void fr_copy_masked##size(char *row, ptrdiff_t stride, const char *block, const char *mask, ptrdiff_t n) { \
        const type *packed = (const type *)block;                                                                     \
        for (ptrdiff_t i = 0; i < n; i++)                                                                             \
            if (mask[i]) *(type *)(row + i * stride) = packed[i];                                                     \
    }
FR_EACH_SIZE(FR_COPY_MASKED)

#define FR_MASKED_IF_SIZE(size, type) \
    if (itemsize == size) fr_copy_masked##size(at, stride, block, mask, extent[0]);

/* The same for the rows of a box. */
static void fr_store_rows(const fr_plan *plan, int operand, char *at, const ptrdiff_t *extent, const char *mask,
                          const char *block) {
    const ptrdiff_t itemsize = plan->size[operand], stride = plan->view.stride[0][operand];
    ptrdiff_t index[FR_MAX_AXES];
    for (int k = 1; k < plan->inner; k++) index[k] = 0;
    do {
        if (stride == itemsize) plan->call->convert->masked[itemsize](block, mask, at, extent[0]);
        else {
            FR_EACH_SIZE(FR_MASKED_IF_SIZE)
        }
        block += extent[0] * itemsize;
        mask += extent[0];
    } while (fr_next_row(plan, operand, extent, index, &at));
}

/* --- The plan --- */

/* The axis along which an operand is contiguous although it has a long stride along axis 0, or 0. */
static int fr_cross_axis(const fr_view *view, int operands) {
    for (int j = 0; j < operands; j++) {
        if (fr_size(view->stride[0][j]) < FR_CACHE_LINE) continue;
        for (int k = 1; k < view->naxes; k++) {
            ptrdiff_t stride = fr_size(view->stride[k][j]);
            if (stride && stride < FR_CACHE_LINE && view->shape[k] > 1) return k;
        }
    }
    return 0;
}

/* Axis `from` becomes axis 1; the others keep their order. */
static void fr_move_axis(fr_view *view, int from) {
    ptrdiff_t shape = view->shape[from], stride[FR_MAX_OPERANDS];
    memcpy(stride, view->stride[from], sizeof stride);
    for (int k = from; k > 1; k--) {
        view->shape[k] = view->shape[k - 1];
        memcpy(view->stride[k], view->stride[k - 1], sizeof stride);
    }
    view->shape[1] = shape;
    memcpy(view->stride[1], stride, sizeof stride);
}

/* Are the elements of a box evenly spaced in this operand, `stride` apart? */
static int fr_is_linear(const fr_plan *plan, int operand, ptrdiff_t stride) {
    const fr_view *view = &plan->view;
    if (view->stride[0][operand] != stride) return 0;
    for (int k = 1; k < plan->inner; k++) {
        if (view->stride[k][operand] != view->stride[k - 1][operand] * view->shape[k - 1]) return 0;
        if (stride && plan->box[k - 1] != view->shape[k - 1]) return 0;
    }
    return 1;
}

static int fr_operands(const fr_plan *plan) {
    return plan->call->ndata + plan->call->nparams + 1 + plan->masked + plan->nterms;
}

/* Bytes of an element in the block of an input. */
static ptrdiff_t fr_block_size(const fr_plan *plan, int operand) {
    return plan->direct ? plan->size[operand] : plan->call->itemsize;
}

static int fr_is_loaded(const fr_plan *plan, int operand) {
    const int is_output = operand == plan->call->ndata + plan->call->nparams;
    return plan->move[operand] || plan->swap[operand] || (is_output && plan->rounded);
}

/* Does the kernel that converts by itself fit: all data in its format, numbers of the type it computes in, and an
 * output of its format, or of a wider one, to which its results are then converted? Terms, which have its format, are
 * combined with operands in it. */
static int fr_fits_direct(const fr_plan *plan, const fr_memory *memory) {
    const fr_call *call = plan->call;
    const int nin = call->ndata + call->nparams;
    if (!call->direct) return 0;
    for (int j = 0; j <= nin; j++) {
        const int number = j >= call->ndata && j < nin, format = memory->format[j];
        const int wider = j == nin && (format == FR_AS_FLOAT || format == FR_AS_DOUBLE);
        if (memory->swapped[j] || !(wider || format == (number ? FR_AS_FLOAT : call->format))) return 0;
        for (int k = 0; k < plan->view.naxes && number; k++)
            if (plan->view.stride[k][j] != 0) return 0;
    }
    return 1;
}

/* Finds the moves between the operands and blocks of the kernel's type. */
static void fr_choose_moves(fr_plan *plan, const fr_memory *memory) {
    const fr_call *call = plan->call;
    int nin = call->ndata + call->nparams, product = 0;
    plan->converted = plan->masked = memory && memory->masked;
    plan->nterms = memory ? memory->nterms : 0;
    plan->direct = memory && fr_fits_direct(plan, memory);
    plan->rounded = memory && call->store && memory->format[nin] != call->format && !plan->direct;
    plan->also = 0;
    for (int k = 0; k < plan->nterms; k++) {
        plan->changed[k] = memory->changed[k];
        plan->how[k] = plan->direct ? call->convert->direct[call->format - FR_AS_HALF][memory->how[k]]
                                    : call->convert->combine[call->type][memory->how[k]];
        product |= plan->changed[k] == nin;
    }
    for (int j = 0; j < fr_operands(plan); j++) {
        plan->move[j] = plan->swap[j] = NULL;
        plan->size[j] = memory ? memory->size[j] : call->itemsize;
        if (memory && j > nin + plan->masked && call->load && !plan->direct) {
            plan->move[j] = call->load;
            plan->converted = 1;
        }
        if (plan->direct && j == nin && memory->format[nin] != call->format) {
            plan->move[j] =
                call->convert->load[memory->format[nin] == FR_AS_DOUBLE ? FR_float64 : FR_float32][call->format];
            plan->converted = 1;
        }
        if (!memory || j > nin || plan->direct) continue;
        const fr_move(*moves)[FR_FORMATS] = j < nin ? call->convert->load : call->convert->store;
        const int own = j == nin && call->store && !plan->rounded && !product;
        plan->move[j] = own ? call->store : moves[call->type][memory->format[j]];
        if (memory->swapped[j]) plan->swap[j] = call->convert->swap[memory->size[j]];
        plan->converted |= fr_is_loaded(plan, j);
    }
}

/* The kernel that takes the terms in registers, or NULL: sums of x, or a product of the result, or backward of grad.
 * Forward results that are streamed come sooner by blocks. */
static fr_fused fr_find_fused(const fr_plan *plan) {
    const fr_call *call = plan->call;
    const int product = call->ndata == 1 ? call->ndata + call->nparams : 0;
    const int sums = plan->nterms && plan->how[0] == call->convert->combine[call->type][FR_ADD];
    if (call->store || !plan->nterms) return NULL;
    if ((plan->nterms > 1 && !sums) || (plan->streamed && call->ndata == 1)) return NULL;
    for (int k = 0; k < plan->nterms; k++)
        if (plan->how[k] != plan->how[0] || plan->changed[k] != (sums ? call->ndata - 1 : product)) return NULL;
    return call->fused[sums ? FR_ADD : FR_MULTIPLY];
}

/* Decides how the operands of a box reach the kernel; returns whether one needs a block. */
static int fr_choose_ways(fr_plan *plan) {
    const fr_call *call = plan->call;
    int nin = call->ndata + call->nparams, numbers = 0, copies = 0;
    plan->even = plan->nterms == 0 && !plan->direct;
    plan->fused = fr_find_fused(plan);
    for (int j = 0; j < nin; j++) plan->even &= fr_is_linear(plan, j, 0) && !fr_is_loaded(plan, j);
    for (int j = 0; j < fr_operands(plan); j++) {
        int parameter = j >= call->ndata && j < nin;
        const int number = fr_is_linear(plan, j, 0) && (parameter || !fr_is_loaded(plan, j));
        if (j == nin && numbers < call->nparams) plan->fused = NULL;
        if (plan->even && j < call->ndata) plan->way[j] = FR_AS_NUMBER;
        else if (parameter && number) plan->way[j] = FR_AS_NUMBER, numbers++;
        else if (j == nin + 1 && number && plan->fused && plan->fused == call->fused[FR_ADD])
            plan->way[j] = FR_AS_NUMBER;
        else plan->way[j] = fr_is_linear(plan, j, plan->size[j]) ? FR_AS_IT_IS : FR_BY_COPY;
    }
    plan->kernel = plan->direct ? call->direct : numbers == call->nparams ? call->scalar : call->array;
    for (int j = 0; j < fr_operands(plan); j++) {
        if (plan->way[j] == FR_AS_NUMBER && numbers < call->nparams)
            plan->way[j] = FR_BY_COPY; /* some numbers, some arrays: treat all as arrays */
        copies += plan->way[j] == FR_BY_COPY;
    }
    return copies > 0 || plan->converted || (plan->nterms && !plan->fused);
}

static void fr_set_boxes(fr_plan *plan, ptrdiff_t along0, ptrdiff_t along1, ptrdiff_t elements) {
    const fr_view *view = &plan->view;
    ptrdiff_t size = 1, whole = 1;
    plan->inner = 1;
    for (int k = 0; k < view->naxes; k++) {
        ptrdiff_t most = k == 0 ? along0 : k == 1 ? along1 : elements;
        if (most > elements / size) most = elements / size;
        plan->box[k] = whole || k == 1 ? view->shape[k] < most ? view->shape[k] : most : 1;
        if (plan->box[k] < 1) plan->box[k] = 1;
        if (plan->box[k] > 1) plan->inner = k + 1;
        whole &= plan->box[k] == view->shape[k];
        size *= plan->box[k];
    }
}

void fr_make_plan(fr_plan *plan, const fr_call *call, const fr_memory *memory, int stream) {
    fr_view *view = &plan->view;
    int nin = call->ndata + call->nparams;
    plan->call = call;
    plan->lead = 0;
    fr_choose_moves(plan, memory);
    for (int j = 0; j < fr_operands(plan); j++) stream = stream && (j == nin || view->origin[j] != view->origin[nin]);
    plan->streamed = stream = stream && call->stream->move && !plan->masked;

    int cross = fr_cross_axis(view, fr_operands(plan));
    if (cross) {
        fr_move_axis(view, cross);
        ptrdiff_t line = FR_CACHE_LINE / plan->size[nin];
        fr_set_boxes(plan, FR_BLOCK / (view->shape[1] < line ? view->shape[1] : line), FR_BLOCK, FR_BLOCK);
        fr_choose_ways(plan);
    } else {
        /* Rows that are long enough are taken one at a time, unless every operand is contiguous from one row to the
         * next. */
        int joined = view->naxes > 1 && view->shape[0] < FR_BLOCK;
        if (joined) {
            fr_set_boxes(plan, FR_BLOCK, FR_BLOCK, FR_BLOCK);
            fr_choose_ways(plan);
            for (int j = 0; j <= nin && view->shape[0] >= FR_SHORT_BOX; j++)
                joined &= plan->way[j] != FR_BY_COPY || (j >= call->ndata && j < nin && view->stride[0][j]);
        }
        if (!joined) {
            fr_set_boxes(plan, FR_LONG, 1, FR_LONG);
            const int copied = fr_choose_ways(plan);
            joined = copied && view->naxes > 1 && view->shape[0] < FR_COPIED_ROW;
            if (copied) fr_set_boxes(plan, FR_BLOCK, joined ? FR_BLOCK : 1, FR_BLOCK);
            if (joined) fr_choose_ways(plan);
            else if (stream)
                fr_set_boxes(plan, FR_MOVED / plan->size[nin], 1,
                             plan->direct && !plan->converted && !plan->nterms ? FR_LONG : FR_BLOCK);
        }
    }
    ptrdiff_t size = 1;
    for (int k = 0; k < plan->inner; k++) size *= plan->box[k];
    plan->streamed = stream && plan->way[nin] == FR_AS_IT_IS && size * plan->size[nin] >= FR_WORTH_MOVING;
    if (plan->streamed && plan->box[0] < view->shape[0])
        plan->lead = (ptrdiff_t)((uintptr_t)view->origin[nin] % FR_CACHE_LINE) / plan->size[nin];

    plan->boxes = 1;
    for (int k = 0; k < view->naxes; k++) {
        plan->count[k] = (view->shape[k] + (k == 0 ? plan->lead : 0) + plan->box[k] - 1) / plan->box[k];
        plan->boxes *= plan->count[k];
    }
    for (int j = 0; j < fr_operands(plan); j++) {
        int same = plan->way[j] == FR_BY_COPY && !cross && (j < nin || j > nin + plan->masked);
        for (int k = 0; k < view->naxes; k++) same &= plan->count[k] == 1 || view->stride[k][j] == 0;
        if (same) plan->way[j] = FR_COPY_ONCE;
    }
}

/* Is each box one row that reaches the kernel without a copy? */
static int fr_has_rows(const fr_plan *plan) {
    int rows = plan->inner == 1 && plan->count[0] == 1 && plan->view.naxes > 1 && !plan->streamed && !plan->even;
    rows &= !plan->converted && (!plan->nterms || plan->fused);
    for (int j = 0; j < fr_operands(plan); j++) rows &= plan->way[j] != FR_BY_COPY;
    return rows;
}

/* Calls the kernel. in[] has the operands in their order, with terms after the place of the output. */
static void fr_run_kernel(const fr_plan *plan, const char *const *in, char *out, char *also, ptrdiff_t n) {
    const int nin = plan->call->ndata + plan->call->nparams;
    if (!plan->fused) {
        plan->kernel(in, out, n);
        return;
    }
    const char *at[FR_MAX_OPERANDS];
    const int number = plan->way[nin + 1] == FR_AS_NUMBER, second = plan->nterms > 1 && !plan->also;
    for (int j = 0; j < nin; j++) at[j] = in[j];
    at[nin] = number ? in[nin + 1] : NULL;
    at[nin + 1] = number ? NULL : in[nin + 1];
    at[nin + 2] = second ? in[nin + 2] : NULL;
    plan->fused(at, out, also, n);
}

/* Is an operand an input or a term? A mask is read elsewhere. */
static int fr_is_read(const fr_plan *plan, int operand) {
    const int nin = plan->call->ndata + plan->call->nparams;
    return operand < nin || (operand > nin + plan->masked && operand != plan->also);
}

/* Runs the kernel on `rows` rows along axis 1; `step` is 0 for operands that all rows share. Rows that are not adjacent
 * in memory are prefetched: the hardware prefetcher does not predict where the next one starts. */
static void fr_run_rows_along(const fr_plan *plan, const char **in, char *out, char *also, const ptrdiff_t *step,
                              ptrdiff_t rows) {
    const fr_call *call = plan->call;
    const int nin = call->ndata + call->nparams, operands = fr_operands(plan);
    const ptrdiff_t n = plan->view.shape[0], bytes = n * plan->size[nin];
    const ptrdiff_t ahead = bytes < FR_ROWS_AHEAD ? FR_ROWS_AHEAD / bytes : 1;
    int apart[FR_MAX_OPERANDS], napart = 0;
    for (int j = 0; j < operands && bytes <= FR_ROWS_AHEAD; j++)
        if (fr_is_read(plan, j) && plan->way[j] == FR_AS_IT_IS && step[j] && step[j] != bytes) apart[napart++] = j;
    const ptrdiff_t out_bytes = bytes <= FR_ROWS_AHEAD && step[nin] != bytes ? bytes : 0;
    for (ptrdiff_t row = 0; row < rows; row++) {
        for (int k = 0; k < napart; k++) {
            const char *soon = in[apart[k]] + ahead * step[apart[k]];
            for (ptrdiff_t at = 0; at < bytes; at += FR_CACHE_LINE) FR_FETCH(soon + at);
            FR_FETCH(soon + bytes - 1);
        }
        for (ptrdiff_t at = 0; at < out_bytes; at += FR_CACHE_LINE) FR_FETCH_TO(out + ahead * step[nin] + at);
        fr_run_kernel(plan, in, out, also, n);
        for (int j = 0; j < operands; j++)
            if (fr_is_read(plan, j)) in[j] += step[j];
        out += step[nin];
        if (also) also += step[plan->also];
    }
}

/* Brings the n elements of a box of an input, or those at n places of it, into a block of the kernel's type; of an
 * input that is one number that number. */
static void fr_load_box(const fr_plan *plan, int operand, char *at, const ptrdiff_t *extent, const uint16_t *place,
                        ptrdiff_t n, char *block) {
    fr_block raw;
    const fr_move move = plan->move[operand], swap = plan->swap[operand];
    const char *from = at;
    if (plan->way[operand] == FR_AS_NUMBER) n = 1;
    else if (place || plan->way[operand] != FR_AS_IT_IS || (!move && !swap)) {
        char *to = move || swap ? (char *)&raw : block;
        if (place) fr_copy_some(plan, operand, at, extent, place, n, to, 1);
        else fr_copy_box(plan, operand, at, extent, to, 1);
        from = to;
    }
    if (swap) {
        swap(from, move ? (char *)&raw : block, n);
        from = (const char *)&raw;
    }
    if (move) move(from, block, n);
}

/* Takes n elements from a block of the kernel's type to the output: those of a box; or of a box those that the
 * mask lets through; or those at n places of it. `next` is NULL, or what a streamed box reads next. */
static void fr_store_box(const fr_plan *plan, int operand, char *out, const ptrdiff_t *extent, const uint16_t *place,
                         ptrdiff_t n, char *block, const char *mask, const char *const *next, int fetched) {
    fr_block raw;
    const fr_call *call = plan->call;
    const fr_move move = plan->move[operand], swap = plan->swap[operand];
    const int direct = plan->way[operand] == FR_AS_IT_IS, last = direct && !place && !mask && !next;
    if (plan->rounded) {
        call->store(block, (char *)&raw, n);
        call->load((const char *)&raw, block, n);
    }
    if (move) {
        char *to = last && !swap ? out : (char *)&raw;
        move(block, to, n);
        block = to;
    }
    if (swap) {
        char *to = last ? out : (char *)&raw;
        swap(block, to, n);
        block = to;
    }
    if (block == out) return;
    if (next) call->stream->move(out, block, n * plan->size[operand], next, fetched);
    else if (place) fr_copy_some(plan, operand, out, extent, place, n, block, 0);
    else if (mask && direct) call->convert->masked[plan->size[operand]](block, mask, out, n);
    else if (mask) fr_store_rows(plan, operand, out, extent, mask, block);
    else fr_copy_box(plan, operand, out, extent, block, 0);
}

enum { FR_ROUND_STEP = 128 }; /* elements that are rounded at a time: a block more would take room on the stack */

/* Rounds a block to the format of the call, where NumPy would between two operations; only 16-bit formats do. What is
 * combined in them is rounded already. */
static void fr_round_block(const fr_plan *plan, fr_move store, char *block, ptrdiff_t n) {
    uint16_t rounded[FR_ROUND_STEP];
    const fr_call *call = plan->call;
    if (!call->store || plan->direct) return;
    for (ptrdiff_t i = 0; i < n; i += FR_ROUND_STEP) {
        const ptrdiff_t m = n - i < FR_ROUND_STEP ? n - i : FR_ROUND_STEP;
        store(block + i * call->itemsize, (char *)rounded, m);
        call->load((const char *)rounded, block + i * call->itemsize, m);
    }
}

/* The elements of a box, in 64ths, up to which a mask makes the driver compute them by themselves: packed into blocks,
 * and written one by one. */
static int fr_few(const fr_plan *plan) {
    const fr_call *call = plan->call;
    const int nin = call->ndata + call->nparams;
    int copies = 0;
    for (int j = 0; j < nin; j++) copies += plan->way[j] == FR_BY_COPY;
    if (plan->inner > 1 && plan->box[0] < FR_SHORT_RUN) return call->light ? 0 : FR_CHUNK / 32; /* rows cost the most */
    if (plan->way[nin] != FR_AS_IT_IS) return FR_CHUNK - FR_CHUNK / 8; /* they are written one by one anyway */
    if (call->light && !copies) return 0;
    return copies || call->itemsize == 8 ? FR_CHUNK / 3 : FR_CHUNK / 8;
}

/* Of what only masks need: in the loop over boxes it would take registers and stack from every call. */
#if defined(_MSC_VER) && !defined(__clang__)
#define FR_MASK_APART static __declspec(noinline)
#else
#define FR_MASK_APART static __attribute__((noinline))
#endif

/* What a mask lets through of a box. */
typedef struct {
    const char *mask;         /* of the box; NULL: it lets all through */
    ptrdiff_t absent;         /* boxes from this one on of which it lets nothing through */
    ptrdiff_t from, to;       /* of a contiguous box: elements beside these are masked */
    ptrdiff_t some;           /* the number of elements that are computed by themselves, or 0 */
    uint16_t place[FR_BLOCK]; /* where they are */
} fr_found;

/* Finds what a mask that begins at `at` lets through of a box of n elements, which up to `most` others follow. A mask
 * that is not contiguous is copied into the block. */
FR_MASK_APART void fr_look(const fr_plan *plan, int few, char *at, const ptrdiff_t *index, const ptrdiff_t *extent,
                           ptrdiff_t n, ptrdiff_t most, char *block, fr_found *found) {
    const int operand = plan->call->ndata + plan->call->nparams + 1;
    const ptrdiff_t box = plan->box[0], ends = plan->count[0] - index[0];
    ptrdiff_t boxes = 1, whole = n, first = 0;
    found->mask = at;
    found->absent = found->from = found->some = 0;
    found->to = n;
    if (fr_is_linear(plan, operand, 0)) {
        found->mask = NULL;
        found->absent = !*at;
        return;
    }
    if (plan->way[operand] != FR_AS_IT_IS) {
        fr_copy_box(plan, operand, at, extent, block, 1);
        found->mask = block;
    } else if (plan->inner == 1 && ends > 1 && most > 1) {
        boxes = most < ends ? most : ends;
        whole = boxes < ends ? boxes * box : plan->view.shape[0] - index[0] * box;
    }
    const int guess = fr_guess_true(found->mask, n);
    if (guess == 0 && (first = fr_first_true(found->mask, whole)) >= n) {
        found->absent = first == whole ? boxes : first / box;
    } else if (guess == FR_CHUNK && fr_all_true(found->mask, n)) {
        found->mask = NULL;
    } else if (few && guess <= few) {
        found->some = fr_list_true(found->mask, first, n, found->place);
        found->absent = !found->some;
        if (found->some > n / 2 && found->some * FR_CHUNK > n * few) found->some = 0; /* the guess was wrong */
    } else if (guess <= 1 && plan->inner == 1) {
        const ptrdiff_t some = fr_list_true(found->mask, first, n, found->place);
        found->absent = !some;
        if (!some) return;
        found->from = found->place[0];
        found->to = found->place[some - 1] + 1;
        if (some < FR_FAR_APART || found->to - found->from >= some * FR_FAR_APART) found->some = some;
    } else if (guess < FR_CHUNK / 2 && plan->inner == 1) {
        found->from = fr_first_true(found->mask, n);
        found->to = fr_last_true(found->mask, n);
    }
}

/* Computes the elements at n places of a box, in the blocks of the loop over boxes: more would not fit a small stack.
 */
FR_MASK_APART void fr_run_some(const fr_plan *plan, const ptrdiff_t *offset, const ptrdiff_t *extent,
                               const uint16_t *place, ptrdiff_t n, fr_block *block) {
    const fr_call *call = plan->call;
    const int nin = call->ndata + call->nparams;
    const char *in[FR_MAX_INPUTS];
    char *results = (char *)&block[nin];
    for (int j = 0; j < nin; j++) {
        char *at = plan->view.origin[j] + offset[j];
        in[j] = plan->way[j] == FR_AS_NUMBER && !fr_is_loaded(plan, j) ? at : (const char *)&block[j];
        if (in[j] != at) fr_load_box(plan, j, at, extent, place, n, (char *)&block[j]);
    }
    plan->kernel(in, results, plan->even ? 1 : n);
    if (plan->even) fr_copy_run(call->itemsize, results, call->itemsize, results, 0, n);
    fr_store_box(plan, nin, plan->view.origin[nin] + offset[nin], extent, place, n, results, NULL, NULL, 0);
}

/* Advances the index and the offsets of a box by some boxes of its row, at most to the first of the next row. */
static void fr_next_box(const fr_plan *plan, ptrdiff_t *index, ptrdiff_t *offset, ptrdiff_t boxes) {
    const fr_view *view = &plan->view;
    const int operands = fr_operands(plan);
    for (int k = 0; k < view->naxes; k++, boxes = 1) {
        ptrdiff_t step = boxes * plan->box[k];
        if ((index[k] += boxes) == plan->count[k]) {
            index[k] = 0;
            step -= plan->count[k] * plan->box[k];
        }
        for (int j = 0; j < operands; j++) offset[j] += step * view->stride[k][j];
        if (index[k]) break;
    }
}

/* Fills the blocks of the operands that are copied once, for all boxes. */
static void fr_copy_once(const fr_plan *plan, fr_block *block) {
    const int operands = fr_operands(plan);
    for (int j = 0; j < operands; j++) {
        if (plan->way[j] != FR_COPY_ONCE) continue;
        ptrdiff_t n = 1;
        for (int k = 0; k < plan->inner; k++) n *= plan->box[k];
        fr_load_box(plan, j, plan->view.origin[j], plan->box, NULL, n, (char *)&block[j]);
    }
}

static void fr_run_boxes(const fr_plan *plan, ptrdiff_t first, ptrdiff_t last) {
    fr_block block[FR_MAX_OPERANDS];
    uint64_t result;
    const fr_call *call = plan->call;
    const fr_view *view = &plan->view;
    const fr_stream *stream = plan->streamed ? call->stream : NULL;
    const int nin = call->ndata + call->nparams, operands = fr_operands(plan), first_term = nin + 1 + plan->masked;
    ptrdiff_t index[FR_MAX_AXES], extent[FR_MAX_AXES], offset[FR_MAX_OPERANDS];
    if (first >= last) return;

    for (int j = 0; j < operands; j++) offset[j] = -plan->lead * view->stride[0][j];
    fr_copy_once(plan, block);
    ptrdiff_t rest = first;
    for (int k = 0; k < view->naxes; k++) {
        index[k] = rest % plan->count[k];
        rest /= plan->count[k];
        for (int j = 0; j < operands; j++) offset[j] += index[k] * plan->box[k] * view->stride[k][j];
    }

    const int has_rows = fr_has_rows(plan), few = plan->masked ? fr_few(plan) : 0;
    ptrdiff_t filled = first; /* from this box on blocks have been filled */
    int spoiled = 0;          /* those that are filled once */
    for (ptrdiff_t number = first, done = 1; number < last; number += done) {
        if (has_rows) {
            const char *at[FR_MAX_OPERANDS];
            ptrdiff_t step[FR_MAX_OPERANDS];
            char *out = view->origin[nin] + offset[nin];
            char *also = plan->also ? view->origin[plan->also] + offset[plan->also] : NULL;
            done = plan->count[1] - index[1] < last - number ? plan->count[1] - index[1] : last - number;
            for (int j = 0; j < operands; j++) {
                step[j] = plan->way[j] == FR_COPY_ONCE ? 0 : view->stride[1][j];
                at[j] = plan->way[j] == FR_COPY_ONCE ? (const char *)&block[j] : view->origin[j] + offset[j];
                offset[j] += done * view->stride[1][j];
            }
            fr_run_rows_along(plan, at, out, also, step, done);
            index[1] += done;
            for (int k = 1; k < view->naxes && index[k] == plan->count[k]; k++) {
                index[k] = 0;
                for (int j = 0; j < operands; j++) offset[j] -= plan->count[k] * view->stride[k][j];
                if (k + 1 == view->naxes) break;
                index[k + 1]++;
                for (int j = 0; j < operands; j++) offset[j] += view->stride[k + 1][j];
            }
            continue;
        }
        ptrdiff_t n = 1, skip = index[0] == 0 ? plan->lead : 0;
        for (int k = 0; k < plan->inner; k++) {
            ptrdiff_t left = view->shape[k] - index[k] * plan->box[k] + (k == 0 ? plan->lead : 0);
            extent[k] = (left < plan->box[k] ? left : plan->box[k]) - (k == 0 ? skip : 0);
            n *= extent[k];
        }
        const char *mask = NULL;
        if (plan->masked) {
            fr_found found;
            fr_look(plan, few, view->origin[nin + 1] + offset[nin + 1], index, extent, n, last - number,
                    (char *)&block[nin + 1], &found);
            if (found.some) fr_run_some(plan, offset, extent, found.place, found.some, block), spoiled = 1;
            done = found.absent ? found.absent : 1;
            if (found.some || found.absent) {
                fr_next_box(plan, index, offset, done);
                filled = number + done;
                continue;
            }
            if (spoiled) fr_copy_once(plan, block), spoiled = 0;
            mask = found.mask;
            if (found.to - found.from < n) {
                skip = found.from;
                mask += skip;
                n = extent[0] = found.to - skip;
                filled = number + 1; /* the next box is longer */
            }
        }
        const char *in[FR_MAX_OPERANDS], *next[FR_MAX_OPERANDS];
        /* A block whose operand has stride 0 along the row still holds the right number from the box before, unless
         * this is the first box or that one was shorter. */
        int kept = plan->inner == 1 && number > filled && index[0] > (plan->lead > 0), fetched = 0;
        for (int j = 0; j < operands; j++) {
            if (!fr_is_read(plan, j)) continue;
            char *at = view->origin[j] + (offset[j] + skip * view->stride[0][j]);
            int loaded = fr_is_loaded(plan, j),
                copied = plan->way[j] == FR_BY_COPY || (loaded && plan->way[j] != FR_COPY_ONCE);
            if (copied && !(kept && view->stride[0][j] == 0))
                fr_load_box(plan, j, at, extent, NULL, n, (char *)&block[j]);
            in[j] = plan->way[j] >= FR_BY_COPY || loaded ? (const char *)&block[j] : at;
            if (plan->way[j] == FR_COPY_ONCE) in[j] += skip * fr_block_size(plan, j);
            if (plan->way[j] == FR_AS_IT_IS) next[fetched++] = at + n * plan->size[j];
        }
        char *out = view->origin[nin] + (offset[nin] + skip * view->stride[0][nin]);
        int stored = fr_is_loaded(plan, nin) || mask;
        char *last_to = plan->way[nin] == FR_BY_COPY || stream || stored ? (char *)&block[nin] : out, *to = last_to;
        const int j2 = plan->also;
        char *also = j2 ? view->origin[j2] + (offset[j2] + skip * view->stride[0][j2]) : NULL;
        char *also_to = also && stream ? (char *)&block[j2] : also;
        for (int k = 0; k < plan->nterms && !plan->fused; k++) {
            const int j = plan->changed[k];
            if (j == nin) to = (char *)&block[nin]; /* the term may be the output */
            else {
                plan->how[k](in[j], in[first_term + k], (char *)&block[nin], n);
                fr_round_block(plan, call->convert->store[call->type][call->format], (char *)&block[nin], n);
                in[j] = (const char *)&block[nin];
            }
        }
        if (plan->even) {
            plan->kernel(in, (char *)&result, 1);
            fr_copy_run(call->itemsize, to, call->itemsize, (char *)&result, 0, n);
        } else fr_run_kernel(plan, in, to, also_to, n);
        for (int k = 0; k < plan->nterms; k++) {
            if (plan->changed[k] != nin || plan->fused) continue;
            fr_round_block(plan, call->store, to, n);
            plan->how[k](to, in[first_term + k], last_to, n);
            to = last_to;
        }
        if (to != out) fr_store_box(plan, nin, out, extent, NULL, n, to, mask, stream ? next : NULL, fetched);
        if (also_to != also) stream->move(also, also_to, n * plan->size[j2], next, 0);

        fr_next_box(plan, index, offset, 1);
    }
    if (stream) stream->finish();
}

int fr_join_plans(fr_plan *gate, const fr_plan *value) {
    const int nin = gate->call->ndata + gate->call->nparams, also = nin + 2,
              of = value->call->ndata + value->call->nparams;
    const fr_view *view = &value->view;
    int fits = gate->fused && gate->call->ndata == 2 && gate->changed[0] == 0 && gate->view.naxes == view->naxes;
    fits = fits && gate->view.origin[0] == view->origin[of + 1]; /* grad */
    for (int k = 0; k < view->naxes && fits; k++) {
        const ptrdiff_t stride =
            view->stride[k][of + 1]; /* the same, and not 0: the axes are those of the other plan */
        fits = gate->view.shape[k] == view->shape[k] && gate->view.stride[k][0] == stride && stride;
        gate->view.stride[k][also] = view->stride[k][of];
    }
    if (!fits || !fr_is_linear(gate, also, gate->size[nin])) return 0;
    gate->view.origin[also] = view->origin[of];
    gate->way[also] = FR_AS_IT_IS;
    gate->size[also] = gate->size[nin];
    gate->move[also] = gate->swap[also] = NULL;
    gate->streamed = gate->streamed && value->streamed;
    gate->also = also;
    gate->nterms = 2;
    return 1;
}

void fr_run_plan(const fr_plan *plan, int part, int parts) {
    fr_guard caller = fr_guard_open();
    ptrdiff_t each = plan->boxes / parts, more = plan->boxes % parts;
    ptrdiff_t first = each * part + (part < more ? part : more);
    fr_run_boxes(plan, first, first + each + (part < more));
    fr_guard_close(caller);
}

/* May the elements be computed in any order: is each input either exactly the output or disjoint from it? */
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

/* NumPy aligns operands, but not those of ufunc.at. */
static int fr_is_aligned(char **args, const ptrdiff_t *steps, int nin, ptrdiff_t n, ptrdiff_t itemsize) {
    uintptr_t low = 0; /* bits that an address has where none should be */
    for (int j = 0; j <= nin; j++) low |= (uintptr_t)args[j] | (n > 1 ? (uintptr_t)steps[j] : 0);
    return low % (uintptr_t)itemsize == 0;
}

/* Is this what a kernel takes as it lies: contiguous operands, and one number per parameter? NumPy calls the loop for
 * each run of a mask; a plan would cost more than a short one. */
static int fr_lies_plain(const fr_call *call, const ptrdiff_t *steps) {
    const int nin = call->ndata + call->nparams;
    int direct = !call->load;
    for (int j = 0; j <= nin; j++) direct &= steps[j] == (j >= call->ndata && j < nin ? 0 : call->size);
    return direct;
}

void fr_ufunc_loop(char **args, const ptrdiff_t *dimensions, const ptrdiff_t *steps, void *data) {
    const fr_call *call = (const fr_call *)data;
    ptrdiff_t n = dimensions[0];
    int nin = call->ndata + call->nparams;
    if (n <= 0) return;
    fr_guard caller = fr_guard_open();
    const int aligned = fr_is_aligned(args, steps, nin, n, call->size);
    const int any_order = n > 1 && aligned && fr_any_order(args, steps, nin, n, call->size);
    if ((n == 1 && aligned && !call->load) || (any_order && fr_lies_plain(call, steps))) {
        call->scalar((const char *const *)args, args[nin], n);
    } else if (any_order) {
        fr_plan plan;
        fr_memory memory = {.masked = 0};
        plan.view.naxes = 1;
        plan.view.shape[0] = n;
        for (int j = 0; j <= nin; j++) {
            plan.view.stride[0][j] = steps[j];
            plan.view.origin[j] = args[j];
            memory.format[j] = call->format;
            memory.size[j] = call->size;
        }
        fr_make_plan(&plan, call, call->load ? &memory : NULL, 0);
        fr_run_boxes(&plan, 0, plan.boxes);
    } else {
        /* Reductions and accumulations feed an output back as the next input. */
        const char *in[FR_MAX_INPUTS];
        double number[FR_MAX_OPERANDS], raw; /* copies of what is not aligned, or converted */
        const int direct = aligned && !call->load;
        const size_t size = (size_t)call->size;
        for (ptrdiff_t i = 0; i < n; i++) {
            char *to = args[nin] + i * steps[nin], *result = direct ? to : (char *)&number[nin];
            for (int j = 0; j < nin; j++) {
                in[j] = args[j] + i * steps[j];
                if (!direct) in[j] = (const char *)memcpy(call->load ? &raw : &number[j], in[j], size);
                if (call->load) call->load(in[j], (char *)&number[j], 1), in[j] = (const char *)&number[j];
            }
            call->scalar(in, result, 1);
            if (call->store) call->store(result, (char *)&raw, 1), result = (char *)&raw;
            if (!direct) memcpy(to, result, size);
        }
    }
    fr_guard_close(caller);
}
