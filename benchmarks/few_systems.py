"""Intervals from few systems: likelihood, restricted likelihood and posterior, in a one-way layout.

    python -m benchmarks.few_systems coverage       # docs/tables/data/few_systems.csv
    python -m benchmarks.few_systems calibration    # docs/tables/data/law_posterior_ranks.csv

Numbers of systems after the word measure these alone, and leave the other rows of the table.

*Coverage.* y_nj = z_n + xi_nj with z_n ~ N(m, s^2) and xi_nj ~ N(0, sigma^2), three observations of
each system. The posterior's intervals are by an integral over a grid of (log s, log sigma), given
which m is normal. The sampler has the same target, which
``tests/inference/test_law_posterior.py`` checks against the same grid.

*Calibration.* Parameters are drawn from a proper prior, data from them, and draws of the posterior
by the sampler, with the likelihood in closed form, which is quicker than the package's and is
compared with it for each data set. The rank of each true parameter among them is uniform (Talts,
Betancourt, Simpson, Vehtari and Gelman, arXiv:1804.06788, 2018). The range of 39 draws holds the
truth in 95 % of the data sets.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import torch
from scipy.stats import chi2, norm

from benchmarks.machine import ROOT, cpu_model
from popinv.inference.answer.result import estimate_dataset
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.closed_form import ClosedForm
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.integrate.marginal import Evaluation
from popinv.inference.uncertainty.intervals import intervals
from popinv.inference.uncertainty.law_posterior import ChainSettings, sample_law
from popinv.population.constraints import POSITIVE, REAL
from popinv.population.laws.gaussian import normal_law
from popinv.population.noise.terms import Noise
from popinv.population.noise.unstructured import IsotropicNoise
from popinv.population.priors.prior import (
    EntryPriors,
    Prior,
    StatedPrior,
    half_student,
    normal,
)
from popinv.workflow.records import commit_of

DATA = ROOT / "docs/tables/data"
SYSTEMS, WIDTH, SETS = (6, 12, 24), 3, 200
# Points along each axis of the grid; quantiles differ by less than 1 % of the width from 400.
POINTS = 200
# m, s and sigma; the start, which sets the prior's scales, has the same.
TRUTH = (2.0, 0.5, 0.5)
NAMES = ("mean", "standard deviation", "noise")
# Draws of each posterior beside which the truth has its rank, and draws between two of them.
RANKED_SYSTEMS = (8, 14, 30)
RANKED, THIN, WARMUP, REPEATS, BINS = 39, 4, 100, 200, 10


def layout(y: np.ndarray) -> Problem:
    """Return the problem of observations y (N, n) of a one-way layout."""
    width = y.shape[1]
    return Problem(
        y,
        lambda z: z.expand(-1, width),
        normal_law(["level"]),
        Noise(IsotropicNoise(width)),
        np.array([max(float(y.std()), 1e-3), 0.5, 0.5]),
        seed=1,
    )


def drawn(
    rng: np.random.Generator, count: int, mean: float, deviation: float, noise: float
) -> np.ndarray:
    """Return observations (count, WIDTH)."""
    levels = mean + deviation * rng.standard_normal((count, 1))
    return levels + noise * rng.standard_normal((count, WIDTH))


class Grid:
    """The posterior of a balanced one-way layout with the default prior, on a grid.

    Parameters
    ----------
    y : ndarray of shape (N, n)
    start : (float, float)
        Starts of s and sigma.
    size : int
        Points along each of log s and log sigma.
    """

    def __init__(self, y: np.ndarray, start: Sequence[float], size: int = 400) -> None:
        count, width = y.shape
        self.centre = float(y.mean())
        between = width * ((y.mean(axis=1) - self.centre) ** 2).sum()
        within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum()
        noise = np.log(within / (count * (width - 1))) / 2
        wide = 5 / np.sqrt(count * (width - 1))
        self.log_noise = np.linspace(noise - wide, noise + 2 * wide, size)
        top = np.log(np.sqrt(between / (count - 1) / width) + np.exp(noise))
        self.log_deviation = np.linspace(top - 9, top + 3, size)
        u, v = self.log_deviation[:, None], self.log_noise[None, :]
        # The variance of a system's sum over the square root of n.
        total = width * np.exp(2 * u) + np.exp(2 * v)
        log = -0.5 * (
            count * (width - 1) * 2 * v
            + (count - 1) * np.log(total)
            + within * np.exp(-2 * v)
            + between / total
        )
        for place, first in zip((u, v), start, strict=True):
            ratio = np.exp(place) / (2.5 * first)
            log = log - 2.5 * np.log1p(ratio**2 / 4) + place
        weight = np.exp(log - log.max())
        self.weight = weight / weight.sum()
        self.error = np.sqrt(total / (count * width))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations of m, log s and log sigma."""
        both = (
            (self.log_deviation, self.weight.sum(axis=1)),
            (self.log_noise, self.weight.sum(axis=0)),
        )
        means = [float(x @ w) for x, w in both]
        squares = [float((x - m) ** 2 @ w) for (x, w), m in zip(both, means, strict=True)]
        of_mean = float((self.weight * self.error**2).sum())
        return np.array([self.centre, *means]), np.sqrt([of_mean, *squares])

    def quantiles(self, levels: Sequence[float]) -> np.ndarray:
        """Return quantiles of m, log s and log sigma, shape (3, levels)."""
        places = self.centre + np.linspace(-8, 8, 801) * self.moments()[1][0]
        some = self.weight > 1e-9 * self.weight.max()
        weight, error = self.weight[some], self.error[some]
        below = np.array(
            [weight @ norm.cdf((x - self.centre) / error) / weight.sum() for x in places]
        )
        found = [np.interp(levels, below, places)]
        for x, axis in ((self.log_deviation, 1), (self.log_noise, 0)):
            marginal = self.weight.sum(axis=axis)
            # A cell's weight is centred at its place.
            found.append(np.interp(levels, np.cumsum(marginal) - marginal / 2, x))
        return np.array(found)


