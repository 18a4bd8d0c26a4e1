# The one way from Python to the kernels. It knows arrays, parameters and threads, and no activation by name.
#
# Three doors, tried in this order; all run the same kernels and give the same bits:
#   1. fast path: dense arrays of one type, shape and layout, parameters as numbers. Nothing is walked.
#   2. N-d driver: plain arrays of any strides, types and byte orders, shapes that broadcast, parameters as arrays,
#      masks. NumPy's iterator settles shapes, order of axes, overlap and the result; kernels/drive.c walks over the
#      elements and converts them block by block.
#   3. ufunc: subclasses, foreign arrays, scalars, arrays that are not aligned, types that no kernel has. NumPy walks,
#      on one thread, and calls `fr_ufunc_loop`.
#
# `_dispatch` first decides what a call does, then does it: `_decide_dense` and `_run_dense` for the first door;
# `_decide_general`, and `_run_strided` or `_run_ufunc`, for the others. What bars a door is a number (WHERE_GIVEN,
# ...). A call that is explained raises the decision, in words (_explain.pyx), instead of running it.
#
# The caller's code may run while a call is prepared, so every door keeps the order that _runtime.pyx explains. The
# ufunc of the third door may call code again, and NumPy looks after it.
#
# Decided once per call: the crew (`crew_for`: threads and the reason) and the precision (`precision_here`), which with
# the type selects the flavor. A setting that another thread changes meanwhile is for the next call.
#
# Results come from the pool from FR_POOL_FROM bytes on (`recycled`; `fresh_like` in door 1, `_fresh_for` in 2 and 3),
# smaller ones and those of subclasses from NumPy. Nothing is written before all memory of the call is there.
"""Calls of the kernels: the fast path, the N-d driver and the ufuncs, in this order of generality."""

import re

import numpy as np

from fastrelu._kernels import copy_into, quietly

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_AsDouble, PyFloat_Check, PyFloat_CheckExact
from cpython.long cimport PyLong_AsDouble, PyLong_Check, PyLong_CheckExact
from cpython.object cimport PyObject

from fastrelu._kernels cimport (
    FOREIGN,
    Kernel,
    NEITHER,
    WEAK,
    _FORMATS,
    _format,
    _is_dense,
    _lie_alike,
    _moved,
    class_of_dtype,
    drive,
    fr_call,
    fr_domain,
    fr_memory,
    fr_plan,
    fr_view,
    joint_kind,
    kind_of_dtype,
    type_of_kind,
)
from fastrelu._numpy cimport (
    NPY_ITER_ALLOCATE,
    NPY_ITER_COPY_IF_OVERLAP,
    NPY_ITER_DONT_NEGATE_STRIDES,
    NPY_ITER_MULTI_INDEX,
    NPY_ITER_NO_BROADCAST,
    NPY_ITER_NO_SUBTYPE,
    NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE,
    NPY_ITER_READONLY,
    NPY_ITER_READWRITE,
    NPY_ITER_WRITEONLY,
    NPY_ITER_ZEROSIZE_OK,
    NpyIter,
    NpyIter_CreateCompatibleStrides,
    NpyIter_Deallocate,
    NpyIter_GetAxisStrideArray,
    NpyIter_GetDataPtrArray,
    NpyIter_GetIterSize,
    NpyIter_GetNDim,
    NpyIter_GetOperandArray,
    NpyIter_GetShape,
    NpyIter_MultiNew,
    PyArrayObject,
    PyArray_BASE,
    PyArray_Descr,
    PyArray_ISALIGNED,
    PyArray_ISNOTSWAPPED,
    PyArray_ISWRITEABLE,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_SAMESHAPE,
)
from fastrelu._runtime cimport (
    Crew,
    FR_AS_BFLOAT,
    FR_AS_FLOAT,
    FR_CREW_SMALL,
    FR_MAX_AXES,
    FR_MAX_INPUTS,
    FR_MAX_OPERANDS,
    FR_MAX_PARAMETERS,
    FR_OWN_TYPES,
    FR_POOL_FROM,
    FR_bfloat16,
    FR_float32,
    FR_float64,
    check_whole,
    crew_for,
    crew_of,
    dtype_of,
    extent,
    extents_meet,
    fr_add,
    fr_atomic,
    fr_kernel,
    fr_load,
    fr_types,
    fresh,
    fresh_like,
    has_kernels,
    is_warm,
    listed,
    outgrows_cache,
    precision_here,
    recycled,
    recycles_here,
    run_shares,
    settings,
    settle,
    size_of,
    tidy_pool,
    type_of,
)

cnp.import_array()


cdef extern from "Python.h":
    object PyContextVar_New(const char *, PyObject *)
    int PyContextVar_Get(object, PyObject *, PyObject **) except -1
    object PyObject_Vectorcall(object, PyObject **, size_t, PyObject *)
    void Py_DECREF(PyObject *)


# --- First door: dense arrays of one layout, numbers as parameters --------------------------------------------------

cdef int _number(object value, double *to) except -1:
    """1 and the value for a Python number, which never promotes; 0 for anything else."""
    if PyFloat_CheckExact(value):
        to[0] = PyFloat_AS_DOUBLE(value)
        return 1
    if PyLong_CheckExact(value):
        to[0] = PyLong_AsDouble(value)
        return 1
    if (PyFloat_Check(value) or PyLong_Check(value)) and not isinstance(value, np.generic):
        to[0] = PyFloat_AsDouble(value)
        return 1
    return 0


def empty_like(cnp.ndarray x not None, cnp.dtype dtype=None):
    """A result of the shape and order of axes of a plain dense array, in its type or another one with kernels.

    From the pool if it is large.
    """
    cdef int own = type_of(cnp.PyArray_TYPE(x) if dtype is None else dtype.type_num)
    cdef Py_ssize_t size
    if type(x) is not cnp.ndarray or own < 0 or not PyArray_ISNOTSWAPPED(x) or not _is_dense(x):
        return np.empty_like(x, dtype)
    size = cnp.PyArray_SIZE(x) * size_of(dtype_of(own).type_num)
    if dtype is None:
        return fresh_like(x, size)
    if PyArray_IS_C_CONTIGUOUS(x):
        return fresh(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), dtype.type_num, size)
    if PyArray_IS_F_CONTIGUOUS(x):
        return empty_like(x.T, dtype).T
    return np.empty_like(x, dtype)


