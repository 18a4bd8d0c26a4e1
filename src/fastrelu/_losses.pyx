"""Losses of small arrays, and the formulas of those that compare two arrays element by element.

A formula is a row of NumPy's own loops and of kernels: its bits are those of NumPy's operators and of the activations.
"""

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.math cimport INFINITY, NAN, isfinite, isinf
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastrelu._arguments cimport _as_carray, _native, _rounded
from fastrelu._core cimport _dispatch, explaining, plain_kernel
from fastrelu._kernels cimport Kernel
from fastrelu._loops cimport Loop, find_loops, run_loop
from fastrelu._numpy cimport (
    NPY_NTYPES_LEGACY,
    PyArray_Descr,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_ISALIGNED,
    PyArray_ISNOTSWAPPED,
    PyArray_NewLikeArray,
    PyArray_SAMESHAPE,
    PyArray_Scalar,
    PyDataType_GetArrFuncs,
)
from fastrelu._runtime cimport (
    FR_MAX_INPUTS,
    FR_MAX_PARAMETERS,
    fr_guard,
    fr_guard_close,
    fr_guard_open,
    fr_kernel,
    fr_load,
    fresh,
    precision_here,
    settings,
    size_of,
    type_of,
)

cnp.import_array()

ctypedef void (*_Dot)(void *, cnp.npy_intp, void *, cnp.npy_intp, void *, cnp.npy_intp, void *) noexcept nogil


cdef enum:
    ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, NEGATIVE, ABSOLUTE, SIGN, LOG, LOG1P
    OPERATIONS
    RELEASED = 4096  # elements from which a loop runs without the GIL
    DOT = 8192  # elements: OpenBLAS computes dot products of more than 10,000 on several threads

# The formulas, as numbers, which calls pass on faster than objects.
cpdef enum:
    MSE = 0
    L1
    HUBER
    SMOOTH_L1
    BINARY
    BINARY_WITH_LOGITS

# Where a formula leaves the losses: each of them, or two factors.
cdef enum:
    EACH
    EACH_TIMES_SLOPE
    SLOPE_SQUARED


cdef Loop _loops[2][OPERATIONS]  # of float32 and float64
cdef _Dot _dots[2]
cdef int _loss_type[NPY_NTYPES_LEGACY]  # by NumPy's number of a type: that of a loss of it, -1 where it has none here


cdef _fill_tables():
    cdef int wide, type, k
    names = "add subtract multiply divide maximum minimum negative absolute sign log log1p"
    find_loops(np, names, _loops[0], _loops[1])
    for wide, type in enumerate((cnp.NPY_FLOAT, cnp.NPY_DOUBLE)):
        descr = cnp.PyArray_DescrFromType(type)
        _dots[wide] = PyDataType_GetArrFuncs(<PyArray_Descr *>descr).dotfunc
    for k in range(NPY_NTYPES_LEGACY):
        _loss_type[k] = -1
    for code in "?bBhHiIlLqQefd":
        _loss_type[np.dtype(code).num] = np.dtype(code).num if code == "e" else np.result_type(code, np.float32).num


_fill_tables()

cdef Kernel _softplus, _sigmoid, _hard_tanh


def use_kernels(Kernel softplus not None, Kernel sigmoid not None, Kernel hard_tanh not None):
    """Set the kernels of the formulas."""
    global _softplus, _sigmoid, _hard_tanh
    _softplus, _sigmoid, _hard_tanh = softplus, sigmoid, hard_tanh


# --- Operations on arrays of one type that fill their memory in one order ---------------------------------------------

cdef inline bint _wide(cnp.ndarray x) noexcept:
    return cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE


cdef void _call(int operation, bint wide, char *a, bint a_moves, char *b, bint b_moves, char *to, bint to_moves,
                cnp.npy_intp n) noexcept:
    cdef cnp.npy_intp size = sizeof(double) if wide else sizeof(float)
    cdef Loop *loop = &_loops[wide][operation]
    if n < RELEASED:
        run_loop(loop, a, size * a_moves, b, size * b_moves, to, size * to_moves, n)
    else:
        with nogil:
            run_loop(loop, a, size * a_moves, b, size * b_moves, to, size * to_moves, n)