def coverage(count: int, sets: int = SETS) -> list[dict[str, str]]:
    """Return the rows of a number of systems in the table of coverage and of estimates."""
    start = np.array([TRUTH[0], *np.log(TRUTH[1:])])
    covers, widths, values = (np.zeros((sets, 3, 3)) for _ in range(3))
    for k in range(sets):
        y = drawn(np.random.default_rng([44, count, k]), count, *TRUTH)
        problem = layout(y)
        for j, restricted in enumerate((False, True)):
            found = fit_marginal_likelihood(problem, start, restricted=restricted)
            ends = intervals(problem, estimate_dataset(problem, found))
            low, high = (np.concatenate([ends[n][i] for n in ("law", "noise")]) for i in (0, 1))
            values[k, j] = problem.natural(found.p)
            covers[k, j] = (low <= TRUTH) & (np.array(TRUTH) <= high)
            widths[k, j] = high - low
        low, middle, high = Grid(y, TRUTH[1:], POINTS).quantiles([0.025, 0.5, 0.975]).T
        for each in (low, middle, high):
            each[1:] = np.exp(each[1:])
        values[k, 2], widths[k, 2] = middle, high - low
        covers[k, 2] = (low <= TRUTH) & (np.array(TRUTH) <= high)
    rows = []
    for j, by in enumerate(("likelihood", "restricted likelihood", "posterior")):
        for i, name in enumerate(NAMES):
            share = covers[:, j, i].mean()
            error = np.sqrt(max(share * (1 - share), 1 / sets) / sets)
            squares = values[:, j, i] ** 2
            rows.append(
                {
                    "systems": f"{count}",
                    "data sets": f"{sets}",
                    "interval": by,
                    "parameter": name,
                    "truth": f"{TRUTH[i]:g}",
                    "coverage, %": f"{100 * share:.1f}",
                    "its error, %": f"{100 * error:.1f}",
                    "median width": f"{np.median(widths[:, j, i]):.3f}",
                    "mean estimate": f"{values[:, j, i].mean():.3f}",
                    "mean square": f"{squares.mean():.4f}",
                    "error of the mean square": f"{squares.std() / np.sqrt(sets):.4f}",
                }
            )
    return rows


class LayoutLikelihood:
    """The likelihood of a one-way layout in closed form, as that of the package but quicker.

    Parameters
    ----------
    y : ndarray of shape (N, n)
    """

    def __init__(self, y: np.ndarray) -> None:
        self._mean, self._width = y.mean(axis=1), y.shape[1]
        self._within = ((y - self._mean[:, None]) ** 2).sum(axis=1)

    def __call__(
        self,
        p: np.ndarray,
        memory: Mapping[str, np.ndarray] | None = None,
        systems: np.ndarray | None = None,
    ) -> Evaluation:
        """Evaluate all systems at p = (m, log s, log sigma)."""
        width, (signal, noise) = self._width, np.exp(2 * p[1:])
        total, residual = width * signal + noise, self._mean - p[0]
        square = width * residual**2 / total
        log = -0.5 * (
            width * np.log(2 * np.pi)
            + (width - 1) * np.log(noise)
            + np.log(total)
            + self._within / noise
            + square
        )
        own = np.column_stack(
            [
                width * residual / total,
                (square - 1) * width * signal / total,
                self._within / noise - (width - 1) + (square - 1) * noise / total,
            ]
        )
        none, nothing = np.zeros_like(own), np.zeros((len(log), 1))
        zero = np.zeros(len(log))
        return Evaluation(
            log, zero, own, none, none, nothing, nothing, nothing, zero + 1, zero.astype(int)
        )


