# Interface of _core for the other compiled modules: what they share in reading operands.

cimport numpy as cnp

from fastrelu._runtime cimport FR_F32_FAST, FR_F64_FAST

# The class of an operand: which kernels its type needs.
cdef enum:
    SINGLE   # its type fits into float32
    DOUBLE   # into float64
    WEAK     # a Python number, which fits into the type of the others
    NEITHER  # no kernel has its type; the ufunc says so
    FOREIGN  # its type has code of its own

# The flavor of a dtype and a precision (FR_F32_FAST ...), and the bytes of an element.
cdef inline int flavour_of(int dtype, int level) noexcept nogil:
    return (FR_F64_FAST if dtype == cnp.NPY_DOUBLE else FR_F32_FAST) + level

cdef inline int size_of(int dtype) noexcept nogil:
    return 8 if dtype == cnp.NPY_DOUBLE else 4

cdef int class_of_dtype(cnp.dtype dtype) except -1
cdef object as_target(str name, object out)
cdef int _number(object value, double *to) except -1
cdef Py_ssize_t _broadcast_size(list arrays) except -1
cdef bint _is_native(object value, int dtype)
cdef object _as_array(double number, bint double)
