# What a call of _core would do, from what its doors decide: `_dispatch` calls `_foresee` instead of running the call.
"""Calls in words: the door, what bars a faster one, threads and memory."""

import numpy as np

from fastrelu._core import check_types

cimport numpy as cnp
from cpython.object cimport PyObject

cimport fastrelu._core as _core
from fastrelu._core cimport (
    GAPS,
    NO_ARRAY,
    NO_AXES,
    NO_NUMBER,
    OTHER_LAYOUT,
    OTHER_SHAPE,
    OTHER_TYPE,
    OVERLAP,
    READ_ONLY,
    SIDE_BY_SIDE,
    SWAPPED,
    UNALIGNED,
    WHERE_GIVEN,
    WHICH,
    _Dense,
    _General,
    _are_plain,
    _as_list,
    _broadcast_size,
    _decide_general,
    _describe,
    _open,
    _plan,
    _plan_stream,
    _unpacked,
)
from fastrelu._kernels cimport Kernel, fr_call, fr_memory, fr_plan
from fastrelu._numpy cimport (
    NpyIter,
    NpyIter_Deallocate,
    NpyIter_GetIterSize,
    NpyIter_GetOperandArray,
    PyArray_DiscardWritebackIfCopy,
)
from fastrelu._runtime cimport (
    Crew,
    FR_CREW_BUSY,
    FR_CREW_HELD_BACK,
    FR_CREW_LIMIT,
    FR_CREW_SMALL,
    FR_PRECISIONS,
    crew_of,
    dtype_of,
    pool_has,
    recycles_here,
)

cnp.import_array()


cdef str _because(Kernel kernel, int why, list args, object out):
    cdef int which = why >> WHICH
    cdef str name = "out" if which == kernel.nin else kernel.operands[which]
    cdef str first = kernel.operands[0]
    value = out if which == kernel.nin else args[which]
    why &= (1 << WHICH) - 1
    if why == WHERE_GIVEN:
        return "where= is given"
    if why == NO_ARRAY:
        return f"{name} is no plain ndarray but {type(value).__name__}"
    if why == OTHER_TYPE:
        return f"{name} is {value.dtype}"
    if why == UNALIGNED:
        return f"{name} is not aligned"
    if why == SWAPPED:
        return f"{name} is in foreign byte order"
    if why == GAPS:
        return f"{name} is not contiguous"
    if why == OTHER_SHAPE:
        return f"{name} has the shape {value.shape}, {first} {args[0].shape}"
    if why == OTHER_LAYOUT:
        return f"{name} has a different memory layout than {first}"
    if why == NO_NUMBER:
        return f"{name} is no Python number but {type(value).__name__}"
    if why == NO_AXES:
        return "there are no axes"
    if why == READ_ONLY:
        return f"{name} is read-only"
    if why == OVERLAP:
        return f"out overlaps {name}"
    if why == SIDE_BY_SIDE:
        return "two results lie side by side in one array"
    return "the type of an operand has no kernel of its own"


cdef str _why_threads(Crew crew, Py_ssize_t n):
    if crew.reason == FR_CREW_SMALL:
        return f"fewer than {crew.least} elements: more threads would not pay"
    if crew.reason == FR_CREW_LIMIT:
        return "the process, its context or OpenMP allows only one"
    if crew.reason == FR_CREW_BUSY:
        return "another call is using the threads"
    if crew.reason == FR_CREW_HELD_BACK:
        return "threads came late just now, because their processors are busy: calls do without them for a while"
    if crew.threads == 1:
        return (f"fewer than {crew.waking} elements: waking sleeping threads would not pay, "
                "unless calls come one after the other")
    return f"{n} elements"


cdef str _memory(object out, Py_ssize_t size):
    """Where the memory of the result is from; `size` is in bytes."""
    if out is not None:
        return "given"
    if not recycles_here(size):
        return "new"
    return "recycled" if pool_has(size) else "new, will be recycled"


cdef dict _in_words(str door, Kernel kernel, const fr_call *how):
    """The fields of `Explanation` that say what runs; the others are still empty."""
    cdef int call = how - &kernel.calls[0][0]
    return {
        "door": door,
        "kernel": kernel.name,
        "dtype": dtype_of(how.type).name,
        "precision": "accurate" if call % FR_PRECISIONS else "fast",
        "why_not_fast": "",
        "why_not_driver": "",
        "streamed": False,
        "loads": "",
        "stores": "",
    }


cdef list _move(dtype, list types):
    """How the elements of an operand are converted, from type to type; `dtype` is its own."""
    cdef list names = []
    last = None
    for each in types:
        if each.name != last:
            last = each.name
            names.append(last)
    return ["byte order"] * (not dtype.isnative) + [" to ".join(names)] * (len(names) > 1)


cdef str _loads(Kernel kernel, list args, const fr_call *call):
    """Which operands are converted block by block, and how."""
    cdef list found = []
    for name, array in zip(kernel.operands, args):
        how = ", ".join(_move(array.dtype, [array.dtype, dtype_of(call.type)]))
        if how:
            found.append(f"{name}: {how}")
    return "; ".join(found)


