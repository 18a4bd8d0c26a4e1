# The steps of optimizers: all of the changes of one or none. What could fail, an allocation or an interrupt, comes
# first; then NumPy's own loops change the arrays block by block, and the bits are those of NumPy's operators.
"""Steps of optimizers."""

cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cython cimport critical_section
from libc.math cimport pow, sqrt
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

from fastrelu._loops cimport Loop, find_loops, run_loop
from fastrelu._numpy cimport (
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_ISALIGNED,
    PyArray_ISNOTSWAPPED,
    PyArray_ISWRITEABLE,
    PyArray_NewLikeArray,
    PyArray_SAMESHAPE,
)
from fastrelu._runtime cimport fr_guard, fr_guard_close, fr_guard_open

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
    BLOCK = 8192  # bytes of each array that are changed before the next ones are read
    SHORT = 16  # elements of a row: of shorter ones, most of the time goes into calls
    RELEASE = 8192  # elements of a step from which on it releases the GIL, as other calls do

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

# What is done to a block: weight decay is added to a copy of the gradient, the largest number is found, or all changes.
cdef enum:
    DECAY, MEASURE, CHANGE

cdef Loop _loops[2][OPERATIONS]  # of float32 and float64


find_loops(np, "add subtract multiply divide maximum hypot positive absolute sqrt", _loops[0], _loops[1])


# --- Operations on the elements of a block ----------------------------------------------------------------------------

cdef struct _Number:
    double wide
    float narrow


cdef struct _Row:  # elements at equal distances
    char *at
    cnp.npy_intp step


cdef struct _Axis:  # along which rows lie side by side
    cnp.npy_intp size
    cnp.npy_intp done
    cnp.npy_intp strides[ARRAYS]


cdef struct _Work:  # what a step does to one parameter, without Python's objects: it is done without the GIL
    PyObject *rule
    int phase
    int arrays
    bint wide
    bint aligned
    bint decays  # weight decay is yet to be added to the gradient
    bint begins  # the running arrays are new
    bint measures  # the rule needs the largest number
    bint huge  # squares may overflow
    _Number largest
    _Number root_scale
    _Number rate
    char *blocks[BLOCKS]
    char *copies  # of a block of each array
    cnp.npy_intp size  # of a row
    _Row rows[ARRAYS]
    int axes
    _Axis *axis


cdef inline _Number _number(double value) noexcept nogil:
    cdef _Number found
    found.wide, found.narrow = value, <float>value
    return found


cdef inline _Row _of_number(const _Work *work, const _Number *number) noexcept nogil:
    cdef _Row row
    row.at, row.step = <char *>&number.wide if work.wide else <char *>&number.narrow, 0
    return row


cdef inline cnp.npy_intp _item(const _Work *work) noexcept nogil:
    return sizeof(double) if work.wide else sizeof(float)


cdef inline _Row _block(const _Work *work, int which) noexcept nogil:
    cdef _Row row
    row.at, row.step = work.blocks[which], _item(work)
    return row


cdef inline void _two(const _Work *work, int operation, _Row a, _Row b, _Row to, cnp.npy_intp n) noexcept nogil:
    run_loop(&_loops[work.wide][operation], a.at, a.step, b.at, b.step, to.at, to.step, n)


cdef inline void _one(const _Work *work, int operation, _Row x, _Row to, cnp.npy_intp n) noexcept nogil:
    # A loop of one operand reads its result's place and step where others have the second operand's.
    run_loop(&_loops[work.wide][operation], x.at, x.step, to.at, to.step, NULL, 0, n)


cdef inline void _with(const _Work *work, int operation, _Row x, const _Number *number, _Row to,
                       cnp.npy_intp n) noexcept nogil:
    _two(work, operation, x, _of_number(work, number), to, n)


