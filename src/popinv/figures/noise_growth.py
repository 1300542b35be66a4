"""The standard deviation of noise that grows, against the noise-free observation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr

from popinv.charts.description import Axis, Band, Legend, Line, Mark, Panel
from popinv.charts.style import MODEL, TRUTH, axis_label
from popinv.inference.problem import Problem

_POINTS = 60


@dataclass(frozen=True)
class NoiseGrowth:
    """The standard deviation against the signal, the root mean square over the observations.

    Parameters
    ----------
    signal, recovered : ndarray of shape (n,)
    half : ndarray of shape (n,), optional
        Half the 95 % interval.
    true : ndarray of shape (n,), optional
    """

    signal: np.ndarray
    recovered: np.ndarray
    half: np.ndarray | None = None
    true: np.ndarray | None = None


def noise_growth(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> NoiseGrowth | None:
    """Return the growth of a study's noise over the range of its data; None if it has none.

    Covariates are at their mean.
    """
    noise = problem.noise
    if getattr(noise, "grows", "constant") == "constant":
        return None
    data = np.asarray(problem.data)
    low, high = float(data.min()), float(data.max())
    signal = np.linspace(min(low, 0.0), high, _POINTS)
    rows = torch.from_numpy(np.repeat(signal[:, None], noise.d_y, axis=1))
    centre = torch.zeros_like(problem.known.covariates[:1]).expand(_POINTS, -1)

    def curve(gamma: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            d = noise.deviations(torch.from_numpy(gamma), rows, centre)  # type: ignore[attr-defined]
        return np.sqrt((d.numpy() ** 2).mean(axis=1))

    population, truth = loaded["population"], loaded.get("truth")
    draws = np.array([curve(gamma) for gamma in population["gamma_draws"].values])
    half = 1.96 * draws.std(axis=0, ddof=1) if len(draws) > 1 else None
    true = None
    # The true noise may be of another family, whose parameters have other names.
    if truth is not None and tuple(truth["noise_parameter"].values) == noise.names:
        true = curve(truth["gamma"].values)
    return NoiseGrowth(signal, curve(population["gamma"].values), half, true)


def growth_panel(growth: NoiseGrowth, units: str, title: str = "") -> Panel:
    """Return the standard deviation against the signal, with intervals and the truth."""
    x, marks = growth.signal, list[Mark]()
    if growth.half is not None:
        low, high = growth.recovered - growth.half, growth.recovered + growth.half
        marks.append(Band(x, low, high, colour=MODEL, alpha=0.2, label="95 % interval"))
    marks.append(Line(x, growth.recovered, colour=MODEL, label="recovered"))
    if growth.true is not None:
        marks.append(Line(x, growth.true, "dash", colour=TRUTH, label="true"))
    return Panel(
        Axis(axis_label("noise-free observation", units)),
        Axis(axis_label("standard deviation", units), limits=(0, None)),
        marks,
        title,
        legend=Legend(),
    )
