# Gradients with respect to learned parameters: shapes, types and memory of a call; the loops are in sums_drive.h.
"""Calls that return dx and the gradients of an activation's parameters from one pass over the data."""

import numpy as np

cimport cython
cimport numpy as cnp

cimport fastrelu._core as _core
cimport fastrelu._kernels as _kernels
cimport fastrelu._runtime as _runtime
from fastrelu._arguments cimport plain_axis
from fastrelu._numpy cimport PyArray_ISWRITEABLE, PyArray_SAMESHAPE
from fastrelu import _core, _foreign, _kernels, _runtime

cnp.import_array()


cdef extern from "kernels/sums.h" nogil:
    ctypedef void (*fr_terms)(const char *const *, char *, double *const *, Py_ssize_t) noexcept nogil
    ctypedef struct fr_learned:
        const char *name
        int cost
        int nparams
        fr_terms *scalar
        fr_terms *array
    ctypedef struct fr_biased:
        _runtime.fr_kernel gradient
        _runtime.fr_combine add
        _runtime.fr_fused fused
        bint residual
        int nnumbers
        const char **number
        const _kernels.fr_call *half
    ctypedef struct fr_pairs:
        double *high
        double *low
    ctypedef struct fr_sums_job:
        fr_terms scalar
        fr_terms array
        const fr_biased *biased
        int nparams
        int type
        _kernels.fr_view view
        Py_ssize_t outer
        Py_ssize_t kept
        Py_ssize_t inner
        int across
        int along
        fr_pairs *part
        char **result
    ctypedef struct fr_sums_table "fr_sums":
        const fr_learned *learned
        int nlearned
        void (*split)(fr_sums_job *) noexcept nogil
        size_t (*room)(const fr_sums_job *) noexcept nogil
        void (*run)(const fr_sums_job *, int, char *) noexcept nogil
        void (*merge)(const fr_sums_job *) noexcept nogil
        void (*gather)(fr_pairs, const Py_ssize_t *, Py_ssize_t, fr_pairs) noexcept nogil
        void (*round)(fr_pairs, Py_ssize_t, int, char *) noexcept nogil


@cython.final
cdef class Learned:
    """One activation whose parameters are learned, for one instruction set."""

    cdef readonly str name
    cdef readonly object backward
    cdef const fr_learned *learned
    cdef const fr_sums_table *sums

    @property
    def parameters(self):
        """Names of the parameters in their order."""
        return self.backward.operands[2:]

    def __repr__(self):
        return f"<parameter gradients of {self.name}>"


def load(str isa, dict kernels):
    """All activations with learned parameters for one instruction set, by name."""
    cdef const fr_sums_table *sums = <const fr_sums_table *>_runtime.tables(isa).sums
    cdef Learned learned
    cdef int i
    found = {}
    for i in range(sums.nlearned):
        learned = Learned.__new__(Learned)
        learned.sums = sums
        learned.learned = &sums.learned[i]
        learned.name = sums.learned[i].name.decode()
        learned.backward = kernels[learned.name + "_backward"]
        found[learned.name] = learned
    return found


def renamed(Learned learned not None, str name, object backward):
    """Those of another function, whose gradient is `backward`, with the same kernels."""
    cdef Learned other = Learned.__new__(Learned)
    other.learned, other.sums, other.name, other.backward = learned.learned, learned.sums, name, backward
    return other


# --- Operands -------------------------------------------------------------------------------------------------------

cdef object _core_call = _core.call
cdef dict _nothing = {dtype.num: np.empty(0, dtype) for dtype in _runtime.dtypes}


cdef object _operand(Learned learned, object value, bint data):
    """A Python float, which never promotes, or a plain array."""
    cdef double number
    if type(value) is cnp.ndarray:
        return value
    if not (data and isinstance(value, bool)) and _core._number(value, &number):
        return number
    if _foreign.is_foreign(value):
        raise TypeError(f"{learned.name}_backward_parameters sums over arrays of NumPy alone, not "
                        f"{type(value).__name__!r}: convert operands with numpy.asarray first")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{learned.name}_backward_parameters takes no masked arrays, whose mask the sums would ignore; "
                        "pass grad.filled(0) and x.filled(0)")
    return np.asarray(value)


