"""The figures of a study, drawn from its artefacts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.charts.description import Sheet
from popinv.charts.matplotlib_writer import drawn
from popinv.charts.saving import save
from popinv.figures.arrangement import arrangement, of_one_replicate
from popinv.figures.descent import draw_descent
from popinv.figures.discrepancy import discrepancy_panel
from popinv.figures.draws import law_draws, noise_free_covariance, plane
from popinv.figures.examples import draw_examples
from popinv.figures.goodness_of_fit import draw_individual_fits, goodness_of_fit
from popinv.figures.intrinsic import variance_panels, variance_parts
from popinv.figures.law import draw_law
from popinv.figures.names import FIGURES
from popinv.figures.noise import draw_noise_covariance
from popinv.figures.noise_statistics import NoiseComparison, noise_growth
from popinv.figures.observations import draw_observations
from popinv.figures.predictive_check import predictive_check
from popinv.figures.simulated import covariance, some_systems
from popinv.figures.solver import draw_solver_calls
from popinv.figures.surrogate import draw_surrogate_error
from popinv.forward.datasets import observation_names, places
from popinv.inference.answer.result import noise_covariance
from popinv.inference.answer.stated_values import as_read
from popinv.inference.checks.surrogate_intervals import held_out_solves
from popinv.inference.density.problem import Problem


def draw_all(problem: Problem, loaded: Mapping[str, xr.Dataset], folder: str | Path) -> None:
    """Draw every figure of a study as ``folder/{name}.png``.

    Parameters
    ----------
    problem : Problem
        The fitted problem, with the places of each system.
    loaded : mapping of str to Dataset
        ``observations``, ``surrogate``, ``population`` and ``check``; ``estimate_0``,
        ``estimate_1``, ..., one for each round; and optionally ``truth`` and ``noise_known``.
    folder : path
        It is made if it does not exist.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        save(chart_of(name, problem, loaded), folder / f"{name}.png")


def draw(name: str, problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Figure:
    """Draw the figure of this name, one of :data:`popinv.figures.names.FIGURES`."""
    return drawn(chart_of(name, problem, loaded))


def chart_of(name: str, problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Sheet:
    """Return the chart of this name, one of :data:`popinv.figures.names.FIGURES`."""
    population, check, truth = loaded["population"], loaded["check"], loaded.get("truth")
    names = [str(n) for n in check["parameter"].values]
    if name == "individual_fits":
        return draw_individual_fits(goodness_of_fit(problem, loaded))
    problem = problem.at_all_places
    if name == "observations":
        return draw_observations(predictive_check(*some_systems(problem, loaded)))
    if name == "law":
        draws = law_draws(problem, population, truth, names)
        given = (truth, loaded.get("noise_known"))
        others = [None if each is None else as_read(problem.law, each) for each in given]
        return draw_law(as_read(problem.law, population), draws, *others)
    if name == "noise_covariance":
        return _noise_covariance(*some_systems(problem, loaded))
    if name == "descent":
        true = None if truth is None else as_read(problem.law, truth)
        return draw_descent(as_read(problem.law, population), true)
    if name == "surrogate_error":
        thresholds = json.loads(check.attrs.get("config", "{}")).get("thresholds") or {}
        threshold = thresholds.get("error")
        held_out = held_out_solves(problem, check)
        return draw_surrogate_error(check, loaded["surrogate"], threshold, held_out)
    if name == "solver_calls":
        rounds = [loaded[f"estimate_{r}"] for r in range(check.sizes["round_number"] - 1)]
        return draw_solver_calls(check, plane(problem, population, rounds, check, names))
    if name == "examples":
        return draw_examples(of_one_replicate(loaded["observations"]), truth)
    raise ValueError(f"there is no figure '{name}'; the figures are {', '.join(FIGURES)}")


def noise_comparison(
    problem: Problem, loaded: Mapping[str, xr.Dataset], simulated: np.ndarray
) -> NoiseComparison:
    """Return the covariance of the noise: recovered, true and empirical.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``population``, and optionally ``truth``.
    simulated : ndarray of shape (B, d_y, d_y)
        Covariances of data sets of the fitted model.
    """
    population = loaded["population"]
    width, conditions = simulated.shape[1], problem.conditions
    # The first replicate, which every system has.
    signal = noise_free_covariance(problem, population)[:width, :width]
    present = conditions.present[:, :width]
    data = np.where(present, np.asarray(problem.data)[:, :width], np.nan)
    seen = present.astype(float)
    scale = conditions.mean_square_scale
    draws = zip(population["alpha_draws"].values, population["gamma_draws"].values, strict=True)
    return NoiseComparison(
        estimate=population["noise_covariance"].values,
        empirical=(covariance(data) - signal) / scale,
        true=loaded["truth"]["noise_covariance"].values if "truth" in loaded else None,
        drawn=np.array([noise_covariance(problem, alpha, gamma) for alpha, gamma in draws]),
        # In single precision, as there are many.
        simulated=(simulated - signal.astype(np.float32)) / np.float32(scale),
        growth=noise_growth(problem, loaded),
        counts=seen.T @ seen if conditions.gaps else None,
    )


def sensor_distances(problem: Problem, observations: xr.Dataset) -> np.ndarray | None:
    """Return the distances between sensors (d_y, d_y), if the noise is stationary over them."""
    where = places(of_one_replicate(observations))
    if not problem.noise.of_one.by_distance:
        return None
    return np.linalg.norm(where[:, None] - where, axis=-1)


def _noise_covariance(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> Sheet:
    observations = of_one_replicate(loaded["observations"])
    layout, units = arrangement(observations), observations["y"].attrs["units"]
    parts, names = variance_parts(problem, loaded["population"]), observation_names(observations)
    return draw_noise_covariance(
        noise_comparison(problem, loaded, predictive_check(problem, loaded).covariances),
        layout,
        distance=sensor_distances(problem, observations),
        units=units,
        discrepancy=discrepancy_panel(loaded["population"], layout, units, loaded.get("truth")),
        further=[] if parts is None else variance_panels(parts, names, units),
    )
