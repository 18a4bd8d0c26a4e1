/* The interface of the kernels to Cython: the list of activations and one table of loops per instruction set. */
#ifndef FASTRELU_KERNELS_H
#define FASTRELU_KERNELS_H

#include <stddef.h>

#include "types.h"

enum {
    FR_MAX_PARAMETERS = 4,
    FR_MAX_INPUTS = 2 + FR_MAX_PARAMETERS,
    FR_MAX_TERMS = 2,
    FR_MAX_OPERANDS = FR_MAX_INPUTS + 1 + FR_MAX_TERMS, /* the output, and a mask or terms of a fused pass */
    FR_MAX_AXES = 64                                    /* NumPy's limit */
};

enum { FR_CACHE_LINE = 64 };  /* bytes */
enum { FR_DIRECT_FROM = 64 }; /* elements; fewer are converted sooner in a block than as a tile of registers */

/* Prefetch memory for reading, or for writing. */
#ifdef __GNUC__
enum { FR_FETCHES = 1 };
#define FR_FETCH(address) __builtin_prefetch(address)
#define FR_FETCH_TO(address) __builtin_prefetch(address, 1)
#else
enum { FR_FETCHES = 0 };
#define FR_FETCH(address) ((void)(address))
#define FR_FETCH_TO(address) ((void)(address))
#endif

/* Which derivative of an activation a kernel computes. Inputs come in this order, parameters after them. */
enum {
    FR_FORWARD,     /* x       -> f(x)         */
    FR_BACKWARD,    /* grad, x -> grad * f'(x) */
    FR_FROM_OUTPUT, /* grad, y -> the same, with y = f(x) */
    FR_DIRECTIONS
};

/* The cost of one element; each class has its own size below which threads do not pay. */
enum { FR_LIGHT, FR_MEDIUM, FR_HEAVY, FR_COSTS };

/* One pass over n contiguous elements. `out` is disjoint from every input or exactly one of them. */
typedef void (*fr_kernel)(const char *const *in, char *out, ptrdiff_t n);

/* How a term changes an operand of a fused pass. */
enum { FR_ADD, FR_MULTIPLY, FR_COMBINATIONS };
/* A kernel that takes terms in registers, with numbers as parameters. After the parameters in[] has three more: one
 * number that is added to every element, or NULL; then the elements of two terms, or NULL.
 * FR_ADD: sums of x; backward, a kernel of floats also adds each result to one of the doubles at `also`, unless NULL.
 * FR_MULTIPLY: forward the factor of the result; backward that of grad, and `also` gets f(x) * grad unless it is NULL.
 */
typedef void (*fr_fused)(const char *const *in, char *out, char *also, ptrdiff_t n);

typedef struct {
    fr_kernel scalar[FR_FLAVORS]; /* in[] of a parameter points at one number, valid for all elements */
    fr_kernel array[FR_FLAVORS];  /* in[] of a parameter points at one number per element */
    /* `scalar` of FR_F32_FAST for elements of a type without kernels, in the order of types.def; NULL: there is none */
    fr_kernel direct[FR_TYPES - FR_OWN_TYPES];
    fr_fused fused[FR_COMBINATIONS][FR_FLAVORS]; /* NULL: there is none */
} fr_kernels;

/* Are these parameters in the domain? Outside it a kernel returns NaN. */
typedef int (*fr_domain)(const double *parameters);

typedef struct {
    const char *name;
    int cost;
    int nparams;
    const char *params[FR_MAX_PARAMETERS + 1]; /* ends with NULL */
    fr_domain domain[FR_DIRECTIONS];
    const char *domain_text[FR_DIRECTIONS]; /* NULL: there is no such direction */
} fr_op;

extern const fr_op fr_ops[];
extern const int fr_nops;
extern const char *const fr_wider[]; /* pairs of a type and a kernel of types.def; ends with NULL */

/* Copies of blocks with non-temporal stores; all NULL if the instruction set has none. */
typedef struct {
    /* next[j] is the address where input j is read next, which is prefetched. */
    void (*move)(char *to, const char *from, ptrdiff_t bytes, const char *const *next, int inputs);
    void (*finish)(void); /* makes what this thread moved visible to all threads */
} fr_stream;
/* How elements lie in memory. Formats up to FR_AS_DOUBLE are NumPy's type numbers. */
enum { FR_AS_BOOL, FR_AS_FLOAT = 11, FR_AS_DOUBLE, FR_AS_HALF, FR_AS_BFLOAT, FR_FORMATS };

/* Combines n contiguous elements; `to` may be one of the two. */
typedef void (*fr_combine)(const char *a, const char *b, char *to, ptrdiff_t n);

/* Converts n contiguous elements. */
typedef void (*fr_move)(const char *from, char *to, ptrdiff_t n);
typedef struct {
    fr_move load[FR_OWN_TYPES][FR_FORMATS];  /* to a type that has kernels; NULL: it is the type */
    fr_move store[FR_OWN_TYPES][FR_FORMATS]; /* from such a type; NULL: it is the type, or the format is no output */
    fr_move store_up; /* double to bfloat16 for results that are a little more than what double holds */
    fr_move swap[9];  /* of the byte order, by the size of an element */
    void (*masked[9])(const char *from, const char *mask, char *to, ptrdiff_t n);
    fr_combine combine[FR_OWN_TYPES][FR_COMBINATIONS];
    /* The same of elements of a type without kernels, rounded to it; not NULL where kernels convert by themselves */
    fr_combine direct[FR_TYPES - FR_OWN_TYPES][FR_COMBINATIONS];
} fr_convert;
typedef struct fr_rows fr_rows;     /* softmax and its like: rows.h */
typedef struct fr_sums fr_sums;     /* gradients with respect to parameters: sums.h */
typedef struct fr_stats fr_stats;   /* statistics of columns: stats.h */
typedef struct fr_packed fr_packed; /* bits and bytes: packed.h */

/* The tables of one instruction set. */
typedef struct {
    const fr_kernels (*ops)[FR_DIRECTIONS]; /* in the order of fr_ops */
    fr_stream stream;
    const fr_convert *convert;
    const fr_rows *rows; /* FR_FLAVORS of them */
    const fr_sums *sums;
    const fr_stats *stats;
    const fr_packed *packed;
} fr_tables;

typedef struct {
    const char *name;
    const fr_tables *tables; /* NULL: not in this build */
    int runs_here;           /* the processor and the operating system support it */
} fr_isa;

/* From the lowest to the highest, `count` of them. */
const fr_isa *fr_isa_list(int *count);

/* Bytes of the second-level cache, and of the last-level one that this process may count on; 0: not known. And how
 * many logical processors share the last one. */
typedef struct {
    ptrdiff_t second, last;
    int sharers;
} fr_caches;
fr_caches fr_find_caches(void);

#endif
