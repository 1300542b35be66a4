"""A function in memory as a forward model, and without a surrogate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from popinv.api.functions import KIND, OwnFunction, differentiable
from popinv.errors import ConfigError, SolverError
from popinv.forward.base import DifferentiableModel
from popinv.forward.datasets import proposals, reasons_of
from popinv.forward.inputs.section import Inputs
from popinv.forward.section import forward_section
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.density.problem import Problem
from popinv.inference.uncertainty.surrogate_bias import FreshSolves, corrected
from popinv.population.datatree import observed_data
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.observe import observations_dataset
from popinv.sections.base import plain
from popinv.surrogate.exact import ExactSimulator
from popinv.surrogate.simulator import is_exact

Z = np.random.default_rng(4).uniform(0.5, 2.0, size=(5, 2))


def growth(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return two curves at all times, positive."""
    t = torch.as_tensor(times)
    return torch.cat([z[:, :1] * torch.exp(0.3 * t), z[:, 1:] + 0.1 * t**2 * z[:, :1]], dim=1)


def section(function: Any = growth, **keys: Any) -> OwnFunction:
    given = {
        "parameters": ["a", "b"],
        "observations": {"times": [0.0, 1.0, 3.0], "labels": ["one", "two"], **keys},
        "differentiated": True,
    }
    return OwnFunction.model_validate(given).having(function)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"logarithm": True},
        {"simulated_times": {"first": 0, "step": 0.5, "count": 8}},
        {"simulated_times": [0, 1, 2, 4], "interpolation": "linear", "logarithm": True},
    ],
    ids=["plain", "logarithm", "spline", "both"],
)
def test_the_function_itself_agrees_with_its_forward_model(keys):
    own = section(**keys)
    model, exact = own.model(1), own.exact()
    assert isinstance(model, DifferentiableModel)
    tangents = np.random.default_rng(1).normal(size=(3, 5, 2))
    y, changes = model.jvp(Z, tangents)
    np.testing.assert_allclose(exact.predict(Z), model.solve(Z).observations, rtol=1e-12)
    ours = exact.linearise(torch.from_numpy(Z), torch.from_numpy(tangents))
    np.testing.assert_allclose(ours[0], y, rtol=1e-12)
    np.testing.assert_allclose(ours[1], changes, rtol=1e-10)


def test_a_function_without_forward_derivatives_has_those_of_its_jacobian():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            return 2 * ctx.saved_tensors[0] * gradient

    tangents = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 5, 2)))
    mixed = np.array([[1.0, 2.0, 0.5], [-1.0, 3.0, 4.0]])
    exact = ExactSimulator(lambda z: Square.apply(z) @ torch.from_numpy(mixed))
    y, changes = exact.linearise(torch.from_numpy(Z), tangents)
    np.testing.assert_allclose(y, Z**2 @ mixed)
    np.testing.assert_allclose(changes, 2 * Z * tangents.numpy() @ mixed)


def test_systems_that_fail_are_recorded_and_the_others_kept():
    def solve(z):
        if np.any(z[:, 0] > 1.5):
            raise ValueError("a is too large")
        return z @ np.ones((2, 6))

    own = section(solve).model_copy(update={"differentiated": False})
    own = own.having(solve)
    solved = solve_chunk(own, proposals(Z, ["a", "b"], "test"), seed=1, round_name="1")
    reasons = reasons_of(solved)
    np.testing.assert_array_equal(reasons != "", Z[:, 0] > 1.5)
    assert reasons[Z[:, 0] > 1.5][0].startswith("ValueError: a is too large")
    kept = Z[:, 0] <= 1.5
    np.testing.assert_allclose(solved["y"].values[kept], Z[kept].sum(1)[:, None] * np.ones(6))


def test_a_function_of_one_system():
    own = section(lambda z, times: [*(z[0] * times), *(z[1] * times)])
    own = own.having(own._function, vectorised=False, differentiated=False)
    expected = np.column_stack([np.outer(column, [0, 1, 3]) for column in Z.T])
    np.testing.assert_allclose(own.model(1).solve(Z).observations, expected)