cdef int _why_not_alike(cnp.ndarray x, cnp.ndarray y):
    """0 if element i of the memory of one belongs to element i of the other; x is dense."""
    if not PyArray_SAMESHAPE(x, y):
        return OTHER_SHAPE
    if PyArray_IS_C_CONTIGUOUS(x):
        return 0 if PyArray_IS_C_CONTIGUOUS(y) else OTHER_LAYOUT
    if PyArray_IS_F_CONTIGUOUS(x):
        return 0 if PyArray_IS_F_CONTIGUOUS(y) else OTHER_LAYOUT
    return 0 if _lie_alike(x, y) else OTHER_LAYOUT


cdef int _why_not_second(object value, cnp.ndarray x, int dtype) noexcept:
    """0 if a value is a plain array of this type, alike to x."""
    return _why_not_native(value, dtype) or _why_not_alike(x, <cnp.ndarray>value)


def streams(Kernel kernel not None, Py_ssize_t size, int parts):
    """Whether an output of `size` bytes is streamed past the cache, unless it is new memory or also an input."""
    return kernel.calls[0][0].stream.move != NULL and outgrows_cache(kernel.cost, size, parts)


cdef void _plan_share(const void *job, long share, long shares, int part) noexcept nogil:
    drive.run_plan(<const fr_plan *>job, share, shares)


cdef void _dense_share(const void *job, long share, long shares, int part) noexcept nogil:
    cdef const _Dense *call = <const _Dense *>job
    if call.how.load != NULL:
        drive.convert_part(call.how, call.inputs, call.out, call.n, share, shares)
    else:
        drive.run_part(call.how, call.inputs, call.out, call.n, share, shares)


cdef int _decide_dense(_Dense *call, Kernel kernel, object out, object where, PyObject **args) except -1:
    """Decide how the first door runs a call. Returns 0, or the reason why it cannot."""
    cdef cnp.ndarray x
    cdef int dtype, own, j, why, no_number = 0
    cdef Py_ssize_t size

    if where is not True:
        return WHERE_GIVEN
    if type(<object>args[0]) is not cnp.ndarray:
        return NO_ARRAY
    x = <cnp.ndarray>args[0]
    # Conversions, which may call __float__, and `settle` come first: they may run the caller's code, which may free an
    # array's memory, so nothing about arrays is read before.
    for j in range(kernel.nparams):
        if not _number(<object>args[kernel.ndata + j], &call.params[j]) and not no_number:
            no_number = NO_NUMBER | (kernel.ndata + j) << WHICH
    call.n = cnp.PyArray_SIZE(x)
    call.at_once = call.n < fr_load(&settings.at_once)
    if call.at_once:
        call.crew.threads, call.crew.reason = 1, FR_CREW_SMALL
    else:
        if settle():
            check_whole(x, kernel.function)
            check_whole(out, kernel.function)
            call.n = cnp.PyArray_SIZE(x)
        call.crew = crew_of(kernel.cost, x)

    dtype = cnp.PyArray_TYPE(x)
    own = type_of(dtype)
    if <unsigned int>own >= <unsigned int>FR_OWN_TYPES:
        if own < 0:
            return OTHER_TYPE
        call.at_once = False
        drive.take_numbers(_anything, call.params, FR_float32, call.rounded, kernel.nparams)
    why = _why_not_placed(x)
    if why:
        return why
    if not (PyArray_IS_C_CONTIGUOUS(x) or PyArray_IS_F_CONTIGUOUS(x) or _is_dense(x)):
        return GAPS
    call.how = &kernel.calls[own][precision_here()]
    call.inputs[0] = <const char *>cnp.PyArray_DATA(x)
    if kernel.ndata == 2:
        why = _why_not_second(<object>args[1], x, dtype)
        if why:
            return why | 1 << WHICH
        call.inputs[1] = <const char *>cnp.PyArray_DATA(<cnp.ndarray>args[1])
    if no_number:
        return no_number
    if out is None:
        if cnp.PyArray_NDIM(x) == 0:  # as a ufunc, returns a scalar
            return NO_AXES
        call.out = NULL
    else:
        why = _why_not_target(out, dtype) or _why_not_alike(x, <cnp.ndarray>out)
        if why:
            return why | kernel.nin << WHICH
        call.out = <char *>cnp.PyArray_DATA(<cnp.ndarray>out)
        size = call.n * call.how.size
        for j in range(kernel.ndata):
            if call.inputs[j] != call.out and call.inputs[j] < call.out + size and call.out < call.inputs[j] + size:
                return OVERLAP | j << WHICH

    if kernel.nparams:
        if not drive.take_numbers(kernel.op.domain[kernel.direction], call.params, call.how.type, call.rounded,
                                  kernel.nparams):
            _refuse(kernel, _as_list(args, kernel.nin), call.params, call.how.type)
        for j in range(kernel.nparams):
            call.inputs[kernel.ndata + j] = <const char *>call.rounded + j * call.how.itemsize
    return 0


cdef bint _plan_stream(fr_plan *plan, const _Dense *call, int cost, bint warm) noexcept:
    """Plan a streamed run of the kernel, if that is possible and pays; returns whether it does.

    The pages of a `warm` output are mapped; new ones have just been zeroed in the cache.
    """
    cdef fr_memory memory
    cdef int j, nin = call.how.ndata + call.how.nparams
    if not warm or not outgrows_cache(cost, call.n * call.how.size, call.crew.threads):
        return False
    plan.view.naxes = 1
    plan.view.shape[0] = call.n
    for j in range(nin + 1):
        parameter = call.how.ndata <= j < nin
        plan.view.stride[0][j] = 0 if parameter else call.how.size
        plan.view.origin[j] = call.out if j == nin else <char *>call.inputs[j]
        memory.format[j] = _FORMATS[call.how.type] if parameter else call.how.format
        memory.size[j] = call.how.itemsize if parameter else call.how.size
        memory.swapped[j] = False
    memory.masked, memory.nterms = False, 0
    drive.make_plan(plan, call.how, NULL if call.how.load == NULL else &memory, 1)
    return plan.streamed