cdef int _find_type(Learned learned, list operands) except -1:
    """The type of the gradient, found by a call on empty data, which also checks types and domains."""
    cdef cnp.ndarray x
    cdef int dtype = 0
    cdef bint plain = type(operands[1]) is cnp.ndarray, numbers = False
    cdef list stand_ins = []
    if plain:
        x = operands[1]
        dtype = cnp.PyArray_TYPE(x)
        plain = _runtime.has_kernels(dtype)
    if plain and type(operands[0]) is cnp.ndarray and cnp.PyArray_TYPE(<cnp.ndarray>operands[0]) == dtype:
        nothing = _nothing[dtype]
        for value in operands[2:]:
            if type(value) is not cnp.ndarray:
                numbers = True
                stand_ins.append(value)
            elif cnp.PyArray_TYPE(<cnp.ndarray>value) == dtype and cnp.PyArray_NDIM(<cnp.ndarray>value) > 0:
                stand_ins.append(nothing)
            else:
                plain = False
                break
        if plain:  # only numbers are left to check
            if numbers:
                _core_call(learned.backward, None, True, nothing, nothing, *stand_ins)
            return dtype
    stand_ins = []
    for k, value in enumerate(operands):
        is_data = k < 2 or (type(value) is cnp.ndarray and np.ndim(value) > 0)
        stand_ins.append(np.empty(0, value.dtype) if is_data and type(value) is cnp.ndarray else value)
    return np.asarray(_core_call(learned.backward, None, True, *stand_ins)).dtype.num


cdef cnp.ndarray _as_target(Learned learned, object out):
    """`out` as a plain array; None if it was not given."""
    if out is None or out is Ellipsis:
        return None
    name = f"{learned.name}_backward_parameters"
    target = out if isinstance(out, np.ndarray) else _core.as_target(name, out)
    if not isinstance(target, np.ndarray) or isinstance(target, np.ma.MaskedArray):
        raise TypeError(f"{name} can write into an array or a writable buffer, not into {type(out).__name__!r}")
    return np.asarray(target)  # a subclass may compute its shape by code of its own


cdef int _check_target(Learned learned, cnp.ndarray target, tuple shape, object dtype) except -1:
    """Can dx be written into it?"""
    name = f"{learned.name}_backward_parameters"
    if np.shape(target) != shape:
        raise ValueError(f"{name}: out has the shape {np.shape(target)}, dx has {shape}")
    if not target.flags.writeable:
        raise ValueError(f"{name}: out is read-only")
    if not np.can_cast(dtype, target.dtype, "same_kind"):
        raise TypeError(f"{name}: out of type {target.dtype} cannot take dx of type {dtype}")
    return 0


cdef tuple _joint_shape(Learned learned, list arrays):
    """The shape that arrays broadcast to. NumPy's own function stops at 32 axes."""
    cdef list shape = [], shapes = []
    cdef int axis, own, ndim = 0
    cdef Py_ssize_t length, size
    cdef cnp.ndarray array
    for value in arrays:
        ndim = max(ndim, cnp.PyArray_NDIM(<cnp.ndarray>value))
    for axis in range(ndim):
        length = 1
        for value in arrays:
            array = <cnp.ndarray>value
            own = axis - ndim + cnp.PyArray_NDIM(array)
            size = cnp.PyArray_DIM(array, own) if own >= 0 else 1
            if size != 1 and length != 1 and size != length:
                for each in arrays:
                    shapes.append(str(np.shape(each)))
                raise ValueError(f"{learned.name}_backward_parameters: shapes {', '.join(shapes)} do not broadcast")
            if size != 1:
                length = size
        shape.append(length)
    return tuple(shape)


cdef bint _is_apart(cnp.ndarray dx, cnp.ndarray operand, bint data):
    """Is it disjoint from dx, or exactly dx where that does no harm?"""
    if not _runtime.extents_meet(dx, operand):
        return True
    return (data and cnp.PyArray_DATA(dx) == cnp.PyArray_DATA(operand) and np.shape(dx) == np.shape(operand)
            and dx.strides == operand.strides)


# --- One call -------------------------------------------------------------------------------------------------------

