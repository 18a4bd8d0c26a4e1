# Gated units of plain dense inputs: without the driver, whose iterators and views take longer than a small kernel.
# gated_units.py tries this first; what is not plain and dense, or is streamed, goes through `call_fused` of _fused.pyx,
# or is composed of ufuncs.
"""Gated units of dense inputs, and their gradients."""

from fastrelu._core import Explained

cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact
from libc.string cimport memcmp, memcpy

from fastrelu._core cimport FEW_ROWS, _is_native, _why_not_placed, _why_not_target, explaining, plain_kernel
from fastrelu._explain cimport _in_words, _memory, _why_threads
from fastrelu._kernels cimport Kernel, combining, drive, fr_call
from fastrelu._numpy cimport PyArray_IS_C_CONTIGUOUS, PyArray_SAMESHAPE
from fastrelu._runtime cimport (
    Crew,
    FR_CREW_SMALL,
    FR_MAX_AXES,
    FR_MAX_OPERANDS,
    FR_MAX_PARAMETERS,
    FR_MULTIPLY,
    FR_POOL_FROM,
    check_whole,
    crew_for,
    extents_meet,
    fr_combine,
    fr_fused,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_load,
    fresh,
    outgrows_cache,
    precision_here,
    run_shares,
    settings,
    settle,
    tidy_pool,
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


cdef bint _is_rows(cnp.ndarray x, Py_ssize_t *step) noexcept:
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
    if not _is_rows(x, &unit.gate_step):
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
    if not PyArray_SAMESHAPE(gate, other) or not (_is_rows(gate, &unit.gate_step)
                                                  and _is_rows(other, &unit.value_step)):
        return False
    unit.ndim, unit.n = cnp.PyArray_NDIM(gate), cnp.PyArray_SIZE(gate)
    memcpy(unit.shape, cnp.PyArray_DIMS(gate), unit.ndim * sizeof(unit.shape[0]))
    unit.gate, unit.value = <const char *>cnp.PyArray_DATA(gate), <const char *>cnp.PyArray_DATA(other)
    unit.length = unit.shape[unit.ndim - 1]
    if PyArray_IS_C_CONTIGUOUS(gate) and PyArray_IS_C_CONTIGUOUS(other):
        unit.length = unit.n
    return True


cdef bint _find_unit(_Unit *unit, Crew *crew, str name, Kernel kernel, int cost, object x, object axis, bint second,
                     object gate, object layout) except -1:
    """Find gate and value in the input of a gated unit, and its threads; False if the driver has to compute it."""
    cdef cnp.ndarray first
    cdef bint pair = type(x) is tuple
    if type(layout) is not str or layout != "halves" or not (gate is None or type(gate) is str):
        return False
    if pair and (len(<tuple>x) != 2 or gate is not None or not PyLong_CheckExact(axis) or axis != -1):
        return False
    given = (<tuple>x)[0] if pair else x
    if type(given) is not cnp.ndarray:
        return False
    settle()
    first = <cnp.ndarray>given
    if (type_of(cnp.PyArray_TYPE(first)) < 0 or _why_not_placed(first)
            or cnp.PyArray_NDIM(first) == 0 or cnp.PyArray_SIZE(first) == 0):
        return False
    check_whole(first, name)
    if pair:
        check_whole((<tuple>x)[1], name)
    if not (_find_pair(unit, first, (<tuple>x)[1]) if pair else _find_halves(unit, first, axis, second, gate)):
        return False
    if unit.length < FEW_ROWS and unit.n > FEW_ROWS * unit.length:
        return False
    crew.threads, crew.reason = 1, FR_CREW_SMALL
    if unit.n < fr_load(&settings.at_once) and not explaining():
        return True
    crew[0] = crew_for(cost, unit.n, cnp.PyArray_ITEMSIZE(first))
    return not outgrows_cache(cost, unit.n * cnp.PyArray_ITEMSIZE(first), crew.threads)


cdef bint _may_write(const _Unit *unit, cnp.ndarray out, Py_ssize_t step, object x) noexcept:
    """Does an output share no memory with the input of a gated unit, or is it exactly the gate or the value?"""
    cdef const char *to = <const char *>cnp.PyArray_DATA(out)
    cdef bint one_row = unit.n == unit.length
    cdef bint is_gate = to == unit.gate and (one_row or step == unit.gate_step)
    cdef bint is_value = to == unit.value and (one_row or step == unit.value_step)
    if type(x) is tuple:
        return ((is_gate or not extents_meet(out, (<tuple>x)[0]))
                and (is_value or not extents_meet(out, (<tuple>x)[1])))
    return is_gate or is_value or not extents_meet(out, x)


cdef enum:
    BLOCK = 512  # elements of a block in the first-level cache
    TILE = 32  # a loop with terms in registers copies fewer elements to a tile, which costs more than it saves
    LINE = 64  # elements between which shares are cut


# A unit or its gradient, which threads compute in shares of the elements. `part` computes m elements of a row, from
# byte `at` on; the parameters are in the inputs of the kernels already.
cdef struct _Job:
    _Unit unit
    void (*part)(const _Job *job, const char **inputs, const char *gate, const char *value, Py_ssize_t row,
                 Py_ssize_t at, Py_ssize_t m) noexcept nogil
    const fr_call *forward
    const fr_call *gradient
    fr_fused fused  # instead of these and `multiply`, or NULL
    fr_combine multiply
    int nin  # inputs of `fused` before a mask, the parameters last
    int nparams
    Py_ssize_t itemsize
    double rounded[FR_MAX_PARAMETERS]
    Py_ssize_t step  # from row to row of the results, in bytes
    const char *grads
    char *of_gate  # of a unit itself: the results
    char *of_value


cdef Py_ssize_t _cut(const _Job *job, long share, long shares) noexcept nogil:
    return job.unit.n if share == shares else job.unit.n // shares * share // LINE * LINE


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Job *job = <const _Job *>what
    cdef Py_ssize_t length = job.unit.length, start = _cut(job, share, shares), stop = _cut(job, share + 1, shares)
    cdef Py_ssize_t row, at, m
    cdef const char *inputs[FR_MAX_OPERANDS]
    cdef int j
    for j in range(job.nparams):
        inputs[job.nin - job.nparams + j] = <const char *>job.rounded + j * job.forward.itemsize
    inputs[job.nin] = inputs[job.nin + 2] = NULL
    cdef fr_guard caller = fr_guard_open()
    while start < stop:
        row = start // length
        at = start - row * length
        m = length - at if length - at < stop - start else stop - start
        at *= job.itemsize
        job.part(job, inputs, job.unit.gate + row * job.unit.gate_step + at,
                 job.unit.value + row * job.unit.value_step + at, row, at, m)
        start += m
    fr_guard_close(caller)


cdef int _run(const _Job *job, int cost, Crew crew) except -1:
    return run_shares(_share, job, cost, job.unit.n, job.unit.n // BLOCK, crew)


cdef inline void _call(const fr_call *how, const char **inputs, char *out, Py_ssize_t n) noexcept nogil:
    if how.load != NULL:
        drive.convert_part(how, inputs, out, n, 0, 1)
    else:
        how.scalar(inputs, out, n)


cdef void _unit_part(const _Job *job, const char **inputs, const char *gate, const char *value, Py_ssize_t row,
                     Py_ssize_t at, Py_ssize_t m) noexcept nogil:
    cdef double scratch[BLOCK]
    cdef char *to = job.of_gate + row * job.step + at
    cdef Py_ssize_t few, bytes
    if job.fused != NULL:
        inputs[0], inputs[job.nin + 1] = gate, value
        job.fused(inputs, to, NULL, m)
        return
    while m > 0:
        few = m if m < BLOCK else BLOCK
        bytes = few * job.itemsize
        inputs[0] = gate
        _call(job.forward, inputs, <char *>scratch, few)
        job.multiply(<char *>scratch, value, to, few)
        gate, value, to, m = gate + bytes, value + bytes, to + bytes, m - few


cdef void _gradient_part(const _Job *job, const char **inputs, const char *gate, const char *value, Py_ssize_t row,
                         Py_ssize_t at, Py_ssize_t m) noexcept nogil:
    cdef double changed[BLOCK]
    cdef double results[BLOCK]
    cdef const char *grads = job.grads + row * job.unit.length * job.itemsize + at
    cdef char *of_gate = job.of_gate + row * job.step + at
    cdef char *of_value = job.of_value + row * job.step + at
    cdef Py_ssize_t few, bytes
    if job.fused != NULL:
        inputs[0], inputs[1], inputs[job.nin + 1] = grads, gate, value
        job.fused(inputs, of_gate, of_value, m)
        return
    while m > 0:
        few = m if m < BLOCK else BLOCK
        bytes = few * job.itemsize
        job.multiply(grads, value, <char *>changed, few)
        inputs[0], inputs[1] = <const char *>changed, gate
        _call(job.forward, inputs + 1, <char *>results, few)  # before the gate is overwritten
        _call(job.gradient, inputs, of_gate, few)
        job.multiply(<char *>results, grads, of_value, few)
        gate, value, grads, m = gate + bytes, value + bytes, grads + bytes, m - few
        of_gate, of_value = of_gate + bytes, of_value + bytes


cdef dict _foresee(Kernel kernel, const fr_call *how, const _Unit *unit, Crew crew, object out, Py_ssize_t size):
    """What a unit, or its gradient, of this size in bytes would do."""
    found = _in_words("fast path", kernel, how)
    found["threads"], found["why_threads"] = crew.threads, _why_threads(crew, unit.n)
    found["output"] = _memory(out, size)
    return found


cdef bint _prepare(_Job *job, Kernel kernel, Kernel last, tuple numbers, int type, int level) except -1:
    """Set what the job needs to know about its kernels, the forward one and the last one.

    False unless the numbers are plain, and products of this type have a loop.
    """
    job.forward, job.gradient = &kernel.calls[type][level], &last.calls[type][level]
    job.multiply, job.fused = combining(job.forward, FR_MULTIPLY), NULL
    if (job.multiply == NULL or plain_kernel(kernel, numbers, type, level, job.rounded) == NULL
            or plain_kernel(last, numbers, type, level, job.rounded) == NULL):
        return False
    if job.unit.length >= TILE and job.forward.load == NULL:
        job.fused = job.gradient.fused[FR_MULTIPLY]
    job.nin, job.nparams, job.itemsize = last.nin, kernel.nparams, job.forward.size
    return True


def dense_unit(str name, Kernel kernel not None, tuple numbers, object x, object axis, bint second, object gate,
               object layout, object out):
    """A gated unit, in `out` or as new memory: its arguments, as the caller got them.

    Returns None, and has done nothing, unless gate and value are plain arrays, or halves of one, with dense rows in C's
    order, `out` is such an array, apart or one of them, and the numbers are plain; or if it is wrong.
    """
    cdef _Job job
    cdef Crew crew
    cdef int dtype, level = precision_here()
    cdef cnp.ndarray y
    cdef _Unit *unit = &job.unit
    if not _find_unit(unit, &crew, name, kernel, kernel.cost, x, axis, second, gate, layout):
        return None
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>((<tuple>x)[0] if type(x) is tuple else x))
    job.part = _unit_part
    if not _prepare(&job, kernel, kernel, numbers, type_of(dtype), level):
        return None
    job.step = unit.length * job.itemsize
    if out is not None:
        if _why_not_target(out, dtype):
            return None
        y = <cnp.ndarray>out
        if (cnp.PyArray_NDIM(y) != unit.ndim
                or memcmp(cnp.PyArray_DIMS(y), unit.shape, unit.ndim * sizeof(unit.shape[0]))
                or not _is_rows(y, &job.step)
                or (unit.length != unit.shape[unit.ndim - 1] and not PyArray_IS_C_CONTIGUOUS(y))):
            return None
        check_whole(y, name)
        if PyArray_IS_C_CONTIGUOUS(y):
            job.step = unit.length * job.itemsize
        if not _may_write(unit, y, job.step, x):
            return None
    if explaining():
        found = _foresee(kernel, &kernel.calls[type_of(dtype)][level], unit, crew, out, unit.n * job.itemsize)
        found["stores"] = "result * an array"
        raise Explained(found)
    if out is None:
        y = fresh(unit.ndim, unit.shape, dtype, unit.n * job.itemsize)
    elif unit.n * job.itemsize >= FR_POOL_FROM:
        tidy_pool()
    job.of_gate = <char *>cnp.PyArray_DATA(y)
    _run(&job, kernel.cost, crew)
    return y


def dense_unit_backward(str name, Kernel kernel not None, Kernel backward not None, tuple numbers, object grad,
                        object x, object axis, bint second, object gate, object layout, object out):
    """The gradient of a gated unit, in `out` or as new memory: one array, or a pair for a pair.

    Returns None, and has done nothing, where :func:`dense_unit` does, and if there is an `out` for a pair.
    """
    cdef _Job job
    cdef Crew crew
    cdef int dtype, cost = max(kernel.cost, backward.cost), level = precision_here()
    cdef bint pair = type(x) is tuple
    cdef cnp.ndarray g, y, z
    cdef _Unit *unit = &job.unit
    cdef Py_ssize_t size
    if type(grad) is not cnp.ndarray or (pair and out is not None):
        return None
    if not _find_unit(unit, &crew, name, kernel, cost, x, axis, second, gate, layout):
        return None
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>((<tuple>x)[0] if pair else x))
    g = <cnp.ndarray>grad
    if (not _is_native(g, dtype) or not PyArray_IS_C_CONTIGUOUS(g) or cnp.PyArray_NDIM(g) != unit.ndim
            or memcmp(cnp.PyArray_DIMS(g), unit.shape, unit.ndim * sizeof(unit.shape[0]))):
        return None
    check_whole(g, name)
    job.part = _gradient_part
    if not _prepare(&job, kernel, backward, numbers, type_of(dtype), level):
        return None
    size = unit.n * job.itemsize * (1 if pair else 2)
    if out is not None:
        if _why_not_target(out, dtype):
            return None
        y = z = <cnp.ndarray>out
        same = cnp.PyArray_DATA(y) == cnp.PyArray_DATA(<cnp.ndarray>x) and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>x)
        if (not PyArray_IS_C_CONTIGUOUS(y) or not PyArray_SAMESHAPE(y, <cnp.ndarray>x) or extents_meet(y, g)
                or (extents_meet(y, x) and not same)):
            return None
        check_whole(y, name)
    if explaining():
        found = _foresee(backward, &backward.calls[type_of(dtype)][level], unit, crew, out, size)
        found["loads"] = "grad * an array"
        raise Explained(found)
    if pair:
        y = z = fresh(unit.ndim, unit.shape, dtype, size)
        z = fresh(unit.ndim, unit.shape, dtype, size)
    elif out is None:
        y = z = fresh(unit.ndim, cnp.PyArray_DIMS(<cnp.ndarray>x), dtype, size)
    elif size >= FR_POOL_FROM:
        tidy_pool()
    size = unit.length * job.itemsize  # of a row of one half
    job.step = size if pair else 2 * size
    job.grads = <const char *>cnp.PyArray_DATA(g)
    job.of_gate, job.of_value = <char *>cnp.PyArray_DATA(y), <char *>cnp.PyArray_DATA(z)
    if not pair:
        if unit.gate > unit.value:
            job.of_gate += size
        else:
            job.of_value += size
    _run(&job, cost, crew)
    return (y, z) if pair else y
