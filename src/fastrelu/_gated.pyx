# Gated units of small inputs, on one thread and without the driver: it takes longer than they do. gated_units.py tries
# this first; what is not small, plain and dense goes through `call_fused` of _fused.pyx, or is composed of ufuncs.
"""Gated units of small inputs, and their gradients."""

cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from libc.string cimport memcmp, memcpy

from fastrelu._core cimport (
    FEW,
    FEW_ROWS,
    Kernel,
    _extents_meet,
    _is_native,
    _why_not_placed,
    _why_not_target,
    explaining,
    fr_call,
    plain_kernel,
)
from fastrelu._numpy cimport PyArray_IS_C_CONTIGUOUS, PyArray_SAMESHAPE
from fastrelu._runtime cimport (
    FR_MAX_AXES,
    FR_MAX_OPERANDS,
    FR_MAX_PARAMETERS,
    FR_MULTIPLY,
    check_whole,
    crew_for,
    fr_combine,
    fr_fused,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_kernel,
    fr_load,
    has_kernels,
    new_array,
    precision_here,
    settings,
    settle,
    type_of,
)

cnp.import_array()


cdef bint _has_even_rows(cnp.ndarray x, Py_ssize_t *step) noexcept:
    """Is each row along the last axis dense, at the same distance from the one before it? Sets the distance."""
    cdef int k, last = cnp.PyArray_NDIM(x) - 1
    cdef Py_ssize_t expected = 0
    step[0] = 0
    if cnp.PyArray_STRIDE(x, last) != cnp.PyArray_ITEMSIZE(x):
        return False
    for k in range(last - 1, -1, -1):
        if cnp.PyArray_DIM(x, k) == 1:
            continue
        if expected == 0:
            step[0] = expected = cnp.PyArray_STRIDE(x, k)
        if expected == 0 or cnp.PyArray_STRIDE(x, k) != expected:
            return False
        expected *= cnp.PyArray_DIM(x, k)
    return True


# Gate and value of a gated unit: rows of the same length, where the first ones are, and the bytes from row to row.
cdef struct _Unit:
    const char *gate
    const char *value
    Py_ssize_t gate_step
    Py_ssize_t value_step
    Py_ssize_t n
    Py_ssize_t length
    int ndim
    cnp.npy_intp shape[FR_MAX_AXES]  # of a half


cdef bint _is_small_rows(cnp.ndarray x, Py_ssize_t *step) noexcept:
    """Are its rows along the last axis dense, one after the other? Sets the distance."""
    cdef int last = cnp.PyArray_NDIM(x) - 1
    if not PyArray_IS_C_CONTIGUOUS(x):
        return _has_even_rows(x, step)
    step[0] = cnp.PyArray_DIM(x, last) * cnp.PyArray_ITEMSIZE(x)
    return True


cdef bint _find_halves(_Unit *unit, cnp.ndarray x, object axis, bint second, object gate) except -1:
    """Find gate and value in the two halves of an array; False unless both are rows. `second`: the gate by default."""
    cdef Py_ssize_t at, size, half = 1
    cdef int k
    if not PyLong_CheckExact(axis) or not (gate is None or gate == "first" or gate == "second"):
        return False
    unit.ndim = cnp.PyArray_NDIM(x)
    if not -unit.ndim <= axis < unit.ndim:
        return False
    at = axis
    at += unit.ndim if at < 0 else 0
    if cnp.PyArray_DIM(x, at) % 2 or not (PyArray_IS_C_CONTIGUOUS(x) or at == unit.ndim - 1):
        return False
    if not _is_small_rows(x, &unit.gate_step):
        return False
    memcpy(unit.shape, cnp.PyArray_DIMS(x), unit.ndim * sizeof(unit.shape[0]))
    unit.shape[at] //= 2
    for k in range(at, unit.ndim):
        half *= unit.shape[k]
    unit.n, unit.length = cnp.PyArray_SIZE(x) // 2, half
    size = half * cnp.PyArray_ITEMSIZE(x)
    if at < unit.ndim - 1:
        unit.gate_step = 2 * size
    unit.value_step = unit.gate_step
    unit.gate = unit.value = <const char *>cnp.PyArray_DATA(x)
    if gate == "second" or (gate is None and second):
        unit.gate += size
    else:
        unit.value += size
    return True