cdef bint _varies(cnp.ndarray array, int axis, int ndim):
    """Does the array vary along an axis of the data?"""
    cdef int own = axis - ndim + cnp.PyArray_NDIM(array)
    return own >= 0 and cnp.PyArray_DIM(array, own) != 1


cdef int _look(fr_sums_job *job, list arrays, cnp.ndarray dx) except -1:
    """Describe the operands (grad, x, parameters, dx) to the kernels: axes in logical order, the last one first."""
    cdef cnp.ndarray array
    cdef int axis, j, k = 0, ndim = cnp.PyArray_NDIM(dx), count = len(arrays)
    cdef cnp.npy_intp stride[_runtime.FR_MAX_OPERANDS]
    cdef cnp.npy_intp size
    cdef bint joined, kept = False
    job.outer = job.kept = job.inner = 1
    for axis in range(ndim - 1, -1, -1):
        size = cnp.PyArray_DIM(dx, axis)
        if size == 1:
            continue
        joined = k > 0
        varies = False
        for j in range(count):
            array = <cnp.ndarray>arrays[j]
            stride[j] = 0
            if _varies(array, axis, ndim):
                stride[j] = cnp.PyArray_STRIDE(array, axis - ndim + cnp.PyArray_NDIM(array))
                varies = varies or 2 <= j < 2 + job.nparams
            joined = joined and stride[j] == job.view.stride[k - 1][j] * job.view.shape[k - 1]
        # Between the first and the last axis along which a parameter varies, all axes are kept.
        if varies:
            kept = True
            job.kept *= job.outer * size
            job.outer = 1
        elif kept:
            job.outer *= size
        else:
            job.inner *= size
        if joined:
            job.view.shape[k - 1] *= size
            continue
        job.view.shape[k] = size
        for j in range(count):
            job.view.stride[k][j] = stride[j]
        k += 1
    if k == 0:  # the loop needs an axis
        job.view.shape[0] = k = 1
        for j in range(count):
            job.view.stride[0][j] = 0
    job.view.naxes = k
    return 0


cdef fr_pairs _pairs(cnp.ndarray memory):
    """The two rows of an array, as sums and their rounding errors."""
    cdef fr_pairs pairs
    pairs.high = <double *>cnp.PyArray_DATA(memory)
    pairs.low = pairs.high + cnp.PyArray_DIM(memory, 1)
    return pairs


cdef struct _Work:
    const fr_sums_table *sums
    const fr_sums_job *job
    char *rooms  # one for each thread
    size_t room


