"""Derivatives along tangents, backwards twice and forwards, against formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from popinv.forward import tangents
from popinv.forward.python.autograd import changes_along
from popinv.forward.tangents import linearised

RNG = np.random.default_rng(7)
X = torch.from_numpy(RNG.standard_normal((6, 2)))


class Square(torch.autograd.Function):
    """The square, with a gradient that torch cannot differentiate again, and does not say so."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z.detach())
        return z.detach() ** 2

    @staticmethod
    def backward(ctx, weight):
        (z,) = ctx.saved_tensors
        return 2 * z * weight.detach()


def curve(x: torch.Tensor) -> torch.Tensor:
    """Return sin(a) b, 1, a for each row (a, b)."""
    a, b = x[:, :1], x[:, 1:]
    return torch.cat([torch.sin(a) * b, torch.ones_like(a), a], dim=1)


def slopes(x: torch.Tensor) -> torch.Tensor:
    """Return the Jacobian of the curve, (n, 3, 2)."""
    a, b, zero, one = x[:, 0], x[:, 1], torch.zeros(len(x)), torch.ones(len(x))
    rows = [[torch.cos(a) * b, torch.sin(a)], [zero, zero], [one, zero]]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


@pytest.mark.parametrize("few", [0, 100])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_derivatives_along_tangents(few: int, count: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tangents, "_FEW_ROWS", few)
    along = torch.from_numpy(RNG.standard_normal((count, 6, 2)))
    value, change = linearised(curve, X, along)
    torch.testing.assert_close(value, curve(X), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(change, torch.einsum("njd,knd->knj", slopes(X), along))


@pytest.mark.parametrize("rest", [lambda z: 0.0, lambda z: z], ids=["whole", "a part"])
def test_a_gradient_without_derivatives_is_not_lost(rest: Callable[[torch.Tensor], torch.Tensor]):
    along = torch.from_numpy(RNG.standard_normal((3, 6, 2)))
    _, change = changes_along(lambda z: Square.apply(z) + rest(z), X, along)
    own = 2 * X + (1.0 if torch.is_tensor(rest(X)) else 0.0)
    torch.testing.assert_close(change, own * along)


def test_values_that_do_not_depend_on_the_inputs_have_no_derivatives():
    along = torch.ones((2, 6, 2), dtype=torch.float64)
    value, change = linearised(lambda z: torch.full((len(z), 4), 3.0, dtype=z.dtype), X, along)
    assert value.shape == (6, 4)
    assert change.shape == (2, 6, 4)
    assert not change.any()


def test_numbers_that_underflow_are_no_disagreement(monkeypatch: pytest.MonkeyPatch):
    def forbidden(*_: object) -> None:
        raise AssertionError("forward mode was asked for")

    monkeypatch.setattr(tangents, "_forwards", forbidden)
    # exp(-745) is the smallest positive number, of one digit.
    rates = torch.log(torch.linspace(1.0, 745.0, 400, dtype=torch.float64)[:, None] / 1.5)
    along = torch.from_numpy(RNG.standard_normal((1, 400, 1)))
    _, change = linearised(lambda z: torch.exp(-torch.exp(z) * 1.5), rates, along)
    expected = -1.5 * torch.exp(rates) * torch.exp(-torch.exp(rates) * 1.5) * along
    torch.testing.assert_close(change, expected, rtol=1e-10, atol=1e-300)
