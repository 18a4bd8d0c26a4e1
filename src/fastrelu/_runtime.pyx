# The floor that every door stands on: instruction sets, settings, threads, memory of results, and the state of arrays.
# It knows no activation and no door. team.c, pool.c, cpu.c and the kernels of every instruction set are linked with
# this module alone, so the process has one team, one pool and one set of tables; the others reach them through
# _runtime.pxd.
#
# The caller's code may run while a call is prepared: in conversions (`__float__`, `__array__`, buffers, `__index__`),
# in the warning of `settle`, and wherever Python code runs or objects are made: finalizers, tracers. It may resize,
# reshape or free any array of the call. So every door first converts, then calls `settle`; only then it reads
# addresses, shapes and strides, and nothing else runs until the kernels are done. Where objects must be made in
# between, `hold` notes the state of the arrays, and `check_held` raises if it has changed.
"""Instruction sets, settings, threads and memory of this process."""

from weakref import ref

import numpy as np

cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cython.parallel cimport prange
from libc.string cimport strcpy

from fastrelu._numpy cimport (
    PyArrayObject,
    PyArrayObject_fields,
    PyArray_BASE,
    PyArray_Descr,
    PyArray_ENABLEFLAGS,
    PyArray_HANDLER,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_IS_F_CONTIGUOUS,
    PyArray_NewFromDescr,
    PyArray_NewLikeArray,
    PyDataMemAllocator,
    PyDataMem_DefaultHandler,
    PyDataMem_GetHandler,
    PyDataMem_Handler,
)

# Not when the first large call needs it: a child that is forked meanwhile would wait forever for the import to end.
from fastrelu import _host

cnp.import_array()


cdef extern from "kernels/kernels.h" nogil:
    ctypedef struct fr_isa:
        const char *name
        const fr_tables *tables
        int runs_here
    const fr_isa *fr_isa_list(int *)
    ctypedef struct fr_caches:
        Py_ssize_t second
        Py_ssize_t last
        int sharers
    fr_caches fr_find_caches()

cdef extern from "team.h" nogil:
    ctypedef void (*fr_team_region)(int) noexcept
    ctypedef struct fr_team_counts:
        long workers
        long awake
        long jobs
        long late
        long stalled
        long faulted
        long refused
    ctypedef struct fr_team_settings:
        fr_atomic spin
        fr_atomic gap
        fr_atomic hold
        fr_atomic insist
        fr_atomic granted
    fr_team_settings fr_team_set
    int fr_team_prepare(fr_team_region) noexcept
    void fr_team_serve(int) noexcept
    int fr_team_openmp() noexcept
    int fr_team_granted() noexcept
    int fr_team_look(int, int *) noexcept
    void fr_team_run(fr_share, const void *, long, int, int) noexcept
    void fr_team_run_alone(fr_share, const void *) noexcept
    int fr_team_is_short() noexcept
    fr_team_counts fr_team_count() noexcept

cdef extern from "pool.h" nogil:
    ctypedef struct fr_pool_state:
        size_t limit
        size_t held
        size_t blocks
        unsigned long long hits
        unsigned long long misses
    void *fr_pool_malloc(void *, size_t) noexcept
    void *fr_pool_calloc(void *, size_t, size_t) noexcept
    void *fr_pool_realloc(void *, void *, size_t) noexcept
    void fr_pool_free(void *, void *, size_t) noexcept
    int fr_pool_is_warm(const void *) noexcept
    void fr_pool_limit(size_t) noexcept
    void fr_pool_patience(long long) noexcept
    void fr_pool_huge_pages(int) noexcept
    void fr_pool_clear() noexcept
    void fr_pool_tidy() noexcept
    int fr_pool_has(size_t) noexcept
    fr_pool_state fr_pool_look() noexcept
    int fr_pool_watch_forks() noexcept

cdef extern from *:
    const char *CYTHON_ABI

cdef extern from "Python.h":
    object PyContextVar_New(const char *, PyObject *)
    int PyContextVar_Get(object, PyObject *, PyObject **) except -1
    void Py_DECREF(PyObject *)
    object PyCapsule_New(void *, const char *, void *)
    int PyTraceMalloc_Track(unsigned int, size_t, size_t)


