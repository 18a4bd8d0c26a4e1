# cython: wraparound=True
# Masks of one bit per element: lays operands out in C order and shares the work out, for _quantized too; masks.py reads
# the arguments.
"""Masks of one bit per element, and selections by them."""

import numpy as np

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from libc.stdint cimport uint32_t

cimport fastrelu._core as _core
cimport fastrelu._runtime as _runtime
from fastrelu._numpy cimport PyArray_ISWRITEABLE, PyArray_SAMESHAPE

cnp.import_array()


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    fr_packed_part(<const fr_packed_plan *>what, share, shares)


cdef int _set_type(fr_packed_plan *plan, int dtype, int level, str isa) except -1:
    """Choose the type of the kernels for a type in memory, and the moves between the two."""
    cdef const _runtime.fr_tables *tables = _runtime.tables(isa)
    cdef const _runtime.fr_convert *convert = tables.convert
    cdef int own = _runtime.type_of(dtype)
    plan.type = _runtime.fr_type_of_flavor[_runtime.flavor_of(dtype, level)]
    plan.itemsize = _runtime.fr_types[plan.type].size
    plan.loops, plan.stream = tables.packed, &tables.stream
    if own >= <int>_runtime.FR_OWN_TYPES:
        plan.load, plan.store = convert.load[plan.type][_format_of(own)], convert.store[plan.type][_format_of(own)]
    return 0


cdef int _type_of(cnp.ndarray array, str name) except -1:
    """NumPy's number of a type of numbers; the caller's code may have changed it since the checks."""
    cdef int dtype = cnp.PyArray_TYPE(array)
    if _runtime.type_of(dtype) < 0:
        _runtime.refuse_change(name)
    return dtype


cdef int _start(fr_packed_plan *plan, int cost, _runtime.Crew crew, const Along *along) except -1:
    """Run a plan whose operands are laid out; its result is streamed if it is contiguous, large and not in place."""
    cdef int j, last = plan.inputs
    cdef bint streamed = (plan.has_output and plan.direct[last] and plan.stream.move != NULL
                          and _runtime.outgrows_cache(cost, plan.n * plan.size[last], crew.threads))
    for j in range(last):
        streamed = streamed and plan.view.origin[j] != plan.view.origin[last]
    if not streamed:
        plan.stream = NULL
    if along != NULL:
        return _runtime.run_shares(along.run, along, cost, plan.n, fr_packed_blocks(plan), crew)
    return _runtime.run_shares(_share, plan, cost, plan.n, fr_packed_blocks(plan), crew)


cdef bint _is_small(const fr_packed_plan *plan) noexcept:
    """Are there so few elements that no setting asks for threads or for streaming?"""
    return plan.n < _runtime.fr_load(&_runtime.settings.at_once)


cdef void _run_small(fr_packed_plan *plan, const Along *along) noexcept:
    plan.stream = NULL
    if along != NULL:
        along.run(along, 0, 1, 0)
    else:
        fr_packed_part(plan, 0, 1)


cdef void _sort_axes(cnp.ndarray array, int *order) noexcept:
    """Put axes in the order of an array in memory, those of the same stride as they are."""
    cdef Py_ssize_t strides[_runtime.FR_MAX_AXES]
    cdef Py_ssize_t stride
    cdef int j, k
    for k in range(cnp.PyArray_NDIM(array)):
        stride = cnp.PyArray_STRIDE(array, k)
        stride = stride if stride >= 0 else -stride
        j = k
        while j > 0 and strides[j - 1] < stride:
            strides[j], order[j] = strides[j - 1], order[j - 1]
            j -= 1
        strides[j], order[j] = stride, k


