# Kernels between terms: arrays that are added to an input of a kernel or multiplied with its result in the same pass of
# the N-d driver. Sums of small arrays are a pass of their own, which costs less than the driver's iterator.
"""Fused passes: bias, residual, gated units, and linear layers with their activation."""

import numpy as np

from fastrelu._core import Explained
from fastrelu._kernels import quiet, quietly
from fastrelu._runtime import call_whole

cimport numpy as cnp
from cpython.object cimport PyObject
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastrelu._arguments cimport plain_axis
from fastrelu._core cimport (
    FEW,
    FEW_ROWS,
    _as_array,
    _broadcast_size,
    _check_params,
    _describe,
    _dispatch,
    _fresh_for,
    _is_native,
    _number,
    _number_type,
    _open,
    _plan,
    _why_not_target,
    explaining,
)
from fastrelu._explain cimport _in_words, _memory, _why_threads
from fastrelu._kernels cimport Kernel, drive, fr_memory, fr_plan, sum_loop
from fastrelu._numpy cimport (
    NpyIter,
    NpyIter_Deallocate,
    NpyIter_GetIterSize,
    NpyIter_GetOperandArray,
    PyArray_ISNOTSWAPPED,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_MatrixProduct2,
    PyArray_SAMESHAPE,
)
from fastrelu._runtime cimport (
    Crew,
    FR_ADD,
    FR_MAX_INPUTS,
    FR_MULTIPLY,
    FR_OWN_TYPES,
    Held,
    check_held,
    check_whole,
    copy_held,
    crew_for,
    dtype_of,
    fr_combine,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fresh,
    fresh_like,
    hold,
    is_warm,
    keep,
    listed,
    precision_here,
    refuse_change,
    run_shares,
    settle,
    size_of,
    type_of,
)

cnp.import_array()

# How a term changes an operand.
ADD, MULTIPLY = FR_ADD, FR_MULTIPLY

cdef object _add_quietly = quiet(np.add)

cdef enum:
    MAX_PASSES = 2
    CHUNK = 1 << 16  # bytes of a result after which the next pass reads the same inputs, which are in the cache then


cdef struct _Passes:
    fr_plan plans[MAX_PASSES]
    int n
    long chunks  # of each share


cdef void _passes_share(const void *job, long share, long shares, int part) noexcept nogil:
    cdef const _Passes *passes = <const _Passes *>job
    cdef long chunk
    cdef int k
    for chunk in range(passes.chunks):
        for k in range(passes.n):
            drive.run_plan(&passes.plans[k], share * passes.chunks + chunk, shares * passes.chunks)


cdef bint _is_fusible(Kernel kernel, list operands, object out, int dtype) except -1:
    """Can the driver read all of these in place, parameters that are numbers aside, and write into `out`?"""
    cdef int j, ndim = 0
    for j in range(len(operands)):
        if kernel.ndata <= j < kernel.nin and type(operands[j]) is float:
            continue
        if not _is_native(operands[j], dtype):
            return False
        ndim = max(ndim, cnp.PyArray_NDIM(<cnp.ndarray>operands[j]))
    return ndim > 0 and (out is None or not _why_not_target(out, dtype))


cdef int _keep_apart(list inputs, list results, const Held *held, str name) except -1:
    """Copy what a pass reads after another pass has written into it."""
    cdef int k, j
    for k in range(len(inputs)):
        for j in range(len(inputs[k])):
            for other in range(len(results)):
                if (other != k and results[other] is not None
                        and np.may_share_memory(inputs[k][j], results[other])):
                    inputs[k][j] = copy_held(&held[k], inputs[k][j], name)
                    break
    return 0


cdef enum:
    FILLED = 256  # elements that are added at a time where a bias is repeated


cdef void _repeat(char *to, const char *bias, Py_ssize_t length, Py_ssize_t inner, Py_ssize_t size) noexcept nogil:
    """Write each number of a bias `inner` times side by side."""
    cdef Py_ssize_t i, k, first = min(inner, 16), more
    for i in range(length):
        for k in range(first):
            if size == 2:
                (<cnp.npy_uint16 *>to)[k] = (<const cnp.npy_uint16 *>bias)[i]
            elif size == 4:
                (<cnp.npy_uint32 *>to)[k] = (<const cnp.npy_uint32 *>bias)[i]
            else:
                (<cnp.npy_uint64 *>to)[k] = (<const cnp.npy_uint64 *>bias)[i]
        k = first
        while k < inner:
            more = min(k, inner - k)
            memcpy(to + k * size, to, more * size)
            k += more
        to += inner * size


