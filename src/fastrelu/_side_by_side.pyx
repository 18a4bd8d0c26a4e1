# Two kernels over the same input whose results lie side by side in one array, as those of crelu do. All memory is there
# before either writes.
"""Calls of two kernels with one result."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastrelu._core import Explained, check_types
from fastrelu._kernels import copy_into
from fastrelu._options import integer

cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.string cimport memcpy

from fastrelu._core cimport (
    FEW,
    FEW_ROWS,
    SIDE_BY_SIDE,
    _as_array,
    _describe,
    _dispatch,
    _is_native,
    _number_type,
    _open,
    _plan,
    _plan_share,
    _unpacked,
    _why_not_target,
    as_target,
    explaining,
    plain_kernel,
)
from fastrelu._explain cimport _foresee_general, _memory
from fastrelu._kernels cimport Kernel, class_of_dtype, fr_memory, fr_plan
from fastrelu._numpy cimport (
    NpyIter,
    NpyIter_Deallocate,
    PyArray_Descr,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_NewFromDescr,
)
from fastrelu._runtime cimport (
    Crew,
    FR_MAX_AXES,
    FR_MAX_INPUTS,
    FR_MAX_PARAMETERS,
    FR_OWN_TYPES,
    FR_float64,
    Held,
    check_held,
    crew_of,
    dtype_of,
    extents_meet,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_kernel,
    hold,
    keep,
    new_array,
    precision_here,
    recycled,
    recycles_here,
    refuse_change,
    run_shares,
    settle,
    size_of,
    type_of,
)

cnp.import_array()


cdef object _part(object whole, int axis, Py_ssize_t start, Py_ssize_t stop):
    """The part between two indices along an axis, as a view."""
    if type(whole) is not cnp.ndarray:
        return whole[(slice(None),) * axis + (slice(start, stop),)]
    cdef cnp.ndarray y = <cnp.ndarray>whole
    cdef cnp.npy_intp shape[FR_MAX_AXES]
    if axis >= cnp.PyArray_NDIM(y) or stop > cnp.PyArray_DIM(y, axis):
        refuse_change("crelu")
    cdef char *data = <char *>cnp.PyArray_DATA(y) + start * cnp.PyArray_STRIDE(y, axis)
    memcpy(shape, cnp.PyArray_DIMS(y), cnp.PyArray_NDIM(y) * sizeof(shape[0]))
    shape[axis] = stop - start
    cdef cnp.dtype descr = y.descr
    Py_INCREF(descr)  # the view steals the reference
    view = PyArray_NewFromDescr(<PyTypeObject *>cnp.ndarray, <PyArray_Descr *>descr, cnp.PyArray_NDIM(y), shape,
                                cnp.PyArray_STRIDES(y), data, cnp.PyArray_FLAGS(y) & cnp.NPY_ARRAY_WRITEABLE, NULL)
    cnp.set_array_base(view, y)
    return view


def parts(object whole, int axis, Py_ssize_t at):
    """The parts before and after an index along an axis, as views."""
    return _part(whole, axis, 0, at), _part(whole, axis, at, whole.shape[axis])


cdef bint _small_side_by_side(Kernel first, Kernel second, tuple params, cnp.ndarray x, cnp.ndarray target, int axis,
                              int dtype) except -1:
    """Run both kernels on a small array without the driver; False: nothing was done."""
    cdef int type = type_of(dtype), level = precision_here(), k
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x), rows = 1, row
    if not (0 <= type < FR_OWN_TYPES and 0 < n <= FEW and axis < cnp.PyArray_NDIM(x)
            and cnp.PyArray_SIZE(target) == 2 * n and _is_native(x, dtype) and _is_native(target, dtype)
            and PyArray_IS_C_CONTIGUOUS(x) and PyArray_IS_C_CONTIGUOUS(target)):
        return False
    for k in range(axis):
        rows *= cnp.PyArray_DIM(x, k)
    cdef double rounded[FR_MAX_PARAMETERS]
    cdef fr_kernel loop = first.calls[type][level].scalar
    cdef fr_kernel other = plain_kernel(second, params, type, level, rounded)
    if other == NULL or (rows > FEW_ROWS and n < FEW_ROWS * rows):
        return False
    cdef const char *inputs[FR_MAX_INPUTS]
    cdef Py_ssize_t size = size_of(dtype), length = n // rows
    cdef char *to = <char *>cnp.PyArray_DATA(target)
    for k in range(second.nparams):
        inputs[1 + k] = <const char *>rounded + k * size
    cdef fr_guard caller = fr_guard_open()
    for row in range(rows):
        inputs[0] = <const char *>cnp.PyArray_DATA(x) + row * length * size
        loop(inputs, to + 2 * row * length * size, length)
        other(inputs, to + (2 * row + 1) * length * size, length)
    fr_guard_close(caller)
    return True


cdef bint _laid_out_side_by_side(Kernel first, Kernel second, tuple params, cnp.ndarray x, cnp.ndarray target, int axis,
                                 int dtype) except -1:
    """The same for a small array of any layout, whose copy costs less than the driver's iterators."""
    if cnp.PyArray_SIZE(x) > FEW or axis >= cnp.PyArray_NDIM(x) or cnp.PyArray_NDIM(target) != cnp.PyArray_NDIM(x):
        return False
    if PyArray_IS_F_CONTIGUOUS(target) and not PyArray_IS_C_CONTIGUOUS(target):
        axis = cnp.PyArray_NDIM(x) - 1 - axis
        x, target = cnp.PyArray_Transpose(x, NULL), cnp.PyArray_Transpose(target, NULL)
    if PyArray_IS_C_CONTIGUOUS(target) and not PyArray_IS_C_CONTIGUOUS(x):
        x = cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)
    return _small_side_by_side(first, second, params, x, target, axis, dtype)