cdef object _run_dense(_Dense *call, Kernel kernel, PyObject *x, object out):
    """Run a call as it was decided; returns its result."""
    cdef fr_plan plan
    cdef Py_ssize_t size = call.n * call.how.size
    cdef cnp.ndarray y
    if out is None:
        y = fresh_like(<cnp.ndarray>x, size)
        call.out = <char *>cnp.PyArray_DATA(y)
    else:
        y = <cnp.ndarray>out
        if size >= FR_POOL_FROM:
            tidy_pool()
    if call.at_once:
        drive.run_part(call.how, call.inputs, call.out, call.n, 0, 1)
    elif _plan_stream(&plan, call, kernel.cost, out is not None or is_warm(y)):
        run_shares(_plan_share, &plan, kernel.cost, call.n, plan.boxes, call.crew)
    else:
        run_shares(_dense_share, call, kernel.cost, call.n, call.n, call.crew)
    return y


cdef list _as_list(PyObject **args, int n):
    cdef list found = [None] * n
    cdef int j
    for j in range(n):
        found[j] = <object>args[j]
    return found


cdef object _dispatch(Kernel kernel, object out, object where, PyObject **args):
    """Run a call through the first door that can take it."""
    cdef _Dense call
    cdef int why = _decide_dense(&call, kernel, out, where, args)
    if fr_load(&_explaining) and explaining():
        raise Explained(foresee(&call, why, kernel, out, where, args))
    if why:
        return _general(kernel, out, where, _as_list(args, kernel.nin))
    return _run_dense(&call, kernel, args[0], out)


@cython.binding(False)
def call(Kernel kernel not None, object out, object where, object a, object b=None, object c=None, object d=None,
         object e=None, object f=None):
    """Run a kernel on its inputs in the order of its operands: data first, then parameters."""
    cdef PyObject *args[FR_MAX_INPUTS]
    args[:] = [<PyObject *>a, <PyObject *>b, <PyObject *>c, <PyObject *>d, <PyObject *>e, <PyObject *>f]
    return _dispatch(kernel, out, where, args)


@cython.binding(False)
def call_unary(Kernel kernel not None, object out, object where, object x):
    """Run a kernel that has one input; parsing fewer arguments makes the smallest calls faster."""
    cdef PyObject *args[1]
    args[0] = <PyObject *>x
    return _dispatch(kernel, out, where, args)


# --- Second door: plain arrays of any strides and shapes that broadcast ---------------------------------------------

cdef cnp.ndarray _fresh_for(list args, int n, int dtype):
    """A result from the pool for n plain arrays, in NumPy's layout; None if the pool gives none."""
    cdef PyArrayObject *operands[FR_MAX_OPERANDS]
    cdef cnp.npy_uint32 flags[FR_MAX_OPERANDS]
    cdef cnp.npy_intp shape[FR_MAX_AXES]
    cdef cnp.npy_intp strides[FR_MAX_AXES]
    cdef NpyIter *iterator
    cdef int j, ndim, itemsize = size_of(dtype)
    cdef Py_ssize_t size = _broadcast_size(args) * itemsize
    if not FR_POOL_FROM <= size < <Py_ssize_t>1 << 48 or not recycles_here(size):
        return None  # NumPy raises the error about too much memory
    for j in range(n):
        operands[j] = <PyArrayObject *>args[j]
        flags[j] = NPY_ITER_READONLY
    iterator = NpyIter_MultiNew(n, operands,
                                NPY_ITER_ZEROSIZE_OK | NPY_ITER_MULTI_INDEX | NPY_ITER_DONT_NEGATE_STRIDES,
                                cnp.NPY_KEEPORDER, cnp.NPY_NO_CASTING, flags, NULL)
    if iterator == NULL:  # NumPy sets no exception if there is no memory
        raise MemoryError
    try:
        ndim = NpyIter_GetNDim(iterator)
        NpyIter_GetShape(iterator, shape)
        NpyIter_CreateCompatibleStrides(iterator, itemsize, strides)
        size = NpyIter_GetIterSize(iterator) * itemsize
    finally:
        NpyIter_Deallocate(iterator)
    return recycled(ndim, shape, strides, 0, dtype, size)


cdef Py_ssize_t _broadcast_size(list arrays) except -1:
    """Elements of the shape that the arrays broadcast to, at most 2**48. NumPy checks that they do broadcast."""
    cdef int axis, ndim = 0
    cdef Py_ssize_t size = 1, most = <Py_ssize_t>1 << 48, longest, length
    for array in arrays:
        ndim = max(ndim, cnp.PyArray_NDIM(<cnp.ndarray>array))
    for axis in range(1, ndim + 1):
        longest = 1
        for array in arrays:
            if axis <= cnp.PyArray_NDIM(<cnp.ndarray>array):
                length = cnp.PyArray_DIM(<cnp.ndarray>array, cnp.PyArray_NDIM(<cnp.ndarray>array) - axis)
                if length != 1:
                    longest = length
        if longest == 0:
            return 0
        size = size * longest if size <= most // longest else most
    return size


cdef const fr_memory *_describe(fr_memory *memory, list args, cnp.ndarray out, object where, int dtype):
    """What the operands are; NULL if all are of the type of the kernel and there is no mask."""
    cdef cnp.ndarray array
    cdef int j, nin = len(args)
    cdef bint plain = where is True
    for j in range(nin + 1):
        array = <cnp.ndarray>args[j] if j < nin else out
        memory.format[j] = _format(cnp.PyArray_TYPE(array))
        memory.swapped[j] = not PyArray_ISNOTSWAPPED(array)
        memory.size[j] = cnp.PyArray_ITEMSIZE(array)
        plain = plain and cnp.PyArray_TYPE(array) == dtype and not memory.swapped[j]
    memory.size[nin + 1] = 1
    memory.masked = where is not True
    memory.nterms = 0
    return NULL if plain and has_kernels(dtype) else memory


