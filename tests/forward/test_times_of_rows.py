"""Functions of times, asked for the observations of systems at times of their own."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from popinv.forward.external.observations import SimulatorObservations
from popinv.forward.external.own_times import AtOwnTimes
from popinv.forward.inputs.shape import InputsShape
from popinv.forward.python.one_system import over_systems
from popinv.forward.python.section import PythonFunction
from popinv.surrogate.exact import of_function, of_section

TIMES = np.linspace(0.1, 2.0, 12).tolist()


def two_curves(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return two quantities at times (k,), or (n, k) of each system."""
    t = torch.as_tensor(times)
    return torch.cat([z[:, :1] * torch.exp(-z[:, 1:] * t), z[:, :1] + z[:, 1:] * t], dim=1)


def of_one(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    assert times.ndim == 1
    return two_curves(z[None], times)[0]


def asked() -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    """Return inputs, places among two times twelve, and the observations at them."""
    rng = np.random.default_rng(1)
    z = torch.from_numpy(rng.uniform(0.5, 1.5, (7, 2)))
    places = np.array([np.sort(rng.choice(24, 5, replace=False)) for _ in range(7)])
    return z, places, two_curves(z, np.array(TIMES)).gather(1, torch.from_numpy(places))


def of_one_table(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return both for times (k,) alone."""
    return torch.cat([two_curves(z, np.array([t])) for t in times], dim=1)[:, of_entries(times)]


def of_entries(times: np.ndarray) -> np.ndarray:
    return np.arange(2 * len(times)).reshape(-1, 2).T.ravel()


def of_steps(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return both by adding steps along the first axis, which is wrong for times (n, k)."""
    return two_curves(
        z, np.diff(times, axis=0, prepend=0.0).cumsum(axis=0) * (1.0, 2.0)[times.ndim - 1]
    )


def of_first_row(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
    """Return both at the times of the first row, wherever the others are."""
    return two_curves(z, times if times.ndim == 1 else times[:1])


@pytest.mark.parametrize(
    ("function", "of_each_row"),
    [
        (two_curves, True),
        (over_systems(of_one), True),
        (of_one_table, False),
        (of_steps, False),
        (of_first_row, False),
    ],
)
@pytest.mark.parametrize("rows", [7, 1])
def test_whether_a_function_takes_a_row_of_times_for_each_system_is_tried(
    function, of_each_row, rows
):
    z, places, expected = (each[:rows] for each in asked())
    shapes = []

    def seen(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        shapes.append(times.shape)
        return function(z, times=times)

    simulator = AtOwnTimes(seen, TIMES)
    for _ in range(2):
        found = simulator(z, places)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert shapes[-1] == ((rows, 5) if of_each_row else (len(np.unique(places % 12)),))
    # It is tried once.
    assert sum(len(shape) == 2 for shape in shapes) == (3 if of_each_row else 1)


@pytest.mark.parametrize("most", [60, 12, 1])
def test_rows_with_different_times_are_solved_together_only_if_few(most, monkeypatch):
    monkeypatch.setattr("popinv.forward.external.own_times._TOGETHER", most)
    z, places, _ = asked()
    # Some systems come several times, and not one after the other.
    order = np.array([0, 0, 1, 2, 3, 1, 4, 5, 6, 0])
    z, places = z[order], places[order]
    expected, sizes = asked_of(z, places), []

    def seen(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        sizes.append((len(z), len(times)))
        return of_one_table(z, times)

    z.requires_grad_(True)
    simulator = AtOwnTimes(seen, TIMES)
    simulator(z[:1], places[:1])
    sizes.clear()
    found = simulator(z, places)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert sum(rows for rows, _ in sizes) == len(order)
    # A system is observed at five times at most.
    assert all(rows * times <= most or times <= 5 for rows, times in sizes)
    assert simulator(z[:0], places[:0]).shape == (0, 5)
    # The derivatives pass.
    (slope,) = torch.autograd.grad(found.sum(), z)
    (other,) = torch.autograd.grad(asked_of(z, places).sum(), z)
    torch.testing.assert_close(slope, other)


def asked_of(z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    return two_curves(z, np.array(TIMES)).gather(1, torch.from_numpy(places))


def test_a_function_of_a_study_is_given_its_own_times(in_folder):
    code = """
import torch

SHAPES = []


def curve(z, times):
    SHAPES.append(times.shape)
    return z[:, :1] * torch.exp(-z[:, 1:] * torch.as_tensor(times))
"""
    (in_folder / "curves_at_times.py").write_text(code)
    given = {"kind": "python", "function": "curves_at_times:curve", "path": "."}
    given |= {"derivatives": "torch", "parameters": ["level", "rate"]}
    forward = PythonFunction.model_validate({**given, "observations": {"times": TIMES}})
    z, places, _ = asked()
    places = np.sort(places % 12, axis=1)
    own = of_section(forward).at_places(5)
    y = own(torch.cat([z, torch.from_numpy(places).double()], dim=1))
    expected = z[:, :1] * torch.exp(-z[:, 1:] * torch.tensor(TIMES, dtype=z.dtype)[places])
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    assert sys.modules["curves_at_times"].SHAPES[-1] == (7, 5)


@pytest.mark.parametrize("takes_rows", [True, False])
def test_a_function_of_inputs_over_time_gets_few_rows_at_a_time(takes_rows):
    sizes: list[int] = []

    def solve(z: torch.Tensor, times: np.ndarray, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        assert takes_rows or times.ndim == 1
        since = torch.as_tensor(times)[..., None] - inputs["time"][:, None]
        sizes.append(since.numel())
        return (z[:, :1, None] * inputs["amount"][:, None] * torch.exp(-since)).sum(dim=2)

    times, shape = [float(t) for t in range(100)], InputsShape(("time", "amount"), 50)
    exact = of_function(solve, 0, SimulatorObservations(times=times), inputs=shape)
    z = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 1.5, (3000, 2 + shape.width)))
    z[:, 2] = shape.count
    y = exact(z)
    assert max(sizes) <= 4_000_000
    torch.testing.assert_close(y[[0, 2999]], exact(z[[0, 2999]]))
    sizes.clear()
    entries = torch.tensor([[3, 40], [0, 99]]).repeat(1500, 1).to(z.dtype)
    # Any pair of times, so that their union holds all of them.
    entries[:100] = torch.stack([torch.arange(100) % 50, 50 + torch.arange(100) % 50], 1)
    at = exact.at_places(2)(torch.cat([z, entries], dim=1))
    assert max(sizes) <= 4_000_000
    assert sum(sizes) <= 2 * len(z) * 2 * shape.count
    torch.testing.assert_close(at, y.gather(1, entries.long()))