cdef Py_ssize_t _side_by_side(cnp.ndarray x, int axis):
    """How many elements with the same place along an axis lie side by side, in an array without gaps."""
    if cnp.PyArray_DIM(x, axis) == 1:
        return cnp.PyArray_SIZE(x)
    return cnp.PyArray_STRIDE(x, axis) // cnp.PyArray_ITEMSIZE(x)


cdef bint _is_repeated(cnp.ndarray x):
    """Do elements share memory?"""
    cdef int k
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, k) == 0 and cnp.PyArray_DIM(x, k) > 1:
            return True
    return False


def small_sum(object x, object bias, object residual, bint in_place, object axis=-1, bint whole=False):
    """The sum of a small array, a bias along an axis and a residual or None, as new memory or in x itself.

    Returns None, and has done nothing, if any is no plain array of the same type, has another shape, or if x is not
    small. With `in_place` x is the caller's own contiguous memory, to which the others do not refer, and the axis is
    the last one. With `whole` the bias has the shape of x instead of that of an axis.
    """
    if type(x) is not cnp.ndarray:
        return None
    cdef cnp.ndarray y = <cnp.ndarray>x, copied = None
    cdef int dtype = cnp.PyArray_TYPE(y), own = type_of(dtype), at = plain_axis(axis, cnp.PyArray_NDIM(y))
    cdef Py_ssize_t n = cnp.PyArray_SIZE(y), length, size, block, start, inner = 1
    if not (own >= 0 and at >= 0 and 0 < n <= FEW and _is_native(y, dtype) and _is_native(bias, dtype)
            and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>bias)):
        return None
    cdef fr_combine add = sum_loop(own)
    if add == NULL:
        return None
    length = cnp.PyArray_SIZE(<cnp.ndarray>bias)
    if whole:
        if not (PyArray_SAMESHAPE(bias, y) and PyArray_IS_C_CONTIGUOUS(y)):
            return None
    elif cnp.PyArray_NDIM(<cnp.ndarray>bias) != 1 or length != cnp.PyArray_DIM(y, at):
        return None
    if residual is not None and not (_is_native(residual, dtype) and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>residual)
                                     and PyArray_SAMESHAPE(residual, y) and PyArray_IS_C_CONTIGUOUS(y)):
        return None
    if in_place and not (PyArray_IS_C_CONTIGUOUS(y) and at == cnp.PyArray_NDIM(y) - 1
                         and (length >= FEW_ROWS or n <= FEW_ROWS * length)):
        return None
    if not (PyArray_IS_C_CONTIGUOUS(y) or PyArray_IS_F_CONTIGUOUS(y)):
        if _is_repeated(y):  # NumPy would choose the layout of the sum by the bias too
            return None
        y = copied = cnp.PyArray_NewCopy(y, cnp.NPY_KEEPORDER)
    cdef const char *data = <const char *>cnp.PyArray_DATA(y)
    cdef const char *added = <const char *>cnp.PyArray_DATA(<cnp.ndarray>bias)
    size = size_of(dtype)
    block = length
    if not in_place:
        inner = _side_by_side(y, at)
        y = fresh_like(y, n * size)
    cdef char *to = <char *>cnp.PyArray_DATA(y)
    cdef fr_guard caller = fr_guard_open()
    if not in_place and n > length and (inner > 1 or length < FILLED):
        # The first block of the sum holds the repeated bias until it is computed itself, after all others.
        _repeat(to, added, length, inner, size)
        added, block = to, length * inner
        while 2 * block <= n and block < FILLED:
            memcpy(to + block * size, to, block * size)
            block *= 2
    start = (n - 1) // block * block
    while start >= 0:
        add(data + start * size, added, to + start * size, min(block, n - start))
        start -= block
    if residual is not None:
        add(to, <const char *>cnp.PyArray_DATA(<cnp.ndarray>residual), to, n)
    fr_guard_close(caller)
    return y


