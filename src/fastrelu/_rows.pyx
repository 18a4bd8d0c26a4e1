# distutils: sources = src/fastrelu/kernels/rows.c
"""Softmax and its like, which work on whole rows of an array along any axis, and cross-entropy."""

from operator import index

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_AsLong, PyLong_CheckExact
from libc.stdint cimport int64_t, uint64_t

from fastrelu._core cimport DOUBLE, NEITHER, as_target, class_of_dtype, crew_for, precision_level, run_shares, tables

cnp.import_array()

cdef extern from "kernels/rows.h" nogil:
    enum:
        FR_F64_FAST
        FR_LIGHT
        FR_MEDIUM
        FR_LOG_SOFTMAX
        FR_SOFTMIN
        FR_NORMALIZERS
        FR_ROW_IN
        FR_ROW_SECOND
        FR_ROW_WHERE
        FR_ROW_OUT
        FR_ROW_LABEL
        FR_ROW_LOSS
        FR_ROW_OPERANDS
        FR_ROW_AXES
    ctypedef void (*fr_kernel)(const char *const *, char *, Py_ssize_t) noexcept
    ctypedef struct fr_target:
        double *weights
        double *dense
        double smoothing
        double scale
    ctypedef double (*fr_loss)(const fr_target *, Py_ssize_t) noexcept
    ctypedef int (*fr_columns)(const char *, Py_ssize_t, char *, Py_ssize_t, Py_ssize_t) noexcept
    ctypedef struct fr_rows:
        fr_kernel *forward
        fr_kernel *from_output
        fr_columns *columns
        fr_loss cross_entropy
    ctypedef struct fr_row_operand:
        char *origin
        Py_ssize_t along
        Py_ssize_t *stride
    ctypedef struct fr_row_call:
        fr_kernel kernel
        fr_columns columns
        fr_loss loss
        const fr_target *target
        int64_t ignored
        uint64_t left_out
        uint64_t alone
        Py_ssize_t n
        Py_ssize_t itemsize
        int naxes
        Py_ssize_t *shape
        fr_row_operand *operand
    int fr_run_rows(const fr_row_call *, Py_ssize_t, Py_ssize_t) noexcept

cdef extern from "numpy/arrayobject.h":
    bint PyArray_SAMESHAPE(cnp.ndarray, cnp.ndarray)
    bint PyArray_ISBEHAVED_RO(cnp.ndarray)
    bint PyArray_ISWRITEABLE(cnp.ndarray)
    bint PyArray_IS_C_CONTIGUOUS(cnp.ndarray)

names = ("softmax", "log_softmax", "softmin")


@cython.final
cdef class RowKernels:
    """The kernels over rows for one instruction set."""

    cdef const fr_rows *rows

    def __init__(self, str isa):
        self.rows = <const fr_rows *>tables(isa).rows

    cdef const fr_rows *of(self, int dtype) except NULL:
        """The flavour that a call made here and now has."""
        return &self.rows[(FR_F64_FAST if dtype == cnp.NPY_DOUBLE else 0) + precision_level()]


# --- Running over all rows ------------------------------------------------------------------------------------------

cdef struct _Work:
    const fr_row_call *call
    Py_ssize_t rows
    int *failed


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Work *work = <const _Work *>what
    if fr_run_rows(work.call, work.rows * share // shares, work.rows * (share + 1) // shares) != 0:
        work.failed[0] = 1


cdef int _run(const fr_row_call *call, int cost, Py_ssize_t rows) except -1:
    cdef _Work work
    cdef int failed = 0
    work.call, work.rows, work.failed = call, rows, &failed
    run_shares(_share, &work, cost, rows * call.n, rows, crew_for(cost, rows * call.n))
    if failed:
        raise MemoryError("no memory for the rows of an array that is not contiguous along its axis")
    return 0


cdef bint _is_plain(object value, int dtype):
    """A plain array of this type, contiguous in C's order."""
    if type(value) is not cnp.ndarray:
        return False
    return (cnp.PyArray_TYPE(<cnp.ndarray>value) == dtype and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>value)
            and PyArray_ISBEHAVED_RO(<cnp.ndarray>value))


