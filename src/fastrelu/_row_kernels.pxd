# Interface of _row_kernels for what goes over rows: the kernels, and how calls are laid out, run and added up.

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint64_t

from fastrelu._numpy cimport PyArray_ISBEHAVED_RO, PyArray_IS_C_CONTIGUOUS
from fastrelu._runtime cimport Crew, fr_atomic, fr_convert

cdef extern from "kernels/rows.h" nogil:  # whose functions are linked into _row_kernels alone
    enum:
        FR_ROWS_NO_CLASS
        FR_LIGHT
        FR_MEDIUM
        FR_HEAVY
        FR_SOFTMAX
        FR_LOG_SOFTMAX
        FR_SOFTMIN
        FR_HARDMAX
        FR_NORMALIZERS
        FR_ROW_IN
        FR_ROW_SECOND
        FR_ROW_WHERE
        FR_ROW_OUT
        FR_ROW_LABEL
        FR_ROW_LOSS
        FR_ROW_FACTOR
        FR_ROW_GRAD
        FR_ROW_LOADED_SLOPE
        FR_ROW_SINK_SLOPE
        FR_ROW_OPERANDS
        FR_ROW_SINK
        FR_ROW_AXES
        FR_TILE_WIDTH
        FR_CRITICAL_PITCH
    ctypedef enum fr_row_finish:
        FR_UNCHANGED_ROWS
        FR_MULTIPLIED
        FR_DIVIDED
    ctypedef void (*fr_kernel)(const char *const *, char *, Py_ssize_t) noexcept
    ctypedef struct fr_row_load:
        double scale
        double cap
        fr_kernel softcap
    ctypedef struct fr_target:
        double *weights
        double mean_weight
        double smoothing
        double scale
    ctypedef double (*fr_loss)(const fr_target *, Py_ssize_t) noexcept
    ctypedef struct fr_label_counts:
        int64_t ignored
        int64_t wrong
    ctypedef void (*fr_tile_kernel)(void *) noexcept
    ctypedef struct fr_rows:
        fr_kernel *forward
        fr_kernel *from_output
        fr_tile_kernel *forward_tile
        fr_tile_kernel *from_output_tile
        fr_tile_kernel *forward_band
        fr_tile_kernel *from_output_band
        fr_tile_kernel *forward_fold
        fr_tile_kernel *from_output_fold
        void *hardmax
        fr_loss cross_entropy
        fr_tile_kernel cross_entropy_tile
        fr_loss logsumexp
        fr_tile_kernel logsumexp_tile
        fr_label_counts (*read_labels)(int32_t *, const int64_t *, Py_ssize_t, Py_ssize_t, int64_t) noexcept
    ctypedef struct fr_row_slope:
        fr_kernel kernel
        fr_tile_kernel tile
        fr_tile_kernel band
        fr_kernel cap
    ctypedef struct fr_row_operand:
        char *origin
        Py_ssize_t along
        Py_ssize_t *stride
    ctypedef struct fr_row_call:
        fr_kernel kernel
        fr_tile_kernel tile
        fr_tile_kernel band
        fr_tile_kernel fold
        fr_loss loss
        const fr_rows *flavor
        const fr_target *target
        const fr_row_load *load
        fr_row_finish finish
        const fr_row_slope *slope
        int64_t ignored
        fr_atomic *skipped
        double *sums
        Py_ssize_t chunk
        uint64_t absent
        uint64_t alone
        Py_ssize_t n
        Py_ssize_t itemsize
        int naxes
        Py_ssize_t *shape
        fr_row_operand *operand

cdef extern from "kernels/two_sum.h" nogil:
    void fr_add_to(double *, double *, double) noexcept

cdef class RowKernels:
    cdef const fr_rows *rows
    cdef const fr_convert *convert
    cdef readonly dict ufuncs
    cdef object threshold  # the kernel of this activation, which computes the gradient of hardmax
    cdef int add(self, str name, int form, int kind) except -1
    cdef const fr_rows *of(self, int dtype) except NULL
    cdef object zeros(self, cnp.ndarray y, object out)

