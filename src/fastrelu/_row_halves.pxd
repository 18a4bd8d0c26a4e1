# Interface of _row_halves for what goes over rows of 16 bits.

cimport numpy as cnp

from fastrelu._row_kernels cimport Load, RowKernels, fr_row_call, fr_row_finish
from fastrelu._runtime cimport Crew, Held

cdef object _run_halves(RowKernels kernels, int kind, int cost, cnp.ndarray x, cnp.ndarray second, cnp.ndarray out,
                        int dtype, Load load=*, cnp.ndarray factor=*, fr_row_finish finish=*)
cdef bint _is_at_once(tuple operands, cnp.ndarray out, int dtype) except -1
cdef Py_ssize_t _count_parts(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b,
                             cnp.ndarray mask, tuple axes, cnp.ndarray target, int result, int dtype, Crew *crew,
                             Load load, cnp.ndarray sink) except -1
cdef bint _run_parts(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                     int axis, cnp.ndarray y, int dtype, const Held *held, Load load, cnp.ndarray sink,
                     cnp.ndarray factor, fr_row_finish finish) except -1
cdef bint _run_losses_in_parts(RowKernels kernels, const fr_row_call *call, cnp.ndarray x, int dtype, int cost,
                               const Held *held, str name) except -1