cdef bint _is_apart(cnp.ndarray x, cnp.ndarray out):
    """Neither array reaches into the other (both contiguous), or they are the same memory."""
    cdef char *a = <char *>cnp.PyArray_DATA(x)
    cdef char *b = <char *>cnp.PyArray_DATA(out)
    return a == b or a + cnp.PyArray_NBYTES(x) <= b or b + cnp.PyArray_NBYTES(out) <= a


cdef bint _is_last(object axis, int ndim):
    """Is it plainly the last axis?"""
    cdef long number
    if not PyLong_CheckExact(axis) or ndim == 0:
        return False
    number = PyLong_AsLong(axis) if -64 <= axis < 64 else 64
    return number == -1 or number == ndim - 1


cdef void _clear(fr_row_call *call) noexcept:
    cdef int k
    call.columns = NULL
    call.loss = NULL
    call.target = NULL
    for k in range(FR_ROW_OPERANDS):
        call.operand[k].origin = NULL


cdef void _flat_operand(fr_row_call *call, int which, cnp.ndarray x) noexcept:
    call.operand[which].origin = <char *>cnp.PyArray_DATA(x)
    call.operand[which].along = call.itemsize
    call.operand[which].stride[0] = call.n * call.itemsize


cdef object _run_flat(fr_kernel kernel, fr_columns columns, int cost, cnp.ndarray x, cnp.ndarray second,
                      cnp.ndarray out):
    """Rows along the last axis of contiguous arrays; a new one if `out` is None."""
    cdef fr_row_call call
    cdef int ndim = cnp.PyArray_NDIM(x)
    if out is None:
        out = cnp.PyArray_SimpleNew(ndim, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
    _clear(&call)
    call.kernel = kernel
    call.columns = columns
    call.n = cnp.PyArray_DIM(x, ndim - 1)
    call.itemsize = cnp.PyArray_ITEMSIZE(x)
    call.naxes = 1
    if call.n > 0:
        call.shape[0] = cnp.PyArray_SIZE(x) // call.n
        _flat_operand(&call, FR_ROW_IN, x)
        if second is not None:
            _flat_operand(&call, FR_ROW_SECOND, second)
        _flat_operand(&call, FR_ROW_OUT, out)
        _run(&call, cost, call.shape[0])
    return out


cdef int _order(cnp.ndarray y, int axis, int *order) noexcept:
    """The axes beside `axis` that are longer than 1, those with the longest strides first."""
    cdef int k, i, count = 0
    for k in range(cnp.PyArray_NDIM(y)):
        if k == axis or cnp.PyArray_DIM(y, k) == 1:
            continue
        i = count
        while i > 0 and abs(cnp.PyArray_STRIDE(y, order[i - 1])) < abs(cnp.PyArray_STRIDE(y, k)):
            order[i] = order[i - 1]
            i -= 1
        order[i] = k
        count += 1
    return count


cdef Py_ssize_t _lay_out(fr_row_call *call, cnp.ndarray y, int axis, int *order) noexcept:
    """Shape of the walk, in the order of the strides of `y`; how many rows there are."""
    cdef int k
    cdef Py_ssize_t rows = 1
    call.n = cnp.PyArray_DIM(y, axis)
    call.itemsize = cnp.PyArray_ITEMSIZE(y)
    call.naxes = _order(y, axis, order)
    for k in range(call.naxes):
        call.shape[k] = cnp.PyArray_DIM(y, order[k])
        rows *= call.shape[k]
    if call.naxes == 0:
        call.naxes = call.shape[0] = 1
        order[0] = -1
    # An axis of length 0 that was left out makes no rows either.
    return rows


cdef void _operand(fr_row_call *call, int which, cnp.ndarray x, int axis, const int *order, bint has_axis) noexcept:
    """Where an operand lies; without the axis of the rows it has one number for each."""
    cdef int k, own
    call.operand[which].origin = <char *>cnp.PyArray_DATA(x)
    call.operand[which].along = cnp.PyArray_STRIDE(x, axis) if has_axis else 0
    for k in range(call.naxes):
        own = order[k] if has_axis or order[k] < axis else order[k] - 1
        call.operand[which].stride[k] = cnp.PyArray_STRIDE(x, own) if order[k] >= 0 else 0


# --- Arguments --------------------------------------------------------------------------------------------------------

cdef cnp.ndarray _as_data(str name, object x):
    """An array of numbers; no copy of one that is there."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} does not read masks of numpy.ma: pass x.data and, where there is one, where=~x.mask")
    return np.asarray(x)


cdef int _type_of(str name, cnp.ndarray x) except -1:
    cdef int kind = class_of_dtype(<cnp.dtype>x.descr)
    if kind == NEITHER:
        raise TypeError(f"{name} takes real numbers, not {x.dtype}; convert with x.astype(numpy.float64) what can be")
    return cnp.NPY_DOUBLE if kind == DOUBLE else cnp.NPY_FLOAT


cdef cnp.ndarray _native(cnp.ndarray x, int dtype):
    """The same numbers as the kernels read them: the array itself where they can."""
    if cnp.PyArray_TYPE(x) == dtype and PyArray_ISBEHAVED_RO(x):
        return x
    return x.astype(cnp.PyArray_DescrFromType(dtype))


cdef object _checked_output(str name, object out, cnp.ndarray like):
    """`out` as a plain array that the result may be written into, or the error that says why not."""
    foreign = not isinstance(out, np.ndarray) and hasattr(type(out), "__array_ufunc__")
    if foreign or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"{name} can write into an array or a writable buffer, not into {type(out).__name__!r}")
    target = np.asarray(as_target(name, out))
    if target.shape != (<object>like).shape:
        raise ValueError(f"{name}: out has the shape {target.shape}, the result {(<object>like).shape}")
    if not np.can_cast(like.dtype, target.dtype, "same_kind"):
        raise TypeError(f"{name}: the result of type {like.dtype} cannot be cast into out of type {target.dtype}")
    if not PyArray_ISWRITEABLE(<cnp.ndarray>target):
        raise ValueError(f"{name}: out is read-only")
    return target


cdef bint _same_place(cnp.ndarray x, cnp.ndarray y):
    return cnp.PyArray_DATA(x) == cnp.PyArray_DATA(y) and (<object>x).strides == (<object>y).strides


cdef cnp.ndarray _unshared(cnp.ndarray x, cnp.ndarray out):
    """The array, or a copy where writing into `out` would change what is still to be read."""
    if x is None or out is None or _same_place(x, out) or not np.may_share_memory(x, out):
        return x
    return x.copy()


cdef object _mask(str name, object where, tuple shape):
    """`where` in the shape of the array, as bytes."""
    mask = np.asarray(where)
    if mask.dtype != np.bool_:
        raise TypeError(f"{name}: where must be of type bool, not {mask.dtype}")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"{name}: where of shape {mask.shape} does not broadcast to the shape of x, {shape}") from None


cdef object _merged(cnp.ndarray x, tuple axes):
    """The array with `axes` made one, at the end: a view where its strides allow it."""
    cdef int k
    kept = tuple([n for k, n in enumerate((<object>x).shape) if k not in axes])
    size = 1
    for k in axes:
        size *= cnp.PyArray_DIM(x, k)
    return np.moveaxis(x, axes, range(-len(axes), 0)).reshape(*kept, size)


cdef object _bits(double value, int dtype):
    cdef object scalar = np.float64(value) if dtype == cnp.NPY_DOUBLE else np.float32(value)
    return int(scalar.view(np.uint64 if dtype == cnp.NPY_DOUBLE else np.uint32))


cdef object _general(RowKernels kernels, int kind, bint backward, object x, object second, object axis, object out,
                     object where):
    """Any arguments: types, axes, masks, strides and overlaps."""
    cdef fr_row_call call
    cdef int order[64]
    cdef int dtype, along = 0
    cdef Py_ssize_t rows
    cdef cnp.ndarray a, b = None, y, mask = None
    cdef const fr_rows *flavour
    cdef bint as_array = out is Ellipsis
    cdef str name = names[kind] + ("_backward_from_output" if backward else "")
    a = _as_data(name, x)
    dtype = _type_of(name, a)
    if backward:
        b = _as_data(name, second)
        dtype = max(dtype, _type_of(name, b))
        if not PyArray_SAMESHAPE(a, b):
            raise ValueError(f"{name}: grad and y must have the same shape, not {x.shape} and {second.shape}")
        b = _native(b, dtype)
    a = _native(a, dtype)
    axes = None
    if axis is None:
        axes = tuple(range(cnp.PyArray_NDIM(a)))
    elif isinstance(axis, tuple):
        axes = normalize_axis_tuple(axis, cnp.PyArray_NDIM(a))
    else:
        along = normalize_axis_index(index(axis), cnp.PyArray_NDIM(a))
    if axes is not None and len(axes) == 1:
        along, axes = axes[0], None
    if isinstance(out, tuple) and len(out) == 1:
        out = out[0]
    if where is not True:
        mask = _mask(name, where, (<object>a).shape)
    target = None
    if out is not None and not as_array:
        target = _checked_output(name, out, a)
    if axes is not None:
        merged = _merged(a, axes)
        y = _general(kernels, kind, backward, merged, None if b is None else _merged(b, axes), -1, None,
                     True if mask is None else _merged(mask, axes))
        shape = (<object>a).shape
        kept = [n for k, n in enumerate(shape) if k not in axes]
        y = np.moveaxis((<object>y).reshape(kept + [shape[k] for k in axes]), range(-len(axes), 0), axes)
    else:
        if target is not None and cnp.PyArray_TYPE(<cnp.ndarray>target) == dtype \
                and PyArray_ISBEHAVED_RO(<cnp.ndarray>target):
            y = target
            a, b, mask = _unshared(a, y), _unshared(b, y), _unshared(mask, y)
        else:
            y = np.empty_like(a)
        flavour = kernels.of(dtype)
        _clear(&call)
        call.kernel = flavour.from_output[kind] if backward else flavour.forward[kind]
        call.columns = NULL if backward else flavour.columns[kind]
        rows = _lay_out(&call, y, along, order)
        _operand(&call, FR_ROW_IN, a, along, order, True)
        if backward:
            _operand(&call, FR_ROW_SECOND, b, along, order, True)
        if mask is not None:
            _operand(&call, FR_ROW_WHERE, mask, along, order, True)
            call.left_out = _bits(np.inf if kind == FR_SOFTMIN else -np.inf, dtype)
            call.alone = _bits(-np.inf if kind == FR_LOG_SOFTMAX else 0, dtype)
        _operand(&call, FR_ROW_OUT, y, along, order, True)
        _run(&call, FR_LIGHT if backward else FR_MEDIUM, rows)
    if target is not None and (<object>y) is not target:
        np.copyto(target, y, casting="same_kind")
    if target is not None:
        return out
    return y if as_array or cnp.PyArray_NDIM(y) else y[()]


# --- Softmax and its like ---------------------------------------------------------------------------------------------

@cython.binding(False)
def forward(RowKernels kernels not None, int kind, object x, object axis, object out, object where):
    """Normalize the rows of x along an axis."""
    cdef int dtype
    cdef const fr_rows *flavour
    if where is True and type(x) is cnp.ndarray:
        dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
        if ((dtype == cnp.NPY_FLOAT or dtype == cnp.NPY_DOUBLE) and _is_plain(x, dtype)
                and _is_last(axis, cnp.PyArray_NDIM(<cnp.ndarray>x))
                and (out is None or (_is_plain(out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out)
                                     and PyArray_SAMESHAPE(x, out) and _is_apart(x, out)))):
            flavour = kernels.of(dtype)
            return _run_flat(flavour.forward[kind], flavour.columns[kind], FR_MEDIUM, x, None, out)
    return _general(kernels, kind, False, x, None, axis, out, where)


@cython.binding(False)
def forward_in_place(RowKernels kernels not None, int kind, object x, object axis, object where):
    """Normalize the rows of x in place and return x itself."""
    target = x if type(x) is cnp.ndarray else as_target(names[kind], x)
    forward(kernels, kind, target, axis, target, where)
    return x


@cython.binding(False)
def from_output(RowKernels kernels not None, int kind, object grad, object y, object axis, object out):
    """Gradient of `forward` from its output."""
    cdef int dtype
    if type(y) is cnp.ndarray:
        dtype = cnp.PyArray_TYPE(<cnp.ndarray>y)
        if ((dtype == cnp.NPY_FLOAT or dtype == cnp.NPY_DOUBLE) and _is_plain(y, dtype) and _is_plain(grad, dtype)
                and PyArray_SAMESHAPE(y, grad) and _is_last(axis, cnp.PyArray_NDIM(<cnp.ndarray>y))
                and (out is None or (_is_plain(out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out)
                                     and PyArray_SAMESHAPE(y, out) and _is_apart(y, out) and _is_apart(grad, out)))):
            return _run_flat(kernels.of(dtype).from_output[kind], NULL,
                             FR_MEDIUM if kind == FR_LOG_SOFTMAX else FR_LIGHT, grad, y, out)
    return _general(kernels, kind, True, grad, y, axis, out, True)


# --- Cross-entropy ----------------------------------------------------------------------------------------------------

cdef void _add(double *hi, double *lo, double v) noexcept nogil:
    """hi + lo + v, lo taking what rounding takes from hi."""
    cdef double s = hi[0] + v
    cdef double t = s - hi[0]
    lo[0] += (hi[0] - (s - t)) + (v - t)
    hi[0] = s


cdef double _sum(const double *x, Py_ssize_t n) noexcept nogil:
    cdef double hi = 0, lo = 0
    cdef Py_ssize_t i
    for i in range(n):
        _add(&hi, &lo, x[i])
    return hi + lo if lo - lo == 0 else hi


cdef cnp.ndarray _labels(cnp.ndarray labels, tuple shape):
    """The labels as int64, one for each row."""
    if (<object>labels).shape != shape:
        raise ValueError(f"cross_entropy: labels must have the shape of logits without its axis, {shape}, "
                         f"not {(<object>labels).shape}")
    if cnp.PyArray_TYPE(labels) == cnp.NPY_INT64 and PyArray_IS_C_CONTIGUOUS(labels) and PyArray_ISBEHAVED_RO(labels):
        return labels
    if labels.dtype == np.uint64 and cnp.PyArray_SIZE(labels):
        largest = int((<object>labels).max())
        if largest > 2**62:
            raise IndexError(f"cross_entropy: label {largest} is no class")
    return np.ascontiguousarray(labels, np.int64)


cdef double _count(cnp.ndarray labels, Py_ssize_t classes, int64_t ignored, const double *weights) except? -1:
    """The sum of the weights of all rows that count, each label checked."""
    cdef const int64_t *label = <const int64_t *>cnp.PyArray_DATA(labels)
    cdef Py_ssize_t i
    cdef double hi = 0, lo = 0
    for i in range(cnp.PyArray_SIZE(labels)):
        if label[i] == ignored:
            continue
        if not 0 <= label[i] < classes:
            raise IndexError(f"cross_entropy: label {label[i]} at position {i} is out of range for {classes} classes; "
                             f"rows to leave out carry ignore_index, which is {ignored}")
        _add(&hi, &lo, 1 if weights == NULL else weights[label[i]])
    return hi + lo


cdef tuple _REDUCTIONS = ("none", "mean", "sum")


@cython.binding(False)
def cross_entropy(RowKernels kernels not None, object logits, object labels, object axis, object weight,
                  object ignore_index, object label_smoothing, str reduction, bint with_grad, object out):
    """Loss, and its gradient if asked for."""
    cdef fr_row_call call
    cdef fr_target target
    cdef int order[64]
    cdef int dtype, along = 0
    cdef Py_ssize_t rows
    cdef cnp.ndarray x, given, weights = None, losses, grad = None, probabilities = None
    cdef double total, count
    x = _as_data("cross_entropy", logits)
    dtype = _type_of("cross_entropy", x)
    x = _native(x, dtype)
    along = normalize_axis_index(index(axis), cnp.PyArray_NDIM(x))
    if reduction not in _REDUCTIONS:
        raise ValueError(f'cross_entropy: reduction must be "none", "mean" or "sum", not {reduction!r}')
    target.smoothing = label_smoothing
    if not 0 <= target.smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be between 0 and 1, not {label_smoothing!r}")
    call.n = cnp.PyArray_DIM(x, along)
    shape = (<object>x).shape[:along] + (<object>x).shape[along + 1:]
    if call.n == 0:
        raise ValueError("cross_entropy: there are no classes, logits has length 0 along its axis")
    if weight is not None:
        weights = np.ascontiguousarray(weight, np.float64)
        if cnp.PyArray_NDIM(weights) != 1 or cnp.PyArray_SIZE(weights) != call.n:
            raise ValueError(f"cross_entropy: weight must hold one number for each of the {call.n} classes, "
                             f"its shape is {(<object>weights).shape}")
    target.weights = NULL if weights is None else <double *>cnp.PyArray_DATA(weights)
    target.dense = NULL

    given = _as_data("cross_entropy", labels)
    call.ignored = index(ignore_index)
    kind = given.dtype.kind
    if kind in "iu":
        given = _labels(given, shape)
        count = _count(given, call.n, call.ignored, target.weights)
    elif kind == "f":
        if not PyArray_SAMESHAPE(given, x):
            raise ValueError(f"cross_entropy: probabilities must have the shape of logits, {(<object>x).shape}, not "
                             f"{(<object>given).shape}; class indices must be integers")
        if call.ignored >= 0:
            raise ValueError("cross_entropy: ignore_index applies to class indices, and labels holds probabilities")
        probabilities = _native(given, dtype)
        count = cnp.PyArray_SIZE(x) // call.n
    else:
        raise TypeError(f"cross_entropy: labels must be integers or probabilities, not {given.dtype}")
    target.scale = 1
    if reduction == "mean":
        target.scale = 1 / count

    destination = None
    if with_grad:
        if isinstance(out, tuple) and len(out) == 1:
            out = out[0]
        if out is not None and out is not Ellipsis:
            destination = _checked_output("cross_entropy_value_and_grad", out, x)
        if destination is not None and cnp.PyArray_TYPE(<cnp.ndarray>destination) == dtype \
                and PyArray_ISBEHAVED_RO(<cnp.ndarray>destination):
            grad = destination
            x, probabilities = _unshared(x, grad), _unshared(probabilities, grad)
            given, weights = _unshared(given, grad), _unshared(weights, grad)
            target.weights = NULL if weights is None else <double *>cnp.PyArray_DATA(weights)
        else:
            grad = np.empty_like(x)

    losses = np.empty(shape)
    _clear(&call)
    rows = _lay_out(&call, x if grad is None else grad, along, order)
    call.loss = kernels.of(dtype).cross_entropy
    call.target = &target
    _operand(&call, FR_ROW_IN, x, along, order, True)
    if probabilities is not None:
        _operand(&call, FR_ROW_SECOND, probabilities, along, order, True)
    else:
        _operand(&call, FR_ROW_LABEL, given, along, order, False)
    if probabilities is not None or target.smoothing != 0:
        target.dense = &target.scale  # any address: every thread has room of its own
    if grad is not None:
        _operand(&call, FR_ROW_OUT, grad, along, order, True)
    _operand(&call, FR_ROW_LOSS, losses, along, order, False)
    _run(&call, FR_MEDIUM, rows)

    cast = np.float64 if dtype == cnp.NPY_DOUBLE else np.float32
    if reduction == "none":
        loss = losses.astype(cast) if dtype == cnp.NPY_FLOAT else losses
        loss = loss if shape else loss[()]
    else:
        total = _sum(<const double *>cnp.PyArray_DATA(losses), cnp.PyArray_SIZE(losses))
        if reduction == "mean":
            total = total / count
        loss = cast(total)
    if not with_grad:
        return loss
    if destination is not None and (<object>grad) is not destination:
        np.copyto(destination, grad, casting="same_kind")
    return loss, grad if destination is None else out
