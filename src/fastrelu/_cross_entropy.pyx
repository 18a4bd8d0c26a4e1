"""Cross-entropy of rows of logits, with labels or probabilities, and its gradient."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastrelu import _foreign
from fastrelu._options import integer

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t

from fastrelu._arguments cimport (
    _as_carray,
    _as_data,
    _as_output,
    _check_output,
    _crew,
    _is_ndarray,
    _is_read,
    _joint_type,
    _native,
    _rounded,
    _rounded_into,
    _takes,
    _unshared,
)
from fastrelu._kernels cimport NEITHER, _is_half, class_of_dtype
from fastrelu._numpy cimport PyArray_SAMESHAPE
from fastrelu._row_kernels cimport (
    CHUNKS,
    FR_ROW_IN,
    FR_ROW_LABEL,
    FR_ROW_OUT,
    FR_ROW_SECOND,
    RowKernels,
    _clear,
    _is_plain,
    _lay_out,
    _operand,
    _place_losses,
    _run,
    _sum,
    fr_add_to,
    fr_label_counts,
    fr_row_call,
    fr_rows,
    fr_target,
)
from fastrelu._runtime cimport (
    Crew,
    FR_MAX_AXES,
    FR_MEDIUM,
    Held,
    check_held,
    extents_meet,
    fr_atomic,
    fr_load,
    fr_store,
    hold,
    keep,
    settle,
)

cnp.import_array()


cdef enum:
    _LABELS_AT_ONCE = 1024


cdef cnp.ndarray _labels(str name, cnp.ndarray labels, tuple shape):
    """The labels as int64, one for each row."""
    if (<object>labels).shape != shape:
        raise ValueError(f"{name}: labels must have the shape of logits without its axis, {shape}, "
                         f"not {(<object>labels).shape}")
    if _is_plain(labels, cnp.NPY_INT64):
        return labels
    if labels.dtype == np.uint64 and cnp.PyArray_SIZE(labels):
        largest = int((<object>labels).max())
        if largest > 2**62:
            raise IndexError(f"{name}: label {largest} is no class")
    return _as_carray(labels, cnp.NPY_INT64)


cdef double _count(str name, const fr_rows *flavor, cnp.ndarray labels, Py_ssize_t classes, int64_t ignored,
                   cnp.ndarray weights) except? -1:
    """The sum of the weights of all rows that are not ignored; checks each label."""
    cdef const int64_t *label = <const int64_t *>cnp.PyArray_DATA(labels)
    cdef const double *weight = NULL if weights is None else <const double *>cnp.PyArray_DATA(weights)
    cdef fr_label_counts counts
    cdef int32_t known[_LABELS_AT_ONCE]
    cdef double weighed[_LABELS_AT_ONCE]
    cdef double total = 0, low = 0
    cdef Py_ssize_t rows = cnp.PyArray_SIZE(labels), counted = rows, i, j, m
    for i in range(0, rows, _LABELS_AT_ONCE):
        m = min(rows - i, <Py_ssize_t>_LABELS_AT_ONCE)
        counts = flavor.read_labels(known, label + i, m, classes, ignored)
        counted -= counts.ignored
        if counts.wrong:
            _refuse_label(name, label, i, rows, classes, ignored)
        if weight != NULL:
            for j in range(m):
                weighed[j] = weight[known[j]] if known[j] >= 0 else 0
            fr_add_to(&total, &low, _sum(weighed, m))
    return counted if weight == NULL else total + low


cdef int _refuse_label(str name, const volatile int64_t *label, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t classes,
                       int64_t ignored) except -1:
    """Raise for the first label that is not a class."""
    cdef Py_ssize_t i
    cdef int64_t one  # read once: another thread may write it meanwhile
    for i in range(start, rows):
        one = label[i]
        if one != ignored and not 0 <= one < classes:
            raise IndexError(f"{name}: label {one} at position {i} is out of range for {classes} classes; "
                             f"rows to ignore carry ignore_index, which is {ignored}")
    return 0


cdef tuple _REDUCTIONS = ("none", "mean", "sum")


@cython.binding(False)
def cross_entropy(RowKernels kernels not None, object logits, object labels, object axis, object weight,
                  object ignore_index, object label_smoothing, object reduction, bint with_grad, object out):
    """Loss, and its gradient if asked for."""
    cdef fr_row_call call
    cdef fr_target target
    cdef int order[FR_MAX_AXES]
    cdef int dtype, result, along = 0
    cdef Py_ssize_t rows
    cdef cnp.ndarray x, given, weights = None, losses, grad = None, probabilities = None, destination
    cdef double total, count = 0
    cdef bint late = False
    cdef char kind
    cdef fr_atomic skipped
    cdef const fr_rows *flavor
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    cdef str name = "cross_entropy_value_and_grad" if with_grad else "cross_entropy"
    if not isinstance(reduction, str) or reduction not in _REDUCTIONS:
        raise ValueError(f'{name}: reduction must be "none", "mean" or "sum", not {reduction!r}')
    try:
        target.smoothing = label_smoothing
    except TypeError:
        raise TypeError(f"{name}: label_smoothing must be a number, got {label_smoothing!r}") from None
    if not 0 <= target.smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must be between 0 and 1, not {label_smoothing!r}")
    if not (_is_ndarray(logits) and _is_ndarray(labels) and (weight is None or _is_ndarray(weight))):
        _foreign.refuse(name, logits=logits, labels=labels, weight=weight)
    if not PyLong_CheckExact(axis):
        axis = integer(f"{name}: axis", axis)
    ignored = ignore_index
    if not PyLong_CheckExact(ignored):
        ignored = integer(f"{name}: ignore_index", ignored)
    if not -2**63 <= ignored < 2**63:
        raise ValueError(f"{name}: ignore_index must be an integer of 64 bits, not {ignored}")
    call.ignored = ignored
    given_out = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    destination = _as_output(name, given_out) if with_grad else None
    if weight is not None:
        weights = _as_data(name, weight)
        if class_of_dtype(<cnp.dtype>weights.descr) == NEITHER:
            raise TypeError(f"{name}: weight must consist of real numbers, not {weights.dtype}")
        weights = _as_carray(_native(weights, cnp.NPY_DOUBLE), cnp.NPY_DOUBLE)
    given = _as_data(name, labels)
    x = _as_data(name, logits)
    settle()
    cdef Held held
    held.count = 0
    keep(&held, x)
    keep(&held, given)
    keep(&held, weights)
    keep(&held, destination)
    hold(&held, name)
    # References to what `held` borrows, for the names get other arrays below.
    cdef cnp.ndarray _kept_x = x, _kept_given = given, _kept_weights = weights

    dtype = _joint_type(name, x, None, &result)
    cdef Crew crew = _crew(FR_MEDIUM, x, not _is_read(x, dtype))
    flavor = kernels.of(dtype)
    x = _native(x, dtype)
    along = normalize_axis_index(axis, cnp.PyArray_NDIM(x))
    call.n = cnp.PyArray_DIM(x, along)
    shape = (<object>x).shape[:along] + (<object>x).shape[along + 1:]
    if call.n == 0:
        raise ValueError(f"{name}: there are no classes, logits has length 0 along its axis")
    if weights is not None and (cnp.PyArray_NDIM(weights) != 1 or cnp.PyArray_SIZE(weights) != call.n):
        raise ValueError(f"{name}: weight must hold one number for each of the {call.n} classes, "
                         f"its shape is {(<object>weights).shape}")
    kind = (<cnp.dtype>given.descr).kind
    if kind == b"i" or kind == b"u":
        given = _labels(name, given, shape)
        check_held(&held, name)
        # Where nothing is to be known before, the kernels count and check, in the pass that reads the labels anyway.
        late = (weights is None or reduction != "mean") and not (with_grad and (reduction == "mean" or out is not None))
        if not late:
            count = _count(name, flavor, given, call.n, call.ignored, weights)
    elif (kind == b"f" and class_of_dtype(<cnp.dtype>given.descr) != NEITHER) or _is_half(given):
        if not PyArray_SAMESHAPE(given, x):
            raise ValueError(f"{name}: probabilities must have the shape of logits, {(<object>x).shape}, not "
                             f"{(<object>given).shape}; class indices must be integers")
        if call.ignored >= 0:
            raise ValueError(f"{name}: ignore_index applies to class indices, and labels holds probabilities")
        probabilities = _native(given, dtype)
        count = cnp.PyArray_SIZE(x) // call.n
    else:
        raise TypeError(f"{name}: labels must be integers or probabilities, not "
                        f"{None if labels is None else given.dtype}")
    target.scale = 1
    if reduction == "mean":
        target.scale = 1 / count

    if with_grad:
        if destination is not None:
            _check_output(name, destination, x, result)
        if result == dtype and _takes(destination, dtype):
            grad = destination
            x = _unshared(x, grad)
            given = _unshared(given, grad)
            # These are read again when gradients are written.
            if probabilities is not None and extents_meet(probabilities, grad):
                probabilities = probabilities.copy()
            if weights is not None and extents_meet(weights, grad):
                weights = weights.copy()
        else:
            grad = np.empty_like(x)

    _clear(&call)
    rows = _lay_out(&call, x if grad is None else grad, along, order)
    losses = _place_losses(&call, rows, 0 if reduction == "none" else CHUNKS, shape, along, order)
    fr_store(&skipped, 0)
    call.skipped = &skipped
    check_held(&held, name)
    call.flavor = flavor
    call.loss = call.flavor.cross_entropy
    call.tile = call.flavor.cross_entropy_tile
    call.target = &target
    target.weights = NULL if weights is None else <double *>cnp.PyArray_DATA(weights)
    target.mean_weight = 1 if weights is None else _sum(target.weights, call.n) / call.n
    _operand(&call, FR_ROW_IN, x, along, order, True)
    if probabilities is not None:
        _operand(&call, FR_ROW_SECOND, probabilities, along, order, True)
    else:
        _operand(&call, FR_ROW_LABEL, given, along, order, False)
    if grad is not None:
        _operand(&call, FR_ROW_OUT, grad, along, order, True)
    try:
        _run(&call, FR_MEDIUM, rows, crew)
    except RuntimeError:
        if late:
            _refuse_label(name, <const volatile int64_t *>cnp.PyArray_DATA(given), 0, rows, call.n, call.ignored)
        raise
    if late:
        count = rows - fr_load(&skipped)

    if reduction == "none":
        loss = _rounded(losses, result)
        loss = loss if shape else loss[()]
    else:
        total = _sum(<const double *>cnp.PyArray_DATA(losses), cnp.PyArray_SIZE(losses))
        if reduction == "mean":
            total = total / count if count else NAN  # also where smoothed losses count but their weights do not
        if result == cnp.NPY_FLOAT:  # rounded here, for NumPy would warn of a number that is too large
            loss = np.float32(<float>total)
        else:
            loss = np.float64(total) if result == dtype else _rounded(np.array(total), result)[()]
    if not with_grad:
        return loss
    grad = _rounded_into(destination, grad, result)
    return loss, grad if destination is None else given_out