def call_fused(str name, tuple passes):
    """Run one or two passes, each a kernel between terms, chunk by chunk; return their results.

    A pass is (kernel, inputs, terms, out), a term (changed operand, ADD or MULTIPLY, array). Returns None, and has done
    nothing, if an operand is no plain array of the common type: the caller then composes the same from ufuncs.
    """
    cdef _Passes *job  # two plans are too large for a small stack
    cdef fr_memory memory
    cdef NpyIter *iterators[MAX_PASSES]
    cdef Kernel kernel
    cdef double number
    cdef int k, j, own, dtype, cost = 0, opened = 0, level = precision_here()
    cdef Py_ssize_t n = 0, size
    cdef Crew crew
    cdef list inputs = [], arrays = [], results = []
    cdef Held held[MAX_PASSES]
    # Conversions first: they may run the caller's code, which may change arrays.
    for kernel, given, _terms, _out in passes:
        args = listed(given)
        for j in range(kernel.ndata, kernel.nin):
            if _number(args[j], &number):
                args[j] = number
        inputs.append(args)
    settle()
    for k in range(len(passes)):  # zip leaks a tuple where a list finds no memory
        kernel, given, terms, out = passes[k]
        args = inputs[k]
        if type(args[0]) is not cnp.ndarray:
            return None
        own = type_of(cnp.PyArray_TYPE(<cnp.ndarray>args[0]))
        if own < 0:
            return None
        dtype = dtype_of(own).type_num
        if kernel.nparams:
            _check_params(kernel, args, type_of(_number_type(dtype)))
        args = args[:]
        for term in terms:  # Cython 3.3 releases an item twice where a comprehension finds no memory
            args.append(term[2])
        arrays.append(args)
        held[k].count = 0
        if not _is_fusible(kernel, args, out, dtype):
            return None
        for j in range(kernel.ndata, kernel.nin):
            if type(args[j]) is float:
                args[j] = _as_array(args[j], _number_type(dtype))
        for array in args:
            keep(&held[k], <cnp.ndarray>array)
        keep(&held[k], <cnp.ndarray>out)
        hold(&held[k], name)
        results.append(out)
    if explaining():
        raise Explained(_foresee_fused(passes, arrays, results, level))
    if len(passes) > 1:
        _kept = arrays[0] + arrays[1]  # `held` borrows them
        _keep_apart(arrays, results, held, name)
    job = <_Passes *>malloc(sizeof(_Passes))
    if job == NULL:
        raise MemoryError
    job.n = len(passes)
    try:
        for k in range(job.n):
            kernel, given, terms, out = passes[k]
            target = _fresh_for(arrays[k], len(arrays[k]), dtype) if out is None else out
            iterators[k] = _open(arrays[k][:kernel.nin], target, dtype, True, arrays[k][kernel.nin:])
            opened += 1
            if target is None:
                target = <object><PyObject *>NpyIter_GetOperandArray(iterators[k])[kernel.nin]
            results[k] = target
        for k in range(job.n):
            kernel, given, terms, out = passes[k]
            n = NpyIter_GetIterSize(iterators[k])
            if n == 0:
                break
            crew = crew_for(kernel.cost, n, size_of(dtype))
            _describe(&memory, arrays[k][:kernel.nin], <cnp.ndarray>results[k], True, dtype)
            for term in terms:
                memory.changed[memory.nterms], memory.how[memory.nterms] = term[0], term[1]
                memory.size[kernel.nin + 1 + memory.nterms] = size_of(dtype)
                memory.nterms += 1
            _plan(&job.plans[k], &kernel.calls[type_of(dtype)][level], &memory, kernel.cost, iterators[k],
                  out is not None or is_warm(<cnp.ndarray>results[k]), crew)
            cost = max(cost, kernel.cost)
        if n > 0:
            size = n * size_of(dtype)
            for k in range(job.n):
                check_held(&held[k], name)
            if job.n == 2 and drive.join_plans(&job.plans[0], &job.plans[1]):
                job.n = 1
            job.chunks = 1 if job.n == 1 else max(1, size // (CHUNK * crew.threads))
            run_shares(_passes_share, job, cost, n, job.plans[0].boxes, crew)
    finally:
        for k in range(opened):
            NpyIter_Deallocate(iterators[k])
        free(job)
    return tuple(results)


cdef dict _foresee_fused(tuple passes, list arrays, list results, int level):
    """What `call_fused` would do in its first pass."""
    cdef Kernel kernel
    cdef Crew crew
    kernel, _, terms, out = passes[0]
    cdef int dtype = cnp.PyArray_TYPE(<cnp.ndarray>arrays[0][0])
    cdef Py_ssize_t n = _broadcast_size(arrays[0])
    found = _in_words("N-d driver", kernel, &kernel.calls[type_of(dtype)][level])
    crew = crew_for(kernel.cost, n, size_of(dtype))
    found["threads"], found["why_threads"] = crew.threads, _why_threads(crew, n)
    found["output"] = _memory(out, n * size_of(dtype))
    found["why_not_fast"] = "the pass is fused with others"
    names = kernel.operands + ("result",)
    for changed, how, _ in terms:
        field = "stores" if changed == kernel.nin else "loads"
        text = f"{names[changed]} {'*' if how == FR_MULTIPLY else '+'} an array"
        found[field] = f"{found[field]}; {text}" if found[field] else text
    return found


cdef object _row(cnp.ndarray x):
    """A matrix of one row as a vector, which the caller does not let outlive it."""
    return cnp.PyArray_SimpleNewFromData(1, cnp.PyArray_DIMS(x) + 1, cnp.PyArray_TYPE(x), cnp.PyArray_DATA(x))


cdef bint _is_line(cnp.ndarray weight) noexcept:
    """Whether np.dot would call other routines than np.matmul for products with this matrix."""
    return cnp.PyArray_DIM(weight, 0) == 1 or cnp.PyArray_DIM(weight, 1) == 1


cdef int _multiply(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray y) except -1:
    """Write the product of two plain matrices without gaps, which fit, into a third one in C order.

    It has the bits of ``np.matmul``, of which np.dot calls the routines sooner: for a row if it gets a vector.
    """
    if _is_line(weight):
        call_whole("Linear", np.matmul, x, weight, y)
    elif cnp.PyArray_DIM(x, 0) == 1:
        PyArray_MatrixProduct2(_row(x), weight, _row(y))
    else:
        PyArray_MatrixProduct2(x, weight, y)
    return 0


cdef cnp.ndarray _new_product(cnp.ndarray x, cnp.ndarray weight):
    """The product of two such matrices."""
    cdef cnp.npy_intp shape[2]
    cdef int dtype = cnp.PyArray_TYPE(x)
    shape[0], shape[1] = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(weight, 1)
    cdef cnp.ndarray y = fresh(2, shape, dtype, shape[0] * shape[1] * size_of(dtype))
    _multiply(x, weight, y)
    return y


def linear(cnp.ndarray x not None, cnp.ndarray weight not None, object bias, Kernel kernel, tuple numbers):
    """A kernel of the product of two matrices plus a bias, as a new array; without a kernel the sum itself.

    Both matrices are plain contiguous arrays of one type, float32 or float64, and fit.
    """
    cdef PyObject *args[FR_MAX_INPUTS]
    cdef int j, dtype
    cdef cnp.ndarray y
    settle()  # which may warn, and so run code that changes arrays
    dtype = cnp.PyArray_TYPE(x)
    if (not 0 <= type_of(dtype) < FR_OWN_TYPES or cnp.PyArray_TYPE(weight) != dtype or cnp.PyArray_NDIM(x) != 2
            or cnp.PyArray_NDIM(weight) != 2 or not PyArray_ISNOTSWAPPED(x) or not PyArray_ISNOTSWAPPED(weight)
            or cnp.PyArray_DIM(x, 1) != cnp.PyArray_DIM(weight, 0)):
        refuse_change("Linear")
    for operand in (x, weight, bias):
        check_whole(operand, "Linear")
    y = _new_product(x, weight)
    if bias is not None and small_sum(y, bias, None, True) is None:
        passes = ((kernel, (y, *numbers), ((0, ADD, bias),), y),)
        if kernel is not None and call_fused(kernel.function, passes) is not None:
            return y
        call_whole("Linear", _add_quietly, y, bias, y)
    if kernel is not None:
        args[0] = <PyObject *>y
        for j in range(kernel.nparams):
            args[1 + j] = <PyObject *>numbers[j]
        _dispatch(kernel, y, True, args)
    return y


cdef bint _is_matrix(object value, int dtype) noexcept:
    """Whether a value is a plain matrix of a type, without gaps in either order."""
    return (_is_native(value, dtype) and cnp.PyArray_NDIM(<cnp.ndarray>value) == 2
            and (PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>value) or PyArray_IS_F_CONTIGUOUS(<cnp.ndarray>value)))


