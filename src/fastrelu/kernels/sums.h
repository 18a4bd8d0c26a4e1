/* Gradients with respect to parameters: dx and, from the same pass, the sums for each parameter.
 *
 * In logical (C) order the data are outer x kept x inner: the elements of a parameter lie along `kept`; terms are
 * summed over `outer` and `inner`. The work is cut into tasks by these three numbers alone, and the order of additions
 * within a task is fixed, so the bits of a sum depend neither on threads nor on memory layouts. */
#ifndef FASTRELU_SUMS_H
#define FASTRELU_SUMS_H

#include "kernels.h"
#include "view.h"

/* Computes n elements of dx and of each parameter's terms. `out` is disjoint from every input or exactly one of them.
 */
typedef void (*fr_terms)(const char *const *in, char *out, double *const *terms, ptrdiff_t n);

/* An activation whose parameters are learned. */
typedef struct {
    const char *name;
    int cost;
    int nparams;
    fr_terms scalar[FR_FLAVORS]; /* in[] of a parameter points at one number, valid for all elements */
    fr_terms array[FR_FLAVORS];  /* in[] of a parameter points at one number per element */
} fr_learned;

/* Sums as pairs: the values and their rounding errors. */
typedef struct {
    double *high, *low;
} fr_pairs;

/* The gradient of f(x + bias + residual) as kernels compute it; its one parameter is the bias, whose terms are dx. */
typedef struct {
    fr_kernel gradient;
    fr_combine add; /* NULL: x is the operand of f, or its output */
    fr_fused fused; /* `gradient` that adds in registers, or NULL */
    int residual;   /* is there one: an operand after dx */
    int nnumbers;
    const char *number[FR_MAX_PARAMETERS]; /* the parameters of f */
    const fr_call *half; /* how a kernel of 16 bits is called, instead of the first three; NULL: they are of the type */
} fr_biased;

/* One call. */
typedef struct {
    fr_terms scalar, array;
    const fr_biased *biased; /* instead of these two, or NULL */
    int nparams, type;       /* of dx */
    fr_view view;            /* grad, x, parameters, dx; axis 0 runs fastest in the logical order */
    ptrdiff_t outer, kept, inner;
    ptrdiff_t pieces;                 /* number of pieces that each run of `inner` elements is cut into */
    int across, along;                /* tasks: `across` ranges of kept, times `along` ranges of outer and pieces */
    fr_pairs part[FR_MAX_PARAMETERS]; /* along x kept; may be NULL if along is 1 and there is a result */
    char *result[FR_MAX_PARAMETERS];  /* kept; NULL: the sums are left in part[] */
} fr_sums_job;

struct fr_sums {
    const fr_learned *learned;
    int nlearned;
    void (*split)(fr_sums_job *job);        /* sets pieces, across and along */
    size_t (*room)(const fr_sums_job *job); /* bytes that a thread needs for its tasks */
    /* One of across x along tasks, in any order; threads that run at the same time need separate rooms. */
    void (*run)(const fr_sums_job *job, int task, char *room);
    void (*merge)(const fr_sums_job *job); /* if along > 1: adds the tasks' sums up */
    /* Adds n sums to the elements of `into` that index[] names, and rounds `count` sums to a type. */
    void (*gather)(fr_pairs from, const ptrdiff_t *index, ptrdiff_t n, fr_pairs into);
    void (*round)(fr_pairs from, ptrdiff_t count, int type, char *to);
};

#endif