cdef str _stores(Kernel kernel, object out, object where, const fr_call *call):
    """How results are converted, and whether they are masked."""
    cdef int type = (call - &kernel.calls[0][0]) // FR_PRECISIONS
    dtype = dtype_of(type) if out is None else out.dtype
    return ", ".join(_move(dtype, [dtype_of(call.type), dtype_of(type), dtype]) + ["masked"] * (where is not True))


cdef dict _foresee(_Dense *call, int why, Kernel kernel, object out, object where, PyObject **args):
    """What `_dispatch` would do now that it has decided."""
    cdef fr_plan plan
    if why:
        return _foresee_general(kernel, out, where, _as_list(args, kernel.nin), why)
    if call.crew.reason == FR_CREW_SMALL:  # the call did not read the thresholds
        call.crew = crew_of(kernel.cost, <cnp.ndarray>args[0])
    found = _in_words("fast path", kernel, call.how)
    found["threads"], found["why_threads"] = call.crew.threads, _why_threads(call.crew, call.n)
    found["output"] = _memory(out, call.n * call.how.size)
    if call.how.load != NULL:
        found["loads"] = _loads(kernel, _as_list(args, kernel.ndata), call.how)
        found["stores"] = _stores(kernel, out, True, call.how)
    found["streamed"] = bool(_plan_stream(&plan, call, kernel.cost, found["output"] in ("given", "recycled")))
    return found


cdef dict _foresee_general(Kernel kernel, object out, object where, list args, int why_not_fast):
    """What `_general` would do."""
    cdef _General call
    cdef list given = args[:]
    out = _unpacked(out)
    target = _decide_general(&call, kernel, args, out, where)
    if call.why_not_strided:
        found = _foresee_ufunc(&call, kernel, args, target, where)
        found["why_not_driver"] = _because(kernel, call.why_not_strided, args, target)
    else:
        found = _foresee_strided(&call, kernel, args, target, where)
    found["why_not_fast"] = _because(kernel, why_not_fast, given, out)
    return found


cdef dict _foresee_strided(const _General *call, Kernel kernel, list args, object out, object where):
    cdef fr_plan plan
    cdef fr_memory room
    cdef const fr_memory *memory
    cdef Py_ssize_t n
    cdef NpyIter *iterator = _open(args, out, call.dtype, where)
    found = _in_words("N-d driver", kernel, call.how)
    try:
        n = NpyIter_GetIterSize(iterator)
        found["threads"], found["why_threads"] = call.crew.threads, _why_threads(call.crew, n)
        found["output"] = _memory(out, n * call.how.size if where is True else 0)
        found["loads"] = _loads(kernel, args, call.how)
        found["stores"] = _stores(kernel, out, where, call.how)
        if n > 0:
            result = <cnp.ndarray><object><PyObject *>NpyIter_GetOperandArray(iterator)[kernel.nin]
            memory = _describe(&room, args, result, where, call.dtype)
            _plan(&plan, call.how, memory, kernel.cost, iterator, found["output"] in ("given", "recycled"), call.crew)
            found["streamed"] = bool(plan.streamed)
        written = <object><PyObject *>NpyIter_GetOperandArray(iterator)[kernel.nin]
        if out is not None and written is not out:
            PyArray_DiscardWritebackIfCopy(<cnp.ndarray>written)  # nothing has been written into the copy
            found["output"] = "given, through a copy, because it overlaps an input"
    finally:
        NpyIter_Deallocate(iterator)
    return found


cdef dict _foresee_ufunc(const _General *call, Kernel kernel, list args, object target, object where):
    cdef bint plain = _are_plain(args)
    _rehearse(kernel, call.level, args, target, where)
    found = _in_words("ufunc", kernel, call.how)
    found["threads"], found["why_threads"] = 1, "NumPy runs ufuncs on one thread"
    found["output"] = _memory(target, _broadcast_size(args) * call.how.size if plain else 0)
    return found


cdef bint _has_own_code(object value):
    """Does the type override what a ufunc does with it?"""
    return getattr(type(value), "__array_ufunc__", None) not in (None, cnp.ndarray.__array_ufunc__)


cdef int _rehearse(Kernel kernel, int level, list args, object target, object where) except -1:
    """Let NumPy check types, shapes and `out` as in the call, on zeros and without computing an element."""
    for operand in (*args, *(target if isinstance(target, tuple) else (target,))):
        if _has_own_code(operand):
            return 0
    cdef list stand_ins = [], shapes = []
    cdef object ufunc = kernel.accurate if level else kernel.fast
    for arg in args:
        stand_ins.append(np.broadcast_to(np.zeros((), np.asarray(arg).dtype), np.shape(arg)))
        shapes.append(np.shape(arg))
    if where is True:
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            ufunc(*stand_ins, out=target)  # raises the error that names these shapes, without that of a mask
    check_types(kernel.function, kernel.operands, args)
    ufunc(*stand_ins, out=target, where=np.broadcast_to(np.zeros((), np.asarray(where).dtype), np.shape(where)))
    return 0


_core.foresee = _foresee
