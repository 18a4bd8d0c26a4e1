"""The logarithm of a sum, or of a mean, of exponentials along axes, and its gradient."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from fastrelu import _foreign
from fastrelu._core import copy_into

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from libc.math cimport INFINITY, NAN, log
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastrelu._arguments cimport (
    _as_axis,
    _as_data,
    _as_output,
    _check_output,
    _crew,
    _is_handed_over,
    _is_ndarray,
    _is_read,
    _joint_type,
    _merged,
    _native,
    _parted,
    _rounded,
    _takes,
    _without,
    spread_mask,
)
from fastrelu._numpy cimport PyArray_ISWRITEABLE, PyArray_SAMESHAPE
from fastrelu._rows cimport (
    FR_MULTIPLIED,
    FR_ROW_IN,
    FR_ROW_LOSS,
    FR_ROW_WHERE,
    FR_SOFTMAX,
    RowKernels,
    _absent,
    _along,
    _clear,
    _hand_over,
    _is_flat,
    _is_plain,
    _lay_out,
    _operand,
    _run,
    _run_flat,
    fr_row_call,
    fr_target,
)
from fastrelu._runtime cimport (
    Crew,
    FR_MAX_AXES,
    FR_MEDIUM,
    Held,
    check_held,
    check_whole,
    crew_of,
    has_kernels,
    hold,
    keep,
    settle,
)

cnp.import_array()


cdef tuple _axes_of(object axis, int ndim):
    """`axis` as a tuple of axes that exist."""
    if axis is None:
        return tuple(range(ndim))
    return normalize_axis_tuple(axis, ndim) if isinstance(axis, tuple) else (normalize_axis_index(axis, ndim),)


cdef bint _is_mask_of(object where, cnp.ndarray x):
    """Is it a plain mask of the array's shape?"""
    return (type(where) is cnp.ndarray and cnp.PyArray_TYPE(<cnp.ndarray>where) == cnp.NPY_BOOL
            and PyArray_SAMESHAPE(<cnp.ndarray>where, x))


cdef object _logsumexp_along(RowKernels kernels, cnp.ndarray x, int axis, object out, cnp.ndarray mask, bint keepdims,
                             bint mean, Crew crew):
    """The logarithm of the sum or of the mean of exponentials of a plain contiguous array along one axis.

    A mask has the shape of `x`; the mean takes none.

    Returns NotImplemented, and has done nothing, if `out` is no plain contiguous array of the type and shape of the
    result.
    """
    cdef fr_row_call call
    cdef fr_target nothing
    cdef int order[FR_MAX_AXES]
    cdef cnp.npy_intp lengths[FR_MAX_AXES]
    cdef int k, kept = 0, dtype = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t rows, i
    cdef double log_count
    cdef cnp.ndarray sums, found
    cdef double *sum
    for k in range(cnp.PyArray_NDIM(x)):
        if k != axis or keepdims:
            lengths[kept] = cnp.PyArray_DIM(x, k) if k != axis else 1
            kept += 1
    sums = cnp.PyArray_SimpleNew(kept, lengths, cnp.NPY_DOUBLE)
    if out is None:
        found = sums if dtype == cnp.NPY_DOUBLE else cnp.PyArray_SimpleNew(kept, lengths, dtype)
    elif _is_plain(out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out) and PyArray_SAMESHAPE(<cnp.ndarray>out, sums):
        found = out
    else:
        return NotImplemented
    sum = <double *>cnp.PyArray_DATA(sums)
    _clear(&call)
    call.target = &nothing
    call.flavor = kernels.of(dtype)
    call.loss, call.tile = call.flavor.logsumexp, call.flavor.logsumexp_tile
    rows = _lay_out(&call, x, axis, order)
    for i in range(rows if call.n == 0 else 0):
        sum[i] = -INFINITY
    _operand(&call, FR_ROW_IN, x, axis, order, True)
    if mask is not None:
        call.absent = _absent(FR_SOFTMAX, dtype)
        _operand(&call, FR_ROW_WHERE, mask, axis, order, True)
    _operand(&call, FR_ROW_LOSS, sums, axis, order, keepdims)
    _run(&call, FR_MEDIUM, rows, crew)
    log_count = (log(<double>call.n) if call.n else NAN) if mean else 0
    if dtype == cnp.NPY_FLOAT:
        for i in range(rows):
            (<float *>cnp.PyArray_DATA(found))[i] = <float>(sum[i] - log_count)
    elif mean:
        for i in range(rows):
            (<double *>cnp.PyArray_DATA(found))[i] = sum[i] - log_count
    elif found is not sums:
        memcpy(cnp.PyArray_DATA(found), sum, rows * sizeof(double))
    return found if kept or found is out else found[()]


