# Interface of _core for the other compiled modules: the doors, and what they share in reading operands.

cimport numpy as cnp
from cpython.object cimport PyObject

from fastrelu._kernels cimport Kernel, fr_call, fr_memory, fr_plan
from fastrelu._numpy cimport NpyIter, PyArray_ISALIGNED, PyArray_ISNOTSWAPPED, PyArray_ISWRITEABLE
from fastrelu._runtime cimport Crew, FR_MAX_INPUTS, FR_MAX_PARAMETERS, fr_kernel

cdef object as_target(str name, object out)
cdef int _number(object value, double *to) except -1
cdef Py_ssize_t _broadcast_size(list arrays) except -1
cdef object _as_array(double number, int dtype)
cdef fr_kernel checked_kernel(object kernel, tuple numbers, int type, int level) except NULL
cdef fr_kernel plain_kernel(object kernel, tuple numbers, int type, int level, double *rounded) except? NULL
cpdef bint explaining() except -1

# The doors, for what is made of several calls or says what a call would do.
cdef object _dispatch(Kernel kernel, object out, object where, PyObject **args)
cdef int _check_params(Kernel kernel, list args, int type) except -1
cdef cnp.ndarray _fresh_for(list args, int n, int dtype)
cdef NpyIter *_open(list args, object target, int dtype, object where, list terms=*) except NULL
cdef const fr_memory *_describe(fr_memory *memory, list args, cnp.ndarray out, object where, int dtype)
cdef int _plan(fr_plan *plan, const fr_call *how, const fr_memory *memory, int cost, NpyIter *iterator, bint warm,
               Crew crew) except -1
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
