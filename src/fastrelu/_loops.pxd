# NumPy's own loops over the elements of float32 and float64, called without what a ufunc does around them: they have
# the bits of NumPy's operators, allocate nothing and raise nothing.

cimport numpy as cnp

cdef extern from "numpy/ufuncobject.h":
    ctypedef struct PyUFuncObject:
        cnp.PyUFuncGenericFunction *functions
        void **data
        char *types
        int nargs
        int ntypes

ctypedef void (*fr_numbers)(char **, const cnp.npy_intp *, const cnp.npy_intp *, void *) noexcept nogil

cdef struct Loop:
    fr_numbers function
    void *context

cdef inline Loop loop_of(object ufunc, int type) except *:
    """The loop of a ufunc whose operands and result are of one type."""
    cdef PyUFuncObject *of = <PyUFuncObject *>ufunc
    cdef Loop found
    cdef int i, j
    for i in range(of.ntypes):
        for j in range(of.nargs):
            if of.types[i * of.nargs + j] != type:
                break
        else:
            found.function, found.context = <fr_numbers>of.functions[i], of.data[i]
            return found
    raise ImportError(f"NumPy's {ufunc.__name__} has no loop for type {type}")

cdef inline int find_loops(object numpy, str names, Loop *narrow, Loop *wide) except -1:
    """Find the loops of some of NumPy's ufuncs for float32 and for float64."""
    cdef int k
    for k, name in enumerate(names.split()):
        ufunc = getattr(numpy, name)
        narrow[k], wide[k] = loop_of(ufunc, cnp.NPY_FLOAT), loop_of(ufunc, cnp.NPY_DOUBLE)
    return 0

cdef inline void run_loop(const Loop *loop, char *a, cnp.npy_intp a_step, char *b, cnp.npy_intp b_step, char *to,
                          cnp.npy_intp to_step, cnp.npy_intp n) noexcept nogil:
    cdef char *operands[3]
    cdef cnp.npy_intp steps[3]
    operands[0], operands[1], operands[2] = a, b, to
    steps[0], steps[1], steps[2] = a_step, b_step, to_step
    loop.function(operands, &n, steps, loop.context)