cdef void _share(const void *what, long share, long shares, int part) noexcept nogil:
    cdef const _Work *work = <const _Work *>what
    cdef Py_ssize_t task, tasks = work.job.across * work.job.along
    for task in range(tasks * share // shares, tasks * (share + 1) // shares):
        work.sums.run(work.job, task, work.rooms + part * work.room)


cdef object _gathered(Learned learned, fr_sums_job *job, int p, list arrays, cnp.ndarray result):
    """Fill the gradient of a parameter that varies along fewer axes than the others, from sums for all their axes."""
    cdef cnp.ndarray index, sums
    cdef Py_ssize_t size = cnp.PyArray_SIZE(result)
    cdef int ndim = np.ndim(arrays[2 + job.nparams])
    shape = [1] * ndim  # of `kept`: the shape of all parameters together
    for array in arrays[2:2 + job.nparams]:
        for axis in range(ndim):
            if _varies(array, axis, ndim):
                shape[axis] = arrays[2 + job.nparams].shape[axis]
    first = last = -1
    for axis in range(ndim):
        if shape[axis] != 1:
            first, last = axis if first < 0 else first, axis
    if first >= 0:
        shape[first:last + 1] = arrays[2 + job.nparams].shape[first:last + 1]
    index = np.broadcast_to(np.arange(size, dtype=np.intp).reshape(np.shape(result)), shape).ravel()
    sums = np.full((2, size), -0.0)
    learned.sums.gather(job.part[p], <const Py_ssize_t *>cnp.PyArray_DATA(index), job.kept, _pairs(sums))
    learned.sums.round(_pairs(sums), size, _runtime.type_of(cnp.PyArray_TYPE(result)),
                       <char *>cnp.PyArray_DATA(result))
    return result


cdef list _sums(Learned learned, list arrays, cnp.ndarray dx, _runtime.Crew crew, const _runtime.Held *held,
                const fr_biased *biased=NULL):
    """Fill dx, which is also among the arrays after the parameters, and return the gradients of the parameters.

    Each has the type of its parameter.
    """
    cdef fr_sums_job job
    cdef _Work work
    cdef cnp.ndarray parameter, result, memory, rooms
    cdef int p, flavor, dtype, nparams = learned.learned.nparams
    cdef list kept = [], results = []
    cdef bint alone
    _runtime.check_held(held, learned.name)  # the type of dx decides which kernel runs
    dtype = cnp.PyArray_TYPE(dx)
    flavor = _runtime.flavor_of(dtype, _runtime.precision_here())
    job.scalar = learned.learned.scalar[flavor]
    job.array = learned.learned.array[flavor]
    job.nparams, job.biased = nparams, biased
    job.type = _runtime.type_of(dtype)
    _look(&job, arrays, dx)
    learned.sums.split(&job)
    for p in range(nparams):
        parameter = arrays[2 + p]
        result = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(parameter), cnp.PyArray_DIMS(parameter),
                                   cnp.PyArray_TYPE(parameter), 0)
        results.append(result)
        alone = cnp.PyArray_SIZE(parameter) == job.kept and cnp.PyArray_TYPE(parameter) == dtype
        job.result[p] = <char *>cnp.PyArray_DATA(result) if alone else NULL
        if job.along > 1 or not alone:
            memory = np.empty((2, job.along * job.kept))
            job.part[p] = _pairs(memory)
            kept.append(memory)
    work.sums, work.job, work.room = learned.sums, &job, learned.sums.room(&job)
    rooms = np.empty(crew.threads * work.room, np.int8)
    work.rooms = <char *>cnp.PyArray_DATA(rooms)
    _runtime.check_held(held, learned.name)
    for p in range(len(arrays)):
        job.view.origin[p] = <char *>cnp.PyArray_DATA(<cnp.ndarray>arrays[p])
    _runtime.run_shares(_share, &work, learned.learned.cost, cnp.PyArray_SIZE(dx), job.across * job.along, crew)
    if job.along > 1:
        with nogil:
            learned.sums.merge(&job)
    for p in range(nparams):
        if job.result[p] != NULL:
            continue
        result = results[p]
        if cnp.PyArray_SIZE(result) == job.kept:
            learned.sums.round(job.part[p], job.kept, _runtime.type_of(cnp.PyArray_TYPE(result)),
                               <char *>cnp.PyArray_DATA(result))
        else:
            _gathered(learned, &job, p, arrays, result)
    return results


