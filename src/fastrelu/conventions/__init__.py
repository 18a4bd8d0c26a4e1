"""The activation functions under the names, arguments, defaults and edge rules of other frameworks, on NumPy arrays.

One module for each: ``from fastrelu.conventions import torch as F``, then ``F.leaky_relu``, ``F.hardtanh`` and so on
as in ``torch.nn.functional``. Each name is a thin wrapper around a function of this package; ``name_backward(grad, ...)``
is the gradient with respect to the first argument as the framework's automatic differentiation gives it, its choice
at a kink included. Where a framework overflows, cancels or swallows NaN, the value here is the right one: the page
"Other frameworks' names" lists these deviations, each with its reason.

`torch` has ``torch.nn.functional``, and `torch.special` in a module of its own; `jax` has ``jax.nn``; `keras` has
``keras.activations``, and ``keras.ops`` in `keras.ops`; `tf` has ``tf.nn`` and the activations of ``tf.math``; `onnx`
the operators, by opset; `transformers` what a configuration of Hugging Face calls ``hidden_act``; `mlx` has ``mlx.nn``.
"""

from typing import TYPE_CHECKING

from fastrelu._later import Later

if TYPE_CHECKING:
    from fastrelu.conventions import jax as jax
    from fastrelu.conventions import keras as keras
    from fastrelu.conventions import mlx as mlx
    from fastrelu.conventions import onnx as onnx
    from fastrelu.conventions import tf as tf
    from fastrelu.conventions import torch as torch
    from fastrelu.conventions import transformers as transformers
else:  # type checkers follow the imports above, but not a computed list
    __all__ = [*("jax", "keras", "mlx", "onnx", "tf", "torch", "transformers")]
    globals().update({name: Later(f"fastrelu.conventions.{name}") for name in __all__})