cdef NpyIter *_open(list args, object target, int dtype, object where, list terms=None) except NULL:
    """Open NumPy's iterator, which resolves broadcasting, order of axes, overlap and the result; kernels iterate."""
    cdef PyArrayObject *operands[FR_MAX_OPERANDS]
    cdef PyArray_Descr *dtypes[FR_MAX_OPERANDS]
    cdef cnp.npy_uint32 flags[FR_MAX_OPERANDS]
    cdef int j, nin = len(args)
    cdef NpyIter *iterator
    cdef cnp.dtype descr = cnp.PyArray_DescrFromType(dtype)
    for j in range(nin):
        operands[j] = <PyArrayObject *>args[j]
        dtypes[j] = NULL
        flags[j] = NPY_ITER_READONLY | NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE
    operands[nin] = NULL if target is None else <PyArrayObject *>target
    dtypes[nin] = <PyArray_Descr *>descr if target is None else NULL
    # Masked elements of a copy that NumPy makes of `out` are those of `out`.
    flags[nin] = (NPY_ITER_WRITEONLY if target is None or where is True else NPY_ITER_READWRITE)
    flags[nin] |= (NPY_ITER_ALLOCATE | NPY_ITER_NO_SUBTYPE | NPY_ITER_NO_BROADCAST
                   | NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE)
    if where is not True:
        operands[nin + 1] = <PyArrayObject *>where
        dtypes[nin + 1] = NULL
        flags[nin + 1] = NPY_ITER_READONLY | NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE
    cdef int n = nin + 1 + (where is not True)
    for term in terms or ():
        operands[n] = <PyArrayObject *>term
        dtypes[n] = NULL
        flags[n] = NPY_ITER_READONLY | NPY_ITER_OVERLAP_ASSUME_ELEMENTWISE
        n += 1
    iterator = NpyIter_MultiNew(n, operands,
                                NPY_ITER_ZEROSIZE_OK | NPY_ITER_COPY_IF_OVERLAP,
                                cnp.NPY_KEEPORDER, cnp.NPY_NO_CASTING, flags, dtypes)
    if iterator == NULL:  # NumPy sets no exception if there is no memory
        raise MemoryError
    return iterator


cdef int _plan(fr_plan *plan, const fr_call *how, const fr_memory *memory, int cost, NpyIter *iterator, bint warm,
               Crew crew) except -1:
    """Plan the loop over the operands of an iterator that has elements."""
    cdef cnp.npy_intp *strides
    cdef char **origin = NpyIter_GetDataPtrArray(iterator)
    cdef int axis, j, operands = how.ndata + how.nparams + 1
    if memory != NULL:
        operands += memory.masked + memory.nterms
    plan.view.naxes = NpyIter_GetNDim(iterator)
    NpyIter_GetShape(iterator, plan.view.shape)
    for axis in range(plan.view.naxes):
        strides = NpyIter_GetAxisStrideArray(iterator, axis)
        for j in range(operands):
            plan.view.stride[axis][j] = strides[j]
    if plan.view.naxes == 0:  # the loop needs an axis
        plan.view.naxes = plan.view.shape[0] = 1
        for j in range(operands):
            plan.view.stride[0][j] = 0
    for j in range(operands):
        plan.view.origin[j] = origin[j]
    cdef Py_ssize_t size = NpyIter_GetIterSize(iterator) * how.size
    drive.make_plan(plan, how, memory, warm and outgrows_cache(cost, size, crew.threads))
    return 0


cdef bint _is_apart(cnp.ndarray out, cnp.ndarray operand) noexcept:
    """Is an operand disjoint from a contiguous output, or exactly the same?"""
    cdef char *ends[4]
    if (cnp.PyArray_DATA(out) == cnp.PyArray_DATA(operand) and PyArray_SAMESHAPE(out, operand)
            and cnp.PyArray_ITEMSIZE(out) == cnp.PyArray_ITEMSIZE(operand) and PyArray_IS_C_CONTIGUOUS(operand)):
        return True
    extent(out, &ends[0], &ends[1])
    extent(operand, &ends[2], &ends[3])
    return ends[1] <= ends[2] or ends[3] <= ends[0]


cdef Py_ssize_t _view_alike(fr_view *view, list args, object out, int dtype) noexcept:
    """Describe operands that broadcast to the first one, if its axes are in C order; returns the number of elements.

    NumPy's iterator would find the same; to make it costs a small call more than all else. Returns 0 where it has to
    decide: about other orders of axes and outputs that are not contiguous, overlap, and what does not broadcast.
    """
    cdef cnp.ndarray x = <cnp.ndarray>args[0], operand
    cdef cnp.npy_intp strides[FR_MAX_INPUTS]
    cdef int axis, own, j, k = 0, ndim = cnp.PyArray_NDIM(x), nin = len(args)
    cdef Py_ssize_t n = 1, size, before = 0, along, step
    cdef bint joined
    if not has_kernels(dtype):
        return 0
    step = size_of(dtype)
    if out is not None:
        if not (PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>out) and PyArray_SAMESHAPE(<cnp.ndarray>out, x)):
            return 0
        step = cnp.PyArray_ITEMSIZE(<cnp.ndarray>out)
    for j in range(nin):
        operand = <cnp.ndarray>args[j]
        if cnp.PyArray_NDIM(operand) > ndim or (out is not None and not _is_apart(<cnp.ndarray>out, operand)):
            return 0
    for axis in range(ndim - 1, -1, -1):
        size = cnp.PyArray_DIM(x, axis)
        joined = k > 0
        for j in range(nin):
            operand = <cnp.ndarray>args[j]
            own = axis - ndim + cnp.PyArray_NDIM(operand)
            strides[j] = 0
            if own >= 0 and cnp.PyArray_DIM(operand, own) != 1:
                if cnp.PyArray_DIM(operand, own) != size:
                    return 0
                strides[j] = cnp.PyArray_STRIDE(operand, own)
            joined = joined and strides[j] == view.stride[k - 1][j] * view.shape[k - 1]
        if size == 1:
            continue
        along = -strides[0] if strides[0] < 0 else strides[0]
        if size == 0 or along == 0 or along < before:
            return 0
        before = along
        if joined:
            view.shape[k - 1] *= size
        else:
            view.shape[k] = size
            for j in range(nin):
                view.stride[k][j] = strides[j]
            view.stride[k][nin] = n * step
            k += 1
        n *= size
    if k == 0:  # the loop needs an axis
        view.shape[0] = k = 1
        for j in range(nin + 1):
            view.stride[0][j] = 0
    view.naxes = k
    return n if ndim else 0