cdef int _run(fr_packed_plan *plan, str name, list inputs, cnp.ndarray out, cnp.ndarray bits, int dtype, int out_dtype,
              int cost, Along *along, int axis, list kept) except -1:
    """Run a plan over arrays of one shape, the first and the output of these types; bits are contiguous.

    What has numbers along an axis of x takes the place of two inputs; the arrays of the numbers are kept, too.
    """
    cdef _runtime.Held held
    cdef cnp.ndarray array
    cdef list operands = inputs if out is None else inputs + [out]
    cdef int j, k, place, last, ndim, count = len(operands)
    cdef int at[FR_PACKED_OPERANDS]
    cdef int order[_runtime.FR_MAX_AXES]
    cdef Py_ssize_t size, stride
    cdef Py_ssize_t dense[FR_PACKED_OPERANDS]
    cdef bint merged
    _runtime.settle()
    held.count = 0
    for array in operands:
        _runtime.keep(&held, array)
    _runtime.keep(&held, bits)
    for array in kept or ():
        _runtime.keep(&held, array)
    _runtime.hold(&held, name)
    array = inputs[0]
    if not _core._is_native(array, dtype) or (out is not None and not _core._is_native(out, out_dtype)):
        _runtime.refuse_change(name)
    for k in range(1, count):
        if not PyArray_SAMESHAPE(array, operands[k]):
            _runtime.refuse_change(name)
    plan.n = cnp.PyArray_SIZE(array)
    if (bits is not None and (cnp.PyArray_SIZE(bits) != (plan.n + 7) // 8 or cnp.PyArray_TYPE(bits) != cnp.NPY_UINT8
                              or not cnp.PyArray_IS_C_CONTIGUOUS(bits))):
        _runtime.refuse_change(name)
    if plan.n == 0:
        return 0
    plan.inputs, plan.has_output = len(inputs) if along == NULL else FR_PACKED_OPERANDS - 1, out is not None
    for j in range(count):
        at[j] = plan.inputs if j == len(inputs) else j
    ndim = cnp.PyArray_NDIM(array)
    for k in range(ndim):
        order[k] = k
    if bits is None and ndim > 1 and not cnp.PyArray_IS_C_CONTIGUOUS(array):
        _sort_axes(array, order)  # any order will do: that of the input in memory
    if along != NULL:
        _set_inner(along, array, axis, order)
    cdef _runtime.Crew crew
    cdef bint small = _is_small(plan)
    if not small:
        crew = _runtime.crew_for(cost, plan.n, plan.itemsize)
    for j in range(count):
        plan.size[at[j]] = dense[j] = cnp.PyArray_ITEMSIZE(<cnp.ndarray>operands[j])
        plan.direct[at[j]] = True
    plan.view.naxes = last = 0
    for place in range(ndim - 1, -1, -1):
        k = order[place]
        size = cnp.PyArray_DIM(array, k)
        if size == 1:
            continue
        merged = last > 0
        for j in range(count):
            stride = cnp.PyArray_STRIDE(<cnp.ndarray>operands[j], k)
            if last and stride != plan.view.stride[last - 1][at[j]] * plan.view.shape[last - 1]:
                merged = False
            if stride != dense[j]:
                plan.direct[at[j]] = False
            dense[j] *= size
        if merged:
            plan.view.shape[last - 1] *= size
            continue
        plan.view.shape[last] = size
        for j in range(count):
            plan.view.stride[last][at[j]] = cnp.PyArray_STRIDE(<cnp.ndarray>operands[j], k)
        last += 1
    if last == 0:
        plan.view.shape[0], last = 1, 1
        for j in range(count):
            plan.view.stride[0][at[j]] = 0
    plan.view.naxes = last
    _runtime.check_held(&held, name)
    for j in range(count):
        plan.view.origin[at[j]] = <char *>cnp.PyArray_DATA(<cnp.ndarray>operands[j])
    plan.bits = NULL if bits is None else <unsigned char *>cnp.PyArray_DATA(bits)
    if not small:
        return _start(plan, cost, crew, along)
    _run_small(plan, along)
    return 0


cdef cnp.ndarray _rounded(const fr_packed_plan *plan, object number):
    """A number in the type of the kernels; beside 16-bit types it is rounded to float32 first."""
    return _core._as_array(float(_core._as_array(number, cnp.NPY_FLOAT)) if plan.load != NULL else number,
                           _dtype_of(plan))


cdef list _take_numbers(fr_packed_plan *plan, int which, tuple numbers):
    """Round the parameters of a kernel; the plan borrows them from the list."""
    cdef list kept = []
    cdef int j
    for number in numbers:  # Cython 3.3 releases an item twice where a comprehension finds no memory
        kept.append(_rounded(plan, number))
    plan.nnumbers[which] = len(kept)
    for j in range(len(kept)):
        plan.numbers[which][j] = <const char *>cnp.PyArray_DATA(<cnp.ndarray>kept[j])
    return kept


cdef tuple _ones = (np.ones(FR_PACKED_BLOCK, np.float32), np.ones(FR_PACKED_BLOCK))