def test_what_torch_differentiates():
    assert differentiable(section(), Z)
    of_arrays = section(lambda z, times: growth(torch.from_numpy(z), times).numpy())
    assert not differentiable(of_arrays, Z)
    # Its noise is no function of z.
    drawn = section(lambda z, times, seeds: growth(torch.as_tensor(z), times))
    assert not differentiable(drawn, Z)


def test_the_section_is_stored_without_the_function():
    stored = plain(section())
    assert stored["kind"] == KIND
    again = forward_section(stored)
    assert isinstance(again, OwnFunction)
    assert plain(again) == stored
    assert again.parameter_names() == ("a", "b")
    for build in (again.exact, lambda: again.model(1)):
        with pytest.raises(ConfigError, match="was not stored; give it again"):
            build()


def test_a_design_needs_an_argument():
    given = {"parameters": ["a"], "design": ["dose"], "observations": {"count": 1}}
    own = OwnFunction.model_validate(given).having(lambda z: z)
    with pytest.raises(ConfigError, match=r"takes no argument 'design'.*solve\(z, design\)"):
        own.of_inputs()


def test_nothing_is_corrected_where_there_is_no_surrogate():
    exact = ExactSimulator(lambda z: z)
    assert is_exact(exact)
    assert not is_exact(lambda z: z)

    law, noise = normal_law(["a", "b"]), IsotropicNoise(2)
    problem = Problem(np.zeros((1, 2)), exact, law, noise, np.ones(5), stage="test")
    estimate = object()
    fresh = FreshSolves(Z, Z)
    assert corrected(problem, estimate, None, fresh, "test") is estimate


def test_logarithms_are_undone_in_what_users_read():
    own = section(units="mg/L", name="conc", logarithm=True)
    y = np.random.default_rng(0).uniform(1, 3, size=(4, 6))
    stored = observations_dataset(np.log(y), own.observed(1), heldout=0)
    assert stored["y"].attrs["units"] == "1"
    read = observed_data(stored, own)["conc"]
    assert read.attrs["units"] == "mg/L"
    assert read.dims == ("system", "label", "time")
    np.testing.assert_allclose(read.values.reshape(4, 6), y)
    assert list(read["label"].values) == ["one", "two"]
    np.testing.assert_array_equal(read["time"], [0, 1, 3])


def infusions(z: torch.Tensor, times: np.ndarray, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The amount given so far at a constant rate, which has a kink at the end of an infusion."""
    t, start = torch.as_tensor(times)[:, None], inputs["time"][:, None]
    given = ((t - start) / inputs["duration"][:, None]).clamp(0, 1) * inputs["amount"][:, None]
    return z[:, :1] * given.sum(dim=2)


def test_nothing_is_differentiated_by_the_times_of_inputs():
    """Observations stand at the ends of infusions, whose times nobody estimates."""
    columns = ["time", "amount", "duration"]
    inputs = {"file": "none.csv", "system_column": "id", "time_column": "t", "count": 2}
    timed = Inputs(**inputs, amount_column="a", columns=columns[1:])
    observations = {"times": [0.3, 0.7, 1.5], "count": 1}
    given = {"parameters": ["z"], "observations": observations, "inputs": timed}
    own = OwnFunction.model_validate({**given, "differentiated": True}).having(infusions)
    rows = [[z, 2.0, 0.1, 1.0, 3.0, 2.0, 0.2, 0.5] for z in (1.0, 1.5)]
    names = [each.name for each in own.model(1).parameters]
    assert names[1:4] == ["inputs.events", "inputs.time_1", "inputs.time_2"]
    assert own.model(1).check_derivatives(np.array(rows))


def saturating(z: torch.Tensor) -> torch.Tensor:
    """Return a curve whose value is 0 where the exponential overflows, but its derivative NaN."""
    return z[:, :1] / (1 + torch.exp(z[:, 1:]) ** 2)


def test_a_derivative_may_overflow_at_one_of_the_systems():
    given = {"parameters": ["a", "b"], "observations": {"count": 1}, "differentiated": True}
    model = OwnFunction.model_validate(given).having(saturating).model(1)
    assert model.check_derivatives(np.array([[1.0, 0.5], [1.2, 800.0]]))
    with pytest.raises(SolverError, match="fail where the solve succeeds"):
        model.check_derivatives(np.array([[1.0, 900.0], [1.2, 800.0]]))