cdef inline void _two(int operation, cnp.ndarray a, cnp.ndarray b, cnp.ndarray to) noexcept:
    _call(operation, _wide(to), cnp.PyArray_BYTES(a), True, cnp.PyArray_BYTES(b), True, cnp.PyArray_BYTES(to), True,
          cnp.PyArray_SIZE(to))


cdef inline void _one(int operation, cnp.ndarray x, cnp.ndarray to) noexcept:
    # A loop of one operand reads its result's place and step where others have the second operand's.
    _call(operation, _wide(to), cnp.PyArray_BYTES(x), True, cnp.PyArray_BYTES(to), True, NULL, False,
          cnp.PyArray_SIZE(to))


cdef inline void _with(int operation, cnp.ndarray x, double number, cnp.ndarray to, bint first=False) noexcept:
    """An operation with a number, which comes first or second."""
    cdef float narrow = <float>number
    cdef char *at = <char *>&number if _wide(to) else <char *>&narrow
    cdef char *data = cnp.PyArray_BYTES(x)
    _call(operation, _wide(to), at if first else data, not first, data if first else at, first, cnp.PyArray_BYTES(to),
          True, cnp.PyArray_SIZE(to))


cdef double _fold(int operation, cnp.ndarray x, double start) noexcept:
    """NumPy's reduction of all elements, in the order of memory."""
    cdef float narrow = <float>start
    cdef bint wide = _wide(x)
    cdef char *at = <char *>&start if wide else <char *>&narrow
    _call(operation, wide, at, False, cnp.PyArray_BYTES(x), True, at, False, cnp.PyArray_SIZE(x))
    return start if wide else narrow


cdef double _at(cnp.ndarray x, Py_ssize_t i) noexcept:
    return (<double *>cnp.PyArray_DATA(x))[i] if _wide(x) else (<float *>cnp.PyArray_DATA(x))[i]


cdef double _sum(cnp.ndarray x) noexcept:
    return _fold(ADD, x, 0)


cdef double _dot(cnp.ndarray x, cnp.ndarray y) except? -1:
    """The sum of products, in C order."""
    cdef bint wide = _wide(x)
    cdef cnp.npy_intp size = sizeof(double) if wide else sizeof(float), n = cnp.PyArray_SIZE(x), i, m
    cdef double part, total = 0
    cdef float narrow
    x, y = cnp.PyArray_Ravel(x, cnp.NPY_CORDER), cnp.PyArray_Ravel(y, cnp.NPY_CORDER)
    for i in range(0, n, DOT):
        m = min(n - i, <cnp.npy_intp>DOT)
        _dots[wide](cnp.PyArray_BYTES(x) + i * size, size, cnp.PyArray_BYTES(y) + i * size, size,
                    <void *>&part if wide else <void *>&narrow, m, NULL)
        total += part if wide else narrow
    return total


cdef cnp.ndarray _new(cnp.ndarray like, int type):
    """A new array of the shape and order of another."""
    cdef cnp.npy_intp n = cnp.PyArray_SIZE(like)
    if PyArray_IS_C_CONTIGUOUS(like):
        if n >= RELEASED:  # from the pool if it is large
            return fresh(cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), type, n * size_of(type))
        return cnp.PyArray_SimpleNew(cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), type)
    descr = cnp.PyArray_DescrFromType(type)
    Py_INCREF(descr)  # the function takes it over
    return PyArray_NewLikeArray(like, cnp.NPY_KEEPORDER, <PyArray_Descr *>descr, False)


