"""Constraints of numbers: their maps from the real line, and what follows from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from popinv.errors import ConfigError
from popinv.population.constraints import (
    CORRELATION,
    POSITIVE,
    REAL,
    SHARE,
    Above,
    Constraint,
    Interval,
    columns_bounded,
    columns_unbounded,
    entrywise,
)
from popinv.population.contract import check_constraints
from popinv.population.laws.base import Law
from popinv.population.laws.fields import LevelSetLaw, MaternLaw
from popinv.population.laws.fields_section import FieldParameters, LevelSetFieldParameters
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.kernel_section import KernelParameters
from popinv.population.noise.section import StandardDeviation
from popinv.population.noise.unstructured import IsotropicNoise

ALL = {
    "real": REAL,
    "positive": POSITIVE,
    "above": Above(2.0),
    "interval": Interval(-3.0, 4.0),
    "share": SHARE,
    "correlation": CORRELATION,
}
U = np.array([-3.0, -0.4, 0.0, 1.5, 2.8])


@pytest.mark.parametrize("name", ALL)
def test_the_maps_of_arrays_and_tensors_agree_and_invert_each_other(name):
    constraint = ALL[name]
    x = constraint.bounded(U)
    assert all(constraint.holds(value) for value in x)
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(constraint.unbounded(x), U, rtol=1e-12, atol=1e-12)
    tensor = constraint.bounded(torch.from_numpy(U))
    np.testing.assert_allclose(tensor.numpy(), x, rtol=1e-14)
    torch.testing.assert_close(constraint.unbounded(tensor), torch.from_numpy(U))


@pytest.mark.parametrize("name", ALL)
def test_the_slope_is_the_derivative(name):
    u = torch.from_numpy(U).requires_grad_(True)
    (slope,) = torch.autograd.grad(ALL[name].bounded(u).sum(), u)
    torch.testing.assert_close(torch.exp(ALL[name].log_slope(u.detach())), slope)


@pytest.mark.parametrize(
    ("constraint", "inside", "outside"),
    [
        (REAL, [-5.0, 0.0], []),
        (POSITIVE, [1e-9], [0.0, -1.0]),
        (Above(2.0), [2.1], [2.0, -1.0]),
        (Interval(1.0, 2.0), [1.5], [1.0, 2.0]),
        (CORRELATION, [-0.99, 0.0], [-1.0, 1.0]),
    ],
)
def test_ends_are_left_out(constraint: Constraint, inside: list[float], outside: list[float]):
    assert all(constraint.holds(value) for value in inside)
    assert not any(constraint.holds(value) for value in outside)


def test_entries_are_mapped_each_by_its_own_constraint():
    constraints = list(ALL.values())
    u = np.random.default_rng(0).standard_normal((4, len(constraints)))
    x = entrywise(constraints, u)
    for i, constraint in enumerate(constraints):
        np.testing.assert_array_equal(x[:, i], constraint.bounded(u[:, i]))
    np.testing.assert_allclose(entrywise(constraints, x, inverse=True), u, rtol=1e-11)
    columns = columns_bounded(constraints, torch.from_numpy(u))
    np.testing.assert_allclose(columns.numpy(), x, rtol=1e-14)
    torch.testing.assert_close(columns_unbounded(constraints, columns), torch.from_numpy(u))


class Flagged(Law):
    """A law of a user's, who states flags and no constraints."""

    names = ("a", "b", "r", "w")
    positive = (False, True, False, False)
    d_z = d_omega = 1

    @property
    def correlations(self) -> np.ndarray:
        return np.array([False, False, True, False])

    @property
    def shares(self) -> np.ndarray:
        return np.array([False, False, False, True])

    def sample(self, alpha: torch.Tensor, omega: torch.Tensor) -> torch.Tensor:
        return alpha[..., :1] + omega


class FlaggedNoise(NoiseModel):
    """Noise of a user's, who marks correlations."""

    names, d_y = ("size", "r"), 2

    @property
    def correlations(self) -> np.ndarray:
        return np.array([False, True])

    def covariance(self, gamma: torch.Tensor) -> torch.Tensor:
        return torch.exp(2 * gamma[0]) * torch.eye(2, dtype=gamma.dtype)


def test_constraints_follow_from_flags():
    assert Flagged().constraints == (REAL, POSITIVE, CORRELATION, SHARE)
    assert FlaggedNoise().constraints == (POSITIVE, CORRELATION)
    assert Flagged().unitless.tolist() == [False, True, True, True]
    natural = [0.5, 2.0, -0.3, 0.2]
    alpha = Flagged().from_natural(natural)
    np.testing.assert_allclose(alpha, [0.5, np.log(2), np.arctanh(-0.3), np.log(0.25)])
    np.testing.assert_allclose(Flagged().to_natural(alpha), natural)


def test_flags_follow_from_constraints():
    law = GaussianLaw("ab", [POSITIVE, Interval(0.0, 2.0)], groups=["ab"])
    assert law.positive == (False, False, True, True, False)
    assert law.correlations.tolist() == [False] * 4 + [True]
    assert not law.shares.any()
    assert law.logarithmic == (True, False)


def test_a_law_that_states_neither_is_told():
    class Neither(Flagged):
        positive = Law.positive

    assert not hasattr(Neither(), "positive")
    with pytest.raises(AttributeError, match="states neither constraints nor 'positive'"):
        _ = Neither().constraints


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"size": -1.0, "r": 0.0}, "'size' is -1, but it must be positive"),
        ([1.0, 1.5], "'r' is 1.5, but it must lie between -1 and 1"),
        ({"size": 1.0}, "expected the names"),
        ([1.0], "expected 2 values"),
    ],
)
def test_values_outside_are_told_by_name(values, text):
    with pytest.raises(ValueError, match=text):
        FlaggedNoise().from_natural(values)


@pytest.mark.parametrize(
    ("constraints", "text"),
    [
        ((POSITIVE,), "the law has 2 'names', but 1 entries of 'constraints'"),
        ((POSITIVE, "positive"), "hold 'positive', but each must be one of popinv.population"),
    ],
)
def test_constraints_that_do_not_fit_are_told(constraints, text):
    law = normal_law("a")
    law.constraints = constraints
    with pytest.raises(ConfigError, match=text):
        check_constraints("law", law)


@pytest.mark.parametrize(
    ("model", "start"),
    [
        (MaternLaw(1, 3, 1.5), FieldParameters),
        (LevelSetLaw(1, 3), LevelSetFieldParameters),
        (IsotropicNoise(2), StandardDeviation),
        (KernelNoise(np.array([[0.0], [1.0]]), "matern32", True), KernelParameters),
    ],
)
def test_a_section_allows_what_the_constraint_allows(model, start):
    assert model.names == tuple(start.model_fields)
    for name, constraint in zip(model.names, model.constraints, strict=True):
        for value in (-1.5, 0.5):
            try:
                start.model_validate({name: value})
                allowed = True
            except ValidationError:
                allowed = False
            assert allowed == constraint.holds(value), name