def mask_of(str name, str isa, forward, tuple numbers, gradient, tuple gradient_numbers, cnp.ndarray x not None,
            cnp.ndarray out):
    """Return the bits of the elements where a gradient is not 0, and write the function of x into `out`, if given.

    Without a gradient the bits are those of the elements where the function is not 0. `x` and `out` are plain arrays of
    one type, in native byte order, and apart or the same.
    """
    cdef fr_packed_plan plan
    cdef int dtype = _type_of(x, name), own = _runtime.type_of(dtype), level = _runtime.precision_here()
    _clear(&plan)
    _set_type(&plan, dtype, level, isa)
    plan.forward = NULL if out is None else _core.checked_kernel(forward, numbers, own, level)
    if gradient is not None:
        plan.gradient = _core.checked_kernel(gradient, gradient_numbers, own, level)
    kept = _take_numbers(&plan, 0, numbers) + _take_numbers(&plan, 1, gradient_numbers)
    cdef cnp.ndarray ones = _ones[plan.type == _runtime.FR_float64]
    plan.ones = <const char *>cnp.PyArray_DATA(ones)
    plan.step = FR_PACKED_MASK
    cdef cnp.npy_intp length = (cnp.PyArray_SIZE(x) + 7) // 8
    bits = cnp.PyArray_SimpleNew(1, &length, cnp.NPY_UINT8)
    _run(&plan, name, [x], out, bits, dtype, dtype, _runtime.FR_LIGHT, NULL, 0, None)
    del kept
    return bits


def select(str name, str isa, cnp.ndarray grad not None, cnp.ndarray bits not None, double inside, outside,
           cnp.ndarray out not None):
    """Write ``inside * grad`` where the bit is set and ``outside * grad`` elsewhere into `out`.

    `grad` and `out` are plain arrays of one type, in native byte order, and apart or the same. `outside` is a number,
    or an array of their shape.
    """
    cdef fr_packed_plan plan
    cdef int dtype = _type_of(grad, name)
    cdef list inputs = [grad]
    _clear(&plan)
    _set_type(&plan, dtype, _runtime.precision_here(), isa)
    cdef cnp.ndarray factor = _rounded(&plan, inside), damped = None
    plan.inside, plan.outside = <const char *>cnp.PyArray_DATA(factor), NULL
    if type(outside) is cnp.ndarray:
        inputs.append(np.broadcast_to(outside.astype(cnp.PyArray_DescrFromType(_dtype_of(&plan)), copy=False),
                                      (<object>grad).shape))
    else:
        damped = _rounded(&plan, outside)
        plan.outside = <const char *>cnp.PyArray_DATA(damped)
    plan.step = FR_PACKED_SELECT
    _run(&plan, name, inputs, out, bits, dtype, dtype, _runtime.FR_LIGHT, NULL, 0, None)


def words_from(str name, str isa, cnp.ndarray words not None, uint32_t limit):
    """Return the bits of the 32-bit words that are not below a limit."""
    cdef fr_packed_plan plan
    _clear(&plan)
    _set_type(&plan, cnp.NPY_FLOAT, 0, isa)
    plan.limit = limit
    plan.step = FR_PACKED_WORDS
    bits = np.empty((cnp.PyArray_SIZE(words) + 7) // 8, np.uint8)
    _run(&plan, name, [words], None, bits, cnp.NPY_UINT32, 0, _runtime.FR_LIGHT, NULL, 0, None)
    return bits


# --- Plain calls ----------------------------------------------------------------------------------------------------
#
# Calls on plain contiguous arrays whose other arguments are plain numbers: nothing has to be converted or laid out. The
# functions return None, and have done nothing, if a call is another one, or wrong: the functions above take it, or what
# stands before them says what is wrong. After `settle` no code of the caller runs.

cdef object _float32 = np.float32, _float64 = np.float64


cdef cnp.ndarray _plain_result(cnp.ndarray x, object out, int dtype, str name):
    """`out`, or a new array, for the results of x; None if it is no such array, or overlaps x beside its elements."""
    if out is None:
        if dtype == cnp.PyArray_TYPE(x) and _runtime.has_kernels(dtype):
            return _runtime.fresh_like(x, cnp.PyArray_SIZE(x) * cnp.PyArray_ITEMSIZE(x))
        return cnp.PyArray_SimpleNew(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), dtype)
    if not (_is_plain(out, dtype, name) and PyArray_ISWRITEABLE(<cnp.ndarray>out) and PyArray_SAMESHAPE(x, out)):
        return None
    same = cnp.PyArray_DATA(x) == cnp.PyArray_DATA(out) and cnp.PyArray_ITEMSIZE(x) == cnp.PyArray_ITEMSIZE(out)
    return <cnp.ndarray>out if same or _are_apart(x, out) else None