def proper_prior() -> Prior:
    """Return the prior that the posterior has by default, with a normal density of the mean."""
    positive = [half_student(4.0, 2.5 * start, POSITIVE.ends) for start in TRUTH[1:]]
    densities = (normal(TRUTH[0], 1.0, REAL.ends), *positive)
    stated = EntryPriors(np.arange(3), (REAL, POSITIVE, POSITIVE), densities)
    return Prior.of(normal_law(["level"]), Noise(IsotropicNoise(WIDTH)), StatedPrior((stated,)))


class LayoutPrior:
    """The density of :func:`proper_prior` up to a constant, in closed form, which is quicker."""

    def value(self, p: np.ndarray, jacobian: bool = False) -> float:
        """Return its logarithm at p = (m, log s, log sigma)."""
        squares = (np.exp(p[1:]) / (2.5 * np.array(TRUTH[1:]))) ** 2 / 4
        value = -0.5 * (p[0] - TRUTH[0]) ** 2 - 2.5 * np.log1p(squares).sum()
        return float(value + (p[1:].sum() if jacobian else 0.0))

    def gradient(self, p: np.ndarray, jacobian: bool = False) -> np.ndarray:
        """Return its derivatives."""
        squares = (np.exp(p[1:]) / (2.5 * np.array(TRUTH[1:]))) ** 2 / 4
        slopes = -5 * squares / (1 + squares) + float(jacobian)
        return np.array([TRUTH[0] - p[0], *slopes])


def ranks(count: int, repeats: int = REPEATS, first: int = 0) -> np.ndarray:
    """Return the ranks (repeats, 3) of the true parameters among RANKED draws each.

    The data sets have the numbers from ``first`` on.
    """
    found = []
    for k in range(first, first + repeats):
        rng = np.random.default_rng([45, count, k])
        prior = proper_prior()
        p = prior.draws(1, rng)[0]
        y = drawn(rng, count, p[0], *np.exp(p[1:]))
        problem, likelihood = layout(y), LayoutLikelihood(y)
        # They are the package's own likelihood and prior.
        quick = LayoutPrior()
        np.testing.assert_allclose(quick.gradient(p, True), prior.gradient(p, True), atol=1e-9)
        np.testing.assert_allclose(
            likelihood(p).log_likelihood, ClosedForm(problem)(p).log_likelihood, atol=1e-7
        )
        settings = ChainSettings(chains=1, kept=RANKED * THIN, warmup=WARMUP)
        posterior = sample_law(problem, p, quick, settings, likelihood=likelihood)
        found.append((posterior.p[0, THIN - 1 :: THIN] < p).sum(axis=0))
        # The compiled functions of a hundred data sets fill the process's table of mappings.
        jax.clear_caches()
    return np.array(found)


def uniformity(found: np.ndarray) -> np.ndarray:
    """Return the p-values (3,) of the chi-squared test that ranks (repeats, 3) are uniform."""
    values = []
    for column in found.T:
        counts = np.bincount(column * BINS // (RANKED + 1), minlength=BINS)
        expected = len(column) / BINS
        values.append(chi2.sf(((counts - expected) ** 2 / expected).sum(), BINS - 1))
    return np.array(values)


def calibration(count: int, repeats: int = REPEATS) -> list[dict[str, str]]:
    """Return the rows of a number of systems in the table of ranks."""
    return rows_of_ranks(count, ranks(count, repeats))


def rows_of_ranks(count: int, found: np.ndarray) -> list[dict[str, str]]:
    """Return the rows of ranks (repeats, 3)."""
    inside = ((found > 0) & (found < RANKED)).mean(axis=0)
    every = zip(NAMES, found.T, inside, uniformity(found), strict=True)
    return [
        {
            "systems": f"{count}",
            "data sets": f"{len(found)}",
            "parameter": name,
            **{
                f"tenth {b + 1}": f"{n}"
                for b, n in enumerate(np.bincount(column * BINS // (RANKED + 1), minlength=BINS))
            },
            "p-value": f"{value:.3f}",
            "coverage, %": f"{100 * share:.1f}",
        }
        for name, column, share, value in every
    ]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the rows of a number of systems among those of other numbers.

    They have the commit and the machine of their measurement.
    """
    told = {"commit": commit_of(Path(__file__))[:8], "machine": cpu_model()}
    rows = [{**row, **told} for row in rows]
    if path.is_file():
        with path.open(newline="") as file:
            rows += [row for row in csv.DictReader(file) if row["systems"] != rows[0]["systems"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: int(row["systems"])))


if __name__ == "__main__":
    torch.set_num_threads(1)
    tables = {
        "coverage": ("few_systems.csv", coverage, SYSTEMS),
        "calibration": ("law_posterior_ranks.csv", calibration, RANKED_SYSTEMS),
    }
    if len(sys.argv) < 2 or sys.argv[1] not in tables:
        sys.exit("usage: python -m benchmarks.few_systems {coverage,calibration} [systems ...]")
    file, measured, numbers = tables[sys.argv[1]]
    for number in [int(each) for each in sys.argv[2:]] or numbers:
        write(DATA / file, measured(number))
