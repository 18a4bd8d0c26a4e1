"""Softmax and related functions, which work on whole rows of an array along any axis."""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from fastrelu import _core as _python_core, _foreign
from fastrelu._arguments import BLOCK as _PER_THREAD
from fastrelu._arguments import blocks
from fastrelu._core import joint_dtype
from fastrelu._row_kernels import names as _names

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_AsLong, PyLong_CheckExact
from libc.math cimport frexp

from fastrelu._arguments cimport (
    _are_ints,
    _as_data,
    _as_output,
    _axes_of,
    _check_output,
    _crew,
    _far,
    _is_handed_over,
    _is_ndarray,
    _is_read,
    _joint_type,
    _merged,
    _native,
    _parted,
    _rounded_into,
    _same_place,
    _takes,
    _type_of,
    _unshared,
    _without,
    as_axis,
    spread,
    spread_mask,
)
from fastrelu._core cimport _number, as_target, checked_kernel
from fastrelu._explain cimport _why_threads
from fastrelu._kernels cimport _is_half, computed_type
from fastrelu._numpy cimport PyArray_ISBEHAVED_RO, PyArray_ISWRITEABLE, PyArray_SAMESHAPE
from fastrelu._row_halves cimport _count_parts, _is_at_once, _run_halves, _run_parts
from fastrelu._row_kernels cimport (
    FR_DIVIDED,
    FR_HARDMAX,
    FR_HEAVY,
    FR_MEDIUM,
    FR_MULTIPLIED,
    FR_ROW_GRAD,
    FR_ROW_IN,
    FR_ROW_LOADED_SLOPE,
    FR_ROW_OUT,
    FR_ROW_SECOND,
    FR_ROW_SINK,
    FR_ROW_SINK_SLOPE,
    FR_ROW_WHERE,
    FR_UNCHANGED_ROWS,
    Load,
    RowKernels,
    _absent,
    _clear,
    _cost,
    _describe,
    _is_plain,
    _lay_out,
    _operand,
    _place_losses,
    _result_like,
    _run,
    _run_flat,
    _set_kernels,
    _sum,
    _taken_together,
    fr_row_call,
    fr_row_finish,
    fr_row_slope,
    fr_rows,
)
from fastrelu._runtime cimport (
    Crew,
    FR_MAX_AXES,
    Held,
    check_held,
    crew_of,
    extents_meet,
    has_kernels,
    hold,
    keep,
    precision_here,
    settle,
    type_of,
)

cnp.import_array()


# --- Calls with any arguments -----------------------------------------------------------------------------------------

cdef int _loaded_type(str name, cnp.ndarray a, cnp.ndarray bias, cnp.ndarray sink, Load load, int *result) except -1:
    """As `_joint_type`, of x, a bias and a sink; numbers of Python have no type."""
    cdef double number
    _type_of(name, a)
    operands = [a]
    for given, array in ((load.bias, bias), (load.sink, sink)):
        if array is not None:
            _type_of(name, array)
            operands.append(given if _number(given, &number) else array)
    result[0] = joint_dtype(*operands).num
    return computed_type(result[0], precision_here())


cdef int _refuse_sink(str name, Load load) except -1:
    if load.sink is not None:
        raise TypeError(f"{name} takes sink= with arrays of NumPy alone: convert operands with numpy.asarray first, or "
                        "append the sink to each row of x and drop its result")
    return 0


cdef object _composed(str name, object x, Load load):
    """The changed elements of operands of which one is foreign, by its own arithmetic."""
    for value in (x, load.bias):
        _foreign.refuse_mask(name, value)
    _refuse_sink(name, load)
    z = x = x if _foreign.is_foreign(x) else np.asarray(x)
    if load.load.scale != 1:
        z = z * load.load.scale
    if load.capper is not None:
        z = (load.capper.accurate if precision_here() else load.capper.fast)(z, load.load.cap)
    if load.bias is not None:
        z = z + (np.asarray(load.bias) if isinstance(load.bias, (list, tuple)) else load.bias)
        if repr(z.shape) != repr(x.shape):  # lengths of a dask array may be NaN
            raise ValueError(f"{name}: bias of shape {np.shape(load.bias)} does not broadcast to the shape of x, "
                             f"{x.shape}")
    return z


