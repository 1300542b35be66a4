"""Small synthetic studies, made of the same artefacts as those of the workflow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

from popinv.artefacts import solves
from popinv.figures import draw
from popinv.forward.base import Observations, Solutions
from popinv.inference.descent import run
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.inference.result import estimate_dataset, resamples_dataset
from popinv.inference.summary import population_dataset
from popinv.population.fields import LevelSetLaw, MaternLaw
from popinv.population.laws import Law, NormalLaw
from popinv.population.noise import DiagonalNoise, IsotropicNoise, KernelNoise, NoiseModel
from popinv.population.observe import observations_dataset, truth_dataset
from popinv.surrogate.artefact import surrogate_dataset
from popinv.surrogate.collect import collect, judge

LINE = np.linspace(0.1, 0.9, 6)[:, None]
SQUARE = np.array([[x, y] for x in (0.2, 0.5, 0.8) for y in (0.1, 0.6)])
# What a study of the user's own data without intervals lacks.
ABSENT = ("truth", "noise_known", "resamples")
SYSTEMS, HELDOUT, ITERATIONS = 60, 20, 12


@dataclass(frozen=True)
class Study:
    """A fitted problem and its artefacts."""

    problem: Problem
    loaded: dict[str, xr.Dataset]

    def without(self, *names: str) -> Study:
        """Return the study as it is without a truth, or without resamples."""
        kept = {k: v for k, v in self.loaded.items() if k not in names}
        if "resamples" in names:
            ends = [v for v in kept["population"] if str(v).endswith(("_lower", "_upper"))]
            kept["population"] = kept["population"].drop_vars(ends)
        return Study(self.problem, kept)

    def draw(self, name: str) -> Figure:
        return draw(name, self.problem, self.loaded)


def make_study(
    law: Law,
    alpha: np.ndarray,
    noise: NoiseModel,
    gamma: np.ndarray,
    places: np.ndarray,
    forward: dict[str, Any] | None = None,
) -> Study:
    rng = np.random.default_rng(3)
    matrix = torch.from_numpy(rng.standard_normal((law.d_z, len(places))) / law.d_z)

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return z @ matrix

    names = [f"parameter_{i}" for i in range(law.d_z)]
    what = Observations(places, ("x", "y")[: places.shape[1]], "u", "m", "head", "km")

    def solved(count: int, spread: float, failed: int = 0) -> xr.Dataset:
        rows = alpha + spread * rng.standard_normal((count, len(alpha)))
        omega = rng.standard_normal((count, law.d_omega))
        z = law.sample(torch.from_numpy(rows), torch.from_numpy(omega))
        y, reason = simulate(z).numpy().copy(), np.full(count, "", dtype=object)
        y[:failed], reason[:failed] = np.nan, "did not converge"
        return solves(z.numpy(), Solutions(y, reason), names, what)

    population = solved(SYSTEMS + HELDOUT, 0.0)
    e = torch.from_numpy(rng.standard_normal((SYSTEMS + HELDOUT, len(places))))
    y = population["y"].values + noise.sample(torch.from_numpy(gamma), e).numpy()
    scale = np.full(len(alpha) + len(gamma), 0.5)
    problem = Problem(y[:SYSTEMS], simulate, law, noise, scale, stage="figures")
    settings = DescentSettings(iterations=ITERATIONS, model_samples=60, directions=20)
    descent = estimate_dataset(
        problem, run(begin(alpha + 0.1, gamma + 0.1, settings), problem, settings, progress=False)
    )
    centre = np.concatenate([descent["alpha"].values, descent["gamma"].values])
    resamples = centre + 0.05 * rng.standard_normal((5, len(centre)))
    loaded = {
        "observations": observations_dataset(y, what, HELDOUT),
        "truth": truth_dataset(law, alpha, noise, gamma, population),
        "descent": descent,
        "noise_known": descent.assign(law=descent["law"] * 1.01),
        "resamples": resamples_dataset(problem, resamples),
    }
    loaded["population"] = population_dataset(problem, loaded).assign_attrs(
        config=json.dumps({} if forward is None else {"forward": forward})
    )
    inexact = SimpleNamespace(predict=lambda z: z @ matrix.numpy() + 0.05)
    record = collect([solved(50, 0.5, failed=4)])
    for fresh in (solved(30, 0.1), solved(0, 0.0), solved(20, 0.0)):
        record = judge(collect([fresh]), record, inexact, loaded["population"], 0.1)
    loaded["check"] = record.assign_attrs(config=json.dumps({"threshold": 0.1}))
    network = SimpleNamespace(to_arrays=dict, hyperparameters={})
    history = {
        "training_loss": np.array([1.0, 0.1, 0.02, 0.01]),
        "validation_loss": np.array([1.1, 0.2, 0.05, 0.07]),
    }
    loaded["surrogate"] = surrogate_dataset(network, history, {})  # type: ignore[arg-type]
    return Study(problem, loaded)


def line_study() -> Study:
    noise = KernelNoise(LINE, "exponential")
    gamma = noise.from_natural({"amplitude": 0.1, "length": 0.3})
    forward = {"kind": "porous_flow", "dimension": 1, "modes": 4, "field": "cosine"}
    return make_study(
        MaternLaw(1, 4, 1.5), np.array([0.5, -0.9, -1.2]), noise, gamma, LINE, forward
    )


def square_study() -> Study:
    noise = DiagonalNoise(len(SQUARE))
    gamma = np.log(np.linspace(0.1, 0.2, len(SQUARE)))
    forward = {
        "kind": "porous_flow",
        "dimension": 2,
        "modes": 3,
        "field": "level_set",
        "sharpness": 10.0,
    }
    return make_study(LevelSetLaw(2, 3), np.array([1.6, -0.7, 1.0]), noise, gamma, SQUARE, forward)


def vector_study() -> Study:
    law = NormalLaw(["a", "b", "c", "d"])
    alpha = np.array([0.0, 1.0, 2.0, 3.0, -1.0, -0.5, 0.0, 0.5])
    return make_study(law, alpha, IsotropicNoise(len(LINE)), np.log([0.2]), LINE)