# --- Element types --------------------------------------------------------------------------------------------------

cdef list _dtypes = [np.dtype(fr_types[i].name.decode()) for i in range(FR_bfloat16)] + [None]
dtypes = tuple(_dtypes[:FR_OWN_TYPES])  # those that kernels read and write
bfloat16 = -1


cdef cnp.dtype dtype_of(int type):
    return <cnp.dtype>_dtypes[type]


cdef int learn_bfloat16(cnp.dtype dtype) except -1:
    """Make the type with this number known as bfloat16."""
    global bfloat16
    # What is seen first may be byte-swapped: results are not.
    _dtypes[FR_bfloat16] = (<object>dtype).newbyteorder("=")
    bfloat16 = dtype.type_num
    return 0


# --- Instruction set ------------------------------------------------------------------------------------------------

cdef int _isa_count
cdef const fr_isa *_isas = fr_isa_list(&_isa_count)


cdef tuple _isa_names(bint built, bint runs):
    """Names of the instruction sets that this build knows, contains or can run on this machine."""
    cdef list names = []
    cdef int i
    for i in range(_isa_count):
        if (not built or _isas[i].tables != NULL) and (not runs or _isas[i].runs_here):
            names.append(_isas[i].name.decode())
    return tuple(names)


isa_known = _isa_names(False, False)
cdef tuple _isa_each = isa_known
isa_built = _isa_names(True, False)
isa_available = _isa_names(True, True)
openmp = fr_team_openmp()
cython_version = CYTHON_ABI.decode().replace("_", ".")


cdef int _isa_index(str isa) except -1:
    """Index of the instruction set in the list; if it is not available, raises with the reason."""
    if isa not in isa_known:
        raise ValueError(f"unknown instruction set {isa!r}; this platform knows {', '.join(isa_known)}")
    if isa not in isa_built:
        raise RuntimeError(f"this build of fastrelu holds no {isa} kernels (built: {', '.join(isa_built)})")
    if isa not in isa_available:
        raise RuntimeError(f"this machine cannot run {isa} instructions (it runs: {', '.join(isa_available)})")
    return isa_known.index(isa)


cdef const fr_tables *tables(str isa) except NULL:
    """The kernels of an instruction set that this machine supports."""
    cdef int i
    for i in range(_isa_count):
        if isa == <str>_isa_each[i] and _isas[i].tables != NULL and _isas[i].runs_here:
            return _isas[i].tables
    return _isas[_isa_index(isa)].tables


# --- Settings: process defaults, and overrides in a context ---------------------------------------------------------

settings.precision = settings.threads = settings.overridden = 0
settings.stream_from = -1
settings.parallel_from[:] = [65536, 24576, 8192]  # benchmarks/bench_threads.py
settings.waking_from[:] = [1048576, 393216, 262144]  # about 100 us of work: tools/measure_pauses.py
parallel_from = (settings.parallel_from[0], settings.parallel_from[1], settings.parallel_from[2])
waking_from = (settings.waking_from[0], settings.waking_from[1], settings.waking_from[2])

# The GIL is released from this many elements on. Releasing it costs about as much as computing 50 elements.
cdef Py_ssize_t _RELEASE = 8192
cdef fr_atomic _quota = -1  # processors that the control group allows; -1: not read yet
cdef fr_caches _caches = fr_find_caches()
second_cache = _caches.second

precision_override = PyContextVar_New("fastrelu_precision", NULL)
thread_override = PyContextVar_New("fastrelu_threads", NULL)


def set_defaults(precision=None, threads=None, stream_from=None, parallel_from=None, waking_from=None):
    """Set the process's precision (0 or 1), thread limit (0 is none), least number of bytes to stream (-1: depends on
    the cache), and for each cost class the least size for threads, and for threads that are asleep."""
    if precision is not None:
        fr_store(&settings.precision, precision)
    if threads is not None:
        fr_store(&settings.threads, threads)
    if stream_from is not None:
        fr_store(&settings.stream_from, stream_from)
    if parallel_from is not None:
        for j in range(FR_COSTS):
            fr_store(&settings.parallel_from[j], parallel_from[j])
    if waking_from is not None:
        for j in range(FR_COSTS):
            fr_store(&settings.waking_from[j], waking_from[j])
    cdef Py_ssize_t least = _RELEASE
    for j in range(FR_COSTS):
        least = min(least, fr_load(&settings.parallel_from[j]))
    fr_store(&settings.at_once, least if fr_load(&settings.stream_from) < 0 else 0)