@cython.binding(False)
def call(Learned learned not None, object out, object grad, object x, object a, object b=None, object c=None,
         object d=None):
    """Return dx, written into `out` if given, and the gradient of each parameter."""
    # Conversions first: they may run the caller's code, which may change arrays that are converted already.
    cdef list operands = [_operand(learned, grad, True), _operand(learned, x, True), _operand(learned, a, False)]
    cdef list arrays = [], gradients = []
    cdef int j, dtype
    cdef bint written
    cdef cnp.ndarray target
    if learned.learned.nparams > 1:
        for value in (b, c, d)[:learned.learned.nparams - 1]:
            operands.append(_operand(learned, value, False))
    given = out[0] if isinstance(out, tuple) and len(out) == 1 else out
    target = _as_target(learned, given)
    try:
        dtype = _find_type(learned, operands)
    except TypeError:
        _core.check_types(f"{learned.name}_backward_parameters", learned.backward.operands, (grad, x, a, b, c, d))
        raise
    result = cnp.PyArray_DescrFromType(dtype)  # what is returned; 16-bit types are computed in another
    dtype = _kernels.computed_type(dtype, _runtime.precision_here())
    descr = cnp.PyArray_DescrFromType(dtype)
    for value in operands:
        if type(value) is float:
            value = _core._as_array(float(np.float32(value)) if result is not descr else value, dtype)
        elif _kernels._is_half(value):
            value = _kernels.widened(value, dtype)
        elif not _core._is_native(value, dtype):
            value = np.require(value, descr, "A")
        arrays.append(value)
    _runtime.settle()
    cdef _runtime.Held held
    held.count = 0
    for value in arrays:
        _runtime.keep(&held, <cnp.ndarray>value)
    _runtime.keep(&held, target)
    _runtime.hold(&held, learned.name)
    for value in arrays:
        if not _core._is_native(value, dtype):
            _runtime.refuse_change(learned.name)
    _kept = arrays  # `held` borrows them, and the name may get another list
    shape = _joint_shape(learned, arrays)
    cdef Py_ssize_t size = _core._broadcast_size(arrays)
    cdef _runtime.Crew crew = _runtime.crew_for(learned.learned.cost, size, _runtime.size_of(dtype))

    if target is not None:
        _check_target(learned, target, shape, result)
    written = (target is not None and result is descr and _core._is_native(target, dtype)
               and 0 not in (<object>target).strides)
    if written:
        dx = target
        for j in range(len(arrays)):
            if not _is_apart(dx, arrays[j], j < 2):
                arrays = arrays[:]
                arrays[j] = _runtime.copy_held(&held, arrays[j], learned.name)
    elif (result is not descr and np.shape(arrays[0]) == shape == np.shape(arrays[1])
          and (<object>arrays[0]).strides == (<object>arrays[1]).strides):
        dx = arrays[0]  # a copy, converted to the type that computes
    elif np.shape(arrays[1]) == shape or np.shape(arrays[0]) == shape:
        dx = np.empty_like(arrays[1] if np.shape(arrays[1]) == shape else arrays[0])
    else:
        dx = np.empty(shape, descr)
    if cnp.PyArray_SIZE(<cnp.ndarray>dx):
        gradients = _sums(learned, arrays + [dx], dx, crew, &held)
    else:
        for array in arrays[2:]:
            gradients.append(np.zeros(array.shape, descr))
    if result is not descr:
        dx = _kernels.narrowed(dx, result.num)
        for j in range(len(gradients)):
            gradients[j] = _kernels.narrowed(gradients[j], result.num)
    if target is not None:
        if not written:
            _kernels.copy_into(target, dx)
        dx = given
    elif given is None:
        dx = dx[()]
    for j in range(len(gradients)):
        gradients[j] = gradients[j][()]
    return (dx, *gradients)


# --- The gradient of an activation of x + bias + residual -----------------------------------------------------------

cdef void _set_kernel(fr_biased *biased, const _kernels.fr_call *how, int type, bint added) noexcept:
    """Set what computes the gradient of elements of a type, to which a bias is added or not."""
    biased.gradient = how.scalar
    biased.add = how.convert.combine[how.type][_runtime.FR_ADD] if added else NULL
    biased.fused, biased.half = NULL, how
    if type < <int>_runtime.FR_OWN_TYPES:
        biased.half = NULL
        if added:
            biased.fused = how.fused[_runtime.FR_ADD]


cdef bint _is_native_of(object array, int dtype):
    return array is None or _core._is_native(array, dtype)