cdef object _run_alike(const _General *call, Kernel kernel, list args, object out, fr_plan *plan, Py_ssize_t n):
    """Run a call through the second door, whose plan has a view, but no addresses yet."""
    cdef fr_memory room
    cdef cnp.ndarray x = <cnp.ndarray>args[0], result
    cdef int j
    cdef Py_ssize_t size = n * call.how.size
    if out is None:
        result = fresh(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), call.dtype, size)
    else:
        result = <cnp.ndarray>out
    for j in range(kernel.nin):
        plan.view.origin[j] = <char *>cnp.PyArray_DATA(<cnp.ndarray>args[j])
    plan.view.origin[kernel.nin] = <char *>cnp.PyArray_DATA(result)
    drive.make_plan(plan, call.how, _describe(&room, args, result, True, call.dtype),
                    (out is not None or is_warm(result)) and outgrows_cache(kernel.cost, size, call.crew.threads))
    run_shares(_plan_share, plan, kernel.cost, n, plan.boxes, call.crew)
    return result


cdef object _run_strided(const _General *call, Kernel kernel, list args, object out, object where):
    """Run a call through the second door."""
    cdef fr_plan plan
    cdef fr_memory room
    cdef const fr_memory *memory
    cdef Py_ssize_t n
    n = _view_alike(&plan.view, args, out, call.dtype) if where is True else 0
    if n > 0:
        return _run_alike(call, kernel, args, out, &plan, n)
    # Masked elements of a new result are not initialized: no recycled memory, which would show older results there.
    cdef object target = _fresh_for(args, kernel.nin, call.dtype) if out is None and where is True else out
    cdef NpyIter *iterator = _open(args, target, call.dtype, where)
    try:
        result = <object><PyObject *>NpyIter_GetOperandArray(iterator)[kernel.nin] if target is None else target
        n = NpyIter_GetIterSize(iterator)
        if n > 0:
            memory = _describe(&room, args, <cnp.ndarray>result, where, call.dtype)
            _plan(&plan, call.how, memory, kernel.cost, iterator, out is not None or is_warm(<cnp.ndarray>result),
                  call.crew)
            run_shares(_plan_share, &plan, kernel.cost, n, plan.boxes, call.crew)
    finally:
        NpyIter_Deallocate(iterator)
    return result if out is not None or cnp.PyArray_NDIM(<cnp.ndarray>result) else result[()]


# --- Third door: everything else is a ufunc -------------------------------------------------------------------------

cdef tuple _OUT = ("out",)
cdef tuple _WHERE = ("where",)
cdef tuple _OUT_WHERE = ("out", "where")


cdef int _class_of(object value) except -4:
    cdef double number
    if cnp.PyArray_Check(value):
        return kind_of_dtype(<cnp.dtype>(<cnp.ndarray>value).descr)
    if cnp.PyArray_CheckScalar(value):
        return kind_of_dtype(cnp.PyArray_DescrFromScalar(value))
    if _number(value, &number):
        return WEAK
    dtype = getattr(value, "dtype", None)
    return kind_of_dtype(dtype) if isinstance(dtype, np.dtype) else FOREIGN


cdef bint _is_number(object value, double *number) except -1:
    """A number, a NumPy scalar or an array without axes, of a type that is converted."""
    if _number(value, number):
        return True
    if cnp.PyArray_Check(value) and cnp.PyArray_NDIM(<cnp.ndarray>value) > 0:
        return False
    if ((cnp.PyArray_Check(value) or cnp.PyArray_CheckScalar(value)) and value.ndim == 0
            and value.dtype.kind in "biuf"):
        number[0] = float(value)
        return True
    return False


cdef int _check_params(Kernel kernel, list args, int type) except -1:
    """Check the domain, as far as the parameters are numbers or scalars.

    Values in arrays are not checked here. Replace each by every known number in turn (some choice satisfies any
    relation between two parameters) and by 1 (allowed by every condition on one). If all fail, a given number is
    invalid by itself.
    """
    cdef fr_domain domain = kernel.op.domain[kernel.direction]
    cdef double given[FR_MAX_PARAMETERS]
    cdef double params[FR_MAX_PARAMETERS]
    cdef double rounded[FR_MAX_PARAMETERS]
    cdef int known[FR_MAX_PARAMETERS]
    cdef int j, filler, count = 0
    for j in range(kernel.nparams):
        known[j] = _is_number(args[kernel.ndata + j], &given[j])
        count += known[j]
    if count == 0:
        return 0
    for filler in range(kernel.nparams + 1):
        if filler == kernel.nparams or known[filler]:
            for j in range(kernel.nparams):
                params[j] = given[j] if known[j] else 1 if filler == kernel.nparams else given[filler]
            if drive.take_numbers(domain, params, type, rounded, kernel.nparams):
                return 0
    return _refuse(kernel, args, params, type)


