# The floor below the doors, for the other compiled modules. What is declared here exists once per process: a variable
# is reached through a pointer, a function that is not inline through another one.

cimport numpy as cnp
from cpython.object cimport PyObject

cdef extern from "atomic.h" nogil:
    ctypedef long long fr_atomic
    long long fr_load(fr_atomic *)
    void fr_store(fr_atomic *, long long)
    long long fr_add(fr_atomic *, long long)

cdef extern from "kernels/guard.h" nogil:
    ctypedef struct fr_guard:
        pass
    fr_guard fr_guard_open() noexcept
    void fr_guard_close(fr_guard) noexcept

cdef extern from "kernels/types.h" nogil:
    enum:
        FR_PRECISIONS
        FR_F32_ACCURATE
        FR_F32_FAST
        FR_F64_FAST
        FR_F64_ACCURATE
        FR_FLAVORS
        FR_float32
        FR_float64
        FR_float16
        FR_bfloat16
        FR_TYPES
        FR_OWN_TYPES
    ctypedef struct fr_type:
        const char *name
        Py_ssize_t size
        int *flavor
    const fr_type *fr_types
    const int *fr_type_of_flavor
    int fr_type_of(int)

cdef extern from "kernels/kernels.h" nogil:
    enum:
        FR_MAX_PARAMETERS
        FR_MAX_INPUTS
        FR_MAX_OPERANDS
        FR_MAX_AXES
        FR_FORWARD
        FR_BACKWARD
        FR_FROM_OUTPUT
        FR_DIRECTIONS
        FR_LIGHT
        FR_MEDIUM
        FR_COSTS
    ctypedef void (*fr_kernel)(const char *const *, char *, Py_ssize_t) noexcept nogil
    enum:
        FR_ADD
        FR_MULTIPLY
        FR_COMBINATIONS
    ctypedef void (*fr_fused)(const char *const *, char *, char *, Py_ssize_t) noexcept nogil
    ctypedef fr_fused fr_fused_flavors[FR_FLAVORS]
    ctypedef struct fr_kernels:
        fr_kernel *scalar
        fr_kernel *array
        fr_kernel *direct
        fr_fused_flavors *fused
    ctypedef fr_kernels fr_row[3]
    ctypedef struct fr_stream:
        void (*move)(char *, const char *, Py_ssize_t, const char *const *, int) noexcept nogil
    enum:
        FR_AS_BOOL
        FR_AS_FLOAT
        FR_AS_DOUBLE
        FR_AS_HALF
        FR_AS_BFLOAT
        FR_FORMATS
    ctypedef void (*fr_move)(const char *, char *, Py_ssize_t) noexcept nogil
    ctypedef fr_move fr_moves[FR_FORMATS]
    ctypedef void (*fr_combine)(const char *, const char *, char *, Py_ssize_t) noexcept nogil
    ctypedef fr_combine fr_combines[FR_COMBINATIONS]
    ctypedef struct fr_convert:
        fr_moves *load
        fr_moves *store
        fr_move store_up
        const fr_combines *combine
        const fr_combines *direct
    ctypedef struct fr_rows:
        pass
    ctypedef struct fr_sums:
        pass
    ctypedef struct fr_stats:
        pass
    ctypedef struct fr_packed:
        pass
    ctypedef struct fr_tables:
        const fr_row *ops
        fr_stream stream
        const fr_convert *convert
        const fr_rows *rows
        const fr_sums *sums
        const fr_stats *stats
        const fr_packed *packed

cdef extern from "team.h" nogil:
    enum:
        FR_CREW_SMALL
        FR_CREW_LIMIT
        FR_CREW_BUSY
        FR_CREW_HELD_BACK
        FR_CREW_ASLEEP
        FR_CREW_READY
    # Computes one of the shares that a job is cut into, on one of the threads.
    ctypedef void (*fr_share)(const void *job, long share, long shares, int part) noexcept nogil

cdef extern from "pool.h" nogil:
    enum:
        FR_POOL_FROM

# NumPy's number of bfloat16, which ml_dtypes registers; -1 until one has been seen.
cdef int bfloat16
cdef int learn_bfloat16(cnp.dtype dtype) except -1

# For NumPy's number of a type: its index in types.def, or -1; and for one that is there the flavor in a precision, the
# bytes of an element, and whether there are kernels that read and write it.
cdef inline int type_of(int dtype) noexcept nogil:
    cdef int type = fr_type_of(dtype)
    return FR_bfloat16 if type < 0 and dtype >= 0 and dtype == bfloat16 else type

cdef inline int flavor_of(int dtype, int level) noexcept nogil:
    return fr_types[type_of(dtype)].flavor[level]

