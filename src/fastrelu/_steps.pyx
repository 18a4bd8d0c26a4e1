# The steps of optimizers: all of the changes of one or none. What could fail, an allocation or an interrupt, comes
# first; then NumPy's own loops change the arrays block by block, and the bits are those of NumPy's operators.
"""Steps of optimizers."""

cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cython cimport critical_section
from libc.math cimport pow, sqrt
from libc.string cimport memcpy, memset

from fastrelu._loops cimport Loop, loop_of, run_loop
from fastrelu._numpy cimport (
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_ISALIGNED,
    PyArray_ISNOTSWAPPED,
    PyArray_ISWRITEABLE,
    PyArray_NewLikeArray,
    PyArray_SAMESHAPE,
)
from fastrelu._runtime cimport FR_MAX_AXES, fr_guard, fr_guard_close, fr_guard_open

import numpy as np

cnp.import_array()

cdef extern from "Python.h":
    ctypedef object (*_Getter)(object, object, object)
    ctypedef int (*_Setter)(object, object, object) except -1
    ctypedef struct _Type "PyTypeObject":
        _Getter tp_descr_get
        _Setter tp_descr_set
    _Type *Py_TYPE(object)


cdef enum:
    BLOCK = 1024  # numbers that are changed before the next ones are read
    SMALL = 1024  # elements up to which a copy costs less than to look for arrays in the same memory

cdef enum:
    ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, HYPOT, POSITIVE, ABSOLUTE, SQRT
    OPERATIONS

# The arrays of a parameter in a step, and the memory for blocks.
cdef enum:
    DATA, GRAD, FIRST, SECOND, THIRD
    ARRAYS

cdef enum:
    DIRECTION, DIVISOR, PRODUCT
    BLOCKS

cdef Loop _loops[2][OPERATIONS]  # of float32 and float64


cdef _fill_table():
    cdef int wide, type, k
    names = "add subtract multiply divide maximum hypot positive absolute sqrt".split()
    for wide, type in enumerate((cnp.NPY_FLOAT, cnp.NPY_DOUBLE)):
        for k in range(OPERATIONS):
            _loops[wide][k] = loop_of(getattr(np, names[k]), type)


_fill_table()


# --- Operations on the elements of a block ----------------------------------------------------------------------------

cdef struct _Number:
    double wide
    float narrow


cdef struct _Row:  # elements at equal distances
    char *at
    cnp.npy_intp step


cdef struct _Work:  # on one parameter
    bint wide
    bint aligned
    bint measures  # finds the largest number, and changes nothing
    bint first  # the running arrays are new
    bint huge  # squares may overflow
    int arrays
    _Number largest
    _Number root_scale
    _Number rate
    char *blocks[BLOCKS]


cdef inline _Number _number(double value) noexcept nogil:
    cdef _Number found
    found.wide, found.narrow = value, <float>value
    return found


cdef inline _Row _of_number(const _Work *work, const _Number *number) noexcept nogil:
    cdef _Row row
    row.at, row.step = <char *>&number.wide if work.wide else <char *>&number.narrow, 0
    return row


cdef inline _Row _block(const _Work *work, int which) noexcept nogil:
    cdef _Row row
    row.at, row.step = work.blocks[which], sizeof(double) if work.wide else sizeof(float)
    return row


cdef inline void _two(const _Work *work, int operation, _Row a, _Row b, _Row to, cnp.npy_intp n) noexcept nogil:
    run_loop(&_loops[work.wide][operation], a.at, a.step, b.at, b.step, to.at, to.step, n)


cdef inline void _one(const _Work *work, int operation, _Row x, _Row to, cnp.npy_intp n) noexcept nogil:
    # A loop of one operand reads its result's place and step where others have the second operand's.
    run_loop(&_loops[work.wide][operation], x.at, x.step, to.at, to.step, NULL, 0, n)


cdef inline void _with(const _Work *work, int operation, _Row x, const _Number *number, _Row to,
                       cnp.npy_intp n) noexcept nogil:
    _two(work, operation, x, _of_number(work, number), to, n)