cdef int _refuse(Kernel kernel, list args, const double *params, int type) except -1:
    """Raise the error that names the condition which the parameters do not meet."""
    cdef double own[FR_MAX_PARAMETERS]
    cdef double exact[FR_MAX_PARAMETERS]
    cdef int j
    cdef list given = []
    for j in range(kernel.nparams):
        own[j] = params[j]
        _is_number(args[kernel.ndata + j], &own[j])
    cdef bint lost = drive.take_numbers(kernel.op.domain[kernel.direction], own, FR_float64, exact, kernel.nparams)
    for j in range(kernel.nparams):
        value = args[kernel.ndata + j]
        if _is_number(value, &own[j]):
            rounded = f" ({params[j]} in {fr_types[type].name.decode()})" if lost and own[j] != params[j] else ""
            given.append(f"{kernel.operands[kernel.ndata + j]}={value!s}{rounded}")
    condition = kernel.op.domain_text[kernel.direction].decode().replace("&&", "and")
    for j in range(kernel.nparams):
        condition = re.sub(rf"\b{kernel.op.params[j].decode()}\b", kernel.operands[kernel.ndata + j], condition)
    condition = re.sub(r"isfinite\((\w+)\)", r"finite \1", condition)
    raise ValueError(f"{kernel.function} requires {condition}, got {', '.join(given)}")


cdef object as_target(str name, object out):
    """`out` as an object that a ufunc can write into: itself, or a view of the buffer that it exposes."""
    if hasattr(type(out), "__array_ufunc__") and not isinstance(out, np.generic):
        return out
    try:
        view = memoryview(out)
    except TypeError:
        view = None
    if view is not None:
        try:
            array = np.asarray(view)
        except NotImplementedError:  # a sequence of memoryviews
            array = None
        if array is None or PyArray_BASE(array) == NULL:  # NumPy took it for a sequence
            if view.format in "?bBhHiIlLqQefdg":
                raise MemoryError(f"{name}: no memory for a view of out")
            raise TypeError(f"{name} cannot write into a buffer of the format {view.format!r}")
        return array
    if hasattr(type(out), "__dlpack__") and not isinstance(out, np.generic):
        if str(getattr(out, "dtype", None)) == "torch.bfloat16":
            return _bfloat16_view(out)
        return np.from_dlpack(out)
    raise TypeError(f"{name} can write into an array or a writable buffer, not into {type(out).__name__!r}")


cdef object _bfloat16_view(object tensor):
    """A PyTorch tensor of bfloat16, which NumPy has no name for, as an array of the type of ml_dtypes."""
    from importlib import import_module
    if dtype_of(FR_bfloat16) is None:
        try:
            ml_dtypes = import_module("ml_dtypes")
        except ImportError:
            raise TypeError("torch.bfloat16 needs the package ml_dtypes, which gives NumPy such a type") from None
        class_of_dtype(np.dtype(ml_dtypes.bfloat16))
    return np.from_dlpack(tensor.view(import_module("torch").int16)).view(dtype_of(FR_bfloat16))


def target_in_place(str name, object x):
    """What a call in place writes into: the array itself, or a view of the buffer that an object exposes."""
    return x if type(x) is cnp.ndarray else as_target(name, x)


def joint_dtype(*operands):
    """The type in which the kernels compute some operands together."""
    cdef int kind, common = WEAK
    for value in operands:
        kind = _class_of(value)
        if kind >= 0:
            common = joint_kind(common, kind)
    return dtype_of(type_of_kind(common))


def stored(str name, object result, object out):
    """A result; or, if it is given, `out` with the result in it."""
    out = _unpacked(out)
    if out is None or out is Ellipsis:
        return result
    from fastrelu._foreign import refuse
    refuse(name, out=out)
    target = target_in_place(name, out)
    if np.shape(target) != np.shape(result):
        raise ValueError(f"{name} needs out= of shape {np.shape(result)}, got {np.shape(target)}")
    dtype = np.result_type(result)
    if not np.can_cast(dtype, target.dtype, "same_kind"):
        raise TypeError(f"{name}: the result of type {dtype} cannot be cast into out of type {target.dtype}")
    copy_into(target, result)
    return out


def check_types(str name, names, values):
    """Raise the error that names the first of some operands whose type no kernel takes, if there is one."""
    cdef double number
    for operand, value in zip(names, values):
        if isinstance(value, (list, tuple)):
            value = np.asarray(value)
        own = dtype = getattr(value, "dtype", None)
        if not isinstance(dtype, np.dtype):
            if _number(value, &number) or hasattr(type(value), "__array_ufunc__"):
                continue
            own = None
            dtype = np.asarray(value).dtype
        if class_of_dtype(dtype) == NEITHER:
            if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == object:
                own, value = None, value.item()  # what NumPy made an array of
            found = "is None" if value is None else f"has the type {type(value).__name__ if own is None else own}"
            raise TypeError(f"{name} takes bool, integers and real numbers of at most 64 bits; "
                            f"{operand} {found}") from None


cdef bint _is_converted(object value, int dtype):
    """Is it an input that NumPy converts to the type of a loop with floating-point flags? Signaling NaN set one."""
    cdef int own = dtype
    if cnp.PyArray_Check(value):
        own = cnp.PyArray_TYPE(<cnp.ndarray>value)
    elif cnp.PyArray_CheckScalar(value):
        own = cnp.PyArray_DescrFromScalar(value).type_num
    return own != dtype and cnp.PyTypeNum_ISFLOAT(own)


cdef object _call_ufunc(Kernel kernel, int level, int dtype, list args, object out, object where):
    """Call the ufunc, whose loop for this type sets no flags; without a warning about what NumPy converts."""
    cdef PyObject *vector[FR_MAX_OPERANDS + 2]  # and a mask, and the ufunc
    cdef int j, n = kernel.nin + 1
    cdef bint converts = out is not None and out is not Ellipsis
    if converts and cnp.PyArray_Check(out):
        converts = cnp.PyArray_TYPE(<cnp.ndarray>out) != dtype
    ufunc = kernel.accurate if level else kernel.fast
    vector[0] = <PyObject *>ufunc
    for j in range(kernel.nin):
        vector[j + 1] = <PyObject *>args[j]
        converts = converts or _is_converted(args[j], dtype)
    names = None
    if out is not None:
        vector[n] = <PyObject *>out
        n += 1
        names = _OUT
    if where is not True:
        vector[n] = <PyObject *>where
        names = _WHERE if out is None else _OUT_WHERE
    try:
        return PyObject_Vectorcall(quietly if converts else ufunc, &vector[not converts], kernel.nin + converts,
                                   NULL if names is None else <PyObject *>names)
    except TypeError as refused:
        # NumPy's words do not say which operand it is.
        if str(refused).startswith(f"ufunc '{kernel.c_name.decode()}' "):
            check_types(kernel.function, kernel.operands, args)
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, ValueError) as failed:
        from fastrelu._foreign import failure
        instead = failure(kernel.function, failed, args + [where], out)
        if instead is None:
            raise
        raise instead from failed


