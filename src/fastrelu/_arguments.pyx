"""How functions along an axis read their arguments: arrays, types, axes, masks, numbers and outputs."""

from itertools import product

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from fastrelu import _foreign
from fastrelu._kernels import copy_into, quietly
from fastrelu._options import integer

cimport numpy as cnp
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from libc.math cimport isfinite

from fastrelu._core cimport _number, as_target
from fastrelu._kernels cimport NEITHER, _is_half, _put, _to_float, class_of_dtype, computed_type, narrowed, widened
from fastrelu._numpy cimport PyArray_ISBEHAVED_RO, PyArray_ISWRITEABLE, PyArray_IS_C_CONTIGUOUS, PyArray_SAMESHAPE
from fastrelu._runtime cimport Crew, FR_CREW_SMALL, crew_for, dtype_of, extents_meet, has_kernels, precision_here

cnp.import_array()


cdef cnp.ndarray _as_data(str name, object x):
    """The argument as an array of numbers, without a copy if it is one."""
    if type(x) is cnp.ndarray:
        return x
    _foreign.refuse_mask(name, x)
    return np.asarray(x)


cdef int _type_of(str name, cnp.ndarray x) except -1:
    """NumPy's number of the type of a result."""
    cdef int kind = class_of_dtype(<cnp.dtype>x.descr)
    if kind == NEITHER:
        if cnp.PyArray_NDIM(x) == 0 and cnp.PyArray_TYPE(x) == cnp.NPY_OBJECT:  # of what is no array
            given = x.item()
            raise TypeError(f"{name} takes real numbers, not {'None' if given is None else type(given).__name__}")
        raise TypeError(f"{name} takes real numbers, not {x.dtype}; convert with x.astype(numpy.float64) what can be")
    return dtype_of(kind).type_num


cdef int _joint_type(str name, cnp.ndarray a, cnp.ndarray b, int *result) except -1:
    """The type that computes, and the type of the result: another one if it has 16 bits."""
    cdef int first = _type_of(name, a), second = first if b is None else _type_of(name, b)
    if first != second and not has_kernels(first) and cnp.PyArray_ITEMSIZE(b) == 1:
        second = first  # truth values and bytes fit into every type
    elif first != second and not has_kernels(second) and cnp.PyArray_ITEMSIZE(a) == 1:
        first = second
    elif first != second:
        first = first if has_kernels(first) else <int>cnp.NPY_FLOAT
        second = second if has_kernels(second) else <int>cnp.NPY_FLOAT
    result[0] = max(first, second)
    return computed_type(result[0], precision_here())


cdef cnp.ndarray _rounded(cnp.ndarray y, int result):
    """Results in their type; losses and logarithms of sums are float64, and fill their memory without a gap."""
    cdef cnp.ndarray found
    if cnp.PyArray_TYPE(y) == result:
        return y
    if not has_kernels(result):
        return narrowed(y, result)
    if PyArray_IS_C_CONTIGUOUS(y):
        found = cnp.PyArray_SimpleNew(cnp.PyArray_NDIM(y), cnp.PyArray_DIMS(y), cnp.NPY_FLOAT)
    else:
        found = np.empty_like(y, np.float32)
    # NumPy would warn of numbers that are too large.
    _to_float(<const double *>cnp.PyArray_DATA(y), <float *>cnp.PyArray_DATA(found), cnp.PyArray_SIZE(y))
    return found


cdef cnp.ndarray _rounded_into(cnp.ndarray target, cnp.ndarray y, int result):
    """The same, in `target` if there is one."""
    if target is None:
        return _rounded(y, result)
    if target is y or (cnp.PyArray_TYPE(target) == result and _put(target, y)):
        return target
    copy_into(target, _rounded(y, result))
    return target


cdef cnp.ndarray _as_carray(object x, int dtype):
    """A plain array of a type, contiguous, aligned and in native byte order: the array itself where it is one."""
    return cnp.PyArray_FROMANY(x, dtype, 0, 0, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED
                               | cnp.NPY_ARRAY_NOTSWAPPED | cnp.NPY_ARRAY_ENSUREARRAY | cnp.NPY_ARRAY_FORCECAST)


cdef bint _is_read(cnp.ndarray x, int dtype) noexcept:
    """Do the kernels of this type read the array as it is?"""
    return cnp.PyArray_TYPE(x) == dtype and PyArray_ISBEHAVED_RO(x)


cdef cnp.ndarray _native(cnp.ndarray x, int dtype):
    """The array in the form that the kernels read; the array itself if they can."""
    if _is_read(x, dtype):
        return x
    if _is_half(x):
        return widened(x, dtype)
    return _converted(x, dtype)


cdef cnp.ndarray _converted(cnp.ndarray x, int dtype):
    """A copy in a type, in which numbers beyond it are infinite. Only conversions of floating-point types set flags."""
    descr = cnp.PyArray_DescrFromType(dtype)
    if cnp.PyArray_TYPE(x) == dtype or not cnp.PyTypeNum_ISFLOAT(cnp.PyArray_TYPE(x)):
        return x.astype(descr)
    return quietly(x.astype, descr)