cdef void _take(const _Work *work, _Row target, const _Number *factor, _Row by, const _Number *scale,
                cnp.npy_intp n) noexcept nogil:
    """target = target * factor - by * scale"""
    cdef _Row product = _block(work, PRODUCT)
    if factor.wide != 1:
        _with(work, MULTIPLY, target, factor, target, n)
    if scale.wide != 1 and scale.wide != -1:
        _with(work, MULTIPLY, by, scale, product, n)
        by = product
    _two(work, ADD if scale.wide == -1 else SUBTRACT, target, by, target, n)


# --- What optimizers do -----------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(64)
cdef class _Job:
    """A parameter in a step, with its arrays and the entries of its state."""

    cdef object parameter
    cdef Rule rule
    cdef cnp.ndarray data, grad, first, second, third  # None: the rule has no such array
    cdef dict entries, fresh  # what was kept of the parameter, and what replaces it if anything does
    cdef object step  # with this one; None: the rule counts none
    cdef double count  # the same
    cdef bint begins  # the running arrays are new


cdef class Rule:
    """What a step does to each parameter of a group."""

    cdef int plan(self, _Job job) except -1:
        """Find or make the running arrays; nothing is changed yet."""
        raise NotImplementedError

    cdef void begin(self, _Job job, _Work *work) noexcept:
        """Set the numbers that depend on the step; `measures` asks for the largest number first."""

    cdef void block(self, _Work *work, _Row *rows, cnp.npy_intp n) noexcept nogil:
        """Change n numbers of each array, BLOCK or less, or find the largest one."""


cdef cnp.ndarray _running(_Job job, str name):
    """A running array in the parameter's present type; None before the first step."""
    array = None if job.entries is None else job.entries.get(name)
    if array is None:
        return None
    if not (cnp.PyArray_Check(array) and cnp.PyArray_TYPE(array) == cnp.PyArray_TYPE(job.data)
            and PyArray_ISNOTSWAPPED(array)):
        array = array.astype(job.data.dtype)
        _keep(job, name, array)
    return array


cdef cnp.ndarray _new(_Job job, str name, bint zeros):
    """A new running array."""
    cdef cnp.ndarray array = PyArray_NewLikeArray(job.data, cnp.NPY_KEEPORDER, NULL, False)
    if zeros:
        memset(cnp.PyArray_DATA(array), 0, cnp.PyArray_NBYTES(array))
    _keep(job, name, array)
    return array


cdef _keep(_Job job, str name, cnp.ndarray array):
    if job.fresh is None:
        job.fresh = {} if job.entries is None else dict(job.entries)
    job.fresh[name] = array


@cython.final
cdef class Descent(Rule):
    """Gradient descent with momentum: `SGD`."""

    cdef bint decays, moves, nesterov
    cdef _Number one, decay, momentum, undamped, ahead, lr

    def __init__(self, double lr, double momentum, double dampening, double weight_decay, bint nesterov):
        self.decays, self.moves, self.nesterov = weight_decay != 0, momentum != 0, nesterov
        self.one, self.decay, self.momentum, self.lr = (
            _number(1), _number(weight_decay), _number(momentum), _number(lr))
        self.undamped, self.ahead = _number(dampening - 1), _number(-momentum)

    cdef int plan(self, _Job job) except -1:
        if self.moves:
            job.first = _running(job, "momentum_buffer")
            if job.first is None:
                job.first, job.begins = _new(job, "momentum_buffer", False), True
        return 0

    cdef void block(self, _Work *work, _Row *rows, cnp.npy_intp n) noexcept nogil:
        cdef _Row moved = rows[GRAD], direction = _block(work, DIRECTION)
        if self.decays:
            _with(work, MULTIPLY, rows[DATA], &self.decay, direction, n)
            _two(work, ADD, direction, moved, direction, n)
            moved = direction
        if self.moves:
            if work.first:
                _one(work, POSITIVE, moved, rows[FIRST], n)
            else:
                _take(work, rows[FIRST], &self.momentum, moved, &self.undamped, n)
            if self.nesterov:
                if not self.decays:
                    _one(work, POSITIVE, moved, direction, n)
                    moved = direction
                _take(work, moved, &self.one, rows[FIRST], &self.ahead, n)
            else:
                moved = rows[FIRST]
        _take(work, rows[DATA], &self.one, moved, &self.lr, n)