cdef object _run_plain(fr_packed_plan *plan, cnp.ndarray x, cnp.ndarray y, int step, int cost, const Along *along):
    """Run a plan that has no other arrays but those that it holds already; return the result as a caller gets it."""
    cdef cnp.ndarray array
    cdef int j, k
    plan.step, plan.n = step, cnp.PyArray_SIZE(x)
    plan.inputs, plan.has_output = 1 if along == NULL else FR_PACKED_OPERANDS - 1, True
    plan.view.naxes, plan.view.shape[0] = 1, plan.n
    for k in range(2):
        j = 0 if k == 0 else plan.inputs
        array = x if k == 0 else y
        plan.size[j] = plan.view.stride[0][j] = cnp.PyArray_ITEMSIZE(array)
        plan.direct[j] = True
        plan.view.origin[j] = <char *>cnp.PyArray_DATA(array)
    if _is_small(plan):
        _run_small(plan, along)
    else:
        _start(plan, cost, _runtime.crew_for(cost, plan.n, plan.itemsize), along)
    return y


cdef object _as_plain(object x):
    """A number as an array without axes."""
    if PyFloat_CheckExact(x):
        return _core._as_array(PyFloat_AS_DOUBLE(x), cnp.NPY_DOUBLE)
    return np.asarray(x) if type(x) is _float32 or type(x) is _float64 else x


cdef int _plain_type(object x) noexcept:
    """NumPy's number of the type of an array that kernels read as it is; -1 of anything else."""
    if type(x) is not cnp.ndarray or not _runtime.has_kernels(cnp.PyArray_TYPE(<cnp.ndarray>x)):
        return -1
    return cnp.PyArray_TYPE(<cnp.ndarray>x)


def plain_mask_of(str name, str isa, forward, tuple numbers, gradient, tuple gradient_numbers, object x, object out):
    """Return the function of x and the mask, as :func:`mask_of` makes it."""
    cdef fr_packed_plan plan
    cdef double rounded[2][_runtime.FR_MAX_PARAMETERS]
    cdef int dtype, level = _runtime.precision_here()
    cdef cnp.ndarray y, bits
    cdef cnp.npy_intp length
    _runtime.settle()
    x = _as_plain(x)
    dtype = _plain_type(x)
    if dtype < 0 or forward is None or not _is_plain(x, dtype, name):
        return None
    _clear(&plan)
    _set_type(&plan, dtype, level, isa)
    plan.forward = _core.plain_kernel(forward, numbers, plan.type, level, rounded[0])
    if gradient is not None:
        plan.gradient = _core.plain_kernel(gradient, gradient_numbers, plan.type, level, rounded[1])
    if plan.forward == NULL or (gradient is not None and plan.gradient == NULL):
        return None
    _point(&plan, 0, rounded[0], len(numbers))
    _point(&plan, 1, rounded[1], len(gradient_numbers))
    y = _plain_result(x, out, dtype, name)
    if y is None:
        return None
    length = (cnp.PyArray_SIZE(<cnp.ndarray>x) + 7) // 8
    bits = cnp.PyArray_SimpleNew(1, &length, cnp.NPY_UINT8)
    plan.bits = <unsigned char *>cnp.PyArray_DATA(bits)
    plan.ones = <const char *>cnp.PyArray_DATA(<cnp.ndarray>_ones[dtype == cnp.NPY_DOUBLE])
    _run_plain(&plan, x, y, FR_PACKED_MASK, _runtime.FR_LIGHT, NULL)
    return _returned(y, out), bits


def plain_select(str name, str isa, object grad, object bits, object inside, object outside, object out):
    """Return what :func:`select` writes."""
    cdef fr_packed_plan plan
    cdef double factors[2]
    cdef int dtype
    cdef cnp.ndarray y
    _runtime.settle()
    grad = _as_plain(grad)
    dtype = _plain_type(grad)
    if (dtype < 0 or not _is_plain(grad, dtype, name) or not _is_plain(bits, cnp.NPY_UINT8, name)
            or cnp.PyArray_NDIM(<cnp.ndarray>bits) != 1
            or cnp.PyArray_SIZE(<cnp.ndarray>bits) != (cnp.PyArray_SIZE(<cnp.ndarray>grad) + 7) // 8
            or not PyFloat_CheckExact(inside) or not PyFloat_CheckExact(outside)):
        return None
    _clear(&plan)
    _set_type(&plan, dtype, 0, isa)
    y = _plain_result(grad, out, dtype, name)
    if y is None or not _are_apart(y, bits):
        return None
    plan.inside = _take_number(PyFloat_AS_DOUBLE(inside), dtype, &factors[0])
    plan.outside = _take_number(PyFloat_AS_DOUBLE(outside), dtype, &factors[1])
    plan.bits = <unsigned char *>cnp.PyArray_DATA(<cnp.ndarray>bits)
    _run_plain(&plan, grad, y, FR_PACKED_SELECT, _runtime.FR_LIGHT, NULL)
    return _returned(y, out)