cdef enum:
    COPIED = 8  # times as many elements, from which on threads pay for an array that this one has just converted


cdef Crew _crew(int cost, cnp.ndarray x, bint copied, int weight=1) except *:
    """The threads for an array, of which the kernels may read a copy: that lies in this thread's cache.

    An element costs as much as `weight` elements of the cost class.
    """
    cdef Crew crew = crew_for(cost, weight * cnp.PyArray_SIZE(x), cnp.PyArray_ITEMSIZE(x))
    if copied and crew.threads > 1 and cnp.PyArray_SIZE(x) < COPIED * crew.least:
        crew.threads, crew.reason, crew.least = 1, FR_CREW_SMALL, COPIED * crew.least
    return crew


cpdef cnp.ndarray _as_output(str name, object out):
    """`out` as a plain array; None if it was not given."""
    if isinstance(out, tuple) and len(out) == 1:
        out = out[0]
    if out is None or out is Ellipsis:
        return None
    if type(out) is cnp.ndarray:
        return out
    _foreign.refuse_mask(name, out)
    if not isinstance(out, np.ndarray) and hasattr(type(out), "__array_ufunc__"):
        raise TypeError(f"{name} can write into an array or a writable buffer, not into {type(out).__name__!r}")
    return np.asarray(as_target(name, out))


cpdef int _check_output(str name, cnp.ndarray target, cnp.ndarray like, int dtype) except -1:
    """Raise unless a result of the shape of `like` and of this type can be written into `target`."""
    if not PyArray_SAMESHAPE(target, like):
        raise ValueError(f"{name}: out has the shape {(<object>target).shape}, the result {(<object>like).shape}")
    descr = cnp.PyArray_DescrFromType(dtype)
    if not np.can_cast(descr, target.dtype, "same_kind"):
        raise TypeError(f"{name}: the result of type {descr} cannot be cast into out of type {target.dtype}")
    if not PyArray_ISWRITEABLE(target):
        raise ValueError(f"{name}: out is read-only")
    return 0


cdef bint _takes(cnp.ndarray target, int dtype):
    """Can the kernels write a result of this type in place? Not if elements share memory."""
    cdef int k
    if target is None or cnp.PyArray_TYPE(target) != dtype or not PyArray_ISBEHAVED_RO(target):
        return False
    for k in range(cnp.PyArray_NDIM(target)):
        if cnp.PyArray_STRIDE(target, k) == 0 and cnp.PyArray_DIM(target, k) > 1:
            return False
    return True


cdef bint _same_place(cnp.ndarray x, cnp.ndarray y):
    return cnp.PyArray_DATA(x) == cnp.PyArray_DATA(y) and (<object>x).strides == (<object>y).strides


cdef cnp.ndarray _unshared(cnp.ndarray x, cnp.ndarray out):
    """The array, or a copy if writing into `out` would change elements that are still to be read."""
    if x is None or out is None or _same_place(x, out) or not extents_meet(x, out):
        return x
    return x.copy()


cpdef cnp.ndarray spread_mask(str name, cnp.ndarray mask, tuple shape):
    """The mask, broadcast to the shape of the array."""
    if cnp.PyArray_TYPE(mask) != cnp.NPY_BOOL:
        raise TypeError(f"{name}: where must be of type bool, not {mask.dtype}")
    if (<object>mask).shape == shape:
        return mask
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"{name}: where of shape {(<object>mask).shape} does not broadcast to the shape of x, "
                         f"{shape}") from None


cpdef cnp.ndarray spread(str name, str operand, cnp.ndarray value, int dtype, tuple shape):
    """A bias or a sink in the type that computes, broadcast to a shape."""
    if operand == "bias" and cnp.PyArray_TYPE(value) == cnp.NPY_BOOL:
        raise TypeError(f"{name}: bias of type bool would be added as 0 and 1; a mask is where=")
    value = _native(value, dtype)
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(f"{name}: {operand} of shape {(<object>value).shape} does not broadcast to the shape of x"
                         f"{' without its axis' * (operand == 'sink')}, {shape}") from None


cpdef double as_scale(str name, object scale) except? -1:
    """A scale, which is a finite number."""
    cdef double number = _as_number(name, "scale", scale)
    if not isfinite(number):
        raise ValueError(f"{name}: scale must be finite, not {scale!r}")
    return number


cdef double _as_number(str name, str operand, object value) except? -1:
    """A number of Python or NumPy."""
    cdef double number
    if _number(value, &number):
        return number
    array = np.asarray(value) if isinstance(value, (np.generic, np.ndarray)) else None
    if array is None or array.ndim or not (array.dtype.kind in "biuf" or _is_half(array)):
        raise TypeError(f"{name}: {operand} must be a number, got {value!r}")
    return float(array)