cdef bint _is_placed(cnp.ndarray x, cnp.ndarray like) noexcept:
    """Is it of the type, shape and order in memory of an array that fills its memory?"""
    cdef int k
    if cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(like) or not (
        PyArray_ISALIGNED(x) and PyArray_ISNOTSWAPPED(x) and PyArray_SAMESHAPE(x, like)
    ):
        return False
    if PyArray_IS_C_CONTIGUOUS(x) and PyArray_IS_C_CONTIGUOUS(like):
        return True
    if PyArray_IS_F_CONTIGUOUS(x) and PyArray_IS_F_CONTIGUOUS(like):
        return True
    for k in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_STRIDE(x, k) != cnp.PyArray_STRIDE(like, k):
            return False
    return True


cdef cnp.ndarray _placed(cnp.ndarray x, cnp.ndarray like):
    """The numbers of an array, which may be broadcast, in the type, shape and order in memory of another."""
    cdef int type = cnp.PyArray_TYPE(like)
    if x is None or _is_placed(x, like):
        return x
    if cnp.PyArray_TYPE(x) != type:
        x = _native(x, type)
        if _is_placed(x, like):
            return x
    cdef cnp.ndarray found = _new(like, type)
    cnp.PyArray_CopyInto(found, x)
    return found


cdef int _apply(Kernel kernel, tuple numbers, cnp.ndarray x, cnp.ndarray out) except -1:
    """Call a kernel; few elements need no more than its loop."""
    cdef double rounded[FR_MAX_PARAMETERS]
    cdef const char *inputs[FR_MAX_INPUTS]
    cdef PyObject *args[FR_MAX_INPUTS]
    cdef fr_kernel function
    cdef fr_guard caller
    cdef int j, n = len(numbers)
    if cnp.PyArray_SIZE(x) < fr_load(&settings.at_once) and not explaining():
        function = plain_kernel(kernel, numbers, type_of(cnp.PyArray_TYPE(x)), precision_here(), rounded)
        if function != NULL:
            inputs[0] = cnp.PyArray_BYTES(x)
            for j in range(n):
                inputs[1 + j] = <const char *>rounded + j * size_of(cnp.PyArray_TYPE(x))
            caller = fr_guard_open()
            function(inputs, cnp.PyArray_BYTES(out), cnp.PyArray_SIZE(x))
            fr_guard_close(caller)
            return 0
    args[0] = <PyObject *>x
    for j in range(n):
        args[1 + j] = <PyObject *>numbers[j]
    _dispatch(kernel, out, True, args)
    return 0


# --- Formulas ---------------------------------------------------------------------------------------------------------

cdef int _refuse(cnp.ndarray values, str what, str hint) except -1:
    """Raise for the first number that is not between 0 and 1, if there is one."""
    if not cnp.PyArray_SIZE(values):
        return 0
    cdef double first = _at(values, 0)
    # NaN is the least and the greatest of all.
    if _fold(MINIMUM, values, first) >= 0 and _fold(MAXIMUM, values, first) <= 1:
        return 0
    inside = np.logical_and(values >= 0, values <= 1)
    raise ValueError(f"BCELoss needs {what} between 0 and 1, got {values[~inside][0]}{hint}")


cdef void _times(cnp.ndarray values, cnp.ndarray weights, bint infinite) noexcept:
    """Multiply values by weights in place; no weight of an infinite value is 0."""
    cdef Py_ssize_t i
    if infinite:
        for i in range(cnp.PyArray_SIZE(values)):
            if _at(weights, i) == 0 and isinf(_at(values, i)):
                if _wide(values):
                    (<double *>cnp.PyArray_DATA(values))[i] = 0
                else:
                    (<float *>cnp.PyArray_DATA(values))[i] = 0
    _two(MULTIPLY, values, weights, values)


cdef int _squares(cnp.ndarray slope, cnp.ndarray x, cnp.ndarray y) except -1:
    _two(SUBTRACT, x, y, slope)
    return SLOPE_SQUARED


