"""The test problem in the plane, and acceleration on ill-conditioned normal laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.store.variables import variable
from popinv.threads import fixed_threads
from popinv_papers.kit.test_problems import CheckInput, CheckOutcome
from popinv_papers.mwgrad import particle_problem
from popinv_papers.mwgrad.claims import claims
from popinv_papers.mwgrad.figures import draw_accelerated, draw_particles
from popinv_papers.mwgrad.particle_problem import CASES, best_rate

_SEEDS = 5
_DRAWN = ("fixed", "minnorm", "step")
_MEASURED = ("fixed", "minnorm", "first_alone", "in_turn", "other_start")
_MOVES = ("plain", "accelerated", "without_momentum")
# The rates are chosen on a draw of this distance in the seed, which is not measured.
_TUNING = 1000


def check(given: CheckInput, steps: int = 1500) -> CheckOutcome:
    """Move particles, and confront velocities and weights with the paper's claims.

    The seed is the first of five. Each descent on the mixtures has this number of steps.
    """
    seeds = range(given.seed, given.seed + _SEEDS)
    with fixed_threads():
        drawn = particle_problem.runs_of(given.seed, _DRAWN, steps)
        runs = [particle_problem.runs_of(seed, _MEASURED, steps) for seed in seeds]
        rises = {
            weights: [particle_problem.rises(seed, weights, min(steps, 200)) for seed in seeds]
            for weights in ("minnorm", "fixed")
        }
        rates = {
            case: {moves: best_rate(case, moves, given.seed + _TUNING) for moves in _MOVES}
            for case in CASES
        }
        curves = {
            case: {
                moves: np.array([CASES[case].run(seed, moves, rate) for seed in seeds])
                for moves, rate in by_moves.items()
            }
            for case, by_moves in rates.items()
        }
    ends = {
        case: {moves: found[:, -1] for moves, found in of_case.items()}
        for case, of_case in curves.items()
    }
    result = _dataset(drawn, curves)
    return CheckOutcome(
        metrics=_metrics(runs, rises, rates, ends),
        figures={
            "particles": draw_particles(result, particle_problem.four_mixtures(given.seed)),
            "accelerated": draw_accelerated(result),
        },
        result=result,
        claims=claims(runs, rises, ends),
    )


def _metrics(
    runs: Sequence[Mapping[str, Any]],
    rises: Mapping[str, Sequence[np.ndarray]],
    rates: Mapping[str, Mapping[str, float]],
    ends: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
    """Return the means over seeds, and the rates."""
    numbers: dict[str, Any] = {"seeds": len(runs)}
    for name in runs[0]:
        for quantity in ("share", "mean_neg_log_p", "least_norm"):
            numbers[f"{quantity}_{name}"] = float(np.mean([one[name][quantity] for one in runs]))
    for weights, found in rises.items():
        numbers[f"rise_{weights}"] = float(np.max(found, axis=1).mean())
    for case, by_moves in rates.items():
        for moves, rate in by_moves.items():
            numbers[f"best_rate_{case}_{moves}"] = rate
            numbers[f"end_{case}_{moves}"] = float(ends[case][moves].mean())
    return numbers


def _dataset(
    drawn: Mapping[str, Mapping[str, Any]], curves: Mapping[str, Mapping[str, np.ndarray]]
) -> xr.Dataset:
    """Return particles and weights by run of the first seed, and all curves of the descents."""
    runs = {
        name: np.array([one[name] for one in drawn.values()])
        for name in ("particles", "weights", "mean_neg_log_p")
    }
    variables = {
        "particles": variable(("run", "particle", "axis"), runs["particles"], "particles"),
        "weights": variable(("run", "objective"), runs["weights"], "last weights"),
        "mean_neg_log_p": variable("run", runs["mean_neg_log_p"], "mean of -log p"),
    }
    notes = {"ill_conditioned": "gap from a Pareto law, nats", "mixtures": "mean of -log p"}
    for case, by_moves in curves.items():
        values = np.array([by_moves[moves] for moves in _MOVES])
        dims = ("moves", "seed", f"step_{case}")
        variables[f"curve_{case}"] = variable(dims, values, notes[case])
    names = {"run": list(drawn), "moves": list(_MOVES)}
    coordinates = {
        dim: variable(dim, np.array(values, dtype=np.str_), "name") for dim, values in names.items()
    }
    return xr.Dataset(variables, coords=coordinates)