cdef bint _find_pair(_Unit *unit, cnp.ndarray gate, object value) except -1:
    """The same in two arrays of one shape."""
    cdef cnp.ndarray other
    if not _is_native(value, cnp.PyArray_TYPE(gate)):
        return False
    other = <cnp.ndarray>value
    if not PyArray_SAMESHAPE(gate, other) or not (_is_small_rows(gate, &unit.gate_step)
                                                  and _is_small_rows(other, &unit.value_step)):
        return False
    unit.ndim, unit.n = cnp.PyArray_NDIM(gate), cnp.PyArray_SIZE(gate)
    memcpy(unit.shape, cnp.PyArray_DIMS(gate), unit.ndim * sizeof(unit.shape[0]))
    unit.gate, unit.value = <const char *>cnp.PyArray_DATA(gate), <const char *>cnp.PyArray_DATA(other)
    unit.length = unit.shape[unit.ndim - 1]
    if PyArray_IS_C_CONTIGUOUS(gate) and PyArray_IS_C_CONTIGUOUS(other):
        unit.length = unit.n
    return True


cdef bint _find_unit(_Unit *unit, str name, Kernel kernel, object x, object axis, bint second, object gate,
                     object layout) except -1:
    """Find gate and value in the input of a gated unit; False if it is not small, or not for `small_unit`."""
    cdef cnp.ndarray first
    cdef bint pair = type(x) is tuple
    if type(layout) is not str or layout != "halves" or not (gate is None or type(gate) is str):
        return False
    if pair and (len(<tuple>x) != 2 or gate is not None):
        return False
    given = (<tuple>x)[0] if pair else x
    if type(given) is not cnp.ndarray:
        return False
    settle()
    first = <cnp.ndarray>given
    if (not has_kernels(cnp.PyArray_TYPE(first)) or _why_not_placed(first)
            or cnp.PyArray_NDIM(first) == 0 or not 0 < cnp.PyArray_SIZE(first) <= 2 * FEW):
        return False
    check_whole(first, name)
    if pair:
        check_whole((<tuple>x)[1], name)
    if not (_find_pair(unit, first, (<tuple>x)[1]) if pair else _find_halves(unit, first, axis, second, gate)):
        return False
    if unit.n > FEW or (unit.length < FEW_ROWS and unit.n > FEW_ROWS * unit.length) or explaining():
        return False
    return (unit.n < fr_load(&settings.at_once)
            or crew_for(kernel.cost, unit.n, cnp.PyArray_ITEMSIZE(first)).threads == 1)


cdef bint _may_write(const _Unit *unit, cnp.ndarray out, Py_ssize_t step, object x) noexcept:
    """Does an output share no memory with the input of a gated unit, or is it exactly the gate or the value?"""
    cdef const char *to = <const char *>cnp.PyArray_DATA(out)
    cdef bint one_row = unit.n == unit.length
    cdef bint is_gate = to == unit.gate and (one_row or step == unit.gate_step)
    cdef bint is_value = to == unit.value and (one_row or step == unit.value_step)
    if type(x) is tuple:
        return ((is_gate or not _extents_meet(out, (<tuple>x)[0]))
                and (is_value or not _extents_meet(out, (<tuple>x)[1])))
    return is_gate or is_value or not _extents_meet(out, x)


cdef enum:
    BLOCK = 512  # elements of a block in the first-level cache
    TILE = 32  # a loop with terms in registers copies fewer elements to a tile, which costs more than it saves