cdef bint _side_by_side(Kernel first, Kernel second, tuple params, cnp.ndarray x, cnp.ndarray target, int axis,
                        int dtype) except -1:
    """Run both kernels through the driver, which allocates the memory of both before either writes."""
    cdef fr_plan plan
    cdef fr_memory memory
    cdef Held held
    cdef NpyIter *one = NULL
    cdef NpyIter *other = NULL
    if _laid_out_side_by_side(first, second, params, x, target, axis, dtype):
        return True
    cdef int type = type_of(dtype), level = precision_here()
    cdef Py_ssize_t n = cnp.PyArray_SIZE(x), length = cnp.PyArray_DIM(x, axis)
    cdef Crew crew = crew_of(second.cost, x)
    cdef list args = [x]
    for value in params:
        args.append(_as_array(value, _number_type(dtype)))
    if n == 0:
        return True
    held.count = 0
    keep(&held, x)
    keep(&held, target)
    hold(&held, first.name)
    if not (_is_native(x, dtype) and _is_native(target, dtype)):
        refuse_change(first.name)
    before, after = _part(target, axis, 0, length), _part(target, axis, length, 2 * length)
    try:
        one = _open([x], before, dtype, True)
        other = _open(args, after, dtype, True)
        check_held(&held, first.name)
        _plan(&plan, &first.calls[type][level], _describe(&memory, [x], before, True, dtype), first.cost, one, True,
              crew)
        run_shares(_plan_share, &plan, first.cost, n, plan.boxes, crew)
        _plan(&plan, &second.calls[type][level], _describe(&memory, args, after, True, dtype), second.cost, other,
              True, crew)
        run_shares(_plan_share, &plan, second.cost, n, plan.boxes, crew)
    finally:
        if one != NULL:
            NpyIter_Deallocate(one)
        if other != NULL:
            NpyIter_Deallocate(other)
    return True


