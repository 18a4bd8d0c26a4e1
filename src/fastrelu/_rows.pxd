# Interface of _rows for other functions along an axis.

cimport numpy as cnp

from fastrelu._row_kernels cimport Load, RowKernels, fr_row_finish
from fastrelu._runtime cimport Crew, Held

cdef object _hand_over(RowKernels kernels, str name, tuple values, object axis, object out, object where,
                       bint keepdims)
cdef bint _is_flat(object x, object second, object axis, object out)
cdef cnp.ndarray _along(RowKernels kernels, int kind, bint backward, cnp.ndarray a, cnp.ndarray b, cnp.ndarray mask,
                        int axis, cnp.ndarray y, int dtype, Crew crew, const Held *held, Load load,
                        cnp.ndarray sink, cnp.ndarray factor=*, fr_row_finish finish=*)