cdef int _absolute(bint with_grad, cnp.ndarray each, cnp.ndarray slope, cnp.ndarray x, cnp.ndarray y) except -1:
    _two(SUBTRACT, x, y, each)
    if with_grad:
        _one(SIGN, each, slope)
    _one(ABSOLUTE, each, each)
    return EACH


cdef int _parabola(double end, cnp.ndarray each, cnp.ndarray slope, cnp.ndarray x, cnp.ndarray y) except -1:
    """Differences limited to ``[-end, end]`` in `slope`, and the differences minus half of that in `each`."""
    cdef cnp.ndarray half = _new(each, cnp.PyArray_TYPE(each))
    _two(SUBTRACT, x, y, each)
    _apply(_hard_tanh, (-end, end), each, slope)
    _with(MULTIPLY, slope, 0.5, half)
    _two(SUBTRACT, each, half, each)
    return EACH_TIMES_SLOPE


cdef int _smooth(double beta, cnp.ndarray each, cnp.ndarray slope, cnp.ndarray x, cnp.ndarray y) except -1:
    if not _wide(each):
        beta = <float>beta  # one that is 0 in this type is 0
    _parabola(beta, each, slope, x, y)
    if beta == 0:
        _one(SIGN, each, slope)
    elif beta != 1:
        _with(DIVIDE, slope, beta, slope)
    return EACH_TIMES_SLOPE


cdef int _binary(bint with_grad, cnp.ndarray each, cnp.ndarray slope, cnp.ndarray x, cnp.ndarray y,
                 cnp.ndarray weight) except -1:
    """The loss is ``-(y * log(x) + (1 - y) * log(1 - x))`` with logarithms of at least -100."""
    cdef cnp.ndarray other = _new(each, cnp.PyArray_TYPE(each))
    _refuse(x, "predictions", "; BCEWithLogitsLoss takes any number")
    _refuse(y, "targets", "")
    _one(NEGATIVE, x, each)
    _one(LOG1P, each, each)
    _with(MAXIMUM, each, -100, each)
    _with(SUBTRACT, y, 1, other)
    _two(MULTIPLY, each, other, each)
    _one(LOG, x, slope)
    _with(MAXIMUM, slope, -100, slope)
    _two(MULTIPLY, slope, y, slope)
    _two(SUBTRACT, each, slope, each)
    if with_grad:
        _with(SUBTRACT, x, 1, other, True)
        _two(MULTIPLY, x, other, other)
        _with(MAXIMUM, other, 1e-12, other)
        _two(SUBTRACT, x, y, slope)
        _two(DIVIDE, slope, other, slope)
    if weight is not None:
        _two(MULTIPLY, each, weight, each)
        if with_grad:
            _two(MULTIPLY, slope, weight, slope)
    return EACH


cdef int _binary_with_logits(bint with_grad, cnp.ndarray each, cnp.ndarray slope, cnp.ndarray x, cnp.ndarray y,
                             cnp.ndarray weight, cnp.ndarray pos_weight) except -1:
    """Binary cross-entropy and its gradient: sums of terms of one sign, which do not cancel."""
    cdef int type = cnp.PyArray_TYPE(each)
    cdef cnp.ndarray rest = _new(each, type), minus = _new(each, type), other = _new(each, type), share = y
    # One sum is faster than a test of each element; one that overflows only asks for more care.
    cdef bint infinite = not isfinite(_sum(x))
    _with(SUBTRACT, y, 1, rest, True)
    if pos_weight is not None:
        share = _new(each, type)
        _two(MULTIPLY, y, pos_weight, share)
    _one(NEGATIVE, x, minus)
    _apply(_softplus, (1.0,), x, each)
    _times(each, rest, infinite)
    _apply(_softplus, (1.0,), minus, other)
    _times(other, share, infinite)
    _two(ADD, each, other, each)
    if weight is not None:
        _times(each, weight, infinite)
    if with_grad:
        _apply(_sigmoid, (), x, slope)
        _two(MULTIPLY, slope, rest, slope)
        _apply(_sigmoid, (), minus, minus)
        _two(MULTIPLY, minus, share, minus)
        _two(SUBTRACT, slope, minus, slope)
        if weight is not None:
            _two(MULTIPLY, slope, weight, slope)
    return EACH