cdef class Load:
    cdef fr_row_load load
    cdef object capper, bias, sink
    cdef str in_words(self)
    cpdef int choose(self, str name, int dtype) except -1

cdef enum:
    CHUNKS = 1024  # of rows whose losses are added up, at most

cdef inline int _cost(int kind, bint backward) noexcept:
    """The cost class: hardmax is bound by memory, and a gradient from the output that holds no exponential."""
    return FR_LIGHT if kind == FR_HARDMAX or (backward and kind != FR_LOG_SOFTMAX) else FR_MEDIUM

cdef inline bint _is_plain(object value, int dtype):
    """A plain array of this type, contiguous in C's order."""
    if type(value) is not cnp.ndarray:
        return False
    return (cnp.PyArray_TYPE(<cnp.ndarray>value) == dtype and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>value)
            and PyArray_ISBEHAVED_RO(<cnp.ndarray>value))

# Laying out a call. What the smallest calls do is inline.

cdef inline void _clear(fr_row_call *call) noexcept nogil:
    cdef int k
    call.tile = NULL
    call.band = NULL
    call.fold = NULL
    call.loss = NULL
    call.target = NULL
    call.load = NULL
    call.finish = FR_UNCHANGED_ROWS
    call.slope = NULL
    call.skipped = NULL
    call.sums = NULL
    for k in range(FR_ROW_OPERANDS):
        call.operand[k].origin = NULL

cdef inline void _flat_operand(fr_row_call *call, int which, const char *data) noexcept nogil:
    call.operand[which].origin = <char *>data
    call.operand[which].along = call.itemsize
    call.operand[which].stride[0] = call.n * call.itemsize

cdef inline void _set_kernels(fr_row_call *call, const fr_rows *flavor, int kind, bint backward) noexcept nogil:
    call.flavor = flavor
    call.kernel = flavor.from_output[kind] if backward else flavor.forward[kind]
    call.tile = flavor.from_output_tile[kind] if backward else flavor.forward_tile[kind]
    call.band = flavor.from_output_band[kind] if backward else flavor.forward_band[kind]
    call.fold = flavor.from_output_fold[kind] if backward else flavor.forward_fold[kind]

cdef uint64_t _absent(int kind, int dtype) noexcept
cdef uint64_t _alone(int kind, int dtype) noexcept
cdef Py_ssize_t _lay_out(fr_row_call *call, cnp.ndarray y, int axis, int *order) noexcept
cdef void _operand(fr_row_call *call, int which, cnp.ndarray x, int axis, const int *order, bint has_axis) noexcept
cdef Py_ssize_t _describe(fr_row_call *call, const fr_rows *flavor, int kind, bint backward, cnp.ndarray a,
                          cnp.ndarray b, cnp.ndarray mask, int axis, cnp.ndarray y, Load load, cnp.ndarray sink,
                          cnp.ndarray factor, fr_row_finish finish) noexcept
cdef cnp.ndarray _result_like(cnp.ndarray a, cnp.ndarray b, int dtype)
cdef cnp.ndarray _place_losses(fr_row_call *call, Py_ssize_t rows, int chunks, tuple shape, int axis, const int *order)

# Running it, on the threads of a crew.

cdef int _run(fr_row_call *call, int cost, Py_ssize_t rows, Crew crew) except -1
cdef object _run_flat(const fr_rows *flavor, int kind, int cost, cnp.ndarray x, cnp.ndarray second, cnp.ndarray out,
                      Crew crew, cnp.ndarray factor=*, fr_row_finish finish=*)
cdef tuple _taken_together(const fr_rows *flavor, int kind, bint backward, cnp.ndarray a, cnp.ndarray b,
                           cnp.ndarray mask, int axis, cnp.ndarray y, Load load, cnp.ndarray sink)
cdef double _sum(const double *x, Py_ssize_t n) noexcept nogil

# The same for shares of one's own: merges axes; the bytes needed to run over so many rows; runs over them in that room.

cdef void _merge(fr_row_call *call) noexcept nogil
cdef size_t _room(const fr_row_call *call, Py_ssize_t rows) noexcept nogil
cdef int _run_here(const fr_row_call *call, Py_ssize_t rows, char *room) noexcept nogil
