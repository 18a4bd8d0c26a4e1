# Interface of _core for the other compiled modules: what they share in reading operands.

cimport numpy as cnp

from fastrelu._runtime cimport Crew, fr_fused, fr_kernel

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
cdef bint _is_native(object value, int dtype)
cdef object _as_array(double number, int dtype)
cdef str _why_threads(Crew crew, Py_ssize_t n)
cdef fr_kernel checked_kernel(object kernel, tuple numbers, int type, int level) except NULL
cdef fr_kernel plain_kernel(object kernel, tuple numbers, int type, int level, double *rounded) except? NULL
cdef fr_fused sum_kernel(object kernel, int type, int level) noexcept
