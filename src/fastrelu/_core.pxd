# Interface of _core for the other compiled modules: the tables of kernels, the settings, and the one team of threads.

cimport numpy as cnp
from cpython.object cimport PyObject

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
        FR_F32_FAST
        FR_F64_FAST
        FR_FLAVOURS
        FR_LIGHT
        FR_MEDIUM
        FR_COSTS
    ctypedef void (*fr_kernel)(const char *const *, char *, Py_ssize_t) noexcept nogil
    ctypedef int (*fr_domain)(const double *) noexcept nogil
    ctypedef struct fr_kernels:
        fr_kernel *scalar
        fr_kernel *array
    ctypedef struct fr_op:
        const char *name
        int cost
        int nparams
        const char **params
        fr_domain *domain
        const char **domain_text
    ctypedef fr_kernels fr_row[3]
    ctypedef struct fr_stream:
        void (*move)(char *, const char *, Py_ssize_t, const char *const *, int) noexcept nogil
    ctypedef struct fr_rows:
        pass
    ctypedef struct fr_sums:
        pass
    ctypedef struct fr_stats:
        pass
    ctypedef struct fr_tables:
        const fr_row *ops
        fr_stream stream
        const fr_rows *rows
        const fr_sums *sums
        const fr_stats *stats
    ctypedef struct fr_isa:
        const char *name
        const fr_tables *tables
        int runs_here
    const fr_op *fr_ops
    const int fr_nops
    const fr_isa *fr_isa_list(int *)
    ctypedef struct fr_cache:
        Py_ssize_t size
        int sharers
    fr_cache fr_last_cache()

cdef extern from "team.h" nogil:
    # Computes one of the shares that a job is cut into, on one of the threads.
    ctypedef void (*fr_share)(const void *job, long share, long shares, int part) noexcept nogil

# The class of an operand: which kernels its type needs.
cdef enum:
    SINGLE   # its type fits into float32
    DOUBLE   # into float64
    WEAK     # a Python number, which fits into the type of the others
    NEITHER  # no kernel has its type; the ufunc says so
    FOREIGN  # its type has code of its own

# The flavor of a dtype and a precision (FR_F32_FAST ...), and the bytes of an element.
cdef inline int flavour_of(int dtype, int level) noexcept nogil:
    return (FR_F64_FAST if dtype == cnp.NPY_DOUBLE else FR_F32_FAST) + level

cdef inline int size_of(int dtype) noexcept nogil:
    return 8 if dtype == cnp.NPY_DOUBLE else 4

cdef const fr_tables *tables(str isa) except NULL
cpdef int precision_level() except -1
cpdef int thread_count() except -1
# How many threads a call has, decided once, and the reason (FR_CREW_...).
cdef struct Crew:
    int threads
    int reason
cdef Crew crew_for(int cost, Py_ssize_t n) except *
# Does everything that may run the caller's code, and therefore comes before arrays are read: reads the quota and the
# pool's limit, once, and warns once that the system refused a thread. Returns whether it did any of that.
cdef int settle() except -1
# Arrays of a call, and their state when it was planned. The caller's code may run until the kernels start, in a
# conversion, a finalizer or a tracer, and may free memory whose addresses are known already.
cdef struct Held:
    int count
    size_t mark
    PyObject *arrays[FR_MAX_OPERANDS]
cdef void keep(Held *held, cnp.ndarray array) noexcept  # adds one, or None; the caller has a reference
cdef int hold(Held *held, str name) except -1
cdef int refuse_change(str name) except -1
# Raises if an array has changed. After this check no Python code may run until the kernels are done.
cdef int check_held(const Held *held, str name) except -1
cdef int run_shares(fr_share run, const void *job, int cost, Py_ssize_t n, Py_ssize_t most, Crew crew) except -1
cdef int class_of_dtype(cnp.dtype dtype) except -1
cdef object as_target(str name, object out)
cdef int _number(object value, double *to) except -1
cdef Py_ssize_t _broadcast_size(list arrays) except -1
cdef bint _is_native(object value, int dtype)
cdef object _as_array(double number, bint double)
