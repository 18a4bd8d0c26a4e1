"""The logarithm of a sum, or of a mean, of exponentials along axes, and its gradient."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastrelu import _foreign
from fastrelu._arguments import BLOCK as _PER_THREAD
from fastrelu._arguments import blocks

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from libc.math cimport INFINITY, NAN, log
from libc.stdint cimport int64_t

from fastrelu._arguments cimport (
    _as_data,
    _as_output,
    _axes_of,
    _check_output,
    _crew,
    _is_handed_over,
    _is_ndarray,
    _is_read,
    _joint_type,
    _merged,
    _native,
    _parted,
    _rounded_into,
    _takes,
    _without,
    as_axis,
    spread_mask,
)
from fastrelu._kernels cimport _is_half
from fastrelu._numpy cimport PyArray_ISWRITEABLE, PyArray_IS_C_CONTIGUOUS, PyArray_SAMESHAPE
from fastrelu._row_halves cimport _run_losses_in_parts
from fastrelu._row_kernels cimport (
    FR_MULTIPLIED,
    FR_ROW_IN,
    FR_ROW_LOSS,
    FR_ROW_WHERE,
    FR_SOFTMAX,
    RowKernels,
    _absent,
    _clear,
    _is_plain,
    _lay_out,
    _operand,
    _run,
    _run_flat,
    fr_row_call,
    fr_target,
)
from fastrelu._rows cimport _along, _hand_over, _is_flat
from fastrelu._runtime cimport (
    Crew,
    FR_MAX_AXES,
    FR_MEDIUM,
    Held,
    check_held,
    check_whole,
    crew_of,
    extents_meet,
    has_kernels,
    hold,
    keep,
    settle,
)

cnp.import_array()

cdef cnp.dtype _float64 = np.dtype(np.float64)
cdef Py_ssize_t _BLOCK = _PER_THREAD


cdef bint _is_mask_of(object where, cnp.ndarray x):
    """Is it a plain mask of the array's shape?"""
    return (type(where) is cnp.ndarray and cnp.PyArray_TYPE(<cnp.ndarray>where) == cnp.NPY_BOOL
            and PyArray_SAMESHAPE(<cnp.ndarray>where, x))


cdef cnp.ndarray _one_each(cnp.ndarray x, int axis, bint keepdims, object dtype):
    """An array for one number of each row, in the order of memory of `x`: rows then go to it as they are read."""
    cdef cnp.npy_intp lengths[FR_MAX_AXES]
    cdef int k, kept = 0
    if PyArray_IS_C_CONTIGUOUS(x) or cnp.PyArray_NDIM(x) == 1:
        for k in range(cnp.PyArray_NDIM(x)):
            if k != axis or keepdims:
                lengths[kept] = cnp.PyArray_DIM(x, k) if k != axis else 1
                kept += 1
        return cnp.PyArray_SimpleNew(kept, lengths, (<cnp.dtype>dtype).type_num)
    whole = (slice(None),) * axis
    if cnp.PyArray_DIM(x, axis):
        x = x[(*whole, slice(1) if keepdims else 0)]
    else:
        x = np.empty(_without((<object>x).shape, (axis,), keepdims), dtype)
    return np.empty_like(x, dtype, subok=False)


cdef cnp.ndarray _single(cnp.ndarray x, int axis, bint keepdims):
    """What rows of one element give: the element, but 0 for -0."""
    cdef cnp.ndarray found = _one_each(x, axis, keepdims, (<object>x).dtype)
    cdef Py_ssize_t i
    cnp.PyArray_CopyInto(found, (<object>x).reshape((<object>found).shape))
    if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT:
        for i in range(cnp.PyArray_SIZE(found)):
            (<float *>cnp.PyArray_DATA(found))[i] += <float>0
    else:
        for i in range(cnp.PyArray_SIZE(found)):
            (<double *>cnp.PyArray_DATA(found))[i] += 0
    return found


cdef cnp.ndarray _in_blocks(RowKernels kernels, cnp.ndarray x, int axis, cnp.ndarray mask, bint keepdims, bint mean,
                            Crew crew, const Held *held, str name, int dtype):
    """As `_logsumexp_along`, of an array of any type, which is converted in blocks of whole rows."""
    cdef cnp.ndarray found
    cdef list parts
    if (_is_half(x) and cnp.PyArray_SIZE(x) > _BLOCK and _is_read(x, cnp.PyArray_TYPE(x))
            and (cnp.PyArray_DIM(x, axis) > 1 or mask is not None)):
        found = _logsumexp_along(kernels, x, axis, mask, keepdims, mean, crew, held, name, dtype)
        if found is not None:
            return found
    if not _is_read(x, dtype) and cnp.PyArray_SIZE(x) > _BLOCK:
        parts = blocks(x, axis, crew.threads)
    else:
        parts = []
    if len(parts) < 2:
        return _logsumexp_along(kernels, _native(x, dtype), axis, mask, keepdims, mean, crew, held, name)
    found = _one_each(x, axis, keepdims, _float64)
    for at in parts:
        check_held(held, name)
        found[at if keepdims else at[:axis] + at[axis + 1:]] = _logsumexp_along(
            kernels, _native(x[at], dtype), axis, None if mask is None else mask[at], keepdims, mean, crew, held, name)
    return found


