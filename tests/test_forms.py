"""Arguments that choose among kernels or stand for a number, and the layer whose parameters are those of a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cases import FORWARD_CASES
from compare import assert_same_bits
from inputs import values

import fastrelu as fr
from fastrelu import nn

if TYPE_CHECKING:
    from specs import Precision


@pytest.mark.parametrize("precision", ["fast", "accurate"])
def test_the_usual_gate_of_hard_swish(dtype: np.dtype[Any], precision: Precision) -> None:
    """The usual slope and offset give the same bits as numbers and as arrays; other values take another kernel."""
    x, grad = values(5000, dtype), values(5000, dtype, 1)
    with fr.precision(precision):
        wanted, slope = fr.hard_swish(x), fr.hard_swish_backward(grad, x)
        for kind in (float, dtype.type, lambda value: np.full(x.shape, value, dtype)):
            assert_same_bits(fr.hard_swish(x, kind(1 / 6), kind(0.5)), wanted)
            assert_same_bits(fr.hard_swish_(x.copy(), kind(1 / 6), kind(0.5)), wanted)
            assert_same_bits(fr.hard_swish_backward(grad, x, kind(1 / 6), kind(0.5)), slope)
    assert fr.explain(fr.hard_swish, x).kernel == "hard_swish"
    assert fr.explain(fr.hard_swish, x, 0.2).kernel == "hard_swish_line"


@pytest.mark.parametrize("precision", ["fast", "accurate"])
@pytest.mark.parametrize("beta", [2.0**-16, 1.0, 1.702, -0.7, 2.0**16])
def test_the_usual_betas_of_swish(isa: str, dtype: np.dtype[Any], precision: Precision, beta: float) -> None:
    """A usual beta has a body of its own for numbers; arrays, and numbers just outside, take the one for any beta."""
    swish = next(case for case in FORWARD_CASES if case.name == "swish")
    info = np.finfo(dtype)
    ends = np.log(float(info.smallest_subnormal)) - 30, np.log(float(info.tiny)) + 30  # subnormal results between
    for size in (beta, np.nextafter(dtype.type(beta), dtype.type(0)), np.nextafter(dtype.type(beta), info.max)):
        x = np.concatenate([values(2000, dtype), (np.linspace(*ends, 3000) / abs(beta)).astype(dtype)])
        x = np.concatenate([x, -x])
        wanted = swish.on(isa, precision, x, np.full_like(x, size))
        assert_same_bits(swish.on(isa, precision, x, float(size)), wanted)
        with fr.precision(precision):
            bias, y = values(x.size, dtype, 1), fr.swish(x, float(size))
            assert_same_bits(fr.fused.bias_act(x, -np.zeros_like(bias), "swish", beta=float(size)), y)
            with np.errstate(all="ignore"):
                y = fr.swish(x + bias, float(size))
            assert_same_bits(fr.fused.bias_act(x, bias, "swish", beta=float(size)), y)


@pytest.mark.parametrize("precision", ["fast", "accurate"])
def test_the_usual_parameters_of_hard_sigmoid(isa: str, dtype: np.dtype[Any], precision: Precision) -> None:
    """As numbers they have a body of their own; as arrays they take the one for any parameters."""
    hard_sigmoid = next(case for case in FORWARD_CASES if case.name == "hard_sigmoid")
    ramp = np.linspace(-4, 4, 5001).astype(dtype)
    ends = [np.nextafter(dtype.type(end), dtype.type(to)) for end in (-3, 0, 3) for to in (-9, end, 9)]
    x = np.concatenate([values(5000, dtype), ramp, ends, [-0.0, np.inf, -np.inf, np.nan]]).astype(dtype)
    for slope in {1 / 6, float(dtype.type(1 / 6)), float(np.float32(1 / 6)), float(np.nextafter(1 / 6, 1))}:
        wanted = hard_sigmoid.on(isa, precision, x, np.full_like(x, slope), np.full_like(x, 0.5))
        assert_same_bits(hard_sigmoid.on(isa, precision, x, slope, 0.5), wanted)
        with fr.precision(precision):
            bias, y = values(x.size, dtype, 1), fr.hard_sigmoid(x, slope, 0.5)
            assert_same_bits(fr.fused.bias_act(x, -np.zeros_like(bias), "hard_sigmoid", slope=slope, offset=0.5), y)
            with np.errstate(all="ignore"):
                y = fr.hard_sigmoid(x + bias, slope, 0.5)
            assert_same_bits(fr.fused.bias_act(x, bias, "hard_sigmoid", slope=slope, offset=0.5), y)


def test_none_is_no_limit(dtype: np.dtype[Any]) -> None:
    """None means no limit for eps and max_value, in every form of the function."""
    x, grad = values(5000, dtype), values(5000, dtype, 1)
    assert_same_bits(fr.logit(x, None), fr.logit(x, -1.0))
    assert_same_bits(fr.logit_(x.copy(), None), fr.logit(x))
    assert_same_bits(fr.logit_backward(grad, x, None), fr.logit_backward(grad, x, -0.5))
    assert_same_bits(fr.bounded_relu(x, 0.25, None), fr.leaky_relu(x, 0.25))
    assert_same_bits(fr.bounded_relu(x, 0.25, None), fr.bounded_relu(x, 0.25, np.inf))
    assert_same_bits(fr.bounded_relu(x, 0.0, 6.0), fr.relu6(x))
    assert_same_bits(fr.bounded_relu_backward_from_output(grad, fr.relu6(x), 0.0, 6.0), fr.relu6_backward(grad, x))
    assert_same_bits(fr.shrink(x, 0.5), fr.hard_shrink(x, 0.5))
    assert_same_bits(fr.shrink(x, 0.5, 0.5), fr.soft_shrink(x, 0.5))


def test_logit_against_pytorch(torch: Any) -> None:
    """Values and gradients are PyTorch's, within the limits of eps and outside; near 1 PyTorch's limit is rounded."""
    x = np.concatenate([np.linspace(-0.5, 1.5, 201), [0, 1, np.nan, np.inf, -np.inf]])
    for eps in (None, 0.0, 0.125, 0.5):
        theirs = torch.tensor(x, requires_grad=True)
        wanted = torch.logit(theirs, eps)
        wanted.backward(torch.ones_like(wanted))
        np.testing.assert_allclose(fr.logit(x, eps), wanted.detach().numpy(), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(fr.logit_backward(1.0, x, eps), theirs.grad.numpy(), rtol=1e-13)


def test_parameters_of_xielu() -> None:
    """The layer's learned numbers are those of the paper: softplus of one, beta and softplus of the other."""
    layer, x = nn.XIELU(0.7, 1.2, 0.4, dtype=np.float64), np.linspace(-4, 4, 101)
    raw_p, raw_n = layer.alpha_p.data, layer.alpha_n.data
    alpha_p, alpha_n = np.log1p(np.exp(raw_p)), 0.4 + np.log1p(np.exp(raw_n))
    np.testing.assert_allclose([alpha_p, alpha_n], [[0.7], [1.2]], rtol=1e-12)
    below = alpha_n * (np.expm1(np.minimum(x, 0)) - x) + 0.4 * x
    np.testing.assert_allclose(layer(x), np.where(x > 0, alpha_p * x * x + 0.4 * x, below), rtol=1e-12, atol=1e-15)
    assert list(layer.state_dict()) == ["alpha_p", "alpha_n"]
    message = "XIELU requires alpha_p_init > 0 and alpha_n_init > beta, got alpha_p_init="
    for arguments, said in (
        ((0.0, 0.8), message),
        ((0.8, 0.5), message),
        ((float("nan"), 0.8), "alpha_p_init must be a number, got nan"),
    ):
        with pytest.raises(ValueError, match=said):
            nn.XIELU(*arguments)