cdef void _take(const _Work *work, _Row x, const _Number *factor, _Row by, const _Number *scale, _Row to,
                cnp.npy_intp n) noexcept nogil:
    """to = x * factor - by * scale"""
    cdef _Row product = _block(work, PRODUCT)
    if factor.wide != 1:
        _with(work, MULTIPLY, x, factor, to, n)
        x = to
    if scale.wide != 1 and scale.wide != -1:
        _with(work, MULTIPLY, by, scale, product, n)
        by = product
    _two(work, ADD if scale.wide == -1 else SUBTRACT, x, by, to, n)


# --- What optimizers do -----------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(64)
cdef class _Job:
    """A parameter in a step, with its arrays and the entries of its state."""

    cdef Py_ssize_t index  # among the optimizer's parameters
    cdef object parameter
    cdef Rule rule
    cdef cnp.ndarray data, grad, first, second, third  # None: the rule has no such array
    cdef dict entries, fresh  # what was kept of the parameter, and what replaces it if anything does
    cdef object step  # with this one; None: the rule counts none
    cdef double count  # the same
    cdef bint assigned  # the gradient is a user's array, whose memory may be any
    cdef bint begins  # the running arrays are new


cdef class Rule:
    """What a step does to each parameter of a group."""

    cdef bint decays  # weight decay is added to the gradient
    cdef _Number decay

    cdef int plan(self, _Job job) except -1:
        """Find or make the running arrays; nothing is changed yet."""
        raise NotImplementedError

    cdef void begin(self, _Job job, _Work *work) noexcept:
        """Set the numbers that depend on the step, and whether the largest number is needed."""

    cdef void block(self, _Work *work, _Row *rows, cnp.npy_intp n) noexcept nogil:
        """Change n numbers of each array, a block or less, or find the largest one."""


cdef inline _Row _gradient(Rule rule, const _Work *work, const _Row *rows, cnp.npy_intp n) noexcept nogil:
    """The gradient with weight decay."""
    cdef _Row direction
    if not work.decays:
        return rows[GRAD]
    direction = _block(work, DIRECTION)
    _with(work, MULTIPLY, rows[DATA], &rule.decay, direction, n)
    _two(work, ADD, direction, rows[GRAD], direction, n)
    return direction


cdef cnp.ndarray _running(_Job job, str name):
    """A running array in the parameter's present type; None before the first step."""
    array = None if job.entries is None else job.entries.get(name)
    if array is None:
        return None
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name} of parameter {job.index} in the optimizer's state must be an array, got {array!r}")
    if not PyArray_SAMESHAPE(array, job.data):
        raise ValueError(f"parameter {job.index} of the optimizer is {(<object>job.data).shape}, but its {name} in the "
                         f"state {array.shape}")
    if not (cnp.PyArray_TYPE(array) == cnp.PyArray_TYPE(job.data) and PyArray_ISNOTSWAPPED(array)):
        array = array.astype(job.data.dtype)
        _keep(job, name, array)
    elif not PyArray_ISWRITEABLE(array):
        raise ValueError(f"{name} of parameter {job.index} in the optimizer's state is read-only")
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

    cdef bint moves, nesterov
    cdef _Number one, momentum, undamped, ahead, lr

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
        cdef _Row moved = _gradient(self, work, rows, n), direction = _block(work, DIRECTION)
        if self.moves:
            if work.begins:
                _one(work, POSITIVE, moved, rows[FIRST], n)
            else:
                _take(work, rows[FIRST], &self.momentum, moved, &self.undamped, rows[FIRST], n)
            if self.nesterov:
                _take(work, moved, &self.one, rows[FIRST], &self.ahead, direction, n)
                moved = direction
            else:
                moved = rows[FIRST]
        _take(work, rows[DATA], &self.one, moved, &self.lr, rows[DATA], n)


# Numbers whose squares do not overflow.
cdef _Number _safe
_safe.wide, _safe.narrow = sqrt(np.finfo(np.float64).max) / 2, sqrt(np.finfo(np.float32).max) / 2