def small_unit(str name, Kernel kernel not None, tuple numbers, object x, object axis, bint second, object gate,
               object layout, object out):
    """A gated unit of a small input, in `out` or as new memory: its arguments, as the caller got them.

    Returns None, and has done nothing, unless gate and value are plain arrays, or halves of one, with dense rows in C's
    order, `out` is such an array, apart or one of them, and the numbers are plain; or if it is explained or wrong.
    """
    cdef _Unit unit
    cdef double rounded[FR_MAX_PARAMETERS]
    cdef double scratch[BLOCK]
    cdef const char *inputs[FR_MAX_OPERANDS]
    cdef int j, dtype, level = precision_here()
    cdef Py_ssize_t row, at, m, step
    cdef cnp.ndarray y
    if not _find_unit(&unit, name, kernel, x, axis, second, gate, layout):
        return None
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>((<tuple>x)[0] if type(x) is tuple else x))
    cdef fr_kernel run = plain_kernel(kernel, numbers, type_of(dtype), level, rounded)
    if run == NULL:
        return None
    if out is None:
        y = new_array(unit.ndim, unit.shape, NULL, NULL, 0, dtype)
    else:
        if _why_not_target(out, dtype):
            return None
        y = <cnp.ndarray>out
        if (cnp.PyArray_NDIM(y) != unit.ndim
                or memcmp(cnp.PyArray_DIMS(y), unit.shape, unit.ndim * sizeof(unit.shape[0]))
                or not _is_small_rows(y, &step)
                or (unit.length != unit.shape[unit.ndim - 1] and not PyArray_IS_C_CONTIGUOUS(y))):
            return None
        check_whole(y, name)
    cdef const fr_call *how = &kernel.calls[type_of(dtype)][level]
    cdef fr_combine multiply = how.convert.combine[how.type][FR_MULTIPLY]
    if out is None or PyArray_IS_C_CONTIGUOUS(y):
        step = unit.length * how.itemsize
    if out is not None and not _may_write(&unit, y, step, x):
        return None
    cdef char *to = <char *>cnp.PyArray_DATA(y)
    cdef fr_fused fused = NULL if unit.length < TILE else how.fused[FR_MULTIPLY]
    for j in range(kernel.nparams):
        inputs[1 + j] = <const char *>rounded + j * how.itemsize
    inputs[kernel.nin] = NULL
    inputs[kernel.nin + 2] = NULL
    cdef fr_guard caller = fr_guard_open()
    for row in range(unit.n // unit.length):
        if fused != NULL:
            inputs[0] = unit.gate + row * unit.gate_step
            inputs[kernel.nin + 1] = unit.value + row * unit.value_step
            fused(inputs, to + row * step, NULL, unit.length)
            continue
        at = 0
        while at < unit.length:  # a range with this step would be an object
            m = unit.length - at if unit.length - at < BLOCK else BLOCK
            inputs[0] = unit.gate + row * unit.gate_step + at * how.itemsize
            run(inputs, <char *>scratch, m)
            multiply(<char *>scratch, unit.value + row * unit.value_step + at * how.itemsize,
                     to + row * step + at * how.itemsize, m)
            at += m
    fr_guard_close(caller)
    return y


def small_unit_backward(str name, Kernel kernel not None, Kernel backward not None, tuple numbers, object grad,
                        object x, object axis, bint second, object gate, object layout, object out):
    """The gradient of a gated unit of a small input, in `out` or as new memory: one array, or a pair for a pair.

    Returns None, and has done nothing, where :func:`small_unit` does, and if there is an `out` for a pair.
    """
    cdef _Unit unit
    cdef double rounded[FR_MAX_PARAMETERS]
    cdef double changed[BLOCK]
    cdef double results[BLOCK]
    cdef const char *inputs[FR_MAX_OPERANDS]
    cdef int j, dtype, level = precision_here()
    cdef bint pair = type(x) is tuple
    cdef cnp.ndarray g, y, z
    if type(grad) is not cnp.ndarray or (pair and out is not None):
        return None
    if not _find_unit(&unit, name, kernel, x, axis, second, gate, layout):
        return None
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>((<tuple>x)[0] if pair else x))
    g = <cnp.ndarray>grad
    if (not _is_native(g, dtype) or not PyArray_IS_C_CONTIGUOUS(g) or cnp.PyArray_NDIM(g) != unit.ndim
            or memcmp(cnp.PyArray_DIMS(g), unit.shape, unit.ndim * sizeof(unit.shape[0]))):
        return None
    check_whole(g, name)
    cdef fr_kernel forward = plain_kernel(kernel, numbers, type_of(dtype), level, rounded)
    cdef fr_kernel gradient = plain_kernel(backward, numbers, type_of(dtype), level, rounded)
    if forward == NULL or gradient == NULL:
        return None
    if pair:
        y = z = new_array(unit.ndim, unit.shape, NULL, NULL, 0, dtype)
        z = new_array(unit.ndim, unit.shape, NULL, NULL, 0, dtype)
    elif out is None:
        y = z = new_array(unit.ndim, cnp.PyArray_DIMS(<cnp.ndarray>x), NULL, NULL, 0, dtype)
    else:
        if _why_not_target(out, dtype):
            return None
        y = z = <cnp.ndarray>out
        same = cnp.PyArray_DATA(y) == cnp.PyArray_DATA(<cnp.ndarray>x) and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>x)
        if (not PyArray_IS_C_CONTIGUOUS(y) or not PyArray_SAMESHAPE(y, <cnp.ndarray>x) or _extents_meet(y, g)
                or (_extents_meet(y, x) and not same)):
            return None
        check_whole(y, name)
    cdef const fr_call *how = &kernel.calls[type_of(dtype)][level]
    cdef fr_combine multiply = how.convert.combine[how.type][FR_MULTIPLY]
    cdef Py_ssize_t row, at, m, size = unit.length * how.itemsize, step = size if pair else 2 * size
    cdef const char *gradients = <const char *>cnp.PyArray_DATA(g)
    cdef const char *first
    cdef const char *value
    cdef const char *factor
    cdef char *of_gate = <char *>cnp.PyArray_DATA(y)
    cdef char *of_value = <char *>cnp.PyArray_DATA(z)
    if not pair:
        if unit.gate > unit.value:
            of_gate += size
        else:
            of_value += size
    cdef fr_fused fused = NULL
    if unit.length >= TILE:
        fused = backward.calls[type_of(dtype)][level].fused[FR_MULTIPLY]
    for j in range(kernel.nparams):
        inputs[2 + j] = <const char *>rounded + j * how.itemsize
    inputs[backward.nin] = NULL
    inputs[backward.nin + 2] = NULL
    cdef fr_guard caller = fr_guard_open()
    for row in range(unit.n // unit.length):
        if fused != NULL:
            inputs[0], inputs[1] = gradients + row * size, unit.gate + row * unit.gate_step
            inputs[backward.nin + 1] = unit.value + row * unit.value_step
            fused(inputs, of_gate + row * step, of_value + row * step, unit.length)
            continue
        at = 0
        while at < unit.length:  # a range with this step would be an object
            m = unit.length - at if unit.length - at < BLOCK else BLOCK
            first = unit.gate + row * unit.gate_step + at * how.itemsize
            value = unit.value + row * unit.value_step + at * how.itemsize
            factor = gradients + row * size + at * how.itemsize
            multiply(factor, value, <char *>changed, m)
            inputs[0], inputs[1] = <const char *>changed, first
            forward(inputs + 1, <char *>results, m)  # before the gate is overwritten
            gradient(inputs, of_gate + row * step + at * how.itemsize, m)
            multiply(<char *>results, factor, of_value + row * step + at * how.itemsize, m)
            at += m
    fr_guard_close(caller)
    return (y, z) if pair else y