# Numbers whose squares do not overflow.
cdef _Number _safe
_safe.wide, _safe.narrow = sqrt(np.finfo(np.float64).max) / 2, sqrt(np.finfo(np.float32).max) / 2


@cython.final
cdef class Moments(Rule):
    """Running means of the gradient and of its square: `Adam` and `AdamW`."""

    cdef bint decays, amsgrad
    cdef double lr, first, second
    cdef _Number factor, decay, old, new, square_old, square_new, root_old, root_new, eps

    def __init__(self, double lr, double first, double second, double eps, double weight_decay, bint decoupled,
                 bint amsgrad):
        self.lr, self.first, self.second = lr, first, second
        self.decays, self.amsgrad = weight_decay != 0 and not decoupled, amsgrad
        self.factor = _number(1 - lr * weight_decay if weight_decay != 0 and decoupled else 1)
        self.decay, self.eps = _number(weight_decay), _number(eps)
        # A difference to the mean loses the digits of a gradient that is much smaller and counts for more than half.
        self.old, self.new = _number(first if first < 0.5 else 1), _number(first - 1)
        self.square_old, self.square_new = _number(second), _number(1 - second)
        self.root_old, self.root_new = _number(sqrt(second)), _number(sqrt(1 - second))

    cdef int plan(self, _Job job) except -1:
        # The root of the mean square is what is kept: a square that overflows would freeze the parameter for good.
        if job.entries is None:
            job.fresh = {"step": 1}
        job.first, job.second, job.step = _running(job, "exp_avg"), _running(job, "exp_avg_root"), 1
        if job.first is None or job.second is None:
            job.first, job.second = _new(job, "exp_avg", True), _new(job, "exp_avg_root", True)
        else:
            job.step += job.entries["step"]
        if self.amsgrad:
            job.third = _running(job, "max_exp_avg_root")
            if job.third is None:
                job.third = _new(job, "max_exp_avg_root", True)
        if job.fresh is not None:
            job.fresh["step"] = job.step
        job.count = job.step
        return 0

    cdef void begin(self, _Job job, _Work *work) noexcept:
        work.measures, work.largest = True, _number(0)
        work.root_scale = _number(sqrt(1 - pow(self.second, job.count)))
        work.rate = _number(self.lr / (1 - pow(self.first, job.count)))

    cdef void block(self, _Work *work, _Row *rows, cnp.npy_intp n) noexcept nogil:
        cdef _Row grad = rows[GRAD], mean = rows[FIRST], root = rows[SECOND], new = root
        cdef _Row direction = _block(work, DIRECTION), divisor = _block(work, DIVISOR), product = _block(work, PRODUCT)
        if self.decays:
            _with(work, MULTIPLY, rows[DATA], &self.decay, direction, n)
            _two(work, ADD, direction, grad, direction, n)
            grad = direction
        if work.measures:
            largest = _of_number(work, &work.largest)
            _one(work, ABSOLUTE, grad, divisor, n)
            _two(work, MAXIMUM, divisor, root, divisor, n)
            _two(work, MAXIMUM, largest, divisor, largest, n)
            return
        if work.huge:
            _with(work, MULTIPLY, root, &self.root_old, product, n)
            _with(work, MULTIPLY, grad, &self.root_new, divisor, n)
            _two(work, HYPOT, product, divisor, root, n)
        else:
            _two(work, MULTIPLY, grad, grad, divisor, n)
            _with(work, MULTIPLY, divisor, &self.square_new, divisor, n)
            _two(work, MULTIPLY, root, root, root, n)
            _with(work, MULTIPLY, root, &self.square_old, root, n)
            _two(work, ADD, root, divisor, root, n)
            _one(work, SQRT, root, root, n)
        if self.amsgrad:
            new = rows[THIRD]
            _two(work, MAXIMUM, root, new, new, n)
        _with(work, DIVIDE, new, &work.root_scale, divisor, n)
        _with(work, ADD, divisor, &self.eps, divisor, n)
        if self.old.wide == 1:
            _two(work, SUBTRACT, grad, mean, direction, n)
            grad = direction
        _take(work, mean, &self.old, grad, &self.new, n)
        _two(work, DIVIDE, mean, divisor, divisor, n)
        _take(work, rows[DATA], &self.factor, divisor, &work.rate, n)