cdef object _hand_over(RowKernels kernels, str name, tuple values, object axis, object out, object where,
                       bint keepdims):
    """Leave a call to the type of an operand, through the ufunc of the precision in force."""
    ufunc = kernels.ufuncs[name if where is True else name + "_where"]
    if where is not True:
        if not _foreign.is_foreign(where):
            where = _as_data(name, where)
            shape = getattr(values[len(values) - 1], "shape", None)
            if isinstance(shape, tuple) and _are_ints(shape):
                where = spread_mask(name, where.copy(), shape)  # a view might outlive its memory
        values = values + (where,)
    if out is Ellipsis:
        out = None
    target = out if out is None or _foreign.is_foreign(out) else _as_output(name, out)
    result = _foreign.hand_over(ufunc.accurate if precision_here() else ufunc.fast, name, ufunc.operands, values, axis,
                                target, keepdims)
    return result if target is out else out


cdef cnp.ndarray _one(double number, int dtype, fr_row_finish finish):
    """A factor of all rows in a type; what divides is not 0 there."""
    cdef cnp.ndarray one = cnp.PyArray_SimpleNew(0, NULL, dtype)
    cdef float narrow
    if dtype == cnp.NPY_DOUBLE:
        (<double *>cnp.PyArray_DATA(one))[0] = number
    else:
        narrow = <float>number
        (<float *>cnp.PyArray_DATA(one))[0] = max(narrow, <float>2**-149) if finish == FR_DIVIDED else narrow
    return one