cdef tuple _axes_of(object axis, int ndim):
    """`axis` as a tuple of axes that exist, in their order: a row is the same whichever is named first."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, tuple):
        return tuple(sorted(normalize_axis_tuple(axis, ndim)))
    return (normalize_axis_index(axis, ndim),)


cdef cnp.ndarray _merged(cnp.ndarray x, tuple axes):
    """The array with `axes` merged into one, the last axis: a view if its strides allow it."""
    cdef int k, ndim = cnp.PyArray_NDIM(x)
    cdef list shape = []
    for k in range(cnp.PyArray_NDIM(x)):
        if k not in axes:
            shape.append(cnp.PyArray_DIM(x, k))
    size = 1
    for k in axes:
        size *= cnp.PyArray_DIM(x, k)
    if axes != tuple(range(ndim - len(axes), ndim)):  # NumPy takes its time to move axes to where they are
        x = np.moveaxis(x, axes, range(-len(axes), 0))
    return (<object>x).reshape(*shape, size)


cdef cnp.ndarray _parted(cnp.ndarray y, tuple axes, tuple shape):
    """Undo `_merged`: split its last axis into `axes`, at their old positions."""
    cdef list kept = []
    cdef int k
    for k in range(len(shape)):
        if k not in axes:
            kept.append(shape[k])
    for k in axes:
        kept.append(shape[k])
    return np.moveaxis((<object>y).reshape(kept), range(-len(axes), 0), axes)


BLOCK = 1 << 17  # elements that are converted at a time for a thread: they stay in the second-level cache
cdef enum:
    LINE = 16  # elements of a line of the cache
    LINES = 64  # elements of lines that are brought one after the other about as fast as longer ones


cdef Py_ssize_t _beside(Py_ssize_t n) noexcept:
    """How many rows of n elements that lie side by side make a block.

    However many threads: what decides is the length of the lines. They are as long as those of LINES where twice the
    cache holds these, and a line of the cache where four times as much does; still longer rows come one by one.
    """
    cdef Py_ssize_t held = <int>BLOCK // n
    if held < LINES:
        held = min(2 * <int>BLOCK // n, <Py_ssize_t>LINES)
    if held < LINE:
        return LINE if LINE * n <= 4 * <int>BLOCK else 1
    return held


def blocks(cnp.ndarray x not None, int axis, int threads):
    """Indices of the blocks of whole rows in which an array is converted for so many threads, neighbors together."""
    cdef Py_ssize_t most = <int>BLOCK * threads, size = cnp.PyArray_SIZE(x), length, step
    cdef Py_ssize_t apart, most_apart
    cdef bint beside
    cdef int k, far, ndim = cnp.PyArray_NDIM(x)
    cdef list parts = [slice(None)] * ndim, rest = list(range(ndim))
    rest.remove(axis)
    while size > most and rest:
        far, most_apart = rest[0], -1
        for k in rest:
            apart = _far(cnp.PyArray_STRIDE(x, k))
            if apart > most_apart:
                far, most_apart = k, apart
        rest.remove(far)
        length = cnp.PyArray_DIM(x, far)
        size //= length
        beside = most_apart < _far(cnp.PyArray_STRIDE(x, axis))
        step = _beside(size) if beside else max(1, most // size)
        if step > LINE:
            step -= step % LINE
        parts[far] = [slice(i, i + step) for i in range(0, length, step)]
    for k in range(ndim):
        if type(parts[k]) is not list:
            parts[k] = [parts[k]]
    return list(product(*parts))


cdef int plain_axis(object axis, int ndim) except -2:
    """An integer of Python as an axis from 0 on; -1 for anything else, and where there is no such axis."""
    cdef int overflow = 0
    cdef long at
    if not PyLong_CheckExact(axis):
        return -1
    at = PyLong_AsLongAndOverflow(axis, &overflow)
    if overflow or not -ndim <= at < ndim:
        return -1
    return <int>(at + ndim if at < 0 else at)


cpdef object as_axis(object axis):
    """`axis` as an integer, a tuple of integers or None."""
    cdef list numbers = []
    if axis is None:
        return None
    if PyLong_CheckExact(axis):
        return axis
    try:
        if not isinstance(axis, tuple):
            return integer("axis", axis)
        for number in axis:
            numbers.append(integer("axis", number))
    except TypeError:
        raise TypeError(f"axis must be an integer, a tuple of integers or None, got {axis!r}") from None
    return tuple(numbers)


cdef bint _is_handed_over(tuple values, object out, object where) except -1:
    """Is the type of an operand to decide what happens?"""
    for value in values:
        if _foreign.is_foreign(value):
            return True
    return _foreign.is_foreign(out) or _foreign.is_foreign(where)


cdef bint _are_ints(tuple values) except -1:
    for value in values:
        if not isinstance(value, int):
            return False
    return True


cdef tuple _without(tuple shape, tuple axes, bint keepdims):
    """A shape without some axes, or with 1 in their place."""
    cdef list kept = []  # Cython 3.3 releases an item twice where a comprehension finds no memory
    cdef int k
    for k in range(len(shape)):
        if k not in axes:
            kept.append(shape[k])
        elif keepdims:
            kept.append(1)
    return tuple(kept)