# --- The arrays of a parameter, block by block ------------------------------------------------------------------------

cdef void _work_row(Rule rule, _Work *work, _Row *start, cnp.npy_intp n) noexcept nogil:
    cdef double copied[ARRAYS]
    cdef _Row rows[ARRAYS]
    cdef cnp.npy_intp i = 0, size = sizeof(double) if work.wide else sizeof(float)
    cdef int k
    while i < n:
        for k in range(work.arrays):
            rows[k].at, rows[k].step = start[k].at + i * start[k].step, start[k].step
        if work.aligned:
            rule.block(work, rows, min(n - i, BLOCK))
            i += BLOCK
            continue
        for k in range(work.arrays):
            memcpy(&copied[k], rows[k].at, size)
            rows[k].at = <char *>&copied[k]
        rule.block(work, rows, 1)
        for k in range(work.arrays):
            if k != GRAD and not work.measures:
                memcpy(start[k].at + i * start[k].step, &copied[k], size)
        i += 1


cdef void _work_through(Rule rule, _Work *work, PyObject **arrays) noexcept:
    """Change arrays of one shape and type, in any layout, or find the largest number."""
    cdef cnp.ndarray data = <cnp.ndarray>arrays[DATA]
    cdef _Row rows[ARRAYS]
    cdef cnp.npy_intp done[FR_MAX_AXES]
    cdef int k, axis, last = cnp.PyArray_NDIM(data) - 1
    cdef bint c = True, f = True
    for k in range(work.arrays):
        rows[k].at, rows[k].step = cnp.PyArray_BYTES(<cnp.ndarray>arrays[k]), cnp.PyArray_ITEMSIZE(data)
        c &= PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>arrays[k])
        f &= PyArray_IS_F_CONTIGUOUS(<cnp.ndarray>arrays[k])
    if cnp.PyArray_SIZE(data) == 0:
        return
    if c or f:
        _work_row(rule, work, rows, cnp.PyArray_SIZE(data))
        return
    for k in range(work.arrays):
        rows[k].step = cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], last)
    memset(done, 0, sizeof(done))
    axis = 0
    while axis >= 0:
        _work_row(rule, work, rows, cnp.PyArray_DIM(data, last))
        axis = last - 1
        while axis >= 0:
            done[axis] += 1
            for k in range(work.arrays):
                rows[k].at += cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], axis)
            if done[axis] < cnp.PyArray_DIM(data, axis):
                break
            for k in range(work.arrays):
                rows[k].at -= done[axis] * cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], axis)
            done[axis] = 0
            axis -= 1


cdef int _arrays_of(_Job job, PyObject **arrays) noexcept:
    """Write the arrays of a job, and return how many there are."""
    arrays[DATA], arrays[GRAD] = <PyObject *>job.data, <PyObject *>job.grad
    arrays[FIRST], arrays[SECOND], arrays[THIRD] = <PyObject *>job.first, <PyObject *>job.second, <PyObject *>job.third
    return FIRST if job.first is None else SECOND if job.second is None else THIRD if job.third is None else ARRAYS


cdef bint _takes_part(object array, cnp.ndarray data) noexcept:
    if not cnp.PyArray_Check(array):
        return False
    cdef int type = cnp.PyArray_TYPE(<cnp.ndarray>array)
    return (type == cnp.PyArray_TYPE(data) and (type == cnp.NPY_FLOAT or type == cnp.NPY_DOUBLE)
            and PyArray_ISNOTSWAPPED(<cnp.ndarray>array) and PyArray_SAMESHAPE(<cnp.ndarray>array, data))


