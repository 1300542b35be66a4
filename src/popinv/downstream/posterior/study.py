r"""The parameters of each observed system, given its observation and the recovered population.

With the recovered law and noise at hand, every system n has the posterior density

.. math:: p(\omega \mid y^{(n)}) \propto N(\omega; 0, I)\;
    N\bigl(y^{(n)}; G(T(\alpha, \omega)),\; s_n^2\, \Gamma\bigr), \qquad z = T(\alpha, \omega),

in the standard normal coordinates of the law: the population is the prior, the noise is known.
Elliptical slice sampling (Murray, Adams and MacKay, AISTATS 2010) needs neither gradients nor
tuning there; all systems and chains move together through the surrogate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.stats import kstest
from tqdm import tqdm

from popinv.downstream.posterior.mixing import effective_sample_size, split_r_hat
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.baselines.likelihood import Whitening
from popinv.inference.problem import Problem
from popinv.seeds import generator
from popinv.store.variables import variable

__all__ = [
    "Posteriors",
    "coverage_metrics",
    "elliptical_slice",
    "posterior_dataset",
    "sample_posteriors",
    "varying",
]

# Maps omega (rows, d_omega) and the rows' numbers to log-likelihoods (rows,).
LogLikelihood = Callable[[np.ndarray, np.ndarray], np.ndarray]

LEVEL = 0.95
# An angle is accepted long before; a bracket so small would be a likelihood that is not a function.
_MOST_SHRINKINGS = 200


@dataclass(frozen=True)
class Posteriors:
    """Draws of every system.

    Attributes
    ----------
    z : ndarray of shape (chains, draws, N, d_z)
    r_hat, effective : ndarray of shape (N, d_z)
        Split R-hat, and how many independent draws all chains are worth, of each parameter of each
        system.
    evaluations : int
        Calls of the surrogate, counted by system.
    """

    z: np.ndarray
    r_hat: np.ndarray
    effective: np.ndarray
    evaluations: int


def elliptical_slice(
    log_likelihood: LogLikelihood,
    omega: np.ndarray,
    current: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Move every row once, leaving N(0, I) times its likelihood invariant.

    A random ellipse through the row and a draw of the prior is searched, from a random angle
    inwards, for a point above a random level of the likelihood.

    Parameters
    ----------
    log_likelihood : callable
    omega : ndarray of shape (rows, d_omega)
    current : ndarray of shape (rows,)
        Its log-likelihoods.
    rng : numpy.random.Generator

    Returns
    -------
    omega : ndarray of shape (rows, d_omega)
    current : ndarray of shape (rows,)
    evaluations : int
    """
    rows = len(omega)
    other = rng.standard_normal(omega.shape)
    level = current + np.log(rng.random(rows))
    angle = 2 * np.pi * rng.random(rows)
    low, high = angle - 2 * np.pi, angle.copy()
    moved, likelihood = omega.copy(), current.copy()
    waiting, evaluations = np.arange(rows), 0
    for _ in range(_MOST_SHRINKINGS):
        turn = angle[waiting, None]
        proposed = omega[waiting] * np.cos(turn) + other[waiting] * np.sin(turn)
        proposed_likelihood = log_likelihood(proposed, waiting)
        evaluations += len(waiting)
        accepted = proposed_likelihood > level[waiting]
        moved[waiting[accepted]] = proposed[accepted]
        likelihood[waiting[accepted]] = proposed_likelihood[accepted]
        waiting = waiting[~accepted]
        if not len(waiting):
            break
        # The bracket shrinks towards the present point, at angle 0.
        below = angle[waiting] < 0
        low[waiting[below]] = angle[waiting[below]]
        high[waiting[~below]] = angle[waiting[~below]]
        share = rng.random(len(waiting))
        angle[waiting] = low[waiting] + share * (high[waiting] - low[waiting])
    return moved, likelihood, evaluations