cdef inline int size_of(int dtype) noexcept nogil:
    return fr_types[type_of(dtype)].size

cdef inline bint has_kernels(int dtype) noexcept nogil:
    return <unsigned int>type_of(dtype) < <unsigned int>FR_OWN_TYPES

cdef cnp.dtype dtype_of(int type)  # of a type in types.def, by its index there; None if it has no number yet

cdef const fr_tables *tables(str isa) except NULL

# Settings of the process. Doors read the first two in every call; the others through the functions below.
cdef struct Settings:
    fr_atomic at_once         # below this many elements no setting asks for threads or for streaming
    fr_atomic precision       # 0 "fast", 1 "accurate"
    fr_atomic overridden      # has a context variable ever been set? If not, no call reads them
    fr_atomic threads         # limit of the threads of a call; 0: as many as the host allows
    fr_atomic stream_from     # outputs of this many bytes or more are streamed; -1: depends on the size of the cache
    fr_atomic parallel_from[3]  # elements below which a second thread costs more than it brings, by cost class
    fr_atomic waking_from[3]  # elements of 4 bytes from which it pays to wake workers that are asleep
cdef Settings settings

cdef int precision_in_context() except -1

cdef inline int precision_here() except -1:
    """The precision of a call in the current context."""
    return precision_in_context() if fr_load(&settings.overridden) else fr_load(&settings.precision)

# Does it pay to store an output of `size` bytes, written by `parts` threads, past the cache?
cdef bint outgrows_cache(int cost, Py_ssize_t size, int parts) noexcept

# How many threads a call has, decided once, and the reason (FR_CREW_...).
cdef struct Crew:
    int threads
    int reason
    Py_ssize_t least  # elements from which workers help, ...
    Py_ssize_t waking  # ... and from which those that are asleep are woken
cdef Crew crew_for(int cost, Py_ssize_t n, Py_ssize_t itemsize) except *
cdef Crew crew_of(int cost, cnp.ndarray array) except *
cdef int run_shares(fr_share run, const void *job, int cost, Py_ssize_t n, Py_ssize_t most, Crew crew) except -1
# Does everything that may run the caller's code, and therefore comes before arrays are read: reads the quota and the
# pool's limit, once, and warns once that the system refused a thread. Returns whether it did any of that.
cdef int settle() except -1

# New arrays of a type that has kernels. `recycled` is None if the pool has no memory; it must have been asked before.
cdef bint recycles_here(Py_ssize_t size) except -1
cdef bint pool_has(Py_ssize_t size) noexcept
cdef void tidy_pool() noexcept
cdef cnp.ndarray recycled(int ndim, const cnp.npy_intp *shape, const cnp.npy_intp *strides, int order, int dtype,
                          Py_ssize_t size)
cdef cnp.ndarray new_array(int ndim, const cnp.npy_intp *shape, const cnp.npy_intp *strides, void *data, int flags,
                           int dtype)
cdef cnp.ndarray fresh(int ndim, const cnp.npy_intp *shape, int dtype, Py_ssize_t size)
cdef cnp.ndarray fresh_like(cnp.ndarray x, Py_ssize_t size)
cdef bint is_warm(cnp.ndarray y) noexcept
# Memory to compute in, of the pool if it is large; NULL if there is none.
cdef void *room_of(size_t size) noexcept
cdef void leave_room(void *room) noexcept

cdef list listed(tuple items)  # instead of list() and [*items]

# Arrays of a call, and their state when it was planned. The caller's code may run until the kernels start, in a
# conversion, a finalizer or a tracer, and may free memory whose addresses are known already.
cdef struct Held:
    int count
    size_t mark
    PyObject *arrays[FR_MAX_OPERANDS]
cdef void keep(Held *held, cnp.ndarray array) noexcept  # adds one, or None; the caller has a reference
cdef int hold(Held *held, str name) except -1
# Raises if an array has changed. After this check no Python code may run until the kernels are done.
cdef int check_held(const Held *held, str name) except -1
cdef cnp.ndarray copy_held(const Held *held, cnp.ndarray array, str name)  # of one that is held, after that check
cdef int refuse_change(str name) except -1
cdef int check_whole(object operand, str name) except -1  # raises if it is a view beyond the end of its owner
cdef void extent(cnp.ndarray array, char **low, char **high) noexcept

cdef inline bint extents_meet(cnp.ndarray x, cnp.ndarray y) noexcept:
    """Might they share memory?"""
    cdef char *ends[4]
    if cnp.PyArray_SIZE(x) == 0 or cnp.PyArray_SIZE(y) == 0:
        return False
    extent(x, &ends[0], &ends[1])
    extent(y, &ends[2], &ends[3])
    return ends[0] < ends[3] and ends[2] < ends[1]