def linear_or_none(cnp.ndarray x not None, cnp.ndarray weight not None, object bias):
    """`linear` without a kernel, or None if it does not take these arrays; the shapes of both matrices fit."""
    cdef int dtype = cnp.PyArray_TYPE(weight)
    if not (0 <= type_of(dtype) < FR_OWN_TYPES and _is_matrix(weight, dtype) and _is_matrix(x, dtype)
            and PyArray_IS_C_CONTIGUOUS(x)):
        return None
    if bias is not None and not (_is_native(bias, dtype) and cnp.PyArray_NDIM(<cnp.ndarray>bias) == 1
                                 and PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>bias)
                                 and cnp.PyArray_DIM(<cnp.ndarray>bias, 0) == cnp.PyArray_DIM(weight, 1)):
        return None
    return linear(x, weight, bias, None, ())


cdef bint _is_product(object x, object weight, object y, int dtype) noexcept:
    """Whether `_multiply` takes these sooner than np.matmul does; y may be None."""
    cdef cnp.ndarray a, b, to
    if not (0 <= type_of(dtype) < FR_OWN_TYPES and _is_matrix(x, dtype) and _is_matrix(weight, dtype)):
        return False
    a, b = <cnp.ndarray>x, <cnp.ndarray>weight
    if cnp.PyArray_DIM(a, 1) != cnp.PyArray_DIM(b, 0) or _is_line(b):
        return False
    if y is None:
        return True
    if _why_not_target(y, dtype) or cnp.PyArray_NDIM(<cnp.ndarray>y) != 2:
        return False
    to = <cnp.ndarray>y
    return (PyArray_IS_C_CONTIGUOUS(to) and cnp.PyArray_DIM(to, 0) == cnp.PyArray_DIM(a, 0)
            and cnp.PyArray_DIM(to, 1) == cnp.PyArray_DIM(b, 1))