cdef object _general(RowKernels kernels, int kind, bint backward, object x, object second, object axis, object out,
                     object where, Load load=None, bint explained=False, double factor=1,
                     fr_row_finish finish=FR_UNCHANGED_ROWS):
    """Handle arguments of any types, axes, masks, strides and overlaps."""
    cdef int dtype, result
    cdef Py_ssize_t count = 0
    cdef cnp.ndarray a, b = None, y, mask = None, target, sink = None
    cdef str name = _names[kind] + ("_backward_from_output" if backward else "")
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    axis = as_axis(axis)
    wrap = None
    if not (_is_ndarray(x) and (second is None or _is_ndarray(second)) and (given is None or _is_ndarray(given))
            and (where is True or _is_ndarray(where))):
        values = (x, second) if backward else (x,)
        if _is_handed_over(values, given, where):
            if explained:
                return _in_words(name, joint_dtype(*values), "ufunc", "an operand has code of its own", load)
            return _hand_over(kernels, name, values, axis, given, where, False)
        wrap = _foreign.wrapper(*values) if given is None or given is Ellipsis else None
    if where is not True:
        mask = _as_data(name, where)
    target = _as_output(name, given)
    a = _as_data(name, x)
    if load is not None:
        b = None if load.bias is None else _as_data(name, load.bias)
        sink = None if load.sink is None else _as_data(name, load.sink)
    elif backward:
        b = _as_data(name, second)
    settle()
    cdef Held held
    held.count = 0
    keep(&held, a)
    keep(&held, b)
    keep(&held, sink)
    keep(&held, mask)
    keep(&held, target)
    hold(&held, name)
    # References to what `held` borrows, for the names get other arrays below.
    cdef cnp.ndarray _kept_a = a, _kept_b = b, _kept_sink = sink, _kept_mask = mask
    cdef Crew crew

    if load is None:
        dtype = _joint_type(name, a, b, &result)
    else:
        dtype = _loaded_type(name, a, b, sink, load, &result)
        load.choose(name, dtype)
        b = None if b is None else spread(name, "bias", b, dtype, (<object>a).shape)
    if backward:
        if not PyArray_SAMESHAPE(a, b):
            raise ValueError(f"{name}: grad and y must have the same shape, not {(<object>a).shape} and "
                             f"{(<object>b).shape}")
    crew = _crew(_cost(kind, backward), a, not _is_read(a, dtype))
    if mask is not None:
        mask = spread_mask(name, mask, (<object>a).shape)
    axes = _axes_of(axis, cnp.PyArray_NDIM(a))
    if sink is not None:
        whole = (<object>a).shape
        sink = spread(name, "sink", sink, dtype, _without(whole, axes, False))
    if target is not None:
        _check_output(name, target, a, result)
    cdef bint alone = backward and kind == FR_HARDMAX  # each element for itself
    if alone:
        a, b = _native(a, dtype), None if b is None else _native(b, dtype)
    if explained:
        flat = load is None and where is True and result == dtype and _is_flat(x, second, -1 if alone else axis, out)
        if where is True and not alone and _is_flat_half(x, second, axis, out, load):
            flat, crew = True, crew_of(_cost(kind, backward), <cnp.ndarray>x)
        found = _in_words(name, np.dtype(cnp.PyArray_DescrFromType(dtype)), "fast path" if flat else "N-d driver",
                          _why_not_flat(where, load) if not flat else "", load)
        found["threads"], found["why_threads"] = crew.threads, _why_threads(crew, cnp.PyArray_SIZE(a))
        if result != dtype and not flat and not alone and cnp.PyArray_SIZE(a) > _BLOCK:
            count = _count_parts(kernels, kind, backward, a, b, mask, axes, target, result, dtype, &crew, load, sink)
        if count:
            found["threads"], found["why_threads"] = crew.threads, _why_threads(crew, cnp.PyArray_SIZE(a))
            if count < crew.threads:
                found["threads"], found["why_threads"] = count, f"the rows are converted in {count} parts"
        elif len(axes) == 1 and not flat and not alone and cnp.PyArray_SIZE(a):
            a, b = _native(a, dtype), None if b is None else _native(b, dtype)
            y = target if result == dtype and _takes(target, dtype) else a
            rows, unit = _taken_together(kernels.of(dtype), kind, backward, a, b, mask, axes[0], y, load, sink)
            if (rows + unit - 1) // unit < crew.threads:
                found["threads"] = (rows + unit - 1) // unit
                found["why_threads"] = f"there are {rows} rows, of which a thread takes {unit} at once"
        found["output"] = "new" if target is None else "given"
        if alone and target is not None and not _same_place(b, target):
            found["streamed"] = _python_core.streams(kernels.threshold, cnp.PyArray_NBYTES(target), crew.threads)
        if result != dtype:
            found["stores"] = f"{found['dtype']} to {cnp.PyArray_DescrFromType(result).name}"
        return found
    one = _one(factor, dtype, finish) if finish else None
    if alone:
        y = target if result == dtype and _takes(target, dtype) else None
        check_held(&held, name)
        y = np.asarray(kernels.zeros(b, y))
    elif len(axes) == 1:
        y = target if result == dtype and _takes(target, dtype) else None
        if result != dtype and cnp.PyArray_SIZE(a) > _BLOCK:
            if (_is_at_once((a, b, mask, sink), target, result)
                    and _run_parts(kernels, kind, backward, a, b, mask, axes[0], target, dtype, &held, load, sink, one,
                                   finish)):
                return given
            y = _result_like(a, b if backward else None, result)
        y = _along(kernels, kind, backward, a, b, mask, axes[0], y, dtype, crew, &held, load, sink, one, finish)
    else:
        whole = (<object>a).shape
        a, b = _merged(a, axes), None if b is None else _merged(b, axes)
        y = None
        if result != dtype and cnp.PyArray_SIZE(a) > _BLOCK:
            y = _result_like(a, b if backward else None, result)
        y = _along(kernels, kind, backward, a, b, None if mask is None else _merged(mask, axes),
                   cnp.PyArray_NDIM(a) - 1, y, dtype, crew, &held, load, sink, one, finish)
        y = _parted(y, axes, whole)
    y = _rounded_into(target, y, result)
    if target is not None:
        return given
    if wrap is not None:
        return wrap(y)
    return y if given is Ellipsis or cnp.PyArray_NDIM(y) else y[()]


cdef str _why_not_flat(object where, Load load):
    if load is not None:
        return "elements are changed as they are loaded"
    return "where= is given" if where is not True else "operands are no contiguous arrays, or the axis is not the last"


cdef dict _in_words(str name, object dtype, str door, str why, Load load):
    """The fields of `Explanation`; that of a ufunc, whose threads are decided by the type of an operand."""
    return {"door": door, "kernel": name, "dtype": dtype.name, "precision": "accurate" if precision_here() else "fast",
            "why_not_fast": why, "why_not_driver": why if door == "ufunc" else "", "threads": 1,
            "why_threads": "the type of an operand decides" if door == "ufunc" else "", "output": "new",
            "streamed": False, "loads": "" if load is None else load.in_words(), "stores": ""}


