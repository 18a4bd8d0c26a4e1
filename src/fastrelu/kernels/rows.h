/* Interface of the kernels for whole rows (softmax, its logarithm and cross-entropy) and of the loop over the rows of
 * an array. */
#ifndef FASTRELU_ROWS_H
#define FASTRELU_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "../atomic.h"
#include "kernels.h"

enum { FR_SOFTMAX, FR_LOG_SOFTMAX, FR_SOFTMIN, FR_HARDMAX, FR_SPARSEMAX, FR_NORMALIZERS };

/* One row of logits, its targets and the destination of its gradient. */
typedef struct {
    const char *x;
    char *grad;            /* NULL: the loss alone */
    ptrdiff_t label;       /* the class that the row belongs to, or */
    const char *shares;    /* the probability of each class, in the type of x */
    const double *weights; /* of the classes, or NULL */
    double mean_weight;    /* their mean, or 1 */
    double smoothing;      /* share of the target that is spread over all classes */
    double scale;          /* of the gradient */
} fr_target;
typedef double (*fr_loss)(const fr_target *target, ptrdiff_t n);

/* A tile: `width` rows side by side, a multiple of FR_COLUMNS, and at most FR_TILE_WIDTH where each has a loss. Element
 * i of row j is at in[k] + i pitch[k], j elements on. */
enum { FR_COLUMNS = 16, FR_TILE_WIDTH = 128 };
/* In gradients, rows of up to this many elements have one lane. */
enum { FR_FEW = 32 };
/* Bytes: elements so far apart share few lines of the caches. */
enum { FR_CRITICAL_PITCH = 1 << 11 };
typedef struct {
    const char *in[2];
    char *out; /* NULL: the loss alone */
    ptrdiff_t pitch[2], out_pitch;
    ptrdiff_t n, width;
    const fr_target *target;      /* of cross-entropy: the values that all rows share, */
    int32_t label[FR_TILE_WIDTH]; /* the class of each row; negative: the row is ignored */
    double loss[FR_TILE_WIDTH];
} fr_tile;
/* The same bits as those of the kernel over one row, for each row of the tile. */
typedef void (*fr_tile_kernel)(fr_tile *tile);

/* Rows of which none is longer than INT32_MAX: x, a mask or NULL, and the results, `along` bytes from one element of a
 * row to the next, and `across` from one row to the next. */
typedef struct {
    const char *at[2];
    char *out;
    ptrdiff_t along[3], across[3], n, rows;
} fr_row_block;
typedef void (*fr_row_block_kernel)(const fr_row_block *block);

/* How elements are changed on their way to the kernel: z = cap(scale x) + bias. */
typedef struct {
    double scale, cap; /* rounded to the type of x where they are used */
    fr_kernel softcap; /* of x and cap; NULL: no cap */
} fr_row_load;
typedef struct {
    int64_t ignored, wrong;
} fr_label_counts;

/* The kernels of one flavor. */
struct fr_rows {
    fr_kernel forward[FR_NORMALIZERS];     /* x, n contiguous elements; inputs and outputs may overlap as in those of */
    fr_kernel from_output[FR_NORMALIZERS]; /* grad, y                                           an activation */
    fr_tile_kernel forward_tile[FR_NORMALIZERS];
    fr_tile_kernel from_output_tile[FR_NORMALIZERS];
    /* Of up to FR_COLUMNS contiguous rows, pitch[k] bytes apart; or NULL */
    fr_tile_kernel forward_band[FR_NORMALIZERS];
    fr_tile_kernel from_output_band[FR_NORMALIZERS];
    /* Of 2 to FR_COLUMNS - 1 rows side by side, each longer than FR_FEW elements, whose lines lie behind each other; or
     * NULL. `out` may be an input. */
    fr_tile_kernel forward_fold[FR_NORMALIZERS];
    fr_tile_kernel from_output_fold[FR_NORMALIZERS];
    /* Of rows that are contiguous in all operands, or whose neighbors are. */
    fr_row_block_kernel hardmax;
    fr_loss cross_entropy;
    fr_tile_kernel cross_entropy_tile;
    fr_loss logsumexp; /* of a target that is x alone */
    fr_tile_kernel logsumexp_tile;
    /* Reads m labels of n classes, each once; -1 is what is ignored or no class. Returns how many of either there are.
     */
    fr_label_counts (*read_labels)(int32_t *to, const int64_t *from, ptrdiff_t m, ptrdiff_t n, int64_t ignored);
    /* Adds m losses to the sums of FR_COLUMNS lanes, the first one to this lane. */
    void (*add_losses)(double *hi, double *lo, int lane, const double *loss, ptrdiff_t m);
    /* Copies n elements, with `absent` in place of those whose mask is 0; `to` may be `from`. Returns whether any mask
     * is not 0. */
    int (*select)(char *to, const char *from, const char *mask, ptrdiff_t n, uint64_t absent);
    void (*select_lines)(char *to, ptrdiff_t to_pitch, const char *from, ptrdiff_t from_pitch, const char *mask,
                         ptrdiff_t mask_pitch, ptrdiff_t lines, ptrdiff_t n, uint64_t absent);
    /* May any of n rows be masked altogether, which these results are the first ones of? */
    int (*suspect)(const char *results, ptrdiff_t n, int hardmax);
    /* Gives rows of a tile that are masked altogether their results; moves the 1 of a hardmax of nothing but -inf. */
    void (*settle)(char *results, ptrdiff_t pitch, const char *mask, ptrdiff_t mask_pitch, ptrdiff_t n, ptrdiff_t width,
                   uint64_t alone, int hardmax);
    /* Copies n elements changed; `to` may be `from`. `bias` holds one number for each, or is NULL. */
    void (*load)(char *to, const char *from, const char *bias, ptrdiff_t n, const fr_row_load *load);
    /* Multiplies n elements of each line by one factor, or each by its own if `own`; or divides them by one. */
    void (*finish)(char *to, ptrdiff_t pitch, ptrdiff_t lines, ptrdiff_t n, const char *factor, int own, int divides);
    /* What a row adds to the gradient of a scale: the sum of x and the gradients, which are the target's shares. */
    fr_loss scale_slope;
    fr_tile_kernel scale_slope_tile;
};

