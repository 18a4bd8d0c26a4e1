# Interface of _rows for what else goes over rows: the kernels, how operands are read and laid out, and the run.

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint64_t

from fastrelu._runtime cimport Crew, Held, fr_atomic, fr_convert

cdef extern from "kernels/rows.h" nogil:  # whose functions are linked into _rows alone
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

cdef int _run(fr_row_call *call, int cost, Py_ssize_t rows, Crew crew) except -1
cdef bint _is_plain(object value, int dtype)
cdef void _clear(fr_row_call *call) noexcept nogil
cdef object _run_flat(const fr_rows *flavor, int kind, int cost, cnp.ndarray x, cnp.ndarray second, cnp.ndarray out,
                      Crew crew, cnp.ndarray factor=*, fr_row_finish finish=*)
cdef Py_ssize_t _lay_out(fr_row_call *call, cnp.ndarray y, int axis, int *order) noexcept
cdef void _operand(fr_row_call *call, int which, cnp.ndarray x, int axis, const int *order, bint has_axis) noexcept
cdef object _hand_over(RowKernels kernels, str name, tuple values, object axis, object out, object where,
                       bint keepdims)
cdef uint64_t _absent(int kind, int dtype) noexcept
cdef bint _is_flat(object x, object second, object axis, object out)
cdef cnp.ndarray _along(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                        int axis, cnp.ndarray y, int dtype, Crew crew, const Held *held, Load load,
                        cnp.ndarray sink, cnp.ndarray factor=*, fr_row_finish finish=*)
cdef bint _run_losses_in_parts(RowKernels kernels, const fr_row_call *call, cnp.ndarray x, int dtype, int cost,
                               const Held *held, str name) except -1
cdef double _sum(const double *x, Py_ssize_t n) noexcept nogil
cdef cnp.ndarray _place_losses(fr_row_call *call, Py_ssize_t rows, int chunks, tuple shape, int axis, const int *order)
