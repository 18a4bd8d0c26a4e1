"""The activation functions and their gradients, one module per family, and the conventions that all of them share.

::

    y = f(x, <parameters>, *, out=None, where=True)
    f_(x, <parameters>, *, where=True)                  # in place; returns x itself
    dx = f_backward(grad, x, <parameters>, *, out=None, where=True)
    dx = f_backward_from_output(grad, y, <parameters>, *, out=None, where=True)
    dx, dparameter, ... = f_backward_parameters(grad, x, <parameters>, *, out=None)

Arguments
    Data and parameters are arrays, numbers, sequences or buffers, and broadcast with each other as in any NumPy ufunc.
Types
    The result of float32, float64, float16 and bfloat16 (of the package ``ml_dtypes``) has the type that went in; 16-bit
    types are computed in float32 ("fast") or float64 ("accurate") and rounded once. bool and integers of up to 16 bits
    become float32, wider integers float64. Arrays of different types are promoted by NumPy's rules; a Python number
    never promotes, and as a parameter beside a 16-bit type it is rounded to float32.
Results
    A new array, or a scalar if no input has a dimension. Subclasses, masked arrays, pandas, xarray and dask are treated
    as by NumPy's own ufuncs: most keep their type. What their code cannot do raises a TypeError.
`out`
    An array or any writable buffer (``array.array``, ``memoryview``, shared memory, a PyTorch tensor on the CPU) that
    has the shape of the result and a type to which NumPy casts it. It is filled and returned. It may be an input,
    or overlap one: the result is as if the inputs had been copied before. Results too large for the type of `out`
    become infinite, without a warning.
`where`
    A mask that broadcasts with the inputs, not of pandas or xarray. Elements where it is false keep their value in
    `out`; without `out` they are undefined.
In place
    `f_` takes an array or a writable buffer of a floating-point type, overwrites it and returns it.
Domains
    The section `Raises` of a function says which parameters it refuses: a number raises a ValueError; in an array, such
    an element gives NaN.
Gradients
    `grad` is the gradient with respect to the output, `x` the input and `y` the output of the forward call; parameters
    are those of the forward call. `f_backward_from_output` exists where the output determines the gradient; it may
    require more of the parameters, which its docstring says. `f_backward_parameters` also returns the gradient of each
    parameter in that parameter's shape: summed over the axes that broadcasting added or stretched, accumulated in
    float64 with compensated addition and rounded once. It takes no mask, refuses masked arrays and those of pandas,
    xarray and dask, and converts other subclasses with :func:`numpy.asarray`.
Errors
    TypeError if an argument is complex, long double, object or text, or if `out` or `x` in place cannot hold the type
    of the result. ValueError if `out` is read-only, if shapes do not broadcast, or if a parameter is outside its
    domain. All errors are raised before anything is written.
Values
    NaN gives NaN, forward and backward; infinities give the limits of the function. No floating-point warning is given.
Precision
    The line `Error` of a docstring is the limit over all inputs in units in the last place (ULP), of "fast", the
    default, and of "accurate": see :func:`fastrelu.precision` and :func:`fastrelu.error_bound`.
Threads
    Large calls use several threads: see :func:`fastrelu.set_num_threads`. An element's result depends neither on their
    number nor on its position, the memory layout, or whether the call is in place.

Examples
--------
>>> import numpy as np, fastrelu as fr
>>> x = np.float32([-2.0, 3.0])
>>> fr.leaky_relu(x, np.float32([[0.1], [0.25]]), out=np.empty((2, 2), np.float32))
array([[-0.2,  3. ],
       [-0.5,  3. ]], dtype=float32)
>>> fr.elu(x, np.inf)
Traceback (most recent call last):
ValueError: elu requires finite alpha, got alpha=inf
"""

from fastrelu.activations import exponential, gated, rectifiers, shrinkage, sigmoidal
from fastrelu.activations.exponential import *
from fastrelu.activations.gated import *
from fastrelu.activations.rectifiers import *
from fastrelu.activations.shrinkage import *
from fastrelu.activations.sigmoidal import *

__all__ = [
    *exponential.__all__,
    *gated.__all__,
    *rectifiers.__all__,
    *shrinkage.__all__,
    *sigmoidal.__all__,
]