cdef cnp.ndarray _logsumexp_along(RowKernels kernels, cnp.ndarray x, int axis, cnp.ndarray mask, bint keepdims,
                                  bint mean, Crew crew, const Held *held, str name, int computed=-1):
    """The logarithm of the sum or of the mean of exponentials of an array that kernels read, along one axis.

    Or of one of 16 bits, computed in another type, each part by the thread that converts it: None if that does not pay.
    A mask has the shape of `x`. The result has the type of `x`, or is float64, and fills its memory without a gap.
    """
    cdef fr_row_call call
    cdef fr_target nothing
    cdef int order[FR_MAX_AXES]
    cdef int dtype = cnp.PyArray_TYPE(x) if computed < 0 else computed
    cdef Py_ssize_t rows, i
    cdef int64_t count = cnp.PyArray_DIM(x, axis)
    cdef double log_count
    cdef cnp.ndarray sums, counts = None
    cdef double *sum
    if count == 1 and mask is None:
        if held != NULL:
            check_held(held, name)
        return _single(x, axis, keepdims)
    sums = _one_each(x, axis, keepdims, _float64)
    if mean and mask is not None:
        counts = np.empty_like(sums, np.int64)
        (<object>mask).sum(axis, np.int64, counts, keepdims)
    if held != NULL:
        check_held(held, name)
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
    if computed < 0:
        _run(&call, FR_MEDIUM, rows, crew)
    elif not _run_losses_in_parts(kernels, &call, x, dtype, FR_MEDIUM, held, name):
        return None
    if mean:
        log_count = log(<double>count) if count else NAN
        for i in range(rows):
            if counts is not None and (<int64_t *>cnp.PyArray_DATA(counts))[i] != count:
                count = (<int64_t *>cnp.PyArray_DATA(counts))[i]
                log_count = log(<double>count) if count else NAN
            sum[i] -= log_count
    return sums


@cython.binding(False)
def logsumexp(RowKernels kernels not None, object x, object axis, object out, object where, bint keepdims, bint mean):
    """The logarithm of the sum or of the mean of exponentials along axes."""
    cdef int dtype, result, k
    cdef cnp.ndarray a, found, mask = None, target
    cdef str name = "logmeanexp" if mean else "logsumexp"
    cdef Crew crew
    if (type(x) is cnp.ndarray
            and (where is True and (PyLong_CheckExact(axis) or (axis is None and not keepdims))
                 or not mean and PyLong_CheckExact(axis) and _is_mask_of(where, x))):
        settle()
        dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
        if (has_kernels(dtype) and _is_read(x, dtype) and (where is True or _is_mask_of(where, x))
                and (out is None or type(out) is cnp.ndarray and _is_plain(out, dtype))):
            check_whole(x, name)
            check_whole(where, name)
            a = x
            if axis is None and cnp.PyArray_NDIM(a) != 1:
                a = (<object>a).reshape(-1)
            k = normalize_axis_index(0 if axis is None else axis, cnp.PyArray_NDIM(a))
            if out is None or (PyArray_ISWRITEABLE(<cnp.ndarray>out)
                               and (<object>out).shape == _without((<object>a).shape, (k,), keepdims)):
                crew = crew_of(FR_MEDIUM, a)
                found = _logsumexp_along(kernels, a, k, None if where is True else where, keepdims, mean, crew, NULL,
                                         name)
                found = _rounded_into(out, found, dtype)
                if out is not None:
                    return out
                return found if cnp.PyArray_NDIM(found) else found[()]
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    axis = as_axis(axis)
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
    axes, whole = _axes_of(axis, cnp.PyArray_NDIM(a)), (<object>a).shape
    if mask is not None:
        mask = spread_mask(name, mask, whole)
    kept = _without(whole, axes, keepdims)
    if target is not None:
        _check_output(name, target, np.empty(kept), result)
    if len(axes) == 1:
        found = _in_blocks(kernels, a, axes[0], mask, keepdims, mean, crew, &held, name, dtype)
    else:
        a, mask = _merged(a, axes), None if mask is None else _merged(mask, axes)
        found = _in_blocks(kernels, a, cnp.PyArray_NDIM(a) - 1, mask, False, mean, crew, &held, name, dtype)
        found = (<object>found).reshape(kept)
    found = _rounded_into(target, found, result)
    if target is not None:
        return given
    if wrap is not None:
        return wrap(found)
    return found if given is Ellipsis or cnp.PyArray_NDIM(found) else found[()]


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
                    and cnp.PyArray_NDIM(grad)
                    and (out is None or not extents_meet(<cnp.ndarray>grad, <cnp.ndarray>out))):
                check_whole(grad, name)
                return _run_flat(kernels.of(dtype), FR_SOFTMAX, FR_MEDIUM, x, None, out, crew, grad, FR_MULTIPLIED)
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    axis = as_axis(axis)
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
    g = (<object>_native(g, dtype)).reshape(_without(whole, axes, False))
    if len(axes) == 1:
        y = target if result == dtype and _takes(target, dtype) else None
        if result != dtype and cnp.PyArray_SIZE(a) > _BLOCK:
            y = np.empty_like(a, cnp.PyArray_DescrFromType(result))
        y = _along(kernels, FR_SOFTMAX, False, a, None, mask, axes[0], y, dtype, crew, &held, None, None, g,
                   FR_MULTIPLIED)
    else:
        a = _merged(a, axes)
        y = None
        if result != dtype and cnp.PyArray_SIZE(a) > _BLOCK:
            y = np.empty_like(a, cnp.PyArray_DescrFromType(result))
        y = _along(kernels, FR_SOFTMAX, False, a, None, None if mask is None else _merged(mask, axes),
                   cnp.PyArray_NDIM(a) - 1, y, dtype, crew, &held, None, None, g, FR_MULTIPLIED)
        y = _parted(y, axes, whole)
    y = _rounded_into(target, y, result)
    if target is not None:
        return given
    if wrap is not None:
        return wrap(y)
    return y if given is Ellipsis or cnp.PyArray_NDIM(y) else y[()]