@cython.final
cdef class Moments(Rule):
    """Running means of the gradient and of its square: `Adam` and `AdamW`."""

    cdef bint amsgrad
    cdef double lr, first, second
    cdef _Number factor, old, new, square_old, square_new, root_old, root_new, eps

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
        job.count = job.step
        if not job.count >= 1:
            raise ValueError(f"step of parameter {job.index} in the optimizer's state must be at least 0, "
                             f"got {job.entries['step']!r}")
        if self.amsgrad:
            job.third = _running(job, "max_exp_avg_root")
            if job.third is None:
                job.third = _new(job, "max_exp_avg_root", True)
        if job.fresh is not None:
            job.fresh["step"] = job.step
        return 0

    cdef void begin(self, _Job job, _Work *work) noexcept:
        work.measures = True
        work.root_scale = _number(sqrt(1 - pow(self.second, job.count)))
        work.rate = _number(self.lr / (1 - pow(self.first, job.count)))

    cdef void block(self, _Work *work, _Row *rows, cnp.npy_intp n) noexcept nogil:
        cdef _Row grad = _gradient(self, work, rows, n), mean = rows[FIRST], root = rows[SECOND], new = root, largest
        cdef _Row direction = _block(work, DIRECTION), divisor = _block(work, DIVISOR), product = _block(work, PRODUCT)
        if work.phase == MEASURE:
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
        _take(work, mean, &self.old, grad, &self.new, mean, n)
        _two(work, DIVIDE, mean, divisor, divisor, n)
        _take(work, rows[DATA], &self.factor, divisor, &work.rate, rows[DATA], n)


# --- The arrays of a parameter, block by block ------------------------------------------------------------------------

cdef inline void _move(_Row x, _Row to, cnp.npy_intp size, cnp.npy_intp n) noexcept nogil:
    """Copy n elements, which may lie at any address."""
    cdef cnp.npy_intp i
    if size == sizeof(float):
        for i in range(n):
            memcpy(to.at + i * to.step, x.at + i * x.step, sizeof(float))
    else:
        for i in range(n):
            memcpy(to.at + i * to.step, x.at + i * x.step, sizeof(double))


cdef void _block_of(Rule rule, _Work *work, _Row *rows, cnp.npy_intp n) noexcept nogil:
    cdef _Row direction
    if work.phase != DECAY:
        rule.block(work, rows, n)
        return
    direction = _gradient(rule, work, rows, n)
    _one(work, POSITIVE, direction, rows[GRAD], n)


