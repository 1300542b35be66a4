r"""The discrepancy of the simulator in an answer: its values, with bands, and what determines them.

Pointwise intervals are those of the parameters of the noise
(:mod:`popinv.inference.uncertainty.intervals`). The joint band holds all values at once in 95 % of
cases. It is wider by the ratio of the quantiles of :math:`\max_j |Z_j|` and of a single
:math:`|Z_j|`, with Z normal of the correlation of the estimated values.

The prior of the discrepancy keeps apart what the observations do not. Let s be the standard error
of a parameter of the law if the discrepancy had no prior, and s_0 its standard error if the
discrepancy were known (:attr:`popinv.inference.estimators.discrepancy_size.SizeEvidence.widening`).
A change of a parameter with a large s / s_0 looks like a discrepancy. Its estimate rests on the
prior.
"""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from scipy.special import ndtri

from popinv.inference.answer.result import estimate_of
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.discrepancy_size import WIDENS
from popinv.late import torch
from popinv.population.priors.prior import square_root
from popinv.seeds import generator
from popinv.store.variables import variable

# Draws for the quantile of the largest of d correlated values.
_DRAWS = 20_000
_LEVEL = 0.95


def size_ends(problem: Problem, estimate: xr.Dataset) -> dict[int, tuple[float, float]]:
    """Return the ends of the intervals of the sizes of a discrepancy, by their place in gamma."""
    noise, found = problem.noise, {}
    for i in noise.sizes_of_discrepancy:
        low, high = (f"{noise.names[i]}_{end}" for end in ("lower", "upper"))
        # The distance has no interval of a size.
        if low in estimate.attrs:
            found[i] = float(estimate.attrs[low]), float(estimate.attrs[high])
    return found


def discrepancy_dataset(problem: Problem, answer: xr.Dataset) -> xr.Dataset:
    """Return the discrepancy of an answer; nothing if its noise has none.

    Parameters
    ----------
    answer : Dataset
        With ``noise``, ``noise_lower``, ``noise_upper``, ``covariance`` and ``bread``, and the
        diagnostics of its estimate as attributes.

    Returns
    -------
    Dataset
        ``discrepancy`` (observation,), or (knot,) with the places ``knot`` if each system has
        sensors at places of its own, in the unit of the observations; the pointwise
        ``discrepancy_lower`` and ``discrepancy_upper``; the joint band ``discrepancy_joint_lower``
        and ``discrepancy_joint_upper``; and ``discrepancy_determined``, the share of the prior
        variance that the observations remove, given the size. The attribute
        ``discrepancy_confounded`` has the ratios s / s_0 of confounded parameters,
        ``discrepancy_gain`` the log evidence of the discrepancy above that of none, and
        ``discrepancy_length_limit`` is 1 at the largest length, -1 at the smallest, and else 0.
    """
    noise = problem.noise
    if (shared := noise.shared) is None:
        return xr.Dataset()
    d, p = len(shared.coordinates), estimate_of(answer)
    beta = problem.d_alpha + np.flatnonzero(noise.of_shape)
    gamma = torch.from_numpy(p[problem.d_alpha :])
    root = shared.root(noise.part("shared", gamma)).numpy()
    covariance = answer["covariance"].values
    of_values = root @ covariance[np.ix_(beta, beta)] @ root.T
    values, lower, upper = (answer[f"noise{end}"].values[-d:] for end in ("", "_lower", "_upper"))
    wider = _joint_factor(of_values, problem.seed)
    given_size = root @ answer["bread"].values[np.ix_(beta, beta)] @ root.T
    share = 1 - np.diag(given_size) / np.diag(root @ root.T)
    told = {
        "": (values, "discrepancy of the simulator, the same in all systems"),
        "_lower": (lower, "lower end of the 95 % interval of the discrepancy"),
        "_upper": (upper, "upper end of the 95 % interval of the discrepancy"),
        "_joint_lower": (
            values - wider * (values - lower),
            "lower end of the 95 % band of all values of the discrepancy",
        ),
        "_joint_upper": (
            values + wider * (upper - values),
            "upper end of the 95 % band of all values of the discrepancy",
        ),
        "_determined": (
            np.clip(share, 0.0, 1.0),
            "share of the discrepancy's prior variance that the observations remove",
        ),
    }
    dim = "observation" if shared.sensors is None else "knot"
    found = xr.Dataset({f"discrepancy{end}": variable(dim, *each) for end, each in told.items()})
    if shared.sensors is not None:
        knots = variable("knot", shared.sensors.knots, "place of the knot")
        found = found.assign_coords(knot=knots)
    confounded = {
        name.removeprefix(WIDENS): round(float(ratio), 2)
        for name, ratio in answer.attrs.items()
        if name.startswith(WIDENS)
    }
    return found.assign_attrs(
        discrepancy_confounded=json.dumps(confounded),
        discrepancy_gain=float(answer.attrs.get("discrepancy_gain", np.nan)),
        discrepancy_length_limit=int(answer.attrs.get("discrepancy_length_limit", 0)),
    )


def _joint_factor(covariance: np.ndarray, seed: int) -> float:
    """Return by how much the joint band is wider than the pointwise intervals."""
    deviations = np.sqrt(np.diag(covariance))
    if not np.all(deviations > 0):
        return 1.0
    half = square_root(covariance / np.outer(deviations, deviations))
    draws = generator(seed, "discrepancy/band").standard_normal((_DRAWS, len(half))) @ half.T
    largest = np.quantile(np.abs(draws).max(axis=1), _LEVEL)
    return float(largest / ndtri(0.5 + _LEVEL / 2))