cdef void _do(_Job job, char *memory) noexcept:
    """Make the changes of a parameter."""
    cdef PyObject *arrays[ARRAYS]
    cdef _Work work
    cdef int k
    work.arrays, work.wide = _arrays_of(job, arrays), cnp.PyArray_TYPE(job.data) == cnp.NPY_DOUBLE
    work.aligned, work.measures, work.huge, work.first = True, False, False, job.begins
    for k in range(work.arrays):
        work.aligned &= PyArray_ISALIGNED(<cnp.ndarray>arrays[k])
    for k in range(BLOCKS):
        work.blocks[k] = memory + k * min(cnp.PyArray_SIZE(job.data), BLOCK) * cnp.PyArray_ITEMSIZE(job.data)
    job.rule.begin(job, &work)
    if work.measures:
        _work_through(job.rule, &work, arrays)
        work.measures = False
        # False for NaN too.
        work.huge = not (work.largest.wide < _safe.wide if work.wide else work.largest.narrow < _safe.narrow)
    _work_through(job.rule, &work, arrays)


# --- Gradients that a user assigned, whose memory may be any ----------------------------------------------------------

cdef void _bounds(cnp.ndarray array, char **low, char **high) noexcept:
    """The memory from the first element of an array to the last one's end."""
    cdef int k
    low[0] = cnp.PyArray_BYTES(array)
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(array)
    for k in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIM(array, k) - 1) * cnp.PyArray_STRIDE(array, k)
        if reach > 0:
            high[0] += reach
        else:
            low[0] += reach


cdef bint _changes(list jobs, cnp.ndarray grad) noexcept:
    """Does the memory of a gradient change in the step?"""
    cdef PyObject *arrays[ARRAYS]
    cdef char *low
    cdef char *high
    cdef char *from_
    cdef char *to
    cdef _Job job
    cdef int k
    _bounds(grad, &low, &high)
    for job in jobs:
        for k in range(_arrays_of(job, arrays)):
            if k != GRAD:
                _bounds(<cnp.ndarray>arrays[k], &from_, &to)
                if from_ < high and low < to:
                    return True
    return False


cdef cnp.ndarray _copied(cnp.ndarray array):
    found = PyArray_NewLikeArray(array, cnp.NPY_KEEPORDER, NULL, False)
    if cnp.PyArray_CopyInto(found, array) < 0:
        raise MemoryError
    return found


# --- Steps ------------------------------------------------------------------------------------------------------------

# The number of the last update of the values of any parameter, in all threads; in a list because that is read fastest.
cdef list _updates = [0]
updates = _updates

cdef object _data, _grad, _requires_grad, _owned, _used, _updated


def new_update():
    """Return the number of a new update of parameters, above all before. It is asked for before the values change."""
    with critical_section(_updates):
        number = _updates[0] + 1
        _updates[0] = number
    return number


def use_slots(type parameter not None):
    """Set the class of parameters, whose slots are read and written here: to write one allocates nothing."""
    global _data, _grad, _requires_grad, _owned, _used, _updated
    _data, _grad, _requires_grad, _owned, _used, _updated = [
        parameter.__dict__[f"_{name}"] for name in ("data", "grad", "requires_grad", "owned", "used", "updated")]


cdef inline object _get(object slot, object parameter):
    return Py_TYPE(slot).tp_descr_get(slot, parameter, None)


cdef inline int _set(object slot, object parameter, object value) except -1:
    return Py_TYPE(slot).tp_descr_set(slot, parameter, value)