cdef void _work_row(Rule rule, _Work *work, const _Row *start) noexcept nogil:
    cdef _Row rows[ARRAYS]
    cdef _Row copies[ARRAYS]
    cdef cnp.npy_intp i = 0, n, size = _item(work), block = min(work.size, BLOCK // size)
    cdef int k
    while i < work.size:
        n = min(work.size - i, block)
        for k in range(work.arrays):
            rows[k].at, rows[k].step = start[k].at + i * start[k].step, start[k].step
        if work.aligned:
            _block_of(rule, work, rows, n)
        else:
            for k in range(work.arrays):
                copies[k].at, copies[k].step = work.copies + k * block * size, size
                _move(rows[k], copies[k], size, n)
            _block_of(rule, work, copies, n)
            for k in range(work.arrays):
                if work.phase != MEASURE and (k == GRAD) == (work.phase == DECAY):
                    _move(copies[k], rows[k], size, n)
        i += n


cdef void _work_through(Rule rule, _Work *work, int phase) noexcept nogil:
    """Go through the arrays of a parameter, row by row."""
    cdef _Row rows[ARRAYS]
    cdef _Axis *axis
    cdef int k, i = 0
    work.phase = phase
    for k in range(work.arrays):
        rows[k] = work.rows[k]
    while i >= 0:
        _work_row(rule, work, rows)
        i = work.axes - 1
        while i >= 0:
            axis = &work.axis[i]
            axis.done += 1
            for k in range(work.arrays):
                rows[k].at += axis.strides[k]
            if axis.done < axis.size:
                break
            for k in range(work.arrays):
                rows[k].at -= axis.done * axis.strides[k]
            axis.done = 0
            i -= 1


cdef void _work_all(_Work *works, Py_ssize_t n, bint shared) noexcept nogil:
    """Make all changes of a step; `shared`: parameters may lie in the same memory."""
    cdef _Work *work
    cdef Py_ssize_t i
    if shared:  # the values before the step decay
        for i in range(n):
            if works[i].decays:
                _work_through(<Rule>works[i].rule, &works[i], DECAY)
                works[i].decays = False
    for i in range(n):
        work = &works[i]
        if work.measures:
            _work_through(<Rule>work.rule, work, MEASURE)
            # Huge for NaN too.
            work.huge = not (work.largest.wide < _safe.wide if work.wide else work.largest.narrow < _safe.narrow)
        _work_through(<Rule>work.rule, work, CHANGE)


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


cdef inline cnp.npy_intp _block_bytes(_Job job) noexcept:
    return min(cnp.PyArray_NBYTES(job.data), BLOCK)


cdef int _inner_axis(cnp.ndarray data) noexcept:
    """The axis of the rows: the one whose elements are nearest to each other, or the longest if that is a short one."""
    cdef int i, near = 0, long = 0
    cdef cnp.npy_intp distance, least = -1
    for i in range(cnp.PyArray_NDIM(data)):
        distance = cnp.PyArray_STRIDE(data, i)
        distance = -distance if distance < 0 else distance
        if cnp.PyArray_DIM(data, i) > 1 and (least < 0 or distance <= least):
            near, least = i, distance
        if cnp.PyArray_DIM(data, i) >= cnp.PyArray_DIM(data, long):
            long = i
    return near if cnp.PyArray_DIM(data, near) >= SHORT else long


cdef void _lay_out(_Job job, _Work *work, _Axis *axis, char *blocks, char *copies) noexcept:
    """Write down all that the work on a parameter needs, in memory for it, for its axes, for blocks and for copies."""
    cdef PyObject *arrays[ARRAYS]
    cdef int i, k, inner
    cdef bint c = True, f = True
    cdef cnp.ndarray array
    memset(work, 0, sizeof(_Work))
    work.rule, work.arrays = <PyObject *>job.rule, _arrays_of(job, arrays)
    work.wide = cnp.PyArray_TYPE(job.data) == cnp.NPY_DOUBLE
    work.decays, work.begins, work.aligned, work.copies, work.axis = job.rule.decays, job.begins, True, copies, axis
    for k in range(BLOCKS):
        work.blocks[k] = blocks + k * _block_bytes(job)
    for k in range(work.arrays):
        array = <cnp.ndarray>arrays[k]
        work.rows[k].at, work.rows[k].step = cnp.PyArray_BYTES(array), _item(work)
        work.aligned &= PyArray_ISALIGNED(array)
        c &= PyArray_IS_C_CONTIGUOUS(array)
        f &= PyArray_IS_F_CONTIGUOUS(array)
    work.size = cnp.PyArray_SIZE(job.data)
    if not (c or f) and work.size > 0:
        inner = _inner_axis(job.data)
        work.size = cnp.PyArray_DIM(job.data, inner)
        for k in range(work.arrays):
            work.rows[k].step = cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], inner)
        for i in range(cnp.PyArray_NDIM(job.data)):
            if i != inner:
                axis = &work.axis[work.axes]
                axis.size, axis.done = cnp.PyArray_DIM(job.data, i), 0
                for k in range(work.arrays):
                    axis.strides[k] = cnp.PyArray_STRIDE(<cnp.ndarray>arrays[k], i)
                work.axes += 1
    job.rule.begin(job, work)