cdef bint _are_plain(list args):
    """Are all of them plain arrays, so that only NumPy's code runs?"""
    for arg in args:
        if type(arg) is not cnp.ndarray:
            return False
    return True


cdef object _run_ufunc(const _General *call, Kernel kernel, list args, object target, object where):
    """Run a call through the third door."""
    cdef int j
    if target is None and where is True and not call.unknown and _are_plain(args):
        target = _fresh_for(args, kernel.nin, call.dtype)
    elif where is not True and cnp.PyArray_Check(target) and cnp.PyArray_TYPE(<cnp.ndarray>target) != call.dtype:
        # NumPy would copy such an output if it overlaps an input, and round its masked elements.
        for j in range(kernel.nin):
            if cnp.PyArray_Check(args[j]) and extents_meet(<cnp.ndarray>args[j], <cnp.ndarray>target):
                args[j] = args[j].copy()
        if cnp.PyArray_Check(where) and extents_meet(<cnp.ndarray>where, <cnp.ndarray>target):
            where = where.copy()
    if call.how.load != NULL and not call.unknown:
        return _run_half(call, kernel, args, target, where)
    return _call_ufunc(kernel, call.level, call.dtype, args, target, where)


cdef object _run_half(const _General *call, Kernel kernel, list args, object target, object where):
    """Run a call of a 16-bit type through the third door, with numbers in the type that computes."""
    cdef int j, level = call.how.scalar != kernel.calls[call.how.type][0].scalar  # of the ufunc with the same kernel
    cdef bint numbers = False
    computed = dtype_of(call.how.type)
    for j in range(kernel.nin):
        numbers = numbers or (type(args[j]) is cnp.ndarray and cnp.PyArray_TYPE(args[j]) == cnp.NPY_FLOAT32)
    if not numbers:
        return _call_ufunc(kernel, call.level, call.dtype, args, target, where)
    for j in range(kernel.nin):
        args[j] = quietly(args[j].astype, computed)
    if isinstance(target, np.ndarray):
        own = np.empty((), dtype_of(type_of(call.dtype)))
        copy_into(np.asarray(target), own, False)  # refuses what it could not write below
        wide = np.empty(target.shape, computed)
        _call_ufunc(kernel, level, computed.num, list(map(np.asarray, args)), wide, where)
    found = target if type(target) is cnp.ndarray else _call_ufunc(kernel, level, computed.num, args, target, where)
    if isinstance(target, np.ndarray):
        half = _moved(wide, call.dtype, False, call.how.store)
        copy_into(np.asarray(target), half, where)
        return found
    if target is not None and target is not Ellipsis:
        return found
    half = _moved(np.asarray(found), call.dtype, False, call.how.store)
    if not isinstance(found, np.ndarray):
        return half[()]
    found = quietly(found.astype, half.dtype)  # of a subclass
    copy_into(np.asarray(found), half)
    return found


# --- The choice between the second and the third door ---------------------------------------------------------------

cdef object _memmap = np.memmap  # a plain array in a file, to NumPy too, which returns an ndarray for one
cdef object _nothing = np.zeros(0, bool)

cdef int _why_not_moved(object value):
    """The reason why the driver cannot load a value, or store into it; 0 if it can."""
    if type(value) is not cnp.ndarray:
        return NO_ARRAY
    if _format(cnp.PyArray_TYPE(<cnp.ndarray>value)) < 0:
        return OTHER_TYPE
    return 0 if PyArray_ISALIGNED(<cnp.ndarray>value) else UNALIGNED


cdef int _why_not_strided(Kernel kernel, list args, object target, object where, int dtype) except -1:
    """The reason why the second door cannot take converted arguments; 0 if it can."""
    cdef int j, why, ndim = 0
    if where is not True:
        if type(where) is not cnp.ndarray or cnp.PyArray_TYPE(<cnp.ndarray>where) != cnp.NPY_BOOL:
            return WHERE_GIVEN
        ndim = cnp.PyArray_NDIM(<cnp.ndarray>where)
    if target is not None:
        why = _why_not_moved(target)
        if not why and _format(cnp.PyArray_TYPE(<cnp.ndarray>target)) < FR_AS_FLOAT:
            why = OTHER_TYPE
        if not why and FR_AS_BFLOAT in (_format(dtype), _format(cnp.PyArray_TYPE(<cnp.ndarray>target))):
            if not np.can_cast(dtype_of(type_of(dtype)), target.dtype, "same_kind"):
                why = OTHER_TYPE
        if not why and not PyArray_ISWRITEABLE(<cnp.ndarray>target):
            why = READ_ONLY
        if why:
            return why | kernel.nin << WHICH
    for j in range(kernel.nin):
        why = _why_not_moved(args[j])
        if why:
            return why | j << WHICH
        ndim = max(ndim, cnp.PyArray_NDIM(<cnp.ndarray>args[j]))
    return 0 if ndim or not has_kernels(dtype) else NO_AXES