def sample_posteriors(
    problem: Problem,
    estimate: tuple[np.ndarray, np.ndarray],
    chains: int,
    warmup: int,
    draws: int,
    thin: int,
) -> Posteriors:
    """Sample the posterior of every observed system.

    Parameters
    ----------
    problem : Problem
        The problem of the N observed systems; its stage addresses the draws.
    estimate : (alpha, gamma)
        Law and noise, unconstrained.
    chains, warmup, draws, thin : int
        Chains, moves before the first draw, draws of each chain, and moves from draw to draw.
    """
    count = len(problem.data)
    alpha, gamma = (torch.from_numpy(np.asarray(part, dtype=float)) for part in estimate)
    # All chains of all systems are rows of one problem; row r is system r modulo N.
    every = problem.of_systems(np.tile(np.arange(count), chains))
    data = torch.from_numpy(every.data)

    def log_likelihood(omega: np.ndarray, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            answer = every.simulate(every.law.sample(alpha, torch.from_numpy(omega)))
            whiten = Whitening(every.of_systems(rows), gamma) if every.conditions else whiten_all
            white = whiten(data[torch.from_numpy(rows)] - answer)
            # Noise and its determinant are fixed, so that the constant does not matter.
            return (-0.5 * (white**2).sum(dim=1)).numpy()

    with torch.no_grad():
        whiten_all = _common_whitening(problem, gamma)
    omega = generator(problem.seed, f"{problem.stage}/start").standard_normal(
        (chains * count, problem.law.d_omega)
    )
    current = log_likelihood(omega, np.arange(len(omega)))
    kept = np.empty((draws, chains * count, problem.law.d_z))
    evaluations = len(omega)
    steps = warmup + draws * thin
    for move in tqdm(range(steps), desc="posteriors", unit="move", disable=None):
        rng = generator(problem.seed, f"{problem.stage}/move", move)
        omega, current, calls = elliptical_slice(log_likelihood, omega, current, rng)
        evaluations += calls
        index, rest = divmod(move - warmup + 1, thin)
        if index >= 1 and rest == 0:
            kept[index - 1] = problem.law.sample(alpha, torch.from_numpy(omega)).numpy()
    z = kept.reshape(draws, chains, count, -1).swapaxes(0, 1)
    return Posteriors(z, split_r_hat(z), effective_sample_size(z), evaluations)


def _common_whitening(problem: Problem, gamma: torch.Tensor) -> Any:
    factor = problem.noise.cholesky(gamma)

    def whiten(residuals: torch.Tensor) -> torch.Tensor:
        return torch.linalg.solve_triangular(factor, residuals.T, upper=False).T

    return whiten


def varying(population: np.ndarray) -> np.ndarray:
    """Return which parameters differ between systems, a mask (d_z,), from draws (m, d_z).

    A law may hold some of them in common, such as the mean of a field: they are known once the
    population is, and single systems have nothing of their own to add.
    """
    size = np.maximum(np.abs(population).max(axis=0), np.finfo(float).tiny)
    return np.ptp(population, axis=0) > 1e-12 * size


def posterior_dataset(
    posteriors: Posteriors,
    names: list[str],
    most: int,
    units: list[str],
    truth: np.ndarray | None = None,
) -> xr.Dataset:
    """Return mean, deviation and 95 % interval of every system's parameters, and some draws.

    Parameters
    ----------
    posteriors : Posteriors
    names, units : list of str
        Names of the parameters.
    most : int
        Draws of each system that are kept, from all chains.
    truth : ndarray of shape (N, d_z), optional
        The systems' true parameters, whose ranks among the draws are then added.

    Notes
    -----
    The end of an interval at a share p is at place p (S + 1) of the S sorted draws, where a further
    independent draw lies below with probability p. The usual place, p (S - 1) + 1, is further
    inside: with a hundred draws its 95 % intervals hold 93 %.
    """
    z = posteriors.z.reshape(-1, *posteriors.z.shape[2:])
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    lower, upper = np.quantile(z, ends, axis=0, method="weibull")
    chosen = z[np.linspace(0, len(z) - 1, min(most, len(z))).round().astype(int)]
    dims = ("system", "parameter")
    note = "of the system's parameter, given its observation"
    units_of = {"parameter_units": ", ".join(units)}
    dataset = xr.Dataset(
        {
            "mean": variable(dims, z.mean(axis=0), f"mean {note}", **units_of),
            "deviation": variable(dims, z.std(axis=0, ddof=1), f"standard deviation {note}"),
            "lower": variable(dims, lower, f"lower end of the 95 % interval {note}"),
            "upper": variable(dims, upper, f"upper end of the 95 % interval {note}"),
            "r_hat": variable(dims, posteriors.r_hat, "split R-hat"),
            "effective": variable(dims, posteriors.effective, "effective sample size"),
            "z": variable(("draw", *dims), chosen, f"draws {note}"),
        },
        coords=parameter_coordinate(names, "parameter", "parameter of the forward model"),
    )
    if truth is not None:
        rank = ((z < truth).sum(axis=0) + 0.5) / (len(z) + 1)
        dataset["rank"] = variable(dims, rank, "share of the draws that lie below the truth")
    return dataset


def coverage_metrics(posterior: xr.Dataset, population: np.ndarray) -> dict[str, Any]:
    """Return how much was learnt of single systems, and whether their posteriors are calibrated.

    Where the posteriors are right, the truth's rank among a system's draws is uniform over the
    systems, and central intervals of every level hold the truth that often.

    Parameters
    ----------
    posterior : Dataset
        From :func:`posterior_dataset`.
    population : ndarray of shape (m, d_z)
        Draws of the recovered law.

    Returns
    -------
    dict
        By parameter that varies ``narrowing_<name>``, the mean posterior deviation over the
        population's; ``shared``, the names of those that do not vary; ``r_hat_max``, ``r_hat_99``,
        ``effective_min`` and ``effective_01``, the worst and the worst but 1 %. With ranks also
        ``coverage_<name>`` of 95 % intervals, ``rank_distance_<name>``, the largest distance of
        the ranks' distribution from the uniform one, ``rank_p_value_<name>`` of Kolmogorov and
        Smirnov's test of it, and over all parameters ``coverage``, ``coverage_80`` and
        ``coverage_50``.
    """
    own = varying(population)
    names = [str(name) for name in posterior["parameter"].values]
    own_names = [n for n, o in zip(names, own, strict=True) if o]
    deviation = posterior["deviation"].values[:, own].mean(axis=0)
    narrowing = deviation / population[:, own].std(axis=0, ddof=1)
    r_hat, effective = (posterior[name].values[:, own] for name in ("r_hat", "effective"))
    ranked = "rank" in posterior
    by_rank = _rank_metrics(own_names, posterior["rank"].values[:, own]) if ranked else {}
    return {
        "systems": posterior.sizes["system"],
        "level": LEVEL,
        "shared": ", ".join(n for n, o in zip(names, own, strict=True) if not o) or "none",
        **{f"narrowing_{n}": float(v) for n, v in zip(own_names, narrowing, strict=True)},
        "r_hat_max": float(r_hat.max()),
        "r_hat_99": float(np.quantile(r_hat, 0.99)),
        "effective_min": float(effective.min()),
        "effective_01": float(np.quantile(effective, 0.01)),
        **by_rank,
    }


def _rank_metrics(names: list[str], rank: np.ndarray) -> dict[str, float]:
    """Return coverage and uniformity of the truth's ranks, shape (N, names)."""
    off = np.abs(rank - 0.5)
    by_name: dict[str, float] = {}
    for name, of_name, ranks in zip(names, off.T, rank.T, strict=True):
        test = kstest(ranks, "uniform")
        by_name |= {
            f"coverage_{name}": float((of_name <= LEVEL / 2).mean()),
            f"rank_distance_{name}": float(test.statistic),
            f"rank_p_value_{name}": float(test.pvalue),
        }
    return {
        **by_name,
        "coverage": float((off <= LEVEL / 2).mean()),
        **{f"coverage_{level}": float((off <= level / 200).mean()) for level in (50, 80)},
    }