def call_biased(object kernel, str isa, tuple numbers, object out, object grad, object x, object bias, object residual,
                bint added=True, bint exact=False):
    """Return dx, written into `out` if given, and the gradient of the bias, whose shape broadcasts to that of x.

    Unless it is `added`, only the shape and the type of the bias count, and x is what the kernel gets. If the kernel is
    `exact`, the cheaper precision has the same results.

    Returns None, and has done nothing, unless all operands are plain arrays of one type that has kernels, of which a
    bias that is not added may have another one, and the parameters of the activation are numbers: the caller then
    composes the same.
    """
    cdef fr_biased biased
    cdef fr_learned own
    cdef Learned learned
    cdef cnp.ndarray dx
    cdef _runtime.Held held
    cdef double number
    cdef int j, dtype, number_type, own_type, level = 0 if exact else _runtime.precision_here()
    cdef const _kernels.fr_call *how
    cdef list arrays, rounded = []
    held.count = 0
    # From here to `hold` nothing is allocated, which could run the caller's code and change arrays.
    _runtime.settle()
    if type(x) is not cnp.ndarray:
        return None
    dtype = cnp.PyArray_TYPE(<cnp.ndarray>x)
    own_type = _runtime.type_of(dtype)
    if own_type < 0:
        return None
    if not (_is_native_of(x, dtype) and _is_native_of(grad, dtype)
            and _is_native_of(bias, dtype if added else cnp.PyArray_TYPE(<cnp.ndarray>bias))
            and _is_native_of(residual, dtype) and _is_native_of(out, dtype)):
        return None
    _runtime.keep(&held, <cnp.ndarray>grad)
    _runtime.keep(&held, <cnp.ndarray>x)
    _runtime.keep(&held, <cnp.ndarray>bias)
    _runtime.keep(&held, <cnp.ndarray>residual)
    _runtime.keep(&held, <cnp.ndarray>out)
    _runtime.hold(&held, "bias_act")
    cdef tuple _kept = (grad, x, bias, residual, out)  # `held` borrows them
    for array in (grad, residual):
        if array is not None and array.shape != x.shape:
            raise ValueError(f"bias_act_backward: an operand was changed to the shape {array.shape} during the call")
    for length, whole in zip(bias.shape, x.shape[max(0, x.ndim - bias.ndim):]):
        if length != 1 and length != whole:
            raise ValueError(f"bias_act_backward: the bias was changed to the shape {bias.shape} during the call")
    if out is not None and (out.shape != x.shape or 0 in (<object>out).strides or not out.flags.writeable):
        return None
    how = &(<_kernels.Kernel?>kernel).calls[own_type][level]
    number_type = _core._number_type(dtype)
    for value in numbers:
        if not _core._number(value, &number):
            return None
        array = _core._as_array(number, number_type)
        if how.type != _runtime.type_of(number_type):
            array = _core._as_array(float(array), _kernels.computed_type(dtype, level))
        rounded.append(array)
    if numbers:
        _core._check_params(kernel, [None, None] + _runtime.listed(numbers), _runtime.type_of(number_type))
    _set_kernel(&biased, how, own_type, added)
    biased.residual, biased.nnumbers = residual is not None, len(rounded)
    for j in range(biased.nnumbers):
        biased.number[j] = <const char *>cnp.PyArray_DATA(<cnp.ndarray>rounded[j])
    own.name, own.cost, own.nparams = "bias_act", kernel.cost, 1
    learned = Learned.__new__(Learned)
    learned.learned, learned.sums = &own, <const fr_sums_table *>_runtime.tables(isa).sums
    learned.name, learned.backward = "bias_act", kernel
    arrays = [grad, x, bias]
    if residual is not None:
        arrays.append(residual)
    cdef _runtime.Crew crew = _runtime.crew_of(own.cost, <cnp.ndarray>x)
    if out is not None:
        dx = <cnp.ndarray>out
        arrays = arrays[:]
        for j in range(len(arrays)):
            if not _is_apart(dx, arrays[j], j != 2):
                arrays[j] = _runtime.copy_held(&held, arrays[j], "bias_act")
    else:
        dx = _core.empty_like(x)
    if cnp.PyArray_SIZE(dx) == 0:
        return dx, np.zeros(np.shape(bias), bias.dtype)
    return dx, _sums(learned, arrays[:3] + [dx] + arrays[3:], dx, crew, &held, &biased)[0]


cdef bint _is_small(object value, cnp.ndarray like) except -1:
    """Is it a plain array that kernels read as it is, of the type and shape of another?"""
    if not (_core._is_native(value, cnp.PyArray_TYPE(like)) and PyArray_SAMESHAPE(<cnp.ndarray>value, like)):
        return False
    _runtime.check_whole(value, "bias_act")
    return True


cdef bint _meet(cnp.ndarray x, cnp.ndarray y, bint data) noexcept:
    """Do two contiguous arrays share memory, other than all of it where that does no harm?"""
    cdef char *ends[4]
    if data and cnp.PyArray_DATA(x) == cnp.PyArray_DATA(y):
        return False
    _runtime.extent(x, &ends[0], &ends[1])
    _runtime.extent(y, &ends[2], &ends[3])
    return ends[0] < ends[3] and ends[2] < ends[1]


