# Interface of _kernels for the other compiled modules.

cimport numpy as cnp

from fastrelu._runtime cimport (
    FR_AS_DOUBLE,
    FR_MAX_OPERANDS,
    FR_PRECISIONS,
    FR_TYPES,
    fr_combine,
    fr_convert,
    fr_fused,
    fr_kernel,
    fr_move,
    fr_stream,
    type_of,
)

cdef extern from "kernels/kernels.h" nogil:
    ctypedef int (*fr_domain)(const double *) noexcept nogil
    ctypedef struct fr_op:
        const char *name
        int cost
        int nparams
        const char **params
        fr_domain *domain
        const char **domain_text

cdef extern from "kernels/call.h" nogil:
    ctypedef struct fr_call:
        fr_kernel scalar
        fr_kernel array
        const fr_stream *stream
        const fr_convert *convert
        int ndata
        int nparams
        int type
        Py_ssize_t itemsize
        int format
        Py_ssize_t size
        int light
        fr_move load
        fr_move store
        fr_kernel direct
        fr_fused *fused

cdef extern from "kernels/drive.h" nogil:
    ctypedef cnp.npy_intp fr_strides[FR_MAX_OPERANDS]
    ctypedef struct fr_view:
        int naxes
        cnp.npy_intp *shape
        fr_strides *stride
        char **origin
    ctypedef struct fr_memory:
        int *format
        int *swapped
        Py_ssize_t *size
        bint masked
        int nterms
        int *changed
        int *how
    ctypedef struct fr_plan:
        fr_view view
        Py_ssize_t boxes
        bint streamed

cdef class Kernel:
    cdef readonly str name
    cdef readonly tuple operands  # names of the inputs in their order
    cdef str function  # what messages call it
    cdef readonly object fast, accurate
    cdef const fr_op *op
    cdef readonly int cost
    cdef int direction, ndata, nparams, nin
    cdef fr_call calls[FR_TYPES][FR_PRECISIONS]
    cdef cnp.PyUFuncGenericFunction loops[FR_TYPES]
    cdef void *loop_data[FR_PRECISIONS][FR_TYPES]
    cdef char loop_types[FR_TYPES * FR_MAX_OPERANDS]
    cdef bytes c_name, c_doc
    cdef make_ufunc(self, int level)
    cdef int take_bfloat16(self) except -1

cdef fr_combine combining(const fr_call *how, int combination) noexcept
cdef fr_combine sum_loop(int type) noexcept

# The kind of an operand: the type in which it is computed, as an index into fr_types, or one of these.
cdef enum:
    BYTE = FR_TYPES  # bool and 8-bit integers: float32 for themselves, but 16-bit types hold them too
    WEAK = -1     # a Python number, which fits into the type of the others
    NEITHER = -2  # no type holds its values; the ufunc says so
    FOREIGN = -3  # its type has code of its own

cdef int kind_of_dtype(cnp.dtype dtype) except -4
cdef int class_of_dtype(cnp.dtype dtype) except -4  # the same, but float32 for BYTE
cdef int joint_kind(int common, int kind) noexcept
cdef int type_of_kind(int common) noexcept
cdef int computed_type(int dtype, int level) noexcept
cdef bint _is_half(cnp.ndarray x) noexcept

cdef int _FORMATS[FR_TYPES]
cdef inline int _format(int dtype) noexcept nogil:
    """How elements of a type lie in memory, as the driver knows it; -1 if it does not."""
    cdef int type
    if dtype <= FR_AS_DOUBLE:
        return dtype
    type = type_of(dtype)
    return -1 if type < 0 else _FORMATS[type]

# Whole arrays between 16-bit types and those that have kernels.
cdef cnp.ndarray _moved(cnp.ndarray x, int dtype, bint load, fr_move store=*)
cdef cnp.ndarray widened(cnp.ndarray x, int dtype)
cdef cnp.ndarray narrowed(cnp.ndarray x, int dtype)
cdef bint _is_dense(cnp.ndarray x)
cdef bint _lie_alike(cnp.ndarray x, cnp.ndarray y) noexcept
cdef bint _put(object target, object x) except -1
cdef void _to_float(const double *x, float *y, Py_ssize_t n) noexcept

# The driver, whose functions are linked into _kernels alone; kernels/drive.h says what they do.
cdef struct Driver:
    int (*take_numbers)(fr_domain, double *, int, void *, int) noexcept
    void (*run_part)(const fr_call *, const char *const *, char *, Py_ssize_t, int, int) noexcept nogil
    void (*convert_part)(const fr_call *, const char *const *, char *, Py_ssize_t, int, int) noexcept nogil
    void (*make_plan)(fr_plan *, const fr_call *, const fr_memory *, int) noexcept
    bint (*join_plans)(fr_plan *, const fr_plan *) noexcept
    void (*run_plan)(const fr_plan *, int, int) noexcept nogil
cdef Driver drive