cdef int _compute(int formula, double end, bint with_grad, cnp.ndarray each, cnp.ndarray slope, cnp.ndarray x,
                  cnp.ndarray y, cnp.ndarray weight, cnp.ndarray pos_weight) except -1:
    """Write losses, or their factors, and if asked for gradients without the formula's factor."""
    if formula == MSE:
        return _squares(slope, x, y)
    if formula == L1:
        return _absolute(with_grad, each, slope, x, y)
    if formula == HUBER:
        return _parabola(end, each, slope, x, y)
    if formula == SMOOTH_L1:
        return _smooth(end, each, slope, x, y)
    if formula == BINARY:
        return _binary(with_grad, each, slope, x, y, weight)
    return _binary_with_logits(with_grad, each, slope, x, y, weight, pos_weight)


cdef double _factor(int formula) noexcept:
    """The factor that the gradients lack."""
    return 2.0 if formula == MSE else 1.0


cdef double _total(int where, cnp.ndarray each, cnp.ndarray slope) except? -1:
    """The sum of the losses."""
    if where == EACH:
        return _sum(each)
    return _dot(slope if where == SLOPE_SQUARED else each, slope)


cdef void _spread(int where, cnp.ndarray each, cnp.ndarray slope) noexcept:
    """Write the losses into `each`, where they may be already."""
    if where != EACH:
        _two(MULTIPLY, slope if where == SLOPE_SQUARED else each, slope, each)


# --- Calls ------------------------------------------------------------------------------------------------------------

cdef tuple _REDUCTIONS = ("none", "mean", "sum")


cdef object _scalar(double number, int type):
    """A loss that is one number, rounded to its type."""
    cdef float narrow = <float>number  # rounded here, for NumPy would warn of a number that is too large
    cdef cnp.ndarray found
    if type == cnp.NPY_DOUBLE or type == cnp.NPY_FLOAT:
        descr = cnp.PyArray_DescrFromType(type)
        at = <void *>&number if type == cnp.NPY_DOUBLE else <void *>&narrow
        return PyArray_Scalar(at, <PyArray_Descr *>descr, NULL)
    found = cnp.PyArray_SimpleNew(0, NULL, cnp.NPY_DOUBLE)
    (<double *>cnp.PyArray_DATA(found))[0] = number
    return _rounded(found, type)[()]


cdef tuple _whole(int formula, double end, cnp.ndarray x, cnp.ndarray y, cnp.ndarray weight, cnp.ndarray pos_weight,
                  str reduction, int type, int loss_type, int grad_type):
    """Loss and gradient, computed in a type as one block; no gradient if its type is -1."""
    cdef bint with_grad = grad_type >= 0, mean = reduction == "mean"
    cdef cnp.ndarray each = _new(x, type)
    # Without a gradient these two compute in one array.
    cdef cnp.ndarray slope = each if not with_grad and (formula == MSE or formula == L1) else _new(x, type)
    cdef Py_ssize_t count = cnp.PyArray_SIZE(x)
    cdef double scale = _factor(formula), total
    cdef fr_guard caller
    cdef int where
    x, y, weight, pos_weight = (
        _placed(x, each), _placed(y, each), _placed(weight, each), _placed(pos_weight, each))
    grad = None
    caller = fr_guard_open()
    try:
        where = _compute(formula, end, with_grad, each, slope, x, y, weight, pos_weight)
        if reduction == "none":
            _spread(where, each, slope)
            loss = _rounded(each, loss_type)
            if cnp.PyArray_NDIM(each) == 0:
                loss = loss[()]
        else:
            total = _total(where, each, slope)
            if mean:
                total = total / count if count else NAN
            loss = _scalar(total, loss_type)
        if with_grad:
            if mean:
                scale /= max(count, 1)
            if scale != 1:
                _with(MULTIPLY, slope, scale, slope)
            grad = _rounded(slope, grad_type)
    finally:
        fr_guard_close(caller)
    return loss, grad