enum {
    FR_ROW_IN,     /* x, grad or logits */
    FR_ROW_SECOND, /* y, the shares of cross-entropy, or a bias */
    FR_ROW_WHERE,  /* bytes: 0 where the element is masked */
    FR_ROW_OUT,
    FR_ROW_LABEL, /* int64, one for each row */
    FR_ROW_LOSS,  /* double, one for each row */
    FR_ROW_USUAL,
    FR_ROW_FACTOR = FR_ROW_USUAL, /* of a call that finishes its results: one for each row */
    FR_ROW_GRAD = FR_ROW_USUAL,   /* of a call of gradients with a load: of the results, and those of */
    FR_ROW_LOADED_SLOPE,          /* the elements as they were loaded, */
    FR_ROW_SINK_SLOPE,            /* the sinks, one for each row; those of the scale are losses */
    FR_ROW_OPERANDS,
    FR_ROW_SINK = FR_ROW_LABEL, /* of a call with a load: one more element of each row, whose result is dropped */
    FR_ROW_AXES = 64
};

typedef struct {
    char *origin;    /* NULL: the call has no such operand */
    ptrdiff_t along; /* bytes from one element of a row to the next */
    ptrdiff_t stride[FR_ROW_AXES];
} fr_row_operand;

/* What becomes of the results of a row: they are multiplied or divided by its factor. */
typedef enum { FR_UNCHANGED_ROWS, FR_MULTIPLIED, FR_DIVIDED } fr_row_finish;

/* What makes gradients of the results of a call with a load. */
typedef struct {
    fr_kernel kernel;
    fr_tile_kernel tile, band;
    fr_kernel cap; /* of grad, x and a cap; NULL: no cap */
} fr_row_slope;

/* All rows of an array: the kernel for each, and their addresses. */
typedef struct {
    fr_kernel kernel;
    fr_tile_kernel tile; /* or NULL */
    fr_tile_kernel band; /* or NULL */
    fr_tile_kernel fold; /* or NULL */
    fr_loss loss;        /* if not NULL, called instead of the kernel */
    const fr_rows *flavor;
    const fr_target *target; /* the values that all rows share */
    const fr_row_load *load; /* NULL: elements are taken as they are */
    fr_row_finish finish;
    const fr_row_slope *slope; /* NULL: results are written */
    int64_t ignored;           /* the label of rows that are ignored */
    fr_atomic *skipped;        /* is increased by the number of such rows, unless it is NULL */
    double *sums; /* in place of each loss, if not NULL: the sum of each `chunk` rows, and its rounding error */
    ptrdiff_t chunk;
    uint64_t absent, alone; /* bit patterns: of a masked element; of the results of a row that is all masked */
    ptrdiff_t n, itemsize;
    int naxes;
    ptrdiff_t shape[FR_ROW_AXES];
    fr_row_operand operand[FR_ROW_OPERANDS];
} fr_row_call;

/* Tells this module, before its first call, the bytes of the processor's second-level cache; 0: not known. */
void fr_rows_suit(ptrdiff_t second_cache);

/* Merges axes that are one run in every operand, which the functions below expect. */
void fr_rows_merge(fr_row_call *call);

/* How many rows threads best take together. */
ptrdiff_t fr_rows_together(const fr_row_call *call, ptrdiff_t rows);

/* Bytes of workspace for any share of `rows` rows; SIZE_MAX if there cannot be that many. */
size_t fr_rows_room(const fr_row_call *call, ptrdiff_t rows);

/* Runs over rows start to stop, in the order of the axes, the last fastest; each thread has its own workspace. With
 * sums, start is a multiple of a chunk. */
enum {
    FR_ROWS_DONE,
    FR_ROWS_NO_CLASS /* a label is not a class; its row has no loss and no gradient */
};
int fr_run_rows(const fr_row_call *call, ptrdiff_t start, ptrdiff_t stop, char *room);

#endif
