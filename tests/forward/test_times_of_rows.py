"""Functions of times, asked for the observations of systems at times of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popinv.forward.external.own_times import AtOwnTimes
from popinv.forward.python.one_system import over_systems

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


@pytest.mark.parametrize("of_each_row", [True, False])
def test_each_row_has_its_own_times(of_each_row):
    z, places, expected = asked()
    shapes = []

    def seen(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        shapes.append(times.shape)
        return two_curves(z, times)

    found = AtOwnTimes(seen, TIMES, of_each_row)(z, places)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert shapes == [(7, 5)] if of_each_row else len(shapes[0]) == 1


@pytest.mark.parametrize("most", [6, 5, 1])
def test_calls_of_too_many_times_are_divided(most, monkeypatch):
    monkeypatch.setattr("popinv.forward.external.own_times._MOST_TIMES", most)
    z, places, expected = asked()
    sizes = []

    def seen(z: torch.Tensor, times: np.ndarray) -> torch.Tensor:
        sizes.append((len(z), len(times)))
        return two_curves(z, times)

    z.requires_grad_(True)
    found = AtOwnTimes(seen, TIMES, of_each_row=False)(z, places)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert sum(rows for rows, _ in sizes) == 7
    assert all(rows == 1 or times <= most for rows, times in sizes)
    # The derivatives pass.
    (slope,) = torch.autograd.grad(found.sum(), z)
    (other,) = torch.autograd.grad(asked_of(z, places).sum(), z)
    torch.testing.assert_close(slope, other)


def asked_of(z: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    return two_curves(z, np.array(TIMES)).gather(1, torch.from_numpy(places))


def test_a_function_of_one_system_is_given_its_own_times():
    z, places, expected = asked()
    found = AtOwnTimes(over_systems(of_one), TIMES, of_each_row=True)(z, places)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