cdef int _known(object value) noexcept:
    """The type of a loss of a plain array; -1 if Python has to look at it."""
    if type(value) is not cnp.ndarray or not PyArray_ISNOTSWAPPED(<cnp.ndarray>value):
        return -1
    cdef int type_num = cnp.PyArray_TYPE(<cnp.ndarray>value)
    return _loss_type[type_num] if type_num < NPY_NTYPES_LEGACY else -1


cdef bint _is_factor(object value, cnp.ndarray x) noexcept:
    """Is it None, or a plain array that broadcasts to the losses?"""
    cdef int k, gap
    cdef cnp.npy_intp length
    if value is None:
        return True
    if _known(value) < 0:
        return False
    gap = cnp.PyArray_NDIM(x) - cnp.PyArray_NDIM(<cnp.ndarray>value)
    for k in range(cnp.PyArray_NDIM(<cnp.ndarray>value)):
        length = cnp.PyArray_DIM(<cnp.ndarray>value, k)
        if gap < 0 or (length != 1 and length != cnp.PyArray_DIM(x, gap + k)):
            return False
    return gap >= 0


cdef inline int _computed(int type) noexcept:
    return cnp.NPY_FLOAT if type == cnp.NPY_FLOAT16 else type


@cython.binding(False)
def small(int formula, double end, object prediction, object target, object weight, object pos_weight,
          object reduction, bint with_grad, Py_ssize_t most):
    """Loss and gradient of plain arrays of few elements; None for all else, which Python looks at and may refuse."""
    cdef cnp.ndarray x, y
    cdef int kind = _known(prediction), other = _known(target), type = _computed(kind)
    if kind < 0 or other < 0:
        return None
    x, y = prediction, target
    if (not PyArray_SAMESHAPE(x, y) or cnp.PyArray_SIZE(x) > most or not _is_factor(weight, x)
            or not _is_factor(pos_weight, x) or not isinstance(reduction, str) or reduction not in _REDUCTIONS):
        return None
    cdef int loss_type = kind
    if formula != BINARY_WITH_LOGITS:  # whose labels change no type
        type = max(type, _computed(other))
        if kind != other and (cnp.PyTypeNum_ISFLOAT(cnp.PyArray_TYPE(y))):
            loss_type = max(_computed(kind), _computed(other))
    return _whole(formula, end, x, y, weight, pos_weight, str(reduction), type, loss_type, kind if with_grad else -1)


@cython.final
cdef class Formula:
    """A formula with its number, for arrays that Python has looked at, and for blocks of large ones."""

    cdef int number
    cdef double end
    cdef bint weighted

    def __init__(self, int number, double end, bint weighted):
        self.number, self.end, self.weighted = number, end, weighted

    def __call__(self, cnp.ndarray each not None, cnp.ndarray slope not None, bint with_grad, cnp.ndarray x not None,
                 cnp.ndarray y not None, *factors):
        """Compute a block of contiguous arrays; return the losses, or two arrays whose product they are."""
        cdef fr_guard caller = fr_guard_open()
        try:
            weight, pos_weight = self._split(factors)
            where = _compute(self.number, self.end, with_grad, each, slope, x, y, weight, pos_weight)
        finally:
            fr_guard_close(caller)
        return (each,) if where == EACH else (slope if where == SLOPE_SQUARED else each, slope)

    def whole(self, operands, cnp.dtype dtype not None, str reduction not None, cnp.dtype loss_dtype not None,
              cnp.dtype grad_dtype):
        """Loss and gradient of arrays that are one block."""
        x, y, *factors = operands
        weight, pos_weight = self._split(tuple(factors))
        return _whole(self.number, self.end, x, y, weight, pos_weight, reduction, dtype.type_num, loss_dtype.type_num,
                      -1 if grad_dtype is None else grad_dtype.type_num)

    @property
    def factor(self):
        """The factor that the gradients of a block lack."""
        return _factor(self.number)

    cdef tuple _split(self, tuple factors):
        """The weight and the weight of positive labels, None where there is none."""
        cdef int n = len(factors)
        if n == 2:
            return factors
        if n == 0:
            return None, None
        return (factors[0], None) if self.weighted else (None, factors[0])


