"""Systems with all that can be stated of them, and their densities written again, by SciPy.

The densities are those of one system after the other. The integrals are sums over a grid of both
standard normal numbers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from fitted import kept
from scipy import stats
from scipy.special import logsumexp, ndtr

from popinv.inference.density.conditions import Conditions
from popinv.inference.density.problem import Problem, replicated_simulator
from popinv.population.known import Known
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.limits import Limits
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.channels import ChannelNoise
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise, Size, replicated_noise
from popinv.population.noise.time_series import AutoregressiveNoise, BlockNoise
from popinv.population.noise.unstructured import DiagonalNoise, FullNoise, IsotropicNoise

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))

from tables import combinations
from tables.combinations import CELLS, INTERVAL, LIMITS, USES, Cell, covering, pairs, reason

ENTRIES = 4
TIMES = np.array([0.0, 0.5, 1.0, 2.0])
NOISES: dict[str, NoiseModel] = {
    "isotropic": IsotropicNoise(ENTRIES),
    "diagonal": DiagonalNoise(ENTRIES),
    "kernel": KernelNoise(TIMES[:, None], "exponential", False),
    "autoregressive": AutoregressiveNoise(1, ENTRIES, 1),
    "blocks": BlockNoise(DiagonalNoise(2), 2, 1),
    "channels": ChannelNoise(1, 2, TIMES[:2], True),
    "full": FullNoise(ENTRIES, 0.1),
}
INDEPENDENT = ("isotropic", "diagonal")
# Nodes of an integral over one entry of the noise.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
# The grid of each standard normal number, in steps of a quarter. Its error is below 2e-4, and that
# of the draws some 2e-3.
GRID = np.linspace(-6.5, 6.5, 53)
# A cell of all uses, and uses that take some hundredths of a second.
COMMON = Cell("kernel", "proportional", "design", "complete", "1")
LITTLE = ("nuts", "groups", "calibration", "system_counts", "design_counts")
# Stands for a limit that is not there.
FAR = 1e8


def stated_cells() -> list[Cell]:
    """Return the cells that a study can state."""
    return [Cell.of(text) for text in _accepted()["stated"]]


def use_cases() -> list[tuple[str, Cell, bool]]:
    """Return cells that hold each pair of levels with each use, and whether each is quick.

    The quick ones are one cell of all uses, and cells of those that take little, in turn, that hold
    each pair of levels.
    """
    every = [(use, Cell.of(text)) for use in USES for text in _accepted()[use]]
    quick = [case for case in every if case[1] == COMMON]
    left = set().union(*(pairs(cell) for use, cell in every if use in LITTLE))
    for use in cycle(LITTLE):
        own = (case for case in every if case[0] == use)
        quick.append(max(own, key=lambda case: len(pairs(case[1]) & left)))
        left -= pairs(quick[-1][1])
        if not left:
            return [(*case, case in quick) for case in every]


@cache
def _accepted() -> dict[str, list[str]]:
    """Return the cells that a study can state, and those of each use; they take seconds to find."""

    def write(folder: Path) -> None:
        cells = {"stated": [cell for cell in CELLS if not reason(cell)]}
        cells |= {use: covering(use) for use in USES}
        texts = {name: [str(cell) for cell in each] for name, each in cells.items()}
        folder.mkdir()
        (folder / "cells.json").write_text(json.dumps(texts))

    folder = kept("cells", write, Path(combinations.__file__).read_text())
    return json.loads((folder / "cells.json").read_text())


def replicates_of(cell: Cell) -> int:
    """Return the number of replicates."""
    return 1 if cell.replicates == "1" else 2


def law_of(cell: Cell) -> GaussianLaw:
    """Return a law of two parameters, correlated where there is a covariate."""
    if "covariates" not in cell.known:
        return normal_law(["level", "slope"])
    groups, effects = [["level", "slope"]], [("slope", "age")]
    return normal_law(["level", "slope"], groups=groups, covariates=["age"], effects=effects)


def simulate(x: torch.Tensor) -> torch.Tensor:
    """Return 6 + level + slope x dose x time for the inputs (level, slope, dose); without it, 1.

    The signal stays away from zero, where proportional noise would need a finer grid.
    """
    dose = x[:, 2:] if x.shape[1] > 2 else torch.ones(len(x), 1, dtype=x.dtype)
    return 6 + x[:, :1] + x[:, 1:2] * dose * torch.from_numpy(TIMES)


def problem_of(
    cell: Cell,
    count: int,
    share: float = 0.2,
    few: bool = False,
    steady: bool = False,
    narrow: bool = False,
) -> tuple[Problem, np.ndarray]:
    """Return the problem of so many systems, and law and noise.

    Noise that grows is this share of the signal. Many systems may have few ages and noise scales.
    Steady ones have signals far from zero, little noise and few values beyond a limit. A narrow law
    is about as wide as the noise.
    """
    rng, replicates = np.random.default_rng(7), replicates_of(cell)
    noise = NOISES[cell.noise]
    if cell.errors == "student":
        noise = Noise(noise, Size("constant", heavy_tails=True))
    elif cell.errors != "constant":
        noise = Noise(noise, Size(cell.errors))
    noise = replicated_noise(noise, replicates)
    limited = cell.seen in LIMITS
    if limited:
        noise = noise
    law, width = law_of(cell), replicates * ENTRIES
    known = scale = present = fill = limits = None
    if cell.known != "alike":
        doses = rng.choice([0.5, 1.0, 2.0], (count, 1))[:, : "design" in cell.known]
        ages = np.round(rng.standard_normal((count, 1)), 0 if few else 1)
        ages = ages[:, : "covariates" in cell.known]
        known = Known.of_arrays(doses, ages)
    if cell.seen == "gaps":
        present, fill = rng.random((count, width)) < 0.7, np.zeros(width)
        present[:, 0] = True
    if cell.seen == "gaps" or (limited and known):
        scale = rng.choice([0.8, 1.3], count) if few else rng.uniform(0.7, 1.5, count)
    # Standard deviations of a fifth or so, correlations of .3, some seven degrees of freedom.
    gamma = np.where(noise.correlations, 0.3, -1.6) - 0.7 * steady * noise.sizes
    gamma[[name == "degrees_of_freedom" for name in noise.names]] = 1.6
    # A length below the steps in time would leave correlations that few systems do not show.
    if steady:
        gamma[[name == "length" for name in noise.names]] = -0.7
    gamma[[name == "proportional" for name in noise.names]] = np.log(share / 3 if steady else share)
    if cell.errors == "proportional":
        gamma[noise.sizes] = np.log(share)
    ends = [-1.1, 0.2, 0.2] if steady else [-0.9, 0.2, 0.4]
    alpha = np.array([0.3, -0.5, -0.6, *ends])[: len(law.names)]
    if narrow:
        alpha[[2, 3]] = -2
    p = np.concatenate([alpha, gamma])
    simulator = replicated_simulator(simulate, replicates)
    omega, e = (torch.from_numpy(rng.standard_normal((count, n))) for n in (2, width))
    some = Conditions.stated((count, width), scale=scale, known=known)
    blank = Problem(
        np.zeros((count, width)), simulator, law, noise, np.full(len(p), 0.5), seed=1,
        conditions=some,
    )  # fmt: skip
    y = blank.model(torch.from_numpy(p), omega, e, np.arange(count)).numpy()
    if limited:
        limits = limits_of(cell, y, 0.2 if steady else 0.5)
        y = held(y, limits.arrays)
    conditions = Conditions.stated((count, width), scale, present, fill, known, limits)
    return replace(blank, data=y, conditions=conditions), p


def limits_of(cell: Cell, y: np.ndarray, share: float) -> Limits:
    """Return limits that so many of all observations (N, R d_y) are beyond.

    Of correlated noise, two entries of a replicate have limits.
    """
    ends = {"lower": np.quantile(y, share)}
    if cell.seen == "censored_above":
        ends = {"upper": np.quantile(y, 1 - share)}
    elif cell.seen == INTERVAL:
        ends["least"] = np.quantile(y, share / 4)
    limits = Limits.of_arrays(y.shape, **ends)
    if cell.noise in INDEPENDENT:
        return limits
    chosen, none = np.isin(np.arange(y.shape[1]) % ENTRIES, (1, 2)), Limits.of_arrays(y.shape)
    pairs_of_ends = zip(limits.arrays, none.arrays, strict=True)
    return Limits(*(np.where(chosen, own, other) for own, other in pairs_of_ends))


def interval(law: stats.rv_continuous, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return log P(a < u < b) of a symmetric law, in the lower tail."""
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
    return np.log(np.maximum(law.cdf(b) - law.cdf(a), 1e-300))


