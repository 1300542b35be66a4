"""A simulator that is asked at times of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import problem, section
from scipy.interpolate import CubicSpline

from popinv.errors import SolverError
from popinv.forward.external.observations import interpolation_error, interpolation_matrix

# Two quantities at the times that the function is given.
MODULE = """
    import numpy as np

    def plain(z, times):
        return np.concatenate([np.exp(-z[:, :1] * times), z[:, 1:] * np.sin(times)], axis=1)

    def solve(z, times):
        # Its import takes longer than all else.
        import torch

        t = torch.as_tensor(times)
        first = torch.exp(-z[:, :1] * t)
        return torch.cat([first, z[:, 1:] * torch.sin(t)], dim=1)

    def whatever(z):
        return z
"""
TIMES = [0.13, 1.0, 2.718, 3.3]
ASKED = np.linspace(0, 4, 41)


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("simulator.py").write_text("\n".join(line[4:] for line in MODULE.splitlines()))


def keys(function: str, observed: dict[str, Any]) -> dict[str, Any]:
    observations = {
        "count": 2,
        "times": TIMES,
        "simulated_times": {"first": 0, "step": 0.1, "count": 41},
        **observed,
    }
    return {
        "kind": "python",
        "function": f"simulator:{function}",
        "derivatives": "torch" if function == "solve" else None,
        "parameters": ["rate", "height"],
        "observations": observations,
    }


def model(function: str = "solve", **observed: Any) -> Any:
    return section(**keys(function, observed)).model(1)


def exact(z: np.ndarray, times: Any) -> np.ndarray:
    times = np.asarray(times)
    return np.concatenate([np.exp(-z[:, :1] * times), z[:, 1:] * np.sin(times)], axis=1)


Z = np.array([[0.5, 1.0], [1.3, -0.4], [0.9, 2.0]])


def test_the_spline_is_scipys():
    y = np.random.default_rng(3).standard_normal((5, len(ASKED)))
    matrix = interpolation_matrix(list(ASKED), TIMES, "cubic")
    np.testing.assert_allclose(y @ matrix.T, CubicSpline(ASKED, y, axis=1)(TIMES), atol=1e-12)
    linear = interpolation_matrix(list(ASKED), TIMES, "linear")
    expected = [np.interp(TIMES, ASKED, row) for row in y]
    np.testing.assert_allclose(y @ linear.T, expected, atol=1e-12)


@pytest.mark.parametrize(("kind", "order"), [("cubic", 4), ("linear", 2)])
def test_the_error_falls_with_the_order_and_is_estimated(kind, order):
    fine = np.linspace(0, 3, 301)
    errors, estimates = [], []
    for count in (11, 21, 41):
        asked = np.linspace(0, 3, count)
        matrix = interpolation_matrix(list(asked), list(fine), kind)
        errors.append(np.abs(matrix @ np.sin(2 * asked) - np.sin(2 * fine)).max())
        estimates.append(interpolation_error(np.sin(2 * asked)[None], list(asked), kind))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    # The ends of a cubic spline come near their order from below.
    assert (orders > order - 0.7).all()
    ratio = np.array(estimates[1:]) / errors[1:]
    # The order is asymptotic; the estimate is one of size.
    assert ((ratio > 0.3) & (ratio < 5)).all()


def test_observations_are_those_at_their_own_times():
    solved = model("plain").solve(Z)
    assert not solved.failed.any()
    # The error of the spline is near (0.1)^4.
    np.testing.assert_allclose(solved.observations, exact(Z, TIMES), atol=2e-5)
    observed = model("plain").observations
    np.testing.assert_allclose(observed.coordinates[:, -1], TIMES * 2)


def test_derivatives_are_those_of_the_interpolation():
    interpolated = model()
    tangents = np.random.default_rng(0).standard_normal((3, *Z.shape))
    weights = np.random.default_rng(1).standard_normal((len(Z), 2 * len(TIMES)))
    step = 1e-6
    # One process imports torch for all calls.
    with interpolated.session():
        value, changes = interpolated.jvp(Z, tangents)
        np.testing.assert_allclose(value, interpolated.solve(Z).observations, rtol=1e-12)
        for tangent, change in zip(tangents, changes, strict=True):
            ahead = interpolated.solve(Z + step * tangent).observations
            behind = interpolated.solve(Z - step * tangent).observations
            np.testing.assert_allclose(change, (ahead - behind) / (2 * step), atol=1e-8)
        gradient = interpolated.vjp(Z, weights)
    for tangent, change in zip(tangents, changes, strict=True):
        np.testing.assert_allclose((gradient * tangent).sum(1), (weights * change).sum(1))


def test_logarithms_are_taken_of_what_is_interpolated():
    positive = np.abs(Z)
    times = [0.13, 1.0, 2.718]
    solved = model("plain", logarithm=True, times=times).solve(positive)
    np.testing.assert_allclose(solved.observations, np.log(exact(positive, times)), atol=1e-3)


def test_an_answer_of_another_width_is_refused():
    with pytest.raises(SolverError, match=r"\(1, 82\) is expected"):
        model("whatever").solve(Z)


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        ({"times": None}, "interpolated to 'times', which must be given"),
        ({"times": [1.0, 5.0]}, "from 0 to 4, but observations from 1 to 5"),
        ({"simulated_times": [1.0, 1.0]}, "times must increase"),
    ],
)
def test_times_that_cannot_be_interpolated_are_refused(observed, message):
    assert message in problem(**keys("solve", observed))


@pytest.mark.parametrize("count", [6, 7])
def test_the_error_is_seen_between_the_times_that_are_kept(count):
    times = np.arange(float(count))
    # Every other time is in the middle between two others, where the line of a parabola is off by
    # one. At half the distance it is off by a quarter.
    assert interpolation_error(times[None] ** 2, times.tolist(), "linear") == pytest.approx(0.25)