@cython.binding(False)
def logsumexp(RowKernels kernels not None, object x, object axis, object out, object where, bint keepdims, bint mean):
    """The logarithm of the sum or of the mean of exponentials along axes."""
    cdef fr_row_call call
    cdef fr_target nothing
    cdef int order[FR_MAX_AXES]
    cdef int dtype, result, k
    cdef Py_ssize_t rows, i
    cdef int64_t count
    cdef double log_count
    cdef double *sum
    cdef cnp.ndarray a, merged, sums, mask = None, target, counts = None
    cdef str name = "logmeanexp" if mean else "logsumexp"
    cdef Crew crew
    if (type(x) is cnp.ndarray
            and (where is True and (PyLong_CheckExact(axis) or (axis is None and not keepdims))
                 or not mean and PyLong_CheckExact(axis) and _is_mask_of(where, x))):
        settle()
        dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
        if has_kernels(dtype) and _is_plain(x, dtype) and (where is True or _is_mask_of(where, x)):
            check_whole(where, name)
            a = cnp.PyArray_Ravel(x, cnp.NPY_CORDER) if axis is None else x
            k = normalize_axis_index(0 if axis is None else axis, cnp.PyArray_NDIM(a))
            crew = crew_of(FR_MEDIUM, a)
            short = _logsumexp_along(kernels, a, k, out, None if where is True else where, keepdims, mean, crew)
            if short is not NotImplemented:
                return short
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    axis = _as_axis(axis)
    wrap = None
    if not (_is_ndarray(x) and (given is None or _is_ndarray(given)) and (where is True or _is_ndarray(where))):
        if _is_handed_over((x,), given, where):
            return _hand_over(kernels, name, (x,), axis, given, where, keepdims)
        wrap = _foreign.wrapper(x) if given is None or given is Ellipsis else None
    if where is not True:
        mask = _as_data(name, where)
    target = _as_output(name, given)
    a = _as_data(name, x)
    settle()
    cdef Held held
    held.count = 0
    keep(&held, a)
    keep(&held, mask)
    keep(&held, target)
    hold(&held, name)
    cdef cnp.ndarray _kept_a = a, _kept_mask = mask  # what `held` borrows, for the names get other arrays below
    dtype = _joint_type(name, a, None, &result)
    crew = _crew(FR_MEDIUM, a, not _is_read(a, dtype))
    a = _native(a, dtype)
    axes = _axes_of(axis, cnp.PyArray_NDIM(a))
    whole, kept = (<object>a).shape, []
    for k in range(cnp.PyArray_NDIM(a)):
        if k not in axes:
            kept.append(whole[k])
        elif keepdims:
            kept.append(1)
    if mask is not None:
        mask = _merged(spread_mask(name, mask, whole), axes)
        if mean:
            counts = np.ascontiguousarray((<object>mask).sum(-1, np.int64))
    merged = _merged(a, axes)
    k = cnp.PyArray_NDIM(merged) - 1
    if target is not None:
        _check_output(name, target, np.empty(tuple(kept)), result)
    sums = np.full((<object>merged).shape[:k], -np.inf)
    call.absent = _absent(FR_SOFTMAX, dtype)
    check_held(&held, name)
    _clear(&call)
    call.target = &nothing
    call.flavor = kernels.of(dtype)
    call.loss = call.flavor.logsumexp
    call.tile = call.flavor.logsumexp_tile
    rows = _lay_out(&call, merged, k, order)
    _operand(&call, FR_ROW_IN, merged, k, order, True)
    if mask is not None:
        _operand(&call, FR_ROW_WHERE, mask, k, order, True)
    _operand(&call, FR_ROW_LOSS, sums, k, order, False)
    _run(&call, FR_MEDIUM, rows, crew)

    sum = <double *>cnp.PyArray_DATA(sums)
    count = cnp.PyArray_DIM(merged, k)
    log_count = log(<double>count) if count else NAN
    for i in range(rows if mean else 0):
        if counts is not None and (<int64_t *>cnp.PyArray_DATA(counts))[i] != count:
            count = (<int64_t *>cnp.PyArray_DATA(counts))[i]
            log_count = log(<double>count) if count else NAN
        sum[i] -= log_count
    found = np.asarray((<object>sums).reshape(kept))
    found = _rounded(found, result)
    if target is not None:
        copy_into(target, found)
        return given
    if wrap is not None:
        return wrap(found)
    return found if given is Ellipsis or found.ndim else found[()]


