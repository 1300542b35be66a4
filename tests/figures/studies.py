"""Small synthetic studies, made of the same artefacts as those of the workflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from popinv.charts.description import Sheet
from popinv.charts.matplotlib_writer import drawn
from popinv.figures.observations import draw_observations
from popinv.figures.predictive_check import PredictiveCheck
from popinv.figures.study import chart_of, draw
from popinv.forward.base import Observations, Solutions
from popinv.forward.datasets import solves
from popinv.inference.answer.dataset import population_dataset
from popinv.inference.answer.result import estimate_dataset, parameters_of
from popinv.inference.checks.fitted_samples import sample_model
from popinv.inference.density.conditions import fitted_observations
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import Estimate
from popinv.population.laws.base import Law
from popinv.population.laws.composed import ProductLaw
from popinv.population.laws.fields import LevelSetLaw, MaternLaw
from popinv.population.laws.gaussian import lognormal_law, normal_law
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.time_series import BlockNoise
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise, IsotropicNoise
from popinv.population.observe import observations_dataset
from popinv.population.synthetic_observed import truth_dataset
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_dataset
from popinv.surrogate.collect import Thresholds, collect, judge

LINE = np.linspace(0.1, 0.9, 6)[:, None]
SQUARE = np.array([[x, y] for x in (0.2, 0.5, 0.8) for y in (0.1, 0.6)])
PLACES, TIMES = np.array([0.3, 0.6, 1.0]), np.linspace(0.5, 8.0, 16)
QUANTITIES = ("x", "x_squared", "x_lag_1", "x_lag_2")
# What a study of the user's own data without intervals lacks.
ABSENT = ("truth", "noise_known", "intervals")
SYSTEMS, HELDOUT, ITERATIONS = 60, 20, 12

Simulate = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Study:
    """A fitted problem and its artefacts."""

    problem: Problem
    loaded: dict[str, xr.Dataset]

    def without(self, *names: str) -> Study:
        """Return the study as it is without a truth, or without intervals."""
        kept = {k: v for k, v in self.loaded.items() if k not in names}
        if "intervals" in names:
            ends = [v for v in kept["population"] if str(v).endswith(("_lower", "_upper"))]
            kept["population"] = kept["population"].drop_vars(ends)
        return Study(self.problem, kept)

    def chart(self, name: str) -> Sheet:
        return chart_of(name, self.problem, self.loaded)

    def draw(self, name: str) -> Figure:
        return draw(name, self.problem, self.loaded)


def all_axes(figure: Figure) -> list[Axes]:
    return list(figure.get_axes())


def titled(figure: Figure, start: str) -> Axes:
    """Return the one panel whose title begins like this."""
    (match,) = [ax for ax in all_axes(figure) if ax.get_title(loc="left").startswith(start)]
    return match


def labelled(ax: Axes, label: str) -> np.ndarray:
    """Return x and y of the line of this label, shape (2, n)."""
    (line,) = [item for item in ax.get_lines() if item.get_label() == label]
    return np.array(line.get_data(), dtype=float)


def observed(observations: xr.Dataset, sets: Sequence[np.ndarray]) -> Figure:
    """Return the figure of observations beside simulated data sets."""
    return drawn(draw_observations(PredictiveCheck.of(observations, sets)))


def assert_whole(figure: Figure) -> None:
    """Check that nothing is left outside the figure, but a pixel for the width of lines."""
    figure.draw_without_rendering()
    page, box = figure.bbox.padded(1), figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert np.all(page.min <= box.min)
    assert np.all(box.max <= page.max)


def at_places(places: np.ndarray) -> Observations:
    return Observations(places, ("x", "y")[: places.shape[1]], "u", "m", "head", "km")


def over_time(places: np.ndarray, times: np.ndarray) -> Observations:
    where = np.column_stack([np.repeat(places, len(times)), np.tile(times, len(places))])
    return Observations(where, ("x", "t"), "u", "mm", "displacement")


def estimate(problem: Problem, alpha: np.ndarray, gamma: np.ndarray) -> xr.Dataset:
    """Return what a descent leaves that ends near (alpha, gamma)."""
    end = np.concatenate([alpha, gamma])
    away = np.exp(-np.arange(ITERATIONS) / 3)
    rng, count, width = np.random.default_rng(9), len(problem.data), len(end)
    influence = 0.05 / np.sqrt(count) * rng.standard_normal((count, width))
    made = Estimate(
        p=end,
        covariance=influence.T @ influence,
        monte_carlo=np.zeros((width, width)),
        influence=influence,
        arrived=True,
        passes=True,
        reason="",
        bread=0.05**2 * np.eye(width),
        path=end + 0.5 * away[:, None],
        diagnostics={"remaining": 0.1},
    )
    losses = {"loss": 1 + away, "fixed_loss": np.where(np.arange(ITERATIONS) % 2, np.nan, 1 + away)}
    return estimate_dataset(problem, made, {"through": "surrogate"}, losses)


def estimators(problem: Problem, alpha: np.ndarray, gamma: np.ndarray) -> dict[str, xr.Dataset]:
    """Return what the three estimators leave that end at one place, the likelihood in doubt."""
    made = estimate(problem, alpha, gamma)
    shift = variable("estimated", np.full(len(alpha) + len(gamma), 0.01), "push")
    doubted = made.assign_attrs(passes=0, reason="only 5% of the draws count")
    return {
        "distance": made,
        "pseudo_likelihood": made.assign(
            surrogate_shift=shift, influence=made["influence"] * np.linspace(0.8, 1.2, len(shift))
        ),
        "likelihood": doubted,
    }


def make_study(
    law: Law,
    alpha: np.ndarray,
    noise: NoiseModel,
    gamma: np.ndarray,
    columns: Observations,
    forward: dict[str, Any] | None = None,
    simulate: Simulate | None = None,
    names: Sequence[str] = (),
    missing: float = 0.0,
) -> Study:
    rng = np.random.default_rng(3)
    if simulate is None:
        matrix = torch.from_numpy(rng.standard_normal((law.d_z, len(columns))) / law.d_z)

        def simulate(z: torch.Tensor) -> torch.Tensor:
            return z @ matrix

    names = names or [f"parameter_{i}" for i in range(law.d_z)]

    def solved(count: int, spread: float, failed: int = 0) -> xr.Dataset:
        rows = alpha + spread * rng.standard_normal((count, len(alpha)))
        omega = rng.standard_normal((count, law.d_omega))
        z = law.sample(torch.from_numpy(rows), torch.from_numpy(omega))
        y, reason = simulate(z).numpy().copy(), np.full(count, "", dtype=object)
        y[:failed], reason[:failed] = np.nan, "did not converge"
        return solves(z.numpy(), Solutions(y, reason), names, columns)

    population = solved(SYSTEMS + HELDOUT, 0.0)
    e = torch.from_numpy(rng.standard_normal((SYSTEMS + HELDOUT, len(columns))))
    y = population["y"].values + noise.sample(torch.from_numpy(gamma), e).numpy()
    y[rng.uniform(size=y.shape) < missing] = np.nan
    observations = observations_dataset(y, columns, HELDOUT)
    data, conditions = fitted_observations(observations)
    scale = np.full(len(alpha) + len(gamma), 0.5)
    problem = Problem(data, simulate, law, noise, scale, stage="figures", conditions=conditions)
    near = alpha + 0.03, gamma + 0.03
    answers = estimators(problem, *near)
    descent = answers["distance"]
    loaded = {
        **answers,
        "observations": observations,
        "truth": truth_dataset(law, alpha, problem.noise, gamma, population),
        "noise_known": descent.assign(law=descent["law"] * 1.01),
        **{f"estimate_{r}": estimate(problem, alpha + 0.3 / (1 + r), gamma) for r in range(3)},
    }
    loaded["population"] = population_dataset(problem, loaded, "auto").assign_attrs(
        config=json.dumps({} if forward is None else {"forward": forward})
    )
    inexact = SimpleNamespace(predict=lambda z: simulate(torch.from_numpy(z)).numpy() + 0.05)
    record = collect([solved(50, 0.5, failed=4)])
    for fresh in (solved(30, 0.1), solved(0, 0.0), solved(20, 0.0)):
        record = judge(
            collect([fresh]), record, inexact, loaded["population"],
            Thresholds(error=0.1, push=1.0), lambda solves: 0.2,
        )  # fmt: skip
    loaded["check"] = record.assign_attrs(config=json.dumps({"thresholds": {"error": 0.1}}))
    network = SimpleNamespace(to_arrays=dict, hyperparameters={})
    history = {
        "training_loss": np.array([1.0, 0.1, 0.02, 0.01]),
        "validation_loss": np.array([1.1, 0.2, 0.05, 0.07]),
    }
    loaded["surrogate"] = surrogate_dataset(network, history, {})  # type: ignore[arg-type]
    return Study(problem, loaded)


def line_study(missing: float = 0.0) -> Study:
    noise = KernelNoise(LINE, "exponential", nugget=False)
    gamma = noise.from_natural({"amplitude": 0.1, "length": 0.3})
    forward = {"kind": "porous_flow", "dimension": 1, "modes": 4, "field": "cosine"}
    alpha = np.array([0.5, -0.9, -1.2])
    law, observed = MaternLaw(1, 4, 1.5), at_places(LINE)
    return make_study(law, alpha, noise, gamma, observed, forward, missing=missing)


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
    alpha = np.array([1.6, -0.7, 1.0])
    return make_study(LevelSetLaw(2, 3), alpha, noise, gamma, at_places(SQUARE), forward)


def vector_study() -> Study:
    law = normal_law(["a", "b", "c", "d"])
    alpha = np.array([0.0, 1.0, 2.0, 3.0, -1.0, -0.5, 0.0, 0.5])
    return make_study(law, alpha, IsotropicNoise(len(LINE)), np.log([0.2]), at_places(LINE))


def series_study() -> Study:
    """Return a bar of random stiffness: a field, a parameter beside it, and time series."""
    forward = {"kind": "elastodynamics", "dimension": 1, "modes": 4, "field": "cosine"}
    law = ProductLaw(MaternLaw(1, 4, 1.5), lognormal_law(["damping"]))
    alpha = np.array([0.3, -1.0, -1.0, -1.0, -0.7])
    noise = BlockNoise(DiagonalNoise(len(PLACES)), len(TIMES), order=1)
    gamma = np.concatenate([np.log([0.05, 0.08, 0.12]), np.arctanh([0.6])])
    place, time = (torch.from_numpy(np.asarray(v)) for v in (PLACES, TIMES))

    def simulate(z: torch.Tensor) -> torch.Tensor:
        frequency = 1.2 * torch.exp(0.5 * (z[:, :1] + 0.3 * z[:, 1:2]))
        vibration = torch.exp(-0.5 * z[:, -1:] * time) * torch.cos(frequency * time)
        return (place[:, None] * vibration[:, None, :]).flatten(1)

    names = ["mean", *(f"mode_{k}" for k in range(1, 5)), "damping"]
    observed = over_time(PLACES, TIMES)
    return make_study(law, alpha, noise, gamma, observed, forward, simulate, names)


def quantities_study(windows: int = 1) -> Study:
    """Return averages of a chaotic system: quantities of different sizes, with names."""
    count = len(QUANTITIES) * windows
    labels, axes, where = QUANTITIES, ("quantity",), np.arange(len(QUANTITIES))[:, None]
    noise: NoiseModel = FullNoise(count, shrinkage=0.0)
    size = torch.tensor([1.0, 8.0, 3.0, 0.1], dtype=torch.float64).repeat_interleave(windows)
    if windows > 1:
        labels = tuple(f"{q}, window {w + 1}" for q in QUANTITIES for w in range(windows))
        axes = ("quantity", "t")
        time = np.tile(10.0 * np.arange(windows), len(QUANTITIES))
        where = np.column_stack([np.repeat(where[:, 0], windows), time])
        noise = DiagonalNoise(count)
    observed = Observations(where, axes, "average", "1", "average", labels=labels)
    deviations = 0.1 * size.numpy()
    if isinstance(noise, FullNoise):
        natural = {name: 0.3 for name in noise.names}
        natural |= {f"standard_deviation_{i + 1}": d for i, d in enumerate(deviations)}
        gamma = noise.from_natural(natural)
    else:
        gamma = np.log(deviations)
    power = torch.arange(1, count + 1) / 10

    def simulate(z: torch.Tensor) -> torch.Tensor:
        return size * z[:, :1] ** power + 0.1 * size * torch.log(z[:, 1:2])

    law = lognormal_law(["forcing", "coupling", "time_scale", "space_scale"])
    alpha = np.array([2.1, 0.0, 2.3, 2.3, -1.6, -0.2, -2.3, -2.3])
    names = ["forcing", "coupling", "time_scale", "space_scale"]
    return make_study(law, alpha, noise, gamma, observed, simulate=simulate, names=names)


def numbers_study() -> Study:
    """Return a simulator with many parameters, three coordinates of its answers, and gaps."""
    law = normal_law([f"rate_{i}" for i in range(20)])
    alpha = np.concatenate([np.linspace(-1, 1, 20), np.linspace(-2, 0, 20)])
    where = np.random.default_rng(0).uniform(size=(9, 3))
    observed = Observations(where, ("lon", "lat", "depth"), "c", "g/l", "concentration")
    noise = IsotropicNoise(9)
    return make_study(law, alpha, noise, np.log([0.1]), observed, missing=0.2)


def exact(study: Study) -> Study:
    """Return a study whose surrogate makes no error, so that draws of the model are its data."""
    check = study.loaded["check"]
    solved = check.isel(sample=check["reason"].values == 0)
    y = study.problem.simulate(torch.from_numpy(solved["z"].values)).numpy()
    return Study(study.problem, study.loaded | {"check": solved.assign(y=solved["y"].copy(data=y))})


def further_data_sets(study: Study, count: int) -> Iterator[np.ndarray]:
    """Yield data sets of the fitted model with the gaps of the data, which no figure uses."""
    problem = study.problem
    alpha, gamma = parameters_of(study.loaded["population"])
    gaps = ~problem.conditions.present
    for index in range(count):
        y = sample_model(
            problem, alpha, gamma, len(problem.data), "further", index, problem.conditions
        )
        yield y if gaps is None else np.where(gaps, np.nan, y)


def full_study(d_y: int = 25) -> Study:
    """Return a study with noise of any covariance, and so hundreds of parameters."""
    places = np.linspace(0, 1, d_y + 2)[1:-1, None]
    noise = FullNoise(d_y, shrinkage=0.0)
    natural = dict.fromkeys(noise.names, 0.2)
    natural |= {name: 0.1 for name in noise.names[:d_y]}
    gamma = noise.from_natural(natural)
    law = normal_law(["a", "b"])
    alpha = np.array([0.0, 1.0, -0.5, 0.0])
    return make_study(law, alpha, noise, gamma, at_places(places))