set_defaults()


def watch_overrides():
    """Make calls read the context variables from now on."""
    fr_store(&settings.overridden, 1)


cdef long long _setting(object variable, fr_atomic *default) except -1:
    cdef PyObject *found = NULL
    cdef long long value
    if fr_load(&settings.overridden):
        PyContextVar_Get(variable, NULL, &found)
        if found != NULL:
            value = <object>found
            Py_DECREF(found)
            return value
    return fr_load(default)


cdef int precision_in_context() except -1:
    return _setting(precision_override, &settings.precision)


def precision_level():
    """The precision of a call in the current context: 0 for "fast", 1 for "accurate"."""
    return precision_here()


cdef int _read_quota() except -1:
    if fr_load(&_quota) < 0:
        fr_store(&_quota, _host.cpu_quota())
    return fr_load(&_quota)


cpdef int thread_count() except -1:
    """Threads that a large call in the current context may use."""
    cdef int n = fr_team_granted()
    cdef int limit
    if n > 1:
        limit = _setting(thread_override, &settings.threads)
        if limit != 0:
            n = min(n, limit)
    if n > 1:
        limit = _read_quota()
        if limit != 0:
            n = min(n, limit)
    return max(n, 1)


cdef bint outgrows_cache(int cost, Py_ssize_t size, int parts) noexcept:
    """Is an output of `size` bytes, written by `parts` threads, evicted from the cache before it is read?

    If a kernel is bound by arithmetic, ordinary stores cost nothing, and the detour through a block would add cost.
    """
    cdef Py_ssize_t least = fr_load(&settings.stream_from)
    if least < 0:  # of all caches that the threads may use together
        least = (_caches.last or 1 << 25) * ((parts + _caches.sharers - 1) // _caches.sharers)
        return cost == FR_LIGHT and size >= least
    return size >= least


# --- The team of threads --------------------------------------------------------------------------------------------

cdef void _region(int workers) noexcept with gil:
    """The OpenMP region whose threads are the team's workers, for as long as the process lives.

    It acquires the GIL only to release it: then it is certain that there is one to release.
    """
    cdef int worker
    with nogil:
        for worker in prange(workers, schedule="static", chunksize=1, num_threads=workers):
            fr_team_serve(worker)


cdef Crew crew_for(int cost, Py_ssize_t n, Py_ssize_t itemsize) except *:
    """How many threads a call on n elements of a cost class gets in the current context, and why."""
    cdef Crew crew
    cdef Py_ssize_t least = fr_load(&settings.parallel_from[cost])
    cdef Py_ssize_t waking = fr_load(&settings.waking_from[cost]) >> (itemsize >= 8)  # as many bytes: as much work
    cdef int awake
    crew.threads, crew.reason, crew.least, crew.waking = 1, FR_CREW_SMALL, least, waking
    if n < least:
        return crew
    cdef int threads = thread_count()
    if threads == 1:
        crew.reason = FR_CREW_LIMIT
        return crew
    if n < threads * (least // 2):
        threads = n // (least // 2)
    crew.reason = fr_team_look(threads, &awake)
    if crew.reason == FR_CREW_READY or (crew.reason == FR_CREW_ASLEEP and n >= waking):
        # Waking a worker costs about 5 us, which is lost if its processor is busy: at most a tenth of the call.
        crew.threads = min(threads, 1 + awake + max(1, n // max(waking // 2, 1) - 1))
    return crew


cdef Crew crew_of(int cost, cnp.ndarray array) except *:
    """The same for a call on the elements of an array."""
    return crew_for(cost, cnp.PyArray_SIZE(array), cnp.PyArray_ITEMSIZE(array))


cdef int run_shares(fr_share run, const void *job, int cost, Py_ssize_t n, Py_ssize_t most, Crew crew) except -1:
    """Run a job on n elements of a cost class, cut into at most `most` shares unless there are more threads."""
    cdef Py_ssize_t each
    cdef bint watched
    if crew.threads > 1 and most > 1:
        # Several shares per thread, so that others can take the shares of a late one; but none too small to pay.
        each = min(n // max(fr_load(&settings.parallel_from[cost]) // 4, 1), most) // crew.threads
        watched = n // 4 >= fr_load(&settings.parallel_from[cost])  # shorter ones touch little memory
        with nogil:
            fr_team_run(run, job, crew.threads * max(1, min(each, 64)), crew.threads, watched)
    elif crew.reason > FR_CREW_LIMIT:
        with nogil:
            fr_team_run_alone(run, job)
    elif n >= _RELEASE:
        with nogil:
            run(job, 0, 1, 0)
    else:
        run(job, 0, 1, 0)
    return 0


cdef fr_atomic _settled = 0  # the quota and the pool's limit are known


cdef int settle() except -1:
    cdef bint refused = fr_team_is_short()
    if fr_load(&_settled) and not refused:
        return 0
    _read_quota()
    _recycles(FR_POOL_FROM)
    fr_store(&_settled, 1)
    if refused:
        import warnings

        warnings.warn("the system refused fastrelu a thread (a limit on processes, threads or memory): calls use fewer "
                      "threads", RuntimeWarning, stacklevel=1)
    return 1


def team():
    """Counters of the team of threads, for tests and measurements."""
    return dict(fr_team_count())


def set_team(spin=None, gap=None, hold=None, insist=None, granted=None):
    """Change how the team waits, for tests and measurements (team.h explains the settings)."""
    if spin is not None:
        fr_store(&fr_team_set.spin, spin)
    if gap is not None:
        fr_store(&fr_team_set.gap, gap)
    if hold is not None:
        fr_store(&fr_team_set.hold, hold)
    if insist is not None:
        fr_store(&fr_team_set.insist, insist)
    if granted is not None:
        fr_store(&fr_team_set.granted, granted)


# --- Memory of large results ----------------------------------------------------------------------------------------

cdef fr_atomic _recycling = -1  # 0: off; 1: on; -1: the limit is not set yet
recycle_from = FR_POOL_FROM

cdef PyDataMem_Handler _handler
strcpy(_handler.name, b"fastrelu")
_handler.version = 1
_handler.allocator = PyDataMemAllocator(NULL, fr_pool_malloc, fr_pool_calloc, fr_pool_realloc, fr_pool_free)
cdef object _recycler = PyCapsule_New(&_handler, "mem_handler", NULL)
cdef unsigned int _trace_domain = np.lib.tracemalloc_domain  # the domain of NumPy's data in tracemalloc


def set_cache(limit=None, milliseconds=None, huge_pages=None):
    """Set how many bytes of freed blocks are kept (0: none), how long, and whether huge pages are requested."""
    if limit is not None:
        fr_pool_limit(limit)
        fr_store(&_recycling, limit > 0)
    if milliseconds is not None:
        fr_pool_patience(milliseconds)
    if huge_pages is not None:
        fr_pool_huge_pages(huge_pages)


def clear_cache():
    """Give all freed blocks back to the system."""
    with nogil:
        fr_pool_clear()


cdef bint _recycles(Py_ssize_t size) except -1:
    """Does a new result of `size` bytes come from the pool?"""
    if size < FR_POOL_FROM:
        return False
    if fr_load(&_recycling) < 0:
        set_cache(limit=_host.default_cache_limit())
    return fr_load(&_recycling)


def cache_state():
    """The limit of the pool, bytes and blocks held, hits and misses."""
    _recycles(FR_POOL_FROM)
    cdef fr_pool_state state = fr_pool_look()
    return {"limit": state.limit, "held": state.held, "blocks": state.blocks, "hits": state.hits,
            "misses": state.misses}


cdef bint recycles_here(Py_ssize_t size) except -1:
    """The same for a result of this call: not if the host program has set a memory handler of its own."""
    if not _recycles(size):
        return False
    handler = PyDataMem_GetHandler()
    return <PyObject *>handler is PyDataMem_DefaultHandler


cdef bint pool_has(Py_ssize_t size) noexcept:
    return fr_pool_has(size)


cdef void tidy_pool() noexcept:
    fr_pool_tidy()


cdef void *room_of(size_t size) noexcept:
    return fr_pool_malloc(NULL, size)


cdef void leave_room(void *room) noexcept:
    fr_pool_free(NULL, room, 0)


cdef cnp.ndarray new_array(int ndim, const cnp.npy_intp *shape, const cnp.npy_intp *strides, void *data, int flags,
                           int dtype):
    """An array of a type that has kernels; NumPy's own shorthand for this looks the type up again."""
    cdef cnp.dtype descr = dtype_of(type_of(dtype))
    Py_INCREF(descr)  # the array steals the reference
    return PyArray_NewFromDescr(<PyTypeObject *>cnp.ndarray, <PyArray_Descr *>descr, ndim, shape, strides, data, flags,
                                NULL)


cdef cnp.ndarray recycled(int ndim, const cnp.npy_intp *shape, const cnp.npy_intp *strides, int order, int dtype,
                          Py_ssize_t size):
    """An array of `size` bytes that owns memory from the pool; None if there is no memory.

    NumPy's own way, to set its memory handler temporarily, runs Python code that may fail or call finalizers.
    """
    cdef cnp.ndarray array
    cdef void *data = fr_pool_malloc(NULL, size)
    if data == NULL:
        return None
    try:
        array = new_array(ndim, shape, strides, data, order | cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_WRITEABLE, dtype)
    except BaseException:
        fr_pool_free(NULL, data, size)
        raise
    Py_INCREF(_recycler)  # the array drops this reference when it frees its data
    (<PyArrayObject_fields *><PyArrayObject *>array).mem_handler = <PyObject *>_recycler
    PyArray_ENABLEFLAGS(array, cnp.NPY_ARRAY_OWNDATA)
    PyTraceMalloc_Track(_trace_domain, <size_t>data, size)
    return array


cdef cnp.ndarray fresh(int ndim, const cnp.npy_intp *shape, int dtype, Py_ssize_t size):
    """A new array of `size` bytes in C's order, of memory from the pool if it is large."""
    cdef cnp.ndarray y = None
    if size >= FR_POOL_FROM and recycles_here(size):
        y = recycled(ndim, shape, NULL, cnp.NPY_ARRAY_C_CONTIGUOUS, dtype, size)
    return new_array(ndim, shape, NULL, NULL, 0, dtype) if y is None else y


cdef cnp.ndarray fresh_like(cnp.ndarray x, Py_ssize_t size):
    """A new result of the shape, type, layout and size of x, which is dense."""
    cdef cnp.ndarray y = None
    cdef const cnp.npy_intp *strides = NULL
    cdef int order = cnp.NPY_ARRAY_C_CONTIGUOUS
    if not PyArray_IS_C_CONTIGUOUS(x):
        order = cnp.NPY_ARRAY_F_CONTIGUOUS
        if not PyArray_IS_F_CONTIGUOUS(x):
            strides = cnp.PyArray_STRIDES(x)
    if size >= FR_POOL_FROM and recycles_here(size):
        y = recycled(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), strides, order, cnp.PyArray_TYPE(x), size)
    if y is not None:
        return y
    if strides != NULL:
        return PyArray_NewLikeArray(x, cnp.NPY_KEEPORDER, NULL, 0)
    return new_array(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), NULL, NULL, order & cnp.NPY_ARRAY_F_CONTIGUOUS,
                     cnp.PyArray_TYPE(x))


cdef bint is_warm(cnp.ndarray y) noexcept:
    """Has the memory of this result been in use before, so that its pages are mapped?"""
    return PyArray_HANDLER(y) == <PyObject *>_recycler and fr_pool_is_warm(cnp.PyArray_DATA(y))


cdef list listed(tuple items):
    """A list of these items. CPython's own, PySequence_List, loses a reference to `items` where memory ends."""
    cdef list found = []
    for item in items:
        found.append(item)
    return found


# --- Arrays that the caller's code may change -----------------------------------------------------------------------

cdef cnp.ndarray _owner(cnp.ndarray array):
    """The array that owns the memory of a view, as far as NumPy knows."""
    cdef PyObject *base = PyArray_BASE(array)
    while base != NULL and cnp.PyArray_Check(<object>base):
        array = <cnp.ndarray><object>base
        base = PyArray_BASE(array)
    return array


cdef void extent(cnp.ndarray array, char **low, char **high) noexcept:
    """The first and the last address of the elements, of which there is at least one."""
    cdef Py_ssize_t reach
    cdef int axis
    low[0] = <char *>cnp.PyArray_DATA(array)
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(array)
    for axis in range(cnp.PyArray_NDIM(array)):
        reach = (cnp.PyArray_DIM(array, axis) - 1) * cnp.PyArray_STRIDE(array, axis)
        if reach < 0:
            low[0] += reach
        else:
            high[0] += reach


cdef bint _is_whole(cnp.ndarray array):
    """Is a view still within the memory of its owner, which may have been resized since?"""
    cdef char *ends[4]
    if PyArray_BASE(array) == NULL or cnp.PyArray_SIZE(array) == 0:
        return True
    owner = _owner(array)
    if owner is array:
        return True
    if cnp.PyArray_SIZE(owner) == 0:
        return False
    extent(array, &ends[0], &ends[1])
    extent(owner, &ends[2], &ends[3])
    return ends[2] <= ends[0] and ends[1] <= ends[3]


cdef int refuse_change(str name) except -1:
    raise RuntimeError(f"{name}: an array was changed while the call was prepared, by code of another argument, a "
                       "warning or a finalizer")


cdef int check_whole(object operand, str name) except -1:
    if cnp.PyArray_Check(operand) and not _is_whole(<cnp.ndarray>operand):
        refuse_change(name)
    return 0


def call_whole(str name, function, *operands):
    """Call a function that allocates nothing before it reads its operands, which must be whole: NumPy's, on views."""
    settle()
    for operand in operands:
        check_whole(operand, name)
    try:
        return function(*operands)
    except SystemError:  # NumPy's ufuncs return NULL and set no exception where they find no memory
        raise MemoryError from None


cdef cnp.ndarray copy_held(const Held *held, cnp.ndarray array, str name):
    check_held(held, name)
    return cnp.PyArray_NewCopy(array, cnp.NPY_CORDER)


cdef size_t _mixed(size_t mark, size_t number) noexcept:
    return (mark ^ number) * <size_t>0x9E3779B97F4A7C15


cdef size_t _mark_of(const Held *held) noexcept:
    """A hash of addresses, shapes, strides and types, to detect that one of them has changed."""
    cdef cnp.ndarray array
    cdef size_t mark = 0
    cdef int axis, k, _turn
    for k in range(held.count):
        array = <cnp.ndarray>held.arrays[k]
        for _turn in range(2):  # the array itself and its owner
            mark = _mixed(mark, <size_t>cnp.PyArray_DATA(array))
            mark = _mixed(mark, cnp.PyArray_TYPE(array))
            # Not writeable: NumPy locks an output while it is copied back.
            mark = _mixed(mark, cnp.PyArray_FLAGS(array) & ~cnp.NPY_ARRAY_WRITEABLE)
            for axis in range(cnp.PyArray_NDIM(array)):
                mark = _mixed(mark, cnp.PyArray_DIM(array, axis))
                mark = _mixed(mark, cnp.PyArray_STRIDE(array, axis))
            if PyArray_BASE(array) == NULL:
                break
            array = _owner(array)
    return mark


cdef void keep(Held *held, cnp.ndarray array) noexcept:
    if array is not None:
        held.arrays[held.count] = <PyObject *>array
        held.count += 1


cdef int hold(Held *held, str name) except -1:
    cdef int k
    for k in range(held.count):
        if not _is_whole(<cnp.ndarray>held.arrays[k]):
            refuse_change(name)
    held.mark = _mark_of(held)
    return 0


cdef int check_held(const Held *held, str name) except -1:
    if _mark_of(held) != held.mark:
        refuse_change(name)
    return 0


def pinned(str name, *arrays):
    """Weak references to arrays and to the owners of their memory; NumPy refuses to resize an array that has one.

    For calls that run Python code between two blocks. Raises if a view is not whole.
    """
    cdef list found = []
    for array in arrays:
        found.append(ref(array))
        found.append(ref(_owner(array)))
    for array in arrays:
        check_whole(array, name)
    return found


if fr_team_prepare(_region) or fr_pool_watch_forks():
    raise ImportError("fastrelu could not register its fork handler")