def product(cnp.ndarray x not None, cnp.ndarray weight not None, cnp.ndarray out=None):
    """``np.matmul(x, weight, out)`` of two matrices, with its bits."""
    settle()
    if not _is_product(x, weight, out, cnp.PyArray_TYPE(x)):
        return call_whole("Linear", np.matmul, x, weight, out)
    for operand in (x, weight, out):
        check_whole(operand, "Linear")
    if out is None:
        return _new_product(x, weight)
    _multiply(x, weight, out)
    return out


cdef bint _are_few_rows(cnp.ndarray x, cnp.ndarray out) noexcept:
    """Whether a matrix is small and plain, and NumPy adds up its rows one by one: not if there is a single column."""
    cdef int dtype = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t length = cnp.PyArray_SIZE(out), size
    if not (0 <= type_of(dtype) < FR_OWN_TYPES and _is_matrix(x, dtype) and PyArray_IS_C_CONTIGUOUS(x)
            and not _why_not_target(out, dtype) and cnp.PyArray_NDIM(out) == 1 and PyArray_IS_C_CONTIGUOUS(out)):
        return False
    size = size_of(dtype)
    cdef char *data = <char *>cnp.PyArray_DATA(x)
    cdef char *to = <char *>cnp.PyArray_DATA(out)
    return (cnp.PyArray_DIM(x, 1) == length > 1 and cnp.PyArray_SIZE(x) <= FEW
            and (to + length * size <= data or data + cnp.PyArray_SIZE(x) * size <= to))


def sum_of_rows(cnp.ndarray x not None, cnp.ndarray out not None):
    """``np.add.reduce(x, axis=0, out=out)`` of a matrix, with its bits and without a warning."""
    settle()
    if not _are_few_rows(x, out):
        return quietly(np.add.reduce, x, axis=0, out=out)
    check_whole(x, "Linear")
    check_whole(out, "Linear")
    cdef int own = type_of(cnp.PyArray_TYPE(x))
    cdef Py_ssize_t i, length = cnp.PyArray_SIZE(out), step = length * size_of(cnp.PyArray_TYPE(x))
    cdef const char *data = <const char *>cnp.PyArray_DATA(x)
    cdef char *to = <char *>cnp.PyArray_DATA(out)
    cdef fr_combine add = sum_loop(own)
    cdef fr_guard caller = fr_guard_open()
    memset(to, 0, step)
    for i in range(cnp.PyArray_DIM(x, 0)):
        add(to, data + i * step, to, length)
    fr_guard_close(caller)
    return out
