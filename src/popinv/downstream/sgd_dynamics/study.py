"""Two lines through a study's answer, probed for critical points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from popinv.downstream.sgd_dynamics.slices import (
    Slice,
    check_by_running,
    line_slope,
    slice_of,
)
from popinv.inference.curvature import gauss_newton_matrix, tangents
from popinv.inference.problem import Problem
from popinv.inference.settings import DescentSettings
from popinv.seeds import generator
from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv.transport.sliced import directions

if TYPE_CHECKING:
    from popinv.downstream.sgd_dynamics.section import SgdDynamics

__all__ = ["lines", "probe", "result_dataset"]

_ROWS = 500
# A line reaches as far on the other side of the solution: at a restart the loss may rise steeply
# beyond, and a direction of least curvature has no sign.
_ENDS = (-1.0, 1.0)

Line = tuple[np.ndarray, np.ndarray]


def lines(
    problem: Problem,
    settings: DescentSettings,
    solution: tuple[np.ndarray, np.ndarray],
    restart: tuple[np.ndarray, np.ndarray],
) -> dict[str, Line]:
    """Return (origin, direction) of each line; both start at the solution, at t = 0.

    ``restart`` reaches the start of a restart at t = 1. ``weakest`` is the direction in which the
    loss is curved least, in units of the problem's scale, and one scale long.
    """
    origin = np.concatenate(solution)
    lines_by_name = {"restart": (origin, np.concatenate(restart) - origin)}
    rng = generator(problem.seed, f"{problem.stage}/weakest")
    p = torch.from_numpy(origin)
    omega = torch.from_numpy(rng.standard_normal((_ROWS, problem.law.d_omega)))
    e = torch.from_numpy(rng.standard_normal((_ROWS, problem.noise.d_y)))
    theta = torch.from_numpy(directions(rng, settings.directions, problem.noise.d_y))
    factor = problem.noise.cholesky(p[problem.d_alpha :])
    u = torch.linalg.solve_triangular(factor.T, theta, upper=True)
    columns = tangents(lambda q: problem.model(q, omega, e), p)
    matrix = gauss_newton_matrix(problem.model(p, omega, e), columns, u).numpy()
    scaled = problem.scale[:, None] * matrix * problem.scale
    _, vectors = np.linalg.eigh(scaled)
    lines_by_name["weakest"] = (origin, problem.scale * vectors[:, 0])
    return lines_by_name


def probe(
    problem: Problem,
    settings: DescentSettings,
    origin: np.ndarray,
    direction: np.ndarray,
    asked: SgdDynamics,
) -> tuple[Slice, dict[str, Any]]:
    """Return the slice along a line, and what is found, predicted and run on it.

    Parameters
    ----------
    problem : Problem
    settings : DescentSettings
        Settings with the minibatch whose noise is asked for.
    origin, direction : ndarray of shape (n_p,)
    asked : SgdDynamics
        ``places``, ``draws``, ``noise_draws``, ``rate`` and ``paths``.
    """
    slope = line_slope(problem, settings, origin, direction)
    places = np.linspace(*_ENDS, asked.places)
    with fixed_threads():
        profile = slice_of(slope, places, asked.draws, asked.noise_draws)
        maxima = [point for point in profile.points if point.is_maximum]
        by_point: dict[str, float | str] = {}
        statements = []
        for number, point in enumerate(profile.points):
            checked = check_by_running(slope, point, asked.rate, asked.paths)
            where = f"at {point.place:.2g} (within {2 * point.place_error:.2g})"
            statements.append(f"{where} {checked.pop('statement')}")
            numbers = {
                "place": point.place,
                "place_error": point.place_error,
                "curvature": point.curvature,
                "noise_deviation": point.deviation,
                "tail_index": point.tail_index,
                "tail_index_error": point.tail_index_error,
                **checked,
            }
            by_point |= {f"point_{number}_{key}": value for key, value in numbers.items()}
    if not profile.points:
        statements.append(_without_points(profile))
    elif not maxima:
        statements.append("there is no maximum on this line, so nothing to stick at")
    return profile, {
        "critical_points": len(profile.points),
        "maxima": len(maxima),
        **by_point,
        "statement": "; ".join(statements),
    }


def _without_points(profile: Slice) -> str:
    clear = np.abs(profile.slope) >= 2 * profile.error
    if not clear.any():
        return (
            "the loss is so flat that its slope is nowhere told from zero: the data say little "
            "along this line, or more draws are needed"
        )
    way = "rises" if profile.slope[clear][0] > 0 else "falls"
    if clear.all():
        return f"no critical point on this line: the loss {way} all along it"
    first, last = profile.places[clear][[0, -1]]
    return (
        f"no critical point is told on this line: the loss {way} from {first:.2g} to {last:.2g}, "
        "elsewhere its slope is not told from zero"
    )


def result_dataset(slices: Mapping[str, Slice]) -> xr.Dataset:
    """Return the slices as a Dataset along ``line`` and ``place``."""
    dims = ("line", "place")
    some = next(iter(slices.values()))
    return xr.Dataset(
        {
            "slope": variable(dims, [s.slope for s in slices.values()], "mean slope of the loss"),
            "slope_error": variable(
                dims, [s.error for s in slices.values()], "standard error of the mean slope"
            ),
            "height": variable(dims, [s.height for s in slices.values()], "integral of the slope"),
        },
        coords={
            "line": variable("line", np.array(list(slices), dtype=np.str_), "line"),
            "place": variable("place", some.places, "place on the line, 0 at the solution"),
        },
    )
