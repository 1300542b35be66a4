"""What active learning saves: solver calls to the same error, against one broad design.

Both surrogates are judged on the same fresh solves, drawn where the population was found to be,
and their errors measured in standard deviations of the final noise estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import xarray as xr

from popinv.artefacts import variable
from popinv.forward.build import Section
from popinv.surrogate.build import training_data, training_settings
from popinv.surrogate.design import whitened_rmse
from popinv.surrogate.networks import Surrogate
from popinv.surrogate.training import train

__all__ = [
    "Calls",
    "calls_to_reach",
    "design_curves",
    "design_metrics",
    "train_fixed",
    "trained_rounds",
]


@dataclass(frozen=True)
class Calls:
    """A number of solver calls: measured (``=``), or a bound (``<``, ``>``)."""

    value: float
    relation: Literal["=", "<", ">"] = "="

    def shown(self, digits: int = 0) -> float | str:
        """Return the number, or the bound as text such as ``> 4000``."""
        value = round(self.value, digits) if digits else round(self.value)
        return value if self.relation == "=" else f"{self.relation} {value}"


def calls_to_reach(calls: np.ndarray, errors: np.ndarray, target: float) -> Calls:
    """Return after how many calls an error first falls to a target.

    Between two points the error is a power of the calls: a straight line in logarithms.

    Parameters
    ----------
    calls : ndarray of shape (n,)
        Ascending.
    errors : ndarray of shape (n,)
        Positive.
    target : float

    Returns
    -------
    Calls
        A bound where the first point is below the target already, or none is.
    """
    below = np.flatnonzero(np.asarray(errors) <= target)
    if not len(below):
        return Calls(float(calls[-1]), ">")
    i = int(below[0])
    if errors[i] == target or i == 0:
        return Calls(float(calls[i]), "=" if errors[i] == target else "<")
    share = np.log(errors[i - 1] / target) / np.log(errors[i - 1] / errors[i])
    logs = np.log([calls[i - 1], calls[i]])
    return Calls(float(np.exp(logs[0] + share * (logs[1] - logs[0]))))


def trained_rounds(check: xr.Dataset) -> np.ndarray:
    """Return the numbers of the rounds that solved and trained; the others passed theirs on.

    Parameters
    ----------
    check : Dataset
        The record of solves, ``rounds/check/solves.zarr``, whose last round is the check itself.
    """
    return np.flatnonzero(check["solver_calls"].values[:-1] > 0)


def train_fixed(
    solves: xr.Dataset,
    count: int,
    surrogate: Section,
    forward: Section,
    seed: int,
    estimate: xr.Dataset,
    trainings: int,
    logarithmic: tuple[bool, ...] | None = None,
) -> tuple[Surrogate, Mapping[str, np.ndarray]]:
    """Train a surrogate on the first solves of the broad design as active learning trains its own.

    The network is trained as in the first round and then as often again as active learning did,
    with the later rounds' learning rate and errors whitened by the noise. Calls are then what
    differs, not training; whitening by the final estimate from the start of it favours the fixed
    design, if anything.

    Parameters
    ----------
    solves : Dataset
        Those of the broad design.
    count : int
        How many of them are used, failed ones among them.
    surrogate, forward : mapping
        Sections of the configuration.
    seed : int
    estimate : Dataset
        The final estimate, with ``noise_covariance``.
    trainings : int
        How often active learning trained.
    logarithmic : tuple of bool, length d_z, optional
        Parameters that the network reads by their logarithms.

    Returns
    -------
    surrogate : Surrogate
    history : mapping
        Losses of the last training.
    """
    data = training_data(solves.isel(sample=slice(count)), 0, 1.0)
    fitted: Surrogate | None = None
    history: Mapping[str, np.ndarray] = {}
    for number in range(trainings):
        whitened_by = None if number == 0 else estimate
        settings = training_settings(surrogate, forward, seed, number, whitened_by, logarithmic)
        settings = replace(settings, stage=f"train_fixed/{count}/{number}")
        fitted, history = train(data, settings, fitted)
    if fitted is None:
        raise ValueError(f"trainings is {trainings}, but it must be at least 1")
    return fitted, history


def design_curves(
    check: xr.Dataset,
    covariance: np.ndarray,
    active: Sequence[Surrogate],
    fixed: Mapping[int, Surrogate],
) -> xr.Dataset:
    """Judge the surrogates of both designs on the check solves.

    Parameters
    ----------
    check : Dataset
        The record of solves; its last round is what the surrogates are judged on.
    covariance : ndarray of shape (d_y, d_y)
        Gamma, the measure of errors.
    active : sequence of Surrogate
        Those of :func:`trained_rounds`.
    fixed : mapping of int to Surrogate
        By number of solver calls.

    Returns
    -------
    Dataset
        ``active_calls`` and ``active_error`` along ``active_design``, ``fixed_calls`` and
        ``fixed_error`` along ``fixed_design``.
    """
    last = check["round"].values == check["round"].values.max()
    rows = np.flatnonzero(last & (check["reason"].values == 0))
    z, y = check["z"].values[rows], check["y"].values[rows]
    cholesky = np.linalg.cholesky(covariance)
    calls = np.cumsum(check["solver_calls"].values)[trained_rounds(check)]
    sizes = sorted(fixed)
    curves = {"active": (calls, active), "fixed": (np.array(sizes), [fixed[n] for n in sizes])}
    variables = {}
    for name, (made, surrogates) in curves.items():
        errors = [whitened_rmse(each.predict(z), y, cholesky) for each in surrogates]
        dim = f"{name}_design"
        variables[f"{name}_calls"] = variable(dim, made, f"solver calls, {name} design")
        variables[f"{name}_error"] = variable(
            dim, errors, f"error of the surrogate, {name} design, in noise standard deviations"
        )
    return xr.Dataset(variables)


def design_metrics(curves: xr.Dataset) -> dict[str, float | str]:
    """Return the calls of both designs to the error that active learning ends with.

    Returns
    -------
    dict
        ``design_error``, ``design_calls_active``, ``design_calls_fixed`` and their
        ``design_calls_ratio``, fixed over active; bounds are text such as ``> 4000``.
    """
    target = float(curves["active_error"].values[-1])
    active = calls_to_reach(curves["active_calls"].values, curves["active_error"].values, target)
    fixed = calls_to_reach(curves["fixed_calls"].values, curves["fixed_error"].values, target)
    # Active learning did make the calls of its first round, even if fewer had been enough.
    made = active.value
    return {
        "design_error": target,
        "design_calls_active": Calls(made).shown(),
        "design_calls_fixed": fixed.shown(),
        "design_calls_ratio": Calls(fixed.value / made, fixed.relation).shown(2),
    }