def scaled(cnp.ndarray gradient not None, object grad, tuple axes not None, Py_ssize_t most):
    """The gradient times that of each loss, which lacks some axes; None for all that Python has to look at.

    Products beyond the type are infinite without a warning.
    """
    cdef cnp.ndarray given, found
    cdef int type = cnp.PyArray_TYPE(gradient), computed = _computed(type), k, j = 0, ndim = cnp.PyArray_NDIM(gradient)
    cdef fr_guard caller
    if (_known(grad) < 0 or ndim == 0 or cnp.PyArray_SIZE(gradient) > most
            or (computed != type and cnp.PyArray_TYPE(<cnp.ndarray>grad) != type)):
        return None
    given = grad
    if axes:
        for k in range(ndim):
            if k in axes:
                continue
            if j == cnp.PyArray_NDIM(given) or cnp.PyArray_DIM(given, j) != cnp.PyArray_DIM(gradient, k):
                return None
            j += 1
        if j != cnp.PyArray_NDIM(given):
            return None
        given = (<object>given).reshape([1 if k in axes else cnp.PyArray_DIM(gradient, k) for k in range(ndim)])
    elif not PyArray_SAMESHAPE(gradient, given):
        return None
    found = _new(gradient, computed)
    gradient, given = _placed(gradient, found), _placed(given, found)
    caller = fr_guard_open()
    _two(MULTIPLY, gradient, given, found)
    fr_guard_close(caller)
    return _rounded(found, type)


# --- The negative logarithm of the probability of each label ----------------------------------------------------------

cdef cnp.ndarray _weights_of(object weight, cnp.npy_intp classes):
    """The weights of the classes as float64; None where Python has to look at them."""
    if (_known(weight) < 0 or cnp.PyArray_NDIM(<cnp.ndarray>weight) != 1
            or cnp.PyArray_DIM(<cnp.ndarray>weight, 0) != classes):
        return None
    cdef cnp.ndarray given = weight, found
    cdef cnp.npy_intp i
    cdef const float *at
    if cnp.PyArray_TYPE(given) == cnp.NPY_FLOAT and PyArray_ISALIGNED(given):  # NumPy looks at flags, which takes time
        found = cnp.PyArray_SimpleNew(1, &classes, cnp.NPY_DOUBLE)
        for i in range(classes):
            at = <const float *>(cnp.PyArray_BYTES(given) + i * cnp.PyArray_STRIDE(given, 0))
            (<double *>cnp.PyArray_DATA(found))[i] = at[0]
        return found
    return _as_carray(_native(given, cnp.NPY_DOUBLE), cnp.NPY_DOUBLE)