# --- Arrays in the same memory ----------------------------------------------------------------------------------------

cdef struct _Range:  # of memory
    char *low
    char *high
    bint changes


cdef int _by_start(const void *a, const void *b) noexcept nogil:
    cdef const _Range *one = <const _Range *>a
    cdef const _Range *other = <const _Range *>b
    return (one.low > other.low) - (one.low < other.low)


cdef _Range _range_of(cnp.ndarray array, bint changes) noexcept:
    """The memory from the first element of an array to the last one's end."""
    cdef _Range found
    cdef cnp.npy_intp reach
    cdef int k
    found.low, found.changes = cnp.PyArray_BYTES(array), changes
    found.high = found.low + cnp.PyArray_ITEMSIZE(array)
    for k in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIM(array, k) - 1) * cnp.PyArray_STRIDE(array, k)
        if reach > 0:
            found.high += reach
        else:
            found.low += reach
    return found


cdef int _find_shared(list jobs, bint *grads_change, bint *shared) except -1:
    """Do assigned gradients lie in memory that the step changes, and do arrays that it changes share memory?"""
    cdef PyObject *arrays[ARRAYS]
    cdef _Range *ranges = <_Range *>PyMem_Malloc(len(jobs) * ARRAYS * sizeof(_Range))
    cdef _Range *each
    cdef char *changed = NULL
    cdef char *read = NULL
    cdef _Job job
    cdef Py_ssize_t i, n = 0
    cdef int k
    if ranges is NULL:
        raise MemoryError
    for job in jobs:
        for k in range(_arrays_of(job, arrays) if cnp.PyArray_SIZE(job.data) > 0 else 0):
            if k != GRAD or job.assigned:
                ranges[n] = _range_of(<cnp.ndarray>arrays[k], k != GRAD)
                n += 1
    qsort(ranges, n, sizeof(_Range), _by_start)
    for i in range(n):
        each = &ranges[i]
        if each.changes:
            shared[0] |= each.low < changed
            grads_change[0] |= each.low < read
            changed = max(changed, each.high)
        else:
            grads_change[0] |= each.low < changed
            read = max(read, each.high)
    PyMem_Free(ranges)
    return 0


cdef int _copy_gradient(_Job job) except -1:
    cdef cnp.ndarray copied = PyArray_NewLikeArray(job.grad, cnp.NPY_KEEPORDER, NULL, False)
    if cnp.PyArray_CopyInto(copied, job.grad) < 0:
        raise MemoryError
    job.grad = copied
    return 0


# --- Steps ------------------------------------------------------------------------------------------------------------

# The number of the last update of the values of any parameter, in all threads; in a list because that is read fastest.
cdef list _updates = [0]
updates = _updates

cdef type _parameter
cdef object _data, _grad, _requires_grad, _owned, _used, _updated


def new_update():
    """Return the number of a new update of parameters, above all before. It is asked for before the values change."""
    with critical_section(_updates):
        number = _updates[0] + 1
        _updates[0] = number
    return number


def use_slots(type parameter not None):
    """Set the class of parameters, whose slots are read and written here: to write one allocates nothing."""
    global _parameter, _data, _grad, _requires_grad, _owned, _used, _updated
    _parameter = parameter
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
    cdef bint plain = type(parameter) is _parameter  # another class may define its attributes otherwise
    grad = _get(_grad, parameter)
    if grad is None or not (_get(_requires_grad, parameter) if plain else parameter.requires_grad):
        return None
    data = _get(_data, parameter) if plain else parameter.data
    used = _get(_used, parameter)
    if not (cnp.PyArray_Check(data) and _takes_part(grad, data) and (used or PyArray_ISWRITEABLE(data))):
        optimizer._refuse_update(i, parameter)
    if used:
        return None
    job = _Job.__new__(_Job)
    job.index, job.parameter, job.rule, job.data, job.grad = i, parameter, rule, data, grad
    job.assigned, job.entries = not _get(_owned, parameter), state.get(parameter)
    rule.plan(job)
    return job