cdef object _decide_general(_General *call, Kernel kernel, list args, object out, object where):
    """Decide how a call runs that the first door cannot take.

    Converts the arguments in place, and returns `out` as an object that can be written into.
    """
    cdef double number
    cdef int j, kind, common = WEAK
    cdef Py_ssize_t n
    cdef object target = out
    call.unknown = False
    for j in range(kernel.nin):
        if (isinstance(args[j], (list, tuple)) or (j < kernel.ndata and isinstance(args[j], bool))
                or type(args[j]) is _memmap):
            args[j] = np.asarray(args[j])
        kind = _class_of(args[j])
        call.unknown |= kind == FOREIGN or kind == NEITHER
        if kind >= 0:
            common = joint_kind(common, kind)
    common = type_of_kind(common)
    call.dtype = dtype_of(common).type_num
    call.level = precision_here()
    call.how = &kernel.calls[common][call.level]
    if kernel.nparams:
        _check_params(kernel, args, FR_float64 if call.unknown else type_of(_number_type(call.dtype)))
    if not call.unknown:
        for j in range(kernel.nin):
            if call.how.load != NULL and cnp.PyArray_CheckScalar(args[j]):
                args[j] = np.asarray(args[j])
            if call.how.load != NULL and type(args[j]) is cnp.ndarray and not PyArray_ISALIGNED(args[j]):
                args[j] = np.require(args[j], None, "A")
            if _number(args[j], &number):
                args[j] = _as_array(number, _number_type(call.dtype))
    if where is not True and type(where) is not cnp.ndarray:
        from fastrelu._foreign import check_mask
        check_mask(kernel.function, where)
    if out is None and type(where) is cnp.ndarray and _are_plain(args):
        np.logical_not(_nothing, where=_nothing)  # some versions of NumPy warn that masked elements are not initialized
    if type(out) is _memmap:
        target = np.asarray(out)
    elif out is not None and type(out) is not cnp.ndarray and out is not Ellipsis and not isinstance(out, tuple):
        target = as_target(kernel.function, out)
    settle()
    # From here on the caller's code does not run, unless the ufunc calls it.
    for operand in args:
        check_whole(operand, kernel.function)
    check_whole(target, kernel.function)
    check_whole(where, kernel.function)
    call.why_not_strided = (UNKNOWN_TYPE if call.unknown and where is True
                            else _why_not_strided(kernel, args, target, where, call.dtype))
    if not call.why_not_strided:
        n = _broadcast_size(args if where is True else args + [where])
        call.crew = crew_for(kernel.cost, n, size_of(call.dtype))
    return target


cdef object _unpacked(object out):
    """`out` as one object: ufuncs take a tuple too."""
    return out[0] if isinstance(out, tuple) and len(out) == 1 else out


cdef object _general(Kernel kernel, object out, object where, list args):
    """Run a call that the first door cannot take."""
    cdef _General call
    out = _unpacked(out)
    target = _decide_general(&call, kernel, args, out, where)
    if call.why_not_strided:
        result = _run_ufunc(&call, kernel, args, target, where)
    else:
        result = _run_strided(&call, kernel, args, target, where)
    return result if target is out else out


cdef int _number_type(int dtype) noexcept:
    """The type to which numbers as parameters are rounded beside arrays of a type: float32 for 16-bit types."""
    return dtype if has_kernels(dtype) else cnp.NPY_FLOAT32


cdef object _as_array(double number, int dtype):
    """A Python number as an array without axes, rounded once."""
    cdef cnp.ndarray array = cnp.PyArray_SimpleNew(0, NULL, dtype)
    drive.take_numbers(_anything, &number, type_of(dtype), cnp.PyArray_DATA(array), 1)
    return array


cdef int _anything(const double *params) noexcept nogil:
    return 1


@cython.binding(False)
def call_in_place(Kernel kernel not None, object where, object x, object b=None, object c=None, object d=None,
                  object e=None):
    """Run a forward kernel from x into x, and return x itself."""
    cdef object target = x if type(x) is cnp.ndarray else as_target(kernel.function, x)
    call(kernel, target, where, target, b, c, d, e)
    return x


# --- Loops of kernels, for the other engines ------------------------------------------------------------------------

cdef fr_kernel checked_kernel(object kernel, tuple numbers, int type, int level) except NULL:
    """The loop of a gradient whose parameters are numbers, after the check that they lie in the domain."""
    cdef Kernel own = kernel
    if own.nparams:
        _check_params(own, [None] * own.ndata + listed(numbers), own.calls[type][level].type)
    return own.calls[type][level].scalar


cdef fr_kernel plain_kernel(object kernel, tuple numbers, int type, int level, double *rounded) except? NULL:
    """The loop of a kernel, and its parameters in the type of the kernel. No code of the caller runs.

    NULL unless they are plain Python numbers in the domain: then the caller goes a way that says what is wrong.
    """
    cdef Kernel own = <Kernel?>kernel
    cdef const fr_call *how = &own.calls[type][level]
    cdef double params[FR_MAX_PARAMETERS]
    cdef int j
    if len(numbers) != own.nparams:
        return NULL
    for j in range(own.nparams):
        value = numbers[j]
        if not ((PyFloat_CheckExact(value) or PyLong_CheckExact(value)) and _number(value, &params[j])):
            return NULL
    if own.nparams and type >= <int>FR_OWN_TYPES:
        drive.take_numbers(_anything, params, FR_float32, rounded, own.nparams)
    if own.nparams and not drive.take_numbers(own.op.domain[own.direction], params, how.type, rounded, own.nparams):
        return NULL
    return how.scalar


# --- Calls that are explained instead of run ------------------------------------------------------------------------

cdef fr_atomic _explaining  # calls being explained, in all threads; if there are none, no call asks its context
explained_context = PyContextVar_New("fastrelu_explain", NULL)


class Explained(BaseException):
    """Ends a call that is explained instead of run; its argument is what the call would have done."""


def explain_calls(int change):
    """Make calls ask their context whether they are to be explained (1), or end that (-1)."""
    fr_add(&_explaining, change)


cpdef bint explaining() except -1:
    """Whether a call in the current context is explained instead of run."""
    cdef PyObject *found = NULL
    if not fr_load(&_explaining):
        return False
    PyContextVar_Get(explained_context, NULL, &found)
    if found == NULL:
        return False
    Py_DECREF(found)
    return True