@cython.binding(False)
def small_nll(object log_probabilities, object labels, object weight, object ignore_index, object reduction,
              bint with_grad, Py_ssize_t most):
    """Loss and gradient of plain arrays of few elements; None for all else, which Python looks at and may refuse."""
    cdef cnp.ndarray x, label, weights = None, each, shares, grad = None
    cdef int kind = _known(log_probabilities), k, axis, ndim, overflow = 0
    cdef cnp.npy_intp classes, inner = 1, rows, r, at
    cdef long long ignored
    cdef int64_t one
    cdef bint plain = weight is None, mean, unsigned
    cdef double factor, count, total, share
    cdef fr_guard caller
    if (kind < 0 or _known(labels) < 0 or not cnp.PyTypeNum_ISINTEGER(cnp.PyArray_TYPE(<cnp.ndarray>labels))
            or cnp.PyArray_TYPE(<cnp.ndarray>log_probabilities) != kind or not PyLong_CheckExact(ignore_index)
            or not isinstance(reduction, str) or reduction not in _REDUCTIONS):
        return None
    x, label, ndim, mean = log_probabilities, labels, cnp.PyArray_NDIM(log_probabilities), reduction == "mean"
    axis, rows = 1 if ndim > 1 else 0, cnp.PyArray_SIZE(label)
    unsigned = cnp.PyTypeNum_ISUNSIGNED(cnp.PyArray_TYPE(label))
    ignored = PyLong_AsLongLongAndOverflow(ignore_index, &overflow)
    if (overflow or ndim == 0 or cnp.PyArray_NDIM(label) != ndim - 1 or cnp.PyArray_SIZE(x) > most
            or cnp.PyArray_SIZE(x) == 0):
        return None
    for k in range(ndim - 1):
        if cnp.PyArray_DIM(label, k) != cnp.PyArray_DIM(x, k + (k >= axis)):
            return None
    classes = cnp.PyArray_DIM(x, axis)
    for k in range(axis + 1, ndim):
        inner *= cnp.PyArray_DIM(x, k)
    if not plain:
        weights = _weights_of(weight, classes)
        if weights is None:
            return None
    x = _as_carray(_native(x, _computed(kind)), _computed(kind))
    label = _as_carray(label, cnp.NPY_INT64)
    each = cnp.PyArray_SimpleNew(ndim - 1, cnp.PyArray_DIMS(label), cnp.NPY_DOUBLE)
    shares = cnp.PyArray_SimpleNew(ndim - 1, cnp.PyArray_DIMS(label), cnp.NPY_DOUBLE)
    places = cnp.PyArray_SimpleNew(1, &rows, cnp.NPY_INTP)  # of the labels' elements; -1: ignored
    cdef cnp.npy_intp *place = <cnp.npy_intp *>cnp.PyArray_DATA(places)
    cdef const volatile int64_t *given = <const volatile int64_t *>cnp.PyArray_DATA(label)
    cdef double *loss_of = <double *>cnp.PyArray_DATA(each)
    cdef double *share_of = <double *>cnp.PyArray_DATA(shares)
    plain = plain and not 0 <= ignored < classes
    for r in range(rows):
        one = given[r]  # read once: another thread may write it meanwhile
        place[r], share_of[r] = -1, 0
        if one < 0 and unsigned:  # above all that int64 holds
            return None
        if one == ignored:
            plain = False
        elif not 0 <= one < classes:
            return None
        else:
            place[r] = (r // inner * classes + one) * inner + r % inner
            share_of[r] = 1 if weights is None else (<double *>cnp.PyArray_DATA(weights))[one]
    caller = fr_guard_open()
    try:
        for r in range(rows):
            factor = -share_of[r]
            loss_of[r] = 0 if factor == 0 else -_at(x, place[r]) if plain else _at(x, place[r]) * factor
        count = rows if plain else _sum(shares)
        if reduction == "none":
            loss = _rounded(each, kind)
            loss = loss if ndim > 1 else loss[()]
        else:
            total = _sum(each)
            if mean:
                total = total / count if count else NAN
            loss = _scalar(total, kind)
        if with_grad:
            # The mean of losses whose weights are all 0 is NaN, and so is its gradient; what is ignored has none.
            share = 1 if not mean else 1 / count if count else INFINITY
            for r in range(rows):
                share_of[r] = 0 if place[r] < 0 else -share_of[r] * share
            shares = _rounded(shares, kind)
            grad = cnp.PyArray_ZEROS(ndim, cnp.PyArray_DIMS(x), kind, False)
            at = cnp.PyArray_ITEMSIZE(grad)
            for r in range(rows):
                if place[r] >= 0:
                    memcpy(cnp.PyArray_BYTES(grad) + at * place[r], cnp.PyArray_BYTES(shares) + at * r, at)
    finally:
        fr_guard_close(caller)
    return loss, grad
