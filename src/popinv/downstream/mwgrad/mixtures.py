"""The first test problem: four mixtures of three normal laws in the plane.

Each objective has its own corner component of weight 0.2, and shares two components, (-2, 0) of
weight 0.7 and (2, 0) of weight 0.1. All have covariance I/2 and means shifted by N(0, 0.3^2). The
setting is that of the authors' released script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from popinv.downstream.claims import Claim, compared
from popinv.downstream.mwgrad.descent import Settings, begin, run
from popinv.downstream.mwgrad.targets import NormalMixture
from popinv.seeds import generator
from popinv.store.variables import variable

__all__ = [
    "accelerated_runs",
    "claims",
    "four_mixtures",
    "mean_neg_log_p",
    "metrics",
    "result_dataset",
    "weight_runs",
]

CORNERS = ((4.0, 4.0), (-4.0, 4.0), (-4.0, -4.0), (4.0, -4.0))
SHARED = ((-2.0, 0.0), (2.0, 0.0))
METHODS = ("svgd", "blob", "gfsd")
WEIGHTS = ("fixed", "minnorm", "step")
_PARTICLES, _STEPS, _EARLY = 50, 1500, 30
_SHARES, _VARIANCE, _JITTER = np.array([0.2, 0.7, 0.1]), 0.5, 0.3


def four_mixtures(seed: int) -> list[NormalMixture]:
    """Return the four targets with randomly shifted means."""
    targets = []
    for index, corner in enumerate(CORNERS):
        shift = _JITTER * generator(seed, "mwgrad/means", index).standard_normal((3, 2))
        targets.append(NormalMixture(_SHARES, np.array([corner, *SHARED]) + shift, _VARIANCE))
    return targets


def mean_neg_log_p(targets: Sequence[NormalMixture], x: np.ndarray) -> float:
    """Return the mean over objectives and particles of -log p_k(x_i)."""
    return float(-np.mean([target.log_density(x) for target in targets]))


def weight_runs(seed: int, steps: int = _STEPS) -> dict[str, Any]:
    """Run each velocity with each rule for the weights, by Adam from a broad start.

    Returns
    -------
    dict
        By "method_weights": the last ``particles`` and ``weights``, ``velocity_norm`` and
        ``kkt_gap`` of every step, and ``mean_neg_log_p``.
    """
    targets = four_mixtures(seed)
    draw = generator(seed, "mwgrad/particles").standard_normal((_PARTICLES, 2))
    start = begin(np.clip(5 * draw, -10, 10), len(targets))
    runs = {}
    for method in METHODS:
        for weights in WEIGHTS:
            settings = Settings(method, weights, "adam", rate=3e-2, weight_rate=1e-3, seed=seed)
            state, record = run(start, targets, settings, steps)
            runs[f"{method}_{weights}"] = {
                "particles": state.particles,
                "weights": state.weights,
                "mean_neg_log_p": mean_neg_log_p(targets, state.particles),
                **record,
            }
    return runs


def accelerated_runs(seed: int, steps: int = 1000) -> dict[str, np.ndarray]:
    """Return the mean -log p at every step of plain and accelerated descents, by name."""
    targets = four_mixtures(seed)
    start = 3 * generator(seed, "mwgrad/accelerated").standard_normal((_PARTICLES, 2))
    curves = {}
    for optimiser in ("plain", "accelerated"):
        for weights in ("fixed", "minnorm"):
            settings = Settings("gfsd", weights, optimiser, rate=1e-2, seed=seed)
            state, values = begin(start, len(targets)), []
            for _ in range(steps):
                state, _ = run(state, targets, settings, 1)
                values.append(mean_neg_log_p(targets, state.particles))
            curves[f"{optimiser}_{weights}"] = np.array(values)
    return curves


def result_dataset(runs: dict[str, Any], curves: dict[str, np.ndarray]) -> xr.Dataset:
    """Return particles, weights and records by run, and the accelerated descents' curves."""
    names = {"run": list(runs), "curve": list(curves)}
    of_run = {
        name: np.array([one[name] for one in runs.values()])
        for name in ("particles", "weights", "velocity_norm", "kkt_gap", "mean_neg_log_p")
    }
    return xr.Dataset(
        {
            "particles": variable(("run", "particle", "axis"), of_run["particles"], "particles"),
            "weights": variable(("run", "objective"), of_run["weights"], "last weights"),
            "velocity_norm": variable(
                ("run", "step"), of_run["velocity_norm"], "norm of the merged velocity"
            ),
            "kkt_gap": variable(
                ("run", "step"), of_run["kkt_gap"], "distance of the weights from least norm"
            ),
            "mean_neg_log_p": variable("run", of_run["mean_neg_log_p"], "mean of -log p"),
            "descent": variable(
                ("curve", "curve_step"), np.array(list(curves.values())), "mean of -log p"
            ),
        },
        coords={
            dim: variable(dim, np.array(values, dtype=np.str_), "name")
            for dim, values in names.items()
        },
    )


def metrics(runs: dict[str, Any], curves: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the numbers of the test problem, flat."""
    numbers: dict[str, Any] = {}
    for name, one in runs.items():
        numbers[f"mean_neg_log_p_{name}"] = one["mean_neg_log_p"]
        numbers[f"velocity_norm_{name}"] = one["velocity_norm"][-1]
        numbers[f"kkt_gap_{name}"] = one["kkt_gap"][-1]
        for side, (x, y) in zip(("left", "right"), SHARED, strict=True):
            near = np.hypot(*(one["particles"] - (x, y)).T) < 2
            numbers[f"share_{side}_{name}"] = float(near.mean())
    for weights in ("fixed", "minnorm"):
        plain, fast = curves[f"plain_{weights}"], curves[f"accelerated_{weights}"]
        gain = float(plain[_EARLY - 1] - fast[_EARLY - 1])
        numbers[f"accelerated_gain_step30_{weights}"] = gain
    return numbers


def claims(numbers: Mapping[str, float]) -> list[Claim]:
    """Return the table of claims."""
    table = []
    for method in METHODS:
        name = f"{method}_minnorm"
        shared = numbers[f"share_left_{name}"] + numbers[f"share_right_{name}"]
        table += [
            compared(
                f"{method} with the weights of least norm ends at a Pareto stationary law (norm of "
                "the merged velocity below 0.1)",
                "paper",
                numbers[f"velocity_norm_{name}"],
                "below",
                0.1,
                expected=0.0,
            ),
            Claim(
                f"{method} with the weights of least norm gathers the particles at the components "
                "that all objectives share (share within 2 of them at least 0.9)",
                "authors' code",
                1.0,
                shared,
                shared >= 0.9,
            ),
        ]
    ahead = compared(
        "the accelerated variant is ahead after 30 steps (fall of the mean of -log p beyond "
        "the plain descent's, equal weights)",
        "reconstruction",
        numbers["accelerated_gain_step30_fixed"],
        "above",
        0.0,
        expected="positive",
    )
    return [*table, ahead]