cdef Rule _rule(object optimizer, dict settled, Py_ssize_t i, object group):
    """The rule of a group; options that are the same objects as in the last step are good."""
    cdef tuple found
    cdef Py_ssize_t k = 0
    if type(group) is dict:
        found = settled.get(i)
        if found is not None and len(<tuple>found[0]) == len(<dict>group):
            for value in (<dict>group).values():
                if value is not (<tuple>found[0])[k]:
                    break
                k += 1
            else:
                return found[1]
    return optimizer._settle(i, group)


cdef bint _same(tuple before, list now) noexcept:
    cdef Py_ssize_t k
    if len(before) != len(now):
        return False
    for k in range(len(now)):
        if before[k] is not now[k]:
            return False
    return True


cdef _Job _job(object optimizer, Py_ssize_t i, object parameter, Rule rule, dict state):
    """What a step does to a parameter; None if there is no gradient since the last step, or if it is frozen."""
    cdef _Job job
    grad = _get(_grad, parameter)
    if grad is None or not _get(_requires_grad, parameter):
        return None
    data = _get(_data, parameter)
    used = _get(_used, parameter)
    if not (_takes_part(grad, data) and (used or PyArray_ISWRITEABLE(data))):
        optimizer._refuse_update(i, parameter)
    if used:
        return None
    job = _Job.__new__(_Job)
    job.parameter, job.rule, job.data, job.grad, job.entries = parameter, rule, data, grad, state.get(parameter)
    rule.plan(job)
    return job


cdef int _check(_Job job) except -1:
    """Refuse arrays that cannot be changed, or that code which ran since they were found has changed."""
    cdef PyObject *arrays[ARRAYS]
    cdef int k
    for k in range(_arrays_of(job, arrays)):
        array = <object>arrays[k]
        if not (_takes_part(array, job.data) and (k == GRAD or PyArray_ISWRITEABLE(array))):
            raise ValueError("a parameter or a running array is read-only, or became another one during the step")
    return 0


def take_step(optimizer):
    """Update all parameters of an optimizer that have a new gradient, or raise an error before the first changes.

    Other threads see all of a step or nothing of it, as it does not release the GIL.
    """
    cdef list jobs = [], parameters = [], rules = [], numbers = []
    cdef dict state = optimizer.state, settled = optimizer._settled
    cdef tuple known = optimizer._known
    cdef Py_ssize_t i, room = 0
    cdef _Job job
    cdef char *memory
    groups = optimizer.param_groups
    for i, group in enumerate(groups):
        rules.append(_rule(optimizer, settled, i, group))
    for i, group in enumerate(groups):
        for parameter in group["params"]:
            parameters.append(parameter)
            numbers.append(i)
    if not _same(known, parameters):
        optimizer._check_parameters(parameters)
    for i in range(len(parameters)):
        job = _job(optimizer, i, parameters[i], rules[numbers[i]], state)
        if job is not None:
            jobs.append(job)
    for job in jobs:
        if not _get(_owned, job.parameter) and (cnp.PyArray_SIZE(job.grad) <= SMALL or _changes(jobs, job.grad)):
            job.grad = _copied(job.grad)
        room = max(room, min(cnp.PyArray_SIZE(job.data), BLOCK) * cnp.PyArray_ITEMSIZE(job.data))
    try:
        for job in jobs:
            if job.fresh is not None and job.parameter not in state:
                state[job.parameter] = None  # later it is replaced without an allocation
        number = new_update()
        memory = <char *>PyMem_Malloc(BLOCKS * room)
        if memory is NULL:
            raise MemoryError
        try:
            for job in jobs:
                _check(job)
        except BaseException:
            PyMem_Free(memory)
            raise
    except BaseException:
        for job in jobs:
            if job.fresh is not None and state.get(job.parameter, job) is None:
                del state[job.parameter]
        raise
    cdef fr_guard caller = fr_guard_open()
    for job in jobs:
        _do(job, memory)
    fr_guard_close(caller)
    PyMem_Free(memory)
    for job in jobs:
        if job.fresh is not None:
            state[job.parameter] = job.fresh
        elif job.step is not None:
            job.entries["step"] = job.step
        _set(_updated, job.parameter, number)
    for parameter in parameters:
        _set(_used, parameter, True)