def small_biased(object kernel, str isa, tuple numbers, object out, object grad, object x, object bias,
                 object residual, object axis, bint added=True):
    """What :func:`call_biased` returns for a small array and a bias along an axis, which is None if not `added`.

    Returns None, and has done nothing, unless all operands are plain arrays of one type, contiguous where `out` is
    given, which shares no memory in part, and the parameters are plain numbers; or if a shape is wrong.
    """
    cdef fr_biased biased
    cdef fr_sums_job job
    cdef const fr_sums_table *sums = <const fr_sums_table *>_runtime.tables(isa).sums
    cdef double rounded[_runtime.FR_MAX_PARAMETERS]
    cdef cnp.npy_intp shape[_runtime.FR_MAX_AXES]
    cdef cnp.ndarray dx, dbias, spread, rooms, array
    cdef cnp.npy_intp length
    cdef int j, at, ndim, dtype, level = _runtime.precision_here()
    cdef const _kernels.fr_call *how
    if type(x) is not cnp.ndarray:
        return None
    array = <cnp.ndarray>x
    dtype = cnp.PyArray_TYPE(array)
    job.type = _runtime.type_of(dtype)
    if job.type < 0:
        return None
    ndim = cnp.PyArray_NDIM(array)
    at = plain_axis(axis, ndim)
    if not (0 < cnp.PyArray_SIZE(array) < _runtime.fr_load(&_runtime.settings.at_once) and at >= 0
            and _is_small(x, array) and _is_small(grad, array) and (residual is None or _is_small(residual, array))):
        return None
    length = cnp.PyArray_DIM(array, at)
    if added:
        if (not _core._is_native(bias, dtype) or not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>bias)
                or cnp.PyArray_NDIM(<cnp.ndarray>bias) != 1 or cnp.PyArray_SIZE(<cnp.ndarray>bias) != length):
            return None
        _runtime.check_whole(bias, "bias_act")
    if out is not None:
        if not _is_small(out, array) or not PyArray_ISWRITEABLE(<cnp.ndarray>out):
            return None
        for value in (out, grad, x, residual):
            if value is not None and not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>value):
                return None
        if (_meet(out, grad, True) or _meet(out, x, True) or (added and _meet(out, bias, False))
                or (residual is not None and _meet(out, residual, True))):
            return None
    if _core.plain_kernel(kernel, numbers, job.type, level, rounded) == NULL:
        return None
    how = &(<_kernels.Kernel>kernel).calls[job.type][level]
    _set_kernel(&biased, how, job.type, added)
    biased.residual, biased.nnumbers = residual is not None, len(numbers)
    for j in range(biased.nnumbers):
        biased.number[j] = <const char *>rounded + j * how.itemsize
    job.biased, job.nparams = &biased, 1
    if out is not None:
        dx = <cnp.ndarray>out
    elif cnp.PyArray_IS_C_CONTIGUOUS(array):
        dx = _runtime.fresh_like(array, cnp.PyArray_NBYTES(array))
    else:
        dx = _core.empty_like(array)
    dbias = cnp.PyArray_SimpleNew(1, &length, dtype)
    # The bias, or an array of its shape, in a shape that broadcasts to that of x.
    spread = <cnp.ndarray>bias if added else dbias
    if at < ndim - 1:
        shape[0] = length
        for j in range(1, ndim - at):
            shape[j] = 1
        spread = cnp.PyArray_SimpleNewFromData(ndim - at, shape, dtype, cnp.PyArray_DATA(spread))
    cdef list arrays = [grad, x, spread, dx]
    if residual is not None:
        arrays.append(residual)
    _look(&job, arrays, dx)
    sums.split(&job)
    if job.across * job.along > 1:
        return None
    cdef cnp.npy_intp room = sums.room(&job)
    rooms = cnp.PyArray_SimpleNew(1, &room, cnp.NPY_INT8)
    for j in range(len(arrays)):
        job.view.origin[j] = <char *>cnp.PyArray_DATA(<cnp.ndarray>arrays[j])
    job.result[0] = <char *>cnp.PyArray_DATA(dbias)
    sums.run(&job, 0, <char *>cnp.PyArray_DATA(rooms))
    return dx, dbias
