# Interface of _core for the other compiled modules: the kernels, and what they share in reading operands.

cimport numpy as cnp
from cpython.object cimport PyObject

from fastrelu._numpy cimport NpyIter, PyArray_ISALIGNED, PyArray_ISNOTSWAPPED, PyArray_ISWRITEABLE
from fastrelu._runtime cimport (
    Crew,
    FR_MAX_INPUTS,
    FR_MAX_OPERANDS,
    FR_MAX_PARAMETERS,
    FR_PRECISIONS,
    FR_TYPES,
    extent,
    fr_combine,
    fr_convert,
    fr_fused,
    fr_kernel,
    fr_move,
    fr_stream,
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

cdef extern from "kernels/drive.h" nogil:  # whose functions are linked into _core alone
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
    cdef int refuse(self, list args, const double *params, int type) except -1

# The type in which an operand is computed, as an index into fr_types, or one of these.
cdef enum:
    WEAK = -1     # a Python number, which fits into the type of the others
    NEITHER = -2  # no type holds its values; the ufunc says so
    FOREIGN = -3  # its type has code of its own

cdef int class_of_dtype(cnp.dtype dtype) except -4
cdef object as_target(str name, object out)
cdef int computed_type(int dtype, int level) noexcept
cdef cnp.ndarray widened(cnp.ndarray x, int dtype)
cdef cnp.ndarray narrowed(cnp.ndarray x, int dtype)
cdef bint _is_half(cnp.ndarray x) noexcept
cdef int _number(object value, double *to) except -1
cdef Py_ssize_t _broadcast_size(list arrays) except -1
cdef object _as_array(double number, int dtype)
cdef fr_kernel checked_kernel(object kernel, tuple numbers, int type, int level) except NULL
cdef fr_kernel plain_kernel(object kernel, tuple numbers, int type, int level, double *rounded) except? NULL
cdef fr_combine combining(const fr_call *how, int combination) noexcept
cdef fr_combine sum_loop(int type) noexcept
cpdef bint explaining() except -1

# The doors, for what is made of several calls or says what a call would do.
cdef object _dispatch(Kernel kernel, object out, object where, PyObject **args)
cdef int _check_params(Kernel kernel, list args, int type) except -1
cdef cnp.ndarray _fresh_for(list args, int n, int dtype)
cdef NpyIter *_open(list args, object target, int dtype, object where, list terms=*) except NULL
cdef const fr_memory *_describe(fr_memory *memory, list args, cnp.ndarray out, object where, int dtype)
cdef int _plan(fr_plan *plan, const fr_call *how, const fr_memory *memory, int cost, NpyIter *iterator, bint warm,
               Crew crew) except -1
cdef void run_plan(const fr_plan *plan, int part, int parts) noexcept nogil
cdef void run_converted(const fr_call *how, const char **inputs, char *out, Py_ssize_t n) noexcept nogil
cdef bint join_plans(fr_plan *gate, const fr_plan *value) noexcept
cdef void _plan_share(const void *job, long share, long shares, int part) noexcept nogil
cdef object _unpacked(object out)
cdef bint _are_plain(list args)
cdef list _as_list(PyObject **args, int n)
cdef int _number_type(int dtype) noexcept

# What the first door does in a call: decided by `_decide_dense` before anything is written.
cdef struct _Dense:
    const fr_call *how
    const char *inputs[FR_MAX_INPUTS]
    char *out  # NULL: the result is new memory
    Py_ssize_t n
    Crew crew
    bint at_once  # too few elements for threads, streaming and releasing the GIL
    double params[FR_MAX_PARAMETERS]
    double rounded[FR_MAX_PARAMETERS]  # in the type of the kernel
cdef bint _plan_stream(fr_plan *plan, const _Dense *call, int cost, bint warm) noexcept

# What the second or the third door does in a call: decided by `_decide_general` before anything is written.
cdef struct _General:
    int why_not_strided  # 0, or the reason why it is the third door
    const fr_call *how
    int dtype, level
    bint unknown  # an operand has code of its own, or a type that no kernel has
    Crew crew
cdef object _decide_general(_General *call, Kernel kernel, list args, object out, object where)

# Says in words what `_dispatch` would do now that it has decided. _explain sets it when it is imported, which the other
# engines do.
ctypedef dict (*fr_foresee)(_Dense *call, int why, Kernel kernel, object out, object where, PyObject **args)
cdef fr_foresee foresee

cdef enum:
    FEW = 1 << 14  # elements up to which sums in a pass of their own cost less than the driver's iterator
    FEW_ROWS = 64  # of a length below which more rows cost more than that

# Why a door cannot be taken; the bits above WHICH hold the number of the operand.
cdef enum:
    WHERE_GIVEN = 1
    NO_ARRAY
    OTHER_TYPE
    UNALIGNED
    SWAPPED
    GAPS
    OTHER_SHAPE
    OTHER_LAYOUT
    NO_NUMBER
    NO_AXES
    READ_ONLY
    OVERLAP
    UNKNOWN_TYPE
    SIDE_BY_SIDE
    WHICH = 8  # bits of the reason

cdef inline int _why_not_placed(cnp.ndarray x) noexcept:
    """The reason why the kernels cannot read an array of their type where it lies; 0 if they can."""
    if not PyArray_ISALIGNED(x):
        return UNALIGNED
    return 0 if PyArray_ISNOTSWAPPED(x) else SWAPPED

cdef inline int _why_not_native(object value, int dtype) noexcept:
    """The reason why the kernels cannot read a value in place as a plain array of this type; 0 if they can."""
    if type(value) is not cnp.ndarray:
        return NO_ARRAY
    return OTHER_TYPE if cnp.PyArray_TYPE(<cnp.ndarray>value) != dtype else _why_not_placed(<cnp.ndarray>value)

cdef inline bint _is_native(object value, int dtype) noexcept:
    """Is it a plain array of this type that the kernels can read in place?"""
    return _why_not_native(value, dtype) == 0

cdef inline int _why_not_target(object out, int dtype) noexcept:
    """The reason why the kernels cannot write into it; 0 if they can."""
    cdef int why = _why_not_native(out, dtype)
    return why or (0 if PyArray_ISWRITEABLE(<cnp.ndarray>out) else READ_ONLY)

cdef inline bint _extents_meet(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Might they share memory?"""
    cdef char *ends[4]
    extent(x, &ends[0], &ends[1])
    extent(y, &ends[2], &ends[3])
    return ends[0] < ends[3] and ends[2] < ends[1]
