/* Runs a kernel over whole arrays: shared by the three entry points of _core. */
#ifndef FASTRELU_DRIVE_H
#define FASTRELU_DRIVE_H

#include "kernels.h"

/* One kernel as called: its operands and their type. Inputs first (data, then parameters), then out. */
typedef struct {
    fr_kernel scalar, array;
    const fr_stream *stream;
    int ndata, nparams, type;
    ptrdiff_t itemsize;
} fr_call;

/* Operands of the same shape, axis 0 running fastest; a broadcast operand has stride 0. */
typedef struct {
    int naxes;
    ptrdiff_t shape[FR_MAX_AXES];
    ptrdiff_t stride[FR_MAX_AXES][FR_MAX_OPERANDS];
    char *origin[FR_MAX_OPERANDS];
} fr_view;

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
    int streamed;
} fr_plan;

/* Rounds n parameters to a type that has kernels, into `rounded` and in place, and tells whether they lie in the
 * domain. This happens under the guard, because the caller's environment may round differently or flush subnormals. */
int fr_take_numbers(fr_domain domain, double *numbers, int type, void *rounded, int n);

/* Part `part` of `parts` of contiguous operands, with one number per parameter; parts end where a cache line of the
 * output ends. */
void fr_run_part(const fr_call *call, const char *const *in, char *out, ptrdiff_t n, int part, int parts);

/* Cuts plan->view into boxes. No input overlaps the output unless it is exactly the output. With `stream`, results are
 * written with non-temporal stores if possible: if the processor has such stores, rows of the output are long enough,
 * and no input is the output. */
void fr_make_plan(fr_plan *plan, const fr_call *call, int stream);

/* Part `part` of `parts` of the boxes. */
void fr_run_plan(const fr_plan *plan, int part, int parts);

/* The inner loop of a NumPy ufunc; `data` is the fr_call. */
void fr_ufunc_loop(char **args, const ptrdiff_t *dimensions, const ptrdiff_t *steps, void *data);

#endif
