"""What the draws of all systems' posteriors say: intervals, and whether they are calibrated."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import kstest

from popinv.downstream.posterior.sampling import LARGEST_R_HAT, Posteriors
from popinv.forward.datasets import parameter_coordinate
from popinv.store.variables import variable

__all__ = ["coverage_metrics", "posterior_dataset", "varying"]

LEVEL = 0.95


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
    each = [z.reshape(-1, z.shape[2]) for z in posteriors.draws]
    ends = [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]
    quantiles = [np.quantile(z, ends, axis=0, method="weibull") for z in each]
    lower, median, upper = np.stack(quantiles, axis=1)
    kept = min(most, *map(len, each))
    chosen = [z[np.linspace(0, len(z) - 1, kept).round().astype(int)] for z in each]
    mean = np.array([z.mean(axis=0) for z in each])
    deviation = np.array([z.std(axis=0, ddof=1) for z in each])
    dims = ("system", "parameter")
    note = "of the system's parameter, given its observation"
    units_of = {"parameter_units": ", ".join(units)}
    dataset = xr.Dataset(
        {
            "mean": variable(dims, mean, f"mean {note}", **units_of),
            "deviation": variable(dims, deviation, f"standard deviation {note}"),
            "lower": variable(dims, lower, f"lower end of the 95 % interval {note}"),
            "median": variable(dims, median, f"median {note}"),
            "upper": variable(dims, upper, f"upper end of the 95 % interval {note}"),
            "r_hat": variable(dims, posteriors.r_hat, "split R-hat"),
            "effective": variable(dims, posteriors.effective, "effective sample size"),
            "moves": variable("system", posteriors.moves, "moves of each chain"),
            "z": variable(("draw", *dims), np.stack(chosen, axis=1), f"draws {note}"),
        },
        coords=parameter_coordinate(names, "parameter", "parameter of the forward model"),
    )
    if truth is not None:
        pairs = zip(each, truth, strict=True)
        rank = np.array([((z < own).sum(axis=0) + 0.5) / (len(z) + 1) for z, own in pairs])
        dataset["rank"] = variable(dims, rank, "share of the draws that lie below the truth")
    return dataset


def coverage_metrics(posterior: xr.Dataset, population: np.ndarray, wanted: int) -> dict[str, Any]:
    """Return how much was learnt of single systems, and whether their posteriors are calibrated.

    Where the posteriors are right, the truth's rank among a system's draws is uniform over the
    systems, and central intervals of every level hold the truth that often.

    Parameters
    ----------
    posterior : Dataset
        From :func:`posterior_dataset`.
    population : ndarray of shape (m, d_z)
        Draws of the recovered law.
    wanted : int
        Effective sample size.

    Returns
    -------
    dict
        By parameter that varies ``narrowing_<name>``, the mean posterior deviation over the
        population's; ``shared``, the names of those that do not vary; ``r_hat_max``, ``r_hat_99``,
        ``effective_min`` and ``effective_01``, the worst and the worst but 1 %;
        ``systems_at_the_cap``, how many systems stopped at the cap on the moves; ``moves_median``
        and ``moves_max`` of each chain of a system. With ranks also
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
    moves = posterior["moves"].values
    # The check of the sampler has all parameters.
    short = (posterior["effective"].values < wanted) | (posterior["r_hat"].values > LARGEST_R_HAT)
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
        "systems_at_the_cap": int(short.any(axis=1).sum()),
        "moves_median": float(np.median(moves)),
        "moves_max": int(moves.max()),
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
