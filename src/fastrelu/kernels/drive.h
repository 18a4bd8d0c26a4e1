/* Runs a kernel over whole arrays: shared by the three entry points of _core. */
#ifndef FASTRELU_DRIVE_H
#define FASTRELU_DRIVE_H

#include "call.h"

/* Of blocks: no vector lies across two cache lines. */
#if defined(_MSC_VER) && !defined(__clang__)
#define FR_ON_A_LINE __declspec(align(64))
#else
#define FR_ON_A_LINE _Alignas(FR_CACHE_LINE)
#endif

/* Operands of the same shape, axis 0 running fastest; a broadcast operand has stride 0. */
typedef struct {
    int naxes;
    ptrdiff_t shape[FR_MAX_AXES];
    ptrdiff_t stride[FR_MAX_AXES][FR_MAX_OPERANDS];
    char *origin[FR_MAX_OPERANDS];
} fr_view;

/* What the operands of a view are, if they are not all of the type of the kernel, or if there is a mask: one more
 * operand after the output, of bytes; elements where it is 0 are not written. Terms change an input before the kernel
 * reads it, in their order, or the output; each sum and product is rounded to the format of the call. */
typedef struct {
    int format[FR_MAX_OPERANDS], swapped[FR_MAX_OPERANDS];
    ptrdiff_t size[FR_MAX_OPERANDS];
    int masked;
    int nterms;                                   /* operands after the mask, of the format of the call */
    int changed[FR_MAX_TERMS], how[FR_MAX_TERMS]; /* by a term: an input or the output; FR_ADD or FR_MULTIPLY */
} fr_memory;

/* A view cut into boxes, each of which is one call of a kernel. */
typedef struct {
    const fr_call *call;
    fr_view view;
    ptrdiff_t box[FR_MAX_AXES];   /* elements of a box along each axis */
    ptrdiff_t count[FR_MAX_AXES]; /* boxes along each axis */
    ptrdiff_t boxes;
    int inner;                /* axes along which a box has several elements */
    ptrdiff_t lead;           /* elements missing from the first box of axis 0: later boxes start on a cache line */
    int way[FR_MAX_OPERANDS]; /* how an operand reaches the kernel */
    int even;                 /* no input varies within a box: one result fills it */
    fr_kernel kernel;
    fr_fused fused; /* instead of this kernel and `how`, or NULL */
    int also;       /* the operand that takes the second result of `fused`, or 0 */
    int streamed;
    int direct;            /* does the kernel convert: operands are of the format of the call */
    int converted, masked; /* is any operand loaded or stored by a move; is there a mask */
    int nterms, changed[FR_MAX_TERMS];
    fr_combine how[FR_MAX_TERMS];
    fr_move move[FR_MAX_OPERANDS];   /* the loader of an input, the storer of the output, or NULL */
    fr_move swap[FR_MAX_OPERANDS];   /* to or from the native byte order, or NULL */
    int rounded;                     /* are results rounded to the format of the call before `move` converts them */
    ptrdiff_t size[FR_MAX_OPERANDS]; /* bytes of an element */
} fr_plan;

/* Rounds n parameters to a type that has kernels, into `rounded` and in place, and tells whether they lie in the
 * domain. This happens under the guard, because the caller's environment may round differently or flush subnormals. */
int fr_take_numbers(fr_domain domain, double *numbers, int type, void *rounded, int n);

/* Part `part` of `parts` of contiguous operands, with one number per parameter; parts end where a cache line of the
 * output ends. */
void fr_run_part(const fr_call *call, const char *const *in, char *out, ptrdiff_t n, int part, int parts);

/* The same for a format that is not that of the kernel, block by block; numbers are of the kernel's type. */
void fr_convert_part(const fr_call *call, const char *const *in, char *out, ptrdiff_t n, int part, int parts);

/* Cuts plan->view into boxes. No input overlaps the output unless it is exactly the output. With `stream`, results are
 * written with non-temporal stores if possible: if the processor has such stores, rows of the output are long enough,
 * and no input is the output. `memory` is NULL if all operands are of the kernel's type. */
void fr_make_plan(fr_plan *plan, const fr_call *call, const fr_memory *memory, int stream);

/* Joins the gradients of a gated unit, with respect to gate and value, if one kernel computes both and they fit: then
 * the first plan does all. Returns whether they do. */
int fr_join_plans(fr_plan *gate, const fr_plan *value);

/* Part `part` of `parts` of the boxes. */
void fr_run_plan(const fr_plan *plan, int part, int parts);

/* The inner loop of a NumPy ufunc; `data` is the fr_call. */
void fr_ufunc_loop(char **args, const ptrdiff_t *dimensions, const ptrdiff_t *steps, void *data);

#endif
