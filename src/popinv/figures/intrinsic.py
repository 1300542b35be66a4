"""Intrinsic variation of a random simulator beside what else spreads the observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Cloud, Legend, Line, Marker, Panel, Points
from popinv.charts.style import CHECK, DATA, LIGHT, MODEL, axis_label
from popinv.figures.draws import noise_free_covariance
from popinv.inference.checks.intrinsic_share import learned_covariances
from popinv.inference.density.problem import Problem


@dataclass(frozen=True)
class VarianceParts:
    """Variances (d,) of the observations of one replicate, by their cause.

    Attributes
    ----------
    law : ndarray of shape (d,)
        Of the mean answers over the law.
    intrinsic, noise : ndarray of shape (d,)
        Of the simulator's answer given its parameters, mean over the law, and of the measurement.
    learned, repeated : ndarray of shape (S, d)
        Learned variances of S systems, and those of repeated solves; empty without any.
    """

    law: np.ndarray
    intrinsic: np.ndarray
    noise: np.ndarray
    learned: np.ndarray
    repeated: np.ndarray

    @property
    def told(self) -> str:
        """The shares of the three parts in the variance of the observations, in words."""
        whole = self.law + self.intrinsic + self.noise
        parts = (("the law", self.law), ("intrinsic variation", self.intrinsic))
        shares = [f"{name} {np.mean(each / whole):.0%}" for name, each in parts]
        return f"{', '.join(shares)}, measurement noise {np.mean(self.noise / whole):.0%}"


def variance_parts(problem: Problem, population: xr.Dataset) -> VarianceParts | None:
    """Return the parts of the variance, or None if the simulator is not random."""
    if "intrinsic_covariance" not in population:
        return None
    intrinsic = np.diag(population["intrinsic_covariance"].values)
    noise = np.diag(population["noise_covariance"].values) * problem.conditions.mean_square_scale
    answer = np.diag(noise_free_covariance(problem, population))[: len(noise)]
    learned = repeated = np.empty((0, len(noise)))
    if "repeated_covariance" in population:
        each = learned_covariances(problem, population["repeated_inputs"].values)
        learned = each.diagonal(axis1=1, axis2=2)
        repeated = population["repeated_covariance"].values.diagonal(axis1=1, axis2=2)
    return VarianceParts(np.maximum(answer - intrinsic, 0.0), intrinsic, noise, learned, repeated)


def variance_panels(parts: VarianceParts, names: list[str], units: str) -> list[Panel]:
    """Return the standard deviations of the parts by observation, and learned against repeated."""
    places = np.arange(len(parts.noise))
    told: tuple[tuple[np.ndarray, Marker, str, str], ...] = (
        (parts.law, "square", DATA, "differences between systems"),
        (parts.intrinsic, "circle", MODEL, "intrinsic variation"),
        (parts.noise, "diamond", CHECK, "measurement noise"),
    )
    marks = [
        Points(places, np.sqrt(values), marker, 6, joined="solid", colour=colour, label=label)
        for values, marker, colour, label in told
    ]
    few = places[:: max(1, -(-len(places) // 8))]
    panels = [
        Panel(
            Axis("observation", places=few, names=[names[i] for i in few], slanted=True),
            Axis(axis_label("standard deviation", units), limits=(0, None)),
            marks,
            "What spreads the observations",
            legend=Legend(),
        )
    ]
    if len(parts.learned):
        x, y = (np.sqrt(each).ravel() for each in (parts.learned, parts.repeated))
        seen = (x > 0) & (y > 0)
        ends = np.array([x[seen].min(), x[seen].max()])
        panels.append(
            Panel(
                Axis(axis_label("learned deviation", units), limits=(0, None)),
                Axis(axis_label("deviation of repeated solves", units), limits=(0, None)),
                [
                    Cloud(x[seen], y[seen], colour=MODEL, label="a system and an observation"),
                    Line(ends, ends, colour=LIGHT, label="equal"),
                ],
                "Intrinsic variation: learned and repeated",
                legend=Legend(),
            )
        )
    return panels
