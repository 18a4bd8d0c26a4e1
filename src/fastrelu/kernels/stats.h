/* Statistics of the columns of a matrix: the interface of the kernels. */
#ifndef FASTRELU_STATS_H
#define FASTRELU_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

/* Statistics of a set of elements (loops in stats_loops.h). All but `nonfinite` cover only the finite ones. */
typedef struct {
    int64_t finite, nonfinite, zeros, saturated;
    double mean, rest; /* the mean is their sum */
    double square;     /* sum of the squares of the deviations from it */
    double low, high;
} fr_summary;

/* FR_LANES: the largest number of columns that a kernel takes. If two rows have no more than FR_JOINED elements
 * together, it takes several rows side by side, which must be contiguous. */
enum { FR_LANES = 256, FR_JOINED = 64 };

/* Summarizes each column of a matrix whose rows are `stride` bytes apart. `shift` holds an estimate of each column's
 * mean. */
typedef void (*fr_summarize)(const char *x, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, const double *limits,
                             const double *shift, fr_summary *out);

struct fr_stats {
    fr_summarize summarize[FR_FLAVORS];
};

#endif