cdef bint _is_apart(cnp.ndarray x, cnp.ndarray out):
    """Are the two contiguous arrays disjoint, or exactly the same memory?"""
    cdef char *a = <char *>cnp.PyArray_DATA(x)
    cdef char *b = <char *>cnp.PyArray_DATA(out)
    return a == b or a + cnp.PyArray_NBYTES(x) <= b or b + cnp.PyArray_NBYTES(out) <= a


cdef bint _is_last(object axis, int ndim):
    """Is it a plain integer that denotes the last axis?"""
    cdef long number
    if not PyLong_CheckExact(axis) or ndim == 0:
        return False
    number = PyLong_AsLong(axis) if -64 <= axis < 64 else 64
    return number == -1 or number == ndim - 1


cdef bint _is_flat(object x, object second, object axis, object out):
    """Are the operands contiguous arrays of one type that kernels read, and rows along the last axis?"""
    return (type(x) is cnp.ndarray and has_kernels(cnp.PyArray_TYPE(<cnp.ndarray>x))
            and _are_dense(x, second, axis, out))


cdef bint _is_flat_half(object x, object second, object axis, object out, Load load):
    """The same of a type of 16 bits, whose elements may be changed by numbers alone as they are loaded."""
    return (type(x) is cnp.ndarray and _is_half(<cnp.ndarray>x) and cnp.PyArray_SIZE(<cnp.ndarray>x) > 0
            and (load is None or (load.bias is None and load.sink is None)) and _are_dense(x, second, axis, out))


cdef bint _are_dense(cnp.ndarray x, object second, object axis, object out):
    cdef int dtype = cnp.PyArray_TYPE(x)
    return (_is_plain(x, dtype) and _is_last(axis, cnp.PyArray_NDIM(<cnp.ndarray>x))
            and (second is None or (_is_plain(second, dtype) and PyArray_SAMESHAPE(second, x)))
            and (out is None or (_is_plain(out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out)
                                 and PyArray_SAMESHAPE(x, out) and _is_apart(x, out)
                                 and (second is None or _is_apart(second, out)))))


cdef bint _are_alike(object grad, object y, object axis, object out) except -1:
    """Are the operands plain arrays of one type that kernels compute, and of one shape, which has the axis?"""
    cdef int dtype
    if not (type(y) is cnp.ndarray and type(grad) is cnp.ndarray and PyLong_CheckExact(axis)):
        return False
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>y)
    if (dtype != cnp.PyArray_TYPE(<cnp.ndarray>grad) or not PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>grad)
            or not (has_kernels(dtype) or _is_half(<cnp.ndarray>y)) or not PyArray_ISBEHAVED_RO(<cnp.ndarray>y)):
        return False
    normalize_axis_index(axis, cnp.PyArray_NDIM(<cnp.ndarray>y))
    return out is None or (type(out) is cnp.ndarray and PyArray_SAMESHAPE(<cnp.ndarray>y, <cnp.ndarray>out)
                           and _takes(<cnp.ndarray>out, dtype) and PyArray_ISWRITEABLE(<cnp.ndarray>out))


# --- Whole rows in blocks ---------------------------------------------------------------------------------------------

cdef Py_ssize_t _BLOCK = _PER_THREAD

cdef enum:
    _NEIGHBORS = 33  # fewer are gathered at least as fast as copied