cdef int _check(_Job job) except -1:
    """Refuse arrays that code which ran since they were found has changed."""
    cdef PyObject *arrays[ARRAYS]
    cdef int k
    for k in range(_arrays_of(job, arrays)):
        array = <object>arrays[k]
        if not (_takes_part(array, job.data) and (k == GRAD or PyArray_ISWRITEABLE(array))):
            raise ValueError(f"an array of parameter {job.index} of the optimizer, or of its state, became another one "
                             "during the step")
    return 0


cdef char *_lay_out_all(list jobs) except NULL:
    """Return memory that begins with the work of each job; the caller frees it."""
    cdef Py_ssize_t axes = 0, block = 0, i
    cdef bint aligned = True
    cdef PyObject *arrays[ARRAYS]
    cdef char *memory
    cdef char *blocks
    cdef _Axis *axis
    cdef _Job job
    cdef int k
    for job in jobs:
        axes += cnp.PyArray_NDIM(job.data)
        block = max(block, _block_bytes(job))
        for k in range(_arrays_of(job, arrays)):
            aligned &= PyArray_ISALIGNED(<cnp.ndarray>arrays[k])
    memory = <char *>PyMem_Malloc(len(jobs) * sizeof(_Work) + axes * sizeof(_Axis)
                                  + (BLOCKS if aligned else BLOCKS + ARRAYS) * block)
    if memory is NULL:
        raise MemoryError
    axis = <_Axis *>(memory + len(jobs) * sizeof(_Work))
    blocks = <char *>(axis + axes)
    for i in range(len(jobs)):
        job = jobs[i]
        _lay_out(job, <_Work *>memory + i, axis, blocks, blocks + BLOCKS * block)
        axis += cnp.PyArray_NDIM(job.data)
    return memory


def take_step(optimizer):
    """Update all parameters of an optimizer that have a new gradient, or raise an error before the first changes.

    From the first change to the last nothing is allocated, no other code of this thread runs, and nothing can fail.
    """
    cdef list jobs = [], parameters = [], rules = []
    cdef dict state = optimizer.state, settled = optimizer._settled
    cdef tuple known = optimizer._known
    cdef Py_ssize_t i, n, elements = 0
    cdef bint assigned = False, decays = False, grads_change = False, shared = False
    cdef char *memory = NULL
    cdef Rule rule
    cdef _Job job
    for i, group in enumerate(optimizer.param_groups):
        rule = _rule(optimizer, settled, i, group)
        for parameter in group["params"]:
            parameters.append(parameter)
            rules.append(rule)
    if not _same(known, parameters):
        optimizer._check_parameters(parameters)
    for i in range(len(parameters)):
        job = _job(optimizer, i, parameters[i], rules[i], state)
        if job is not None:
            jobs.append(job)
            assigned |= job.assigned
            decays |= job.rule.decays
            elements += cnp.PyArray_SIZE(job.data)
    n = len(jobs)
    if assigned or (decays and n > 1):
        _find_shared(jobs, &grads_change, &shared)
        for job in jobs:
            if (grads_change and job.assigned) or (shared and job.rule.decays):
                _copy_gradient(job)
    try:
        for job in jobs:
            if job.fresh is not None and job.parameter not in state:
                state[job.parameter] = None  # later it is replaced without an allocation
        number = new_update()
        for job in jobs:
            _check(job)
        memory = _lay_out_all(jobs)
    except BaseException:
        for job in jobs:
            if job.fresh is not None and state.get(job.parameter, job) is None:
                del state[job.parameter]
        raise
    cdef fr_guard caller = fr_guard_open()
    if elements < RELEASE:
        _work_all(<_Work *>memory, n, shared)
    else:
        with nogil:
            _work_all(<_Work *>memory, n, shared)
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