def probability(low: np.ndarray, high: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return log P(low < v < high) (k,) of one or two normal numbers v of mean zero."""
    size = np.sqrt(np.diag(covariance))
    low, high = np.clip(low / size, -9, 9), np.clip(high / size, -9, 9)
    if len(size) == 1:
        return interval(stats.norm, low[:, 0], high[:, 0])
    rho = covariance[0, 1] / size.prod()
    half = (high[:, :1] - low[:, :1]) / 2
    x = low[:, :1] + half * (NODES + 1)
    ends = [(end[:, 1:] - rho * x) / np.sqrt(1 - rho**2) for end in (high, low)]
    inner = stats.norm.cdf(ends[0]) - stats.norm.cdf(ends[1])
    density = WEIGHTS * stats.norm.pdf(x) * inner
    return np.log(np.maximum((half * density).sum(axis=1), 1e-300))


def deviations(cell: Cell, p: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return standard deviations d (k, d_y) for signals g, and the correlations (d_y, d_y)."""
    single, gamma = NOISES[cell.noise], p[len(law_of(cell).names) :]
    own = torch.from_numpy(gamma[: len(single.names)].copy())
    covariance = single.covariance(own).numpy()
    sigma = np.sqrt(np.diag(covariance))
    d = np.broadcast_to(sigma, g.shape)
    if cell.errors == "proportional":
        d = sigma * np.abs(g)
    elif cell.errors == "combined":
        d = np.sqrt(sigma**2 + np.exp(gamma[len(single.names)]) ** 2 * g**2)
    return d, covariance / np.outer(sigma, sigma)


def log_density(cell: Cell, problem: Problem, p: np.ndarray, n: int, g: np.ndarray) -> np.ndarray:
    """Return log p(y_n | g) for signals g (k, d_y) of one replicate, by SciPy."""
    d, correlation = deviations(cell, p, g)
    conditions, total = problem.conditions, np.zeros(len(g))
    d = conditions.scale[n] * d
    low, high = conditions.limits.ends(np.asarray(problem.data))
    for replicate in range(replicates_of(cell)):
        columns = slice(replicate * ENTRIES, (replicate + 1) * ENTRIES)
        y, seen = problem.data[n, columns], conditions.present[n, columns]
        censored, freedom = seen & (low < high)[n, columns], 2 + np.exp(p[-1])
        a, b = ((x[n, columns] - g)[:, censored] / d[:, censored] for x in (low, high))
        width = np.sqrt((freedom - 2) / freedom)
        if cell.errors == "student":
            total += interval(stats.t(freedom), a / width, b / width).sum(axis=1)
        elif cell.noise in INDEPENDENT:
            total += interval(stats.norm, a, b).sum(axis=1)
        elif censored.any():
            among, cross = seen & ~censored, correlation[np.ix_(censored, seen & ~censored)]
            gain = cross @ np.linalg.inv(correlation[np.ix_(among, among)])
            mean = ((y - g) / d)[:, among] @ gain.T
            rest = correlation[np.ix_(censored, censored)] - gain @ cross.T
            total += probability(a - mean, b - mean, rest)
        seen = seen & ~censored
        factor = root(cell, correlation[np.ix_(seen, seen)])
        r = np.linalg.solve(factor, ((y - g) / d)[:, seen].T).T
        if cell.errors == "student":
            each = stats.t.logpdf(r, freedom, scale=width)
        else:
            each = stats.norm.logpdf(r)
        total += each.sum(axis=1) - np.log(d[:, seen]).sum(axis=1)
        total -= np.linalg.slogdet(factor)[1]
    return total


def root(cell: Cell, correlation: np.ndarray) -> np.ndarray:
    """Return R^(1/2): the symmetric root where tails are heavy, but for a series."""
    if cell.errors == "student" and cell.noise != "autoregressive":
        values, vectors = np.linalg.eigh(correlation)
        return (vectors * np.sqrt(values)) @ vectors.T
    return np.linalg.cholesky(correlation)


def signals(problem: Problem, p: np.ndarray, n: int, omega: np.ndarray) -> np.ndarray:
    """Return the signals (k, d_y) of one replicate of system n at omega (k, 2)."""
    known = problem.known.of(np.full(len(omega), n))
    alpha = torch.from_numpy(p[: problem.d_alpha].copy())
    return problem.signal(alpha, torch.from_numpy(omega), known).numpy()[:, :ENTRIES]


def by_quadrature(
    cell: Cell, problem: Problem, p: np.ndarray, grid: np.ndarray = GRID
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log p(y_n) (N,), and means and deviations of the posteriors of omega (N, 2)."""
    at = np.stack([each.ravel() for each in np.meshgrid(grid, grid, indexing="ij")], axis=1)
    step, found = grid[1] - grid[0], []
    for n in range(len(problem.data)):
        centre, factor = np.zeros(2), np.eye(2)
        # Two more grids are about the posterior and along its axes.
        for _ in range(3):
            omega = centre + at @ factor.T
            prior = stats.norm.logpdf(omega).sum(axis=1)
            joint = log_density(cell, problem, p, n, signals(problem, p, n, omega)) + prior
            value = logsumexp(joint) + np.log(step**2 * np.linalg.det(factor))
            weights = np.exp(joint - logsumexp(joint))
            mean = weights @ omega
            spread = (weights[:, None] * (omega - mean)).T @ (omega - mean)
            deviation = np.sqrt(np.diag(spread))
            # The first grid may be too coarse to see the spread.
            spread = spread + (0.6 * step) ** 2 * factor @ factor.T
            centre, factor = mean, np.linalg.cholesky(spread)
        found.append((value, mean, deviation))
    logs, means, spreads = (np.array(each) for each in zip(*found, strict=True))
    return logs, means, spreads


def observed(
    cell: Cell, problem: Problem, p: np.ndarray, g: np.ndarray, e: np.ndarray
) -> np.ndarray:
    """Return observations of all systems with signals g (N, d_y), for normal e (N, R d_y)."""
    d, correlation = deviations(cell, p, g)
    u = e.reshape(len(g), -1, ENTRIES)
    if cell.errors == "student":
        freedom = 2 + np.exp(p[-1])
        u = np.sqrt((freedom - 2) / freedom) * stats.t.ppf(stats.norm.cdf(u), freedom)
    noise = d[:, None] * (u @ root(cell, correlation).T)
    conditions = problem.conditions
    y = (g[:, None] + conditions.scale[:, None, None] * noise).reshape(e.shape)
    y = held(y, conditions.limits.arrays)
    return np.where(conditions.present, y, conditions.fill)


def normal_log_densities(
    cell: Cell, problem: Problem, p: np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """Return log N(y_n; m_n, C_n) (N,) with the exact mean and covariance of each observation."""
    found, conditions = np.empty(len(problem.data)), problem.conditions
    # Systems that differ in their gaps alone have the same moments.
    alike, moments, rows = list(map(tuple, conditions.without_gaps().columns())), {}, {}
    for n, key in enumerate(alike):
        rows.setdefault((key, tuple(conditions.present[n])), []).append(n)
    for (key, seen), own in rows.items():
        if key not in moments:
            moments[key] = exact_moments(cell, problem, p, grid, own[0])
        (mean, covariance), there = moments[key], np.flatnonzero(seen)
        of_seen = mean[there], covariance[np.ix_(there, there)]
        data = problem.data[np.ix_(own, there)]
        found[own] = stats.multivariate_normal.logpdf(data, *of_seen)
    return found


def exact_moments(
    cell: Cell, problem: Problem, p: np.ndarray, grid: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the observation of system n, had it no gaps."""
    omega = np.stack([each.ravel() for each in np.meshgrid(grid, grid, indexing="ij")], axis=1)
    weights = np.exp(stats.norm.logpdf(omega).sum(axis=1))
    weights, conditions, copies = weights / weights.sum(), problem.conditions, replicates_of(cell)
    g = signals(problem, p, n, omega)
    d, correlation = deviations(cell, p, g)
    d, freedom = conditions.scale[n] * d, 2 + np.exp(p[-1]) if cell.errors == "student" else np.inf
    # The limits of all replicates are alike.
    ends = np.array([end[n, :ENTRIES] for end in conditions.limits.arrays])
    mean, square, product = held_moments(g, d, ends, freedom)
    # E T(y_i) u_j = rho_ij E T(y_i) u_i, which is the whole where y_j has no limits.
    within = correlation * ((weights[:, None] * product).T @ product)
    for i, j in zip(*np.nonzero(np.triu(correlation, 1)), strict=True):
        if np.isfinite(ends[:, [i, j]]).any(axis=0).all():
            own = [(g[:, k], d[:, k], ends[:, k]) for k in (i, j)]
            both = product_mean(*own, correlation[i, j]) - mean[:, i] * mean[:, j]
            within[i, j] = within[j, i] = weights @ both
    np.fill_diagonal(within, weights @ (square - mean**2))
    about = mean - weights @ mean
    of_signal = (weights[:, None] * about).T @ about
    covariance = np.tile(of_signal, (copies, copies)) + np.kron(np.eye(copies), within)
    return np.tile(weights @ mean, copies), covariance


def held(y: np.ndarray, ends: Sequence[np.ndarray | float]) -> np.ndarray:
    """Return what is held of observations with the limits l, u, a and b."""
    lower, upper, least, most = ends
    y = np.where((least < y) & (y <= lower), lower, y)
    return np.where((upper <= y) & (y < most), upper, y)


def partial_moments(x: np.ndarray, freedom: float) -> np.ndarray:
    """Return the integrals of 1, u and u^2 up to x (3, ...), for u of variance one."""
    if np.isinf(freedom):
        mass, density = ndtr(x), np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return np.stack([mass, -density, mass - x * density])
    # Those of u and u^2 are integrals by parts, of the t law of two degrees of freedom fewer.
    less, width = stats.t(freedom - 2), np.sqrt((freedom - 2) / freedom)
    density = less.pdf(x)
    return np.stack([stats.t.cdf(x / width, freedom), -density, less.cdf(x) - x * density])


def pieces(
    g: np.ndarray, d: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends of u (k + 1, ...) between which T(g + d u) is v + s u, v and s (k, ...)."""
    lower, upper, least, most = np.clip(ends, -FAR, FAR)
    edges = [np.broadcast_to(x, g.shape) for x in (-FAR, least, lower, upper, most, FAR)]
    found = list(zip((g, lower, g, upper, g), (d, 0.0, d, 0.0, d), strict=True))
    there = [k for k in range(5) if (edges[k] < edges[k + 1]).any()]
    v, s = (np.stack([np.broadcast_to(found[k][i], g.shape) for k in there]) for i in (0, 1))
    return (np.stack([edges[0], *(edges[k + 1] for k in there)]) - g) / d, v, s


def held_moments(
    g: np.ndarray, d: np.ndarray, ends: np.ndarray, freedom: float = np.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return E T(y), E T(y)^2 and E T(y) u of y = g + d u, each of the shape of g."""
    edges, value, slope = pieces(g, d, ends)
    mass, first, second = np.diff(partial_moments(edges, freedom), axis=1)
    square = value**2 * mass + 2 * value * slope * first + slope**2 * second
    each = value * mass + slope * first, square, value * first + slope * second
    mean, square, product = (x.sum(axis=0) for x in each)
    return mean, square, product


def product_mean(one: Sequence[np.ndarray], other: Sequence[np.ndarray], rho: float) -> np.ndarray:
    """Return E T(y_1) T(y_2) (k,) of correlated normal noise, each with (g, d, ends) of y."""
    edges, value, slope = pieces(*one)
    edges, total = np.clip(edges, -8, 8), np.zeros_like(value[0])
    g, d, ends = other
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for low, high, v, s in zip(edges[:-1], edges[1:], value, slope, strict=True):
        half = (high - low)[:, None] / 2
        u = low[:, None] + half * (nodes + 1)
        # Given u, the other one has this mean and deviation.
        rest = np.broadcast_to(np.sqrt(1 - rho**2) * d[:, None], u.shape)
        mean = held_moments(g[:, None] + rho * d[:, None] * u, rest, ends)[0]
        density = half * weights * stats.norm.pdf(u)
        total += (density * (v[:, None] + s[:, None] * u) * mean).sum(axis=1)
    return total