cdef bint _is_repeated(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Is it one number for many neighbors in `y`? Kernels take lines of memory, which would be gathered from it."""
    cdef int k, nearest = -1
    cdef Py_ssize_t step, least = 0
    for k in range(cnp.PyArray_NDIM(y)):
        if cnp.PyArray_STRIDE(x, k) == 0 and cnp.PyArray_DIM(y, k) >= _NEIGHBORS:
            break
    else:
        return False
    for k in range(cnp.PyArray_NDIM(y)):
        step = _far(cnp.PyArray_STRIDE(y, k))
        if cnp.PyArray_DIM(y, k) > 1 and (nearest < 0 or step <= least):
            nearest, least = k, step
    return nearest >= 0 and cnp.PyArray_STRIDE(x, nearest) == 0 and cnp.PyArray_DIM(y, nearest) >= _NEIGHBORS


cdef cnp.ndarray _brought(cnp.ndarray x, cnp.ndarray y, int dtype):
    """The array as kernels of this type read it beside `y`: the array itself, or a copy."""
    if not _is_repeated(x, y):
        return _native(x, dtype)
    full = np.empty_like(y, cnp.PyArray_DescrFromType(dtype))
    full[...] = _native(x[tuple([slice(1 if stride == 0 else None) for stride in (<object>x).strides])], dtype)
    return full


cdef int _run_block(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                    int axis, cnp.ndarray y, int dtype, Crew crew, const Held *held, Load load, cnp.ndarray sink,
                    cnp.ndarray factor, fr_row_finish finish) except -1:
    """Run over rows into `y`; operands that kernels cannot read are copied, and so are results of 16 bits."""
    cdef fr_row_call call
    cdef Py_ssize_t rows
    cdef cnp.ndarray first, found = y
    check_held(held, _names[kind])
    first = _brought(a, y, dtype)
    if backward:
        b = _brought(b, y, dtype)
    if cnp.PyArray_TYPE(y) != dtype:
        found = first if first is not a else np.empty_like(first)
    check_held(held, _names[kind])
    rows = _describe(&call, kernels.of(dtype), kind, backward, first, b, mask, axis, found, load, sink, factor, finish)
    _run(&call, _cost(kind, backward), rows, crew)
    if found is not y:
        _rounded_into(y, found, cnp.PyArray_TYPE(y))
    return 0


cdef cnp.ndarray _along(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                        int axis, cnp.ndarray y, int dtype, Crew crew, const Held *held, Load load,
                        cnp.ndarray sink, cnp.ndarray factor=None, fr_row_finish finish=FR_UNCHANGED_ROWS):
    """Run over the rows of arrays along one axis, into `y` or a new array of the type that computes.

    Operands may have any type, and `y` 16 bits: then it is new, and operands and results are converted in blocks. A
    factor is one number, or an array of one for each row.
    """
    cdef bint copied = y is None or cnp.PyArray_TYPE(y) != dtype
    if y is None:
        y = _result_like(a, b if backward else None, dtype)
        copied = (not _is_read(a, dtype) or _is_repeated(a, y)
                  or (backward and (not _is_read(b, dtype) or _is_repeated(b, y))))
    elif not copied:
        # All copies are made before anything is written, which may be read again or must stay if memory runs out.
        a, b = _native(a, dtype), None if b is None else _native(b, dtype)
        a, b, mask, sink = _unshared(a, y), _unshared(b, y), _unshared(mask, y), _unshared(sink, y)
        if factor is not None and extents_meet(factor, y):
            factor = factor.copy()
    cdef bint one = factor is None or cnp.PyArray_NDIM(factor) == 0
    if copied and cnp.PyArray_TYPE(y) != dtype and _run_parts(kernels, kind, backward, a, b, mask, axis, y, dtype, held,
                                                              load, sink, factor, finish):
        return y
    parts = blocks(y, axis, crew.threads) if copied and cnp.PyArray_SIZE(y) > _BLOCK else ()
    if len(parts) < 2:
        _run_block(kernels, kind, backward, a, b, mask, axis, y, dtype, crew, held, load, sink, factor, finish)
        return y
    for at in parts:
        kept = at[:axis] + at[axis + 1:]
        _run_block(kernels, kind, backward, a[at], None if b is None else b[at], None if mask is None else mask[at],
                   axis, y[at], dtype, crew, held, load, None if sink is None else sink[kept],
                   factor if one else factor[kept], finish)
    return y


# --- Softmax and related functions ------------------------------------------------------------------------------------

@cython.binding(False)
def forward(RowKernels kernels not None, int kind, object x, object axis, object out, object where):
    """Normalize the rows of x along an axis."""
    cdef int dtype
    cdef Crew crew
    if where is True and type(x) is cnp.ndarray:
        settle()
        crew = crew_of(_cost(kind, False), <cnp.ndarray>x)
        if _is_flat(x, None, axis, out):
            dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
            return _run_flat(kernels.of(dtype), kind, _cost(kind, False), x, None, out, crew)
        if _is_flat_half(x, None, axis, out, None):
            dtype = computed_type(cnp.PyArray_TYPE(<cnp.ndarray>x), precision_here())
            return _run_halves(kernels, kind, _cost(kind, False), x, None, out, dtype)
    return _general(kernels, kind, False, x, None, axis, out, where)


@cython.binding(False)
def forward_loaded(RowKernels kernels not None, int kind, object x, object axis, object out, object where,
                   Load load not None):
    """Normalize the rows of x that are changed as they are loaded."""
    cdef str name = _names[kind]
    cdef int dtype
    if load.load.scale == 1 and load.bias is None and load.capper is None and load.sink is None:
        return forward(kernels, kind, x, axis, out, where)
    if _is_handed_over((x, load.bias, load.sink), out[0] if isinstance(out, tuple) and len(out) == 1 else out, where):
        x = _composed(name, x, load)
        return forward(kernels, kind, x, axis, out, where)
    settle()
    if where is True and _is_flat_half(x, None, axis, out, load):
        dtype = computed_type(cnp.PyArray_TYPE(<cnp.ndarray>x), precision_here())
        load.choose(name, dtype)
        return _run_halves(kernels, kind, _cost(kind, False), x, None, out, dtype, load)
    return _general(kernels, kind, False, x, None, axis, out, where, load)


@cython.binding(False)
def foresee(RowKernels kernels not None, int kind, bint backward, object x, object second, object axis, object out,
            object where, Load load):
    """What a call would do, in words, after all its checks."""
    if load is not None and not load.in_words():
        load = None
    if load is not None and _is_handed_over((x, load.bias, load.sink), out, where):
        _refuse_sink(_names[kind], load)
        return _in_words(_names[kind], joint_dtype(x), "ufunc", "an operand has code of its own", load)
    return _general(kernels, kind, backward, x, second, axis, out, where, load, True)


@cython.binding(False)
def forward_in_place(RowKernels kernels not None, int kind, object x, object axis, object where):
    """Normalize the rows of x in place and return x itself."""
    target = x if type(x) is cnp.ndarray else as_target(_names[kind], x)
    forward(kernels, kind, target, axis, target, where)
    return x


@cython.binding(False)
def from_output(RowKernels kernels not None, int kind, object grad, object y, object axis, object out,
                double factor=1, bint divides=False):
    """Gradient of `forward` from its output; times a factor, or divided by it. Those of 16 bits are rounded after."""
    cdef int dtype, cost = _cost(kind, True), exponent
    cdef fr_row_finish finish = FR_UNCHANGED_ROWS
    cdef Crew crew
    if factor != 1:
        finish = FR_DIVIDED if divides else FR_MULTIPLIED
        if divides and frexp(factor, &exponent) == 0.5 and abs(exponent) < 100:
            factor, finish = 1 / factor, FR_MULTIPLIED  # the same bits, sooner
    if kind == FR_HARDMAX:
        if _are_alike(grad, y, axis, out):
            return kernels.zeros(y, out)
    elif type(y) is cnp.ndarray and grad is not None:  # as a second operand None means that there is none
        settle()
        crew = crew_of(cost, <cnp.ndarray>y)
        if _is_flat(y, grad, axis, out):
            dtype = cnp.PyArray_TYPE(<cnp.ndarray>y)
            one = _one(factor, dtype, finish) if finish else None
            return _run_flat(kernels.of(dtype), kind, cost, grad, y, out, crew, one, finish)
        if _is_flat_half(y, grad, axis, out, None):
            dtype = computed_type(cnp.PyArray_TYPE(<cnp.ndarray>y), precision_here())
            one = _one(factor, dtype, finish) if finish else None
            return _run_halves(kernels, kind, cost, grad, y, out, dtype, None, one, finish)
    return _general(kernels, kind, True, grad, y, axis, out, True, None, False, factor, finish)


cdef enum:
    _SLOPES = 3  # elements of a heavy function take as long as results and gradients of one that is loaded
    _FEW_CHUNKS = 128  # at most, instead of CHUNKS, of rows whose sums cost much of what else is done with them


@cython.binding(False)
def backward_loaded(RowKernels kernels not None, str name, int kind, cnp.ndarray grad not None,
                    cnp.ndarray x not None, tuple axes, Load load not None, object capper_backward, cnp.ndarray mask,
                    bint keeps, bint copied, object out):
    """Gradients of rows that are changed as they are loaded: of x, in `out` if it can be; of the scale; if it `keeps`
    them, of the elements as they were loaded; of the sinks.

    Arrays have the type that computes, x perhaps as a copy; the mask, the bias and the sinks are nobody else's.
    """
    cdef fr_row_call call
    cdef fr_row_slope slope
    cdef int order[FR_MAX_AXES]
    cdef int axis, dtype = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t rows
    cdef cnp.ndarray a = x, g = grad, y = None, dz = None, bias = None, sinks = None, dsinks = None, losses
    cdef const fr_rows *flavor
    cdef tuple whole, kept
    settle()
    cdef Held held
    held.count = 0
    keep(&held, x)
    keep(&held, grad)
    if type(out) is cnp.ndarray:
        y = out
        keep(&held, y)
    hold(&held, name)
    cdef Crew crew = _crew(FR_MEDIUM, x, True) if copied else _crew(FR_HEAVY, x, False, _SLOPES)
    # The caller's code may have given x another shape since the others were made to fit.
    axes, whole = _axes_of(axes, cnp.PyArray_NDIM(x)), (<object>x).shape
    kept = _without(whole, axes, False)
    if not PyArray_SAMESHAPE(grad, x):
        raise ValueError(f"{name}: grad must have the shape of x, {whole}, not {(<object>grad).shape}")
    if mask is not None:
        mask = spread_mask(name, mask, whole)
    load.choose(name, dtype)
    slope.cap = NULL
    if load.capper is not None:
        slope.cap = checked_kernel(capper_backward, (load.load.cap,), type_of(dtype), precision_here())
    if load.bias is not None:
        bias = spread(name, "bias", load.bias, dtype, whole)
    if load.sink is not None:
        sinks = spread(name, "sink", load.sink, dtype, kept)
        dsinks = np.zeros(kept, x.dtype)
    if (len(axes) != 1 or not _takes(y, dtype) or not PyArray_SAMESHAPE(y, x) or not PyArray_ISWRITEABLE(y)
            or extents_meet(x, y) or extents_meet(grad, y)):
        y = None
    axis = axes[0] if len(axes) == 1 else cnp.PyArray_NDIM(x) - len(axes)
    if len(axes) != 1:
        a, g = _merged(a, axes), _merged(g, axes)
        bias = None if bias is None else _merged(bias, axes)
        mask = None if mask is None else _merged(mask, axes)
    if y is None:
        y = np.empty_like(a)
    if keeps:
        dz = np.empty_like(y)
    _clear(&call)
    rows = _lay_out(&call, y, axis, order)
    losses = _place_losses(&call, rows, _FEW_CHUNKS, kept, axis, order)
    if mask is not None:
        call.absent = _absent(kind, dtype)
    flavor = kernels.of(dtype)
    check_held(&held, name)
    _set_kernels(&call, flavor, kind, False)
    slope.kernel, slope.tile = flavor.from_output[kind], flavor.from_output_tile[kind]
    slope.band = flavor.from_output_band[kind]
    call.load, call.slope = &load.load, &slope
    _operand(&call, FR_ROW_IN, a, axis, order, True)
    _operand(&call, FR_ROW_GRAD, g, axis, order, True)
    _operand(&call, FR_ROW_OUT, y, axis, order, True)
    if bias is not None:
        _operand(&call, FR_ROW_SECOND, bias, axis, order, True)
    if mask is not None:
        _operand(&call, FR_ROW_WHERE, mask, axis, order, True)
    if sinks is not None:
        _operand(&call, FR_ROW_SINK, sinks, axis, order, False)
        _operand(&call, FR_ROW_SINK_SLOPE, dsinks, axis, order, False)
    if dz is not None:
        _operand(&call, FR_ROW_LOADED_SLOPE, dz, axis, order, True)
    dscale = 0.0
    if cnp.PyArray_SIZE(x):
        _run(&call, FR_HEAVY, rows, crew)
        dscale = _sum(<const double *>cnp.PyArray_DATA(losses), cnp.PyArray_SIZE(losses))
    if len(axes) != 1:
        y = _parted(y, axes, whole)
        dz = None if dz is None else _parted(dz, axes, whole)
    return y, dscale, dz, dsinks


@cython.binding(False)
def as_real(str name, object x):
    """The argument as a plain array of an element type in native byte order; the array itself if it is one."""
    cdef cnp.ndarray a = _as_data(name, x)
    cdef int dtype = _type_of(name, a)
    if not has_kernels(dtype):
        return a.astype(a.dtype.newbyteorder("="), copy=False)
    return _native(a, dtype)