def call_side_by_side(str name, Kernel first not None, Kernel second not None, tuple params, object x, object axis,
                      object out):
    """Run two kernels on x, the second with numbers, and concatenate their results along an axis."""
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    cdef Py_ssize_t at
    if PyLong_CheckExact(axis):
        at = axis
    else:
        at = integer(f"{name}: axis", axis)
    cdef cnp.ndarray array = (x if type(x) is cnp.ndarray else np.asarray(x) if type(x) is np.memmap
                              else np.asanyarray(x))
    cdef object given = _unpacked(out)
    cdef object target = given if given is None or type(given) is cnp.ndarray else as_target(name, given)
    cdef cnp.npy_intp shape[FR_MAX_AXES]
    cdef PyObject *args[FR_MAX_INPUTS]
    cdef Py_ssize_t length, size
    cdef int j, dtype, ndim = cnp.PyArray_NDIM(array)
    settle()
    if ndim == 0:
        check_types(name, ("x",), (x,))  # None has no axis, which says nothing
    at = normalize_axis_index(at, ndim)
    length = cnp.PyArray_DIM(array, at)
    if length > <Py_ssize_t>1 << 61:
        raise ValueError(f"{name}: the result would be too long along axis {axis}, twice {length}")
    own = (<object>array).shape
    doubled = own[:at] + (2 * length,) + own[at + 1:]  # *own loses a reference if there is no memory
    j = class_of_dtype(array.descr)
    if j < 0:
        check_types(name, first.operands, (x,))
    dtype = dtype_of(j if j >= 0 else FR_float64).type_num
    if target is not None:
        if target.shape != doubled:
            raise ValueError(f"{name} needs out= of shape {doubled}, got {target.shape}")
        if not cnp.PyArray_Check(target) or extents_meet(array, <cnp.ndarray>target):
            array = array.copy()
    # Where an array must be converted, `out` is written when both results are there: memory may run out before.
    cdef bint native = _is_native(array, dtype) and not (target is not None and _why_not_target(target, dtype))
    cdef bint copied = (not native and target is not None and cnp.PyArray_Check(target) and target.flags.writeable
                        and np.can_cast(cnp.PyArray_DescrFromType(dtype), target.dtype, "same_kind"))
    if explaining():
        raise Explained(_foresee_side_by_side(first, array, target, copied, at, doubled, dtype))
    if copied:
        copy_into(target, call_side_by_side(name, first, second, params, array, at, None))
        return given
    if target is None:
        if type(array) is cnp.ndarray and PyArray_IS_C_CONTIGUOUS(array):
            memcpy(shape, cnp.PyArray_DIMS(array), ndim * sizeof(shape[0]))
            shape[at] = 2 * length
            size = 2 * cnp.PyArray_SIZE(array) * size_of(dtype)
            if recycles_here(size):
                target = recycled(ndim, shape, NULL, cnp.NPY_ARRAY_C_CONTIGUOUS, dtype, size)
            if target is None:
                target = new_array(ndim, shape, NULL, NULL, 0, dtype)
        else:
            target = np.empty_like(array, dtype=cnp.PyArray_DescrFromType(dtype), shape=doubled)
    if native:
        _side_by_side(first, second, params, array, target, at, dtype)
        return target if given is None else given
    args[0] = <PyObject *>array
    for j in range(second.nparams):
        args[1 + j] = <PyObject *>params[j]
    _dispatch(first, _part(target, at, 0, length), True, args)
    _dispatch(second, _part(target, at, length, 2 * length), True, args)
    return target if given is None else given


cdef dict _foresee_side_by_side(Kernel first, cnp.ndarray x, object target, bint copied, int axis, tuple shape,
                                int dtype):
    """What `call_side_by_side` would do with the first of its kernels; it does the same with the second."""
    cdef PyObject *args[FR_MAX_INPUTS]
    cdef bint fresh = target is None or copied
    cdef object whole = np.empty_like(x, dtype=cnp.PyArray_DescrFromType(dtype), shape=shape) if fresh else target
    cdef object part = _part(whole, axis, 0, cnp.PyArray_DIM(x, axis))
    args[0] = <PyObject *>x
    if _is_native(x, dtype) and not _why_not_target(whole, dtype):
        found = _foresee_general(first, part, True, [x], SIDE_BY_SIDE)
    else:
        try:
            _dispatch(first, part, True, args)
        except Explained as ended:
            found = ended.args[0]
    if copied:
        found["output"] = "given, through a copy, until both results are there"
    elif fresh:
        dense = type(x) is cnp.ndarray and PyArray_IS_C_CONTIGUOUS(x)
        found["output"] = _memory(None, 2 * cnp.PyArray_SIZE(x) * size_of(dtype) if dense else 0)
    return found
