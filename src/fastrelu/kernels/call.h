/* A kernel as the doors call it; in a header of its own, which goes with other views than those of drive.h. */
#ifndef FASTRELU_CALL_H
#define FASTRELU_CALL_H

#include "kernels.h"

/* One kernel as called: its operands and their type. Inputs first (data, then parameters), then out. */
typedef struct {
    fr_kernel scalar, array;
    const fr_stream *stream;
    const fr_convert *convert;
    int ndata, nparams, type; /* the type of the kernel */
    ptrdiff_t itemsize;       /* of that type, in bytes */
    int format;               /* of the results in memory, which are rounded to it even if `out` has another one */
    ptrdiff_t size;           /* of such a result, in bytes */
    int light;                /* bound by memory */
    fr_move load, store;      /* from and to this format; NULL: it is that of the kernel */
    fr_kernel direct;         /* `scalar` for data of this format, with numbers of the kernel's type; or NULL */
    fr_fused fused[FR_COMBINATIONS]; /* `scalar` with terms, by how they change operands; or NULL */
} fr_call;

#endif
