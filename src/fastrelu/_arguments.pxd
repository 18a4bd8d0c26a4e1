# Interface of _arguments for the functions along an axis.

cimport numpy as cnp

from fastrelu._runtime cimport Crew

cdef cnp.ndarray _as_data(str name, object x)
cdef int _type_of(str name, cnp.ndarray x) except -1
cdef int _joint_type(str name, cnp.ndarray a, cnp.ndarray b, int *result) except -1
cdef cnp.ndarray _rounded(cnp.ndarray y, int result)
cdef cnp.ndarray _rounded_into(cnp.ndarray target, cnp.ndarray y, int result)
cdef cnp.ndarray _as_carray(object x, int dtype)
cdef bint _is_read(cnp.ndarray x, int dtype) noexcept
cdef cnp.ndarray _native(cnp.ndarray x, int dtype)
cdef Crew _crew(int cost, cnp.ndarray x, bint copied, int weight=*) except *
cpdef cnp.ndarray _as_output(str name, object out)
cpdef int _check_output(str name, cnp.ndarray target, cnp.ndarray like, int dtype) except -1
cdef bint _takes(cnp.ndarray target, int dtype)
cdef bint _same_place(cnp.ndarray x, cnp.ndarray y)
cdef cnp.ndarray _unshared(cnp.ndarray x, cnp.ndarray out)
cpdef cnp.ndarray spread_mask(str name, cnp.ndarray mask, tuple shape)
cpdef cnp.ndarray spread(str name, str operand, cnp.ndarray value, int dtype, tuple shape)
cpdef double as_scale(str name, object scale) except? -1
cdef double _as_number(str name, str operand, object value) except? -1
cdef tuple _axes_of(object axis, int ndim)
cdef cnp.ndarray _merged(cnp.ndarray x, tuple axes)
cdef cnp.ndarray _parted(cnp.ndarray y, tuple axes, tuple shape)
cpdef object as_axis(object axis)
cdef inline Py_ssize_t _far(Py_ssize_t stride) noexcept:
    """How far apart two elements are: abs of a number of NumPy's type is a call into Python, which needs memory."""
    return -stride if stride < 0 else stride

cdef inline bint _is_ndarray(object value) noexcept:
    return type(value) is cnp.ndarray

cdef int plain_axis(object axis, int ndim) except -2
cdef bint _is_handed_over(tuple values, object out, object where) except -1
cdef bint _are_ints(tuple values) except -1
cdef tuple _without(tuple shape, tuple axes, bint keepdims)