@cython.binding(False)
def logsumexp_backward(RowKernels kernels not None, str name, object grad, object x, object axis, object out,
                       object where, bint keepdims):
    """Gradient of `logsumexp`, with a gradient for each row."""
    cdef cnp.ndarray a, g, y, target, mask = None
    cdef int dtype, result
    cdef Crew crew
    if where is True and type(x) is cnp.ndarray:
        settle()
        crew = crew_of(FR_MEDIUM, <cnp.ndarray>x)
        if _is_flat(x, None, axis, out):
            dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
            if (_is_plain(grad, dtype) and (<object>grad).shape == (*(<object>x).shape[:-1], *(1,) * keepdims)
                    and cnp.PyArray_NDIM(grad) and (out is None or not np.may_share_memory(grad, out))):
                check_whole(grad, name)
                return _run_flat(kernels.of(dtype), FR_SOFTMAX, FR_MEDIUM, x, None, out, crew, grad, FR_MULTIPLIED)
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    axis = _as_axis(axis)
    wrap = None
    if not (_is_ndarray(x) and _is_ndarray(grad) and (given is None or _is_ndarray(given))
            and (where is True or _is_ndarray(where))):
        if _is_handed_over((grad, x), given, where):
            if keepdims:
                raise TypeError(f"{name} takes keepdims= for arrays of NumPy alone: pass grad without the axis, "
                                "numpy.squeeze(grad, axis)")
            return _hand_over(kernels, name, (grad, x), axis, given, where, keepdims)
        wrap = _foreign.wrapper(grad, x) if given is None or given is Ellipsis else None
    if where is not True:
        mask = _as_data(name, where)
    target = _as_output(name, given)
    a, g = _as_data(name, x), _as_data(name, grad)
    settle()
    cdef Held held
    held.count = 0
    keep(&held, a)
    keep(&held, g)
    keep(&held, mask)
    keep(&held, target)
    hold(&held, name)
    # References to what `held` borrows, for the names get other arrays below.
    cdef cnp.ndarray _kept_a = a, _kept_g = g, _kept_mask = mask
    dtype = _joint_type(name, a, g, &result)
    crew = _crew(FR_MEDIUM, a, not _is_read(a, dtype))
    axes, whole = _axes_of(axis, cnp.PyArray_NDIM(a)), (<object>a).shape
    wanted = _without(whole, axes, keepdims)
    if (<object>g).shape != wanted:
        raise ValueError(f"{name}: grad must have the shape of the result, {wanted}, not {(<object>g).shape}")
    if target is not None:
        _check_output(name, target, a, result)
    if mask is not None:
        mask = spread_mask(name, mask, whole)
    a = _native(a, dtype)
    g = (<object>_native(g, dtype)).reshape(_without(whole, axes, False))
    if len(axes) == 1:
        y = target if result == dtype and _takes(target, dtype) else None
        y = _along(kernels, FR_SOFTMAX, False, a, None, mask, axes[0], y, dtype, crew, &held, None, None, g,
                   FR_MULTIPLIED)
    else:
        y = _along(kernels, FR_SOFTMAX, False, _merged(a, axes), None, None if mask is None else _merged(mask, axes),
                   cnp.PyArray_NDIM(a) - len(axes), None, dtype, crew, &held, None, None, g, FR_MULTIPLIED)
        y = _parted(y, axes, whole)
    y = _rounded(y, result)
    if target is not None:
        if y is not target:
            copy_into(target, y)
        return given
    if wrap is not None:
        return wrap(y)
    return y if given is Ellipsis or cnp.PyArray_NDIM(y) else y[()]
