"""Solver calls that active learning saves, compared with one broad design at the same error.

Both surrogates are judged on the same fresh solves, drawn from the recovered population. Errors are
measured in standard deviations of the final noise estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from popinv.store.variables import variable
from popinv.surrogate.build import training_data, training_settings
from popinv.surrogate.design import whitened_rmse
from popinv.surrogate.section import SurrogateSettings
from popinv.surrogate.trained_network import Surrogate
from popinv.surrogate.training import train

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection


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
    """Return the number of calls at which an error first falls to a target.

    Between two points the error is a power of the calls, that is, a straight line in logarithms.

    Parameters
    ----------
    calls : ndarray of shape (n,)
        Ascending.
    errors : ndarray of shape (n,)
        Positive.

    Returns
    -------
    Calls
        A bound if the first point is already below the target, or no point is.
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
    """Return the numbers of the rounds that solved and trained a surrogate.

    Parameters
    ----------
    check : Dataset
        The record of solves, ``rounds/check/solves.zarr.zip``. Its last round is the check itself.
    """
    return np.flatnonzero(check["solver_calls"].values[:-1] > 0)


def train_fixed(
    solves: xr.Dataset,
    count: int,
    surrogate: SurrogateSettings,
    forward: ForwardSection,
    seed: int,
    estimate: xr.Dataset,
    trainings: int,
    logarithmic: tuple[bool, ...] | None = None,
) -> tuple[Surrogate, Mapping[str, np.ndarray]]:
    """Train a surrogate on the first solves of the broad design, as active learning does.

    The network is trained as in the first round, and then as often again as in active learning,
    with the later rounds' learning rate and with errors whitened by the noise. The designs then
    differ in calls, not in training. Whitening by the final estimate from the start can only favour
    the fixed design.

    Parameters
    ----------
    solves : Dataset
        The solves of the broad design.
    count : int
        How many of them are used, failed ones among them.
    surrogate, forward : SurrogateSettings, ForwardSection
    estimate : Dataset
        The final estimate, with ``noise_covariance``.
    trainings : int
        The number of trainings in active learning.
    logarithmic : tuple of bool, length d_z, optional
        Parameters of which the network takes the logarithm.

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
        settings = settings.replace(stage=f"train_fixed/{count}/{number}")
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
        The record of solves. The surrogates are judged on its last round.
    covariance : ndarray of shape (d_y, d_y)
        Gamma, the unit of the errors.
    active : sequence of Surrogate
        The surrogates of :func:`trained_rounds`.
    fixed : mapping of int to Surrogate
        The surrogates of the fixed design, by number of solver calls.

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
    """Return the calls of both designs at which the error reaches active learning's final error.

    Returns
    -------
    dict
        ``design_error``, ``design_calls_active``, ``design_calls_fixed`` and their
        ``design_calls_ratio``, fixed over active; bounds are text such as ``> 4000``.
    """
    target = float(curves["active_error"].values[-1])
    active = calls_to_reach(curves["active_calls"].values, curves["active_error"].values, target)
    fixed = calls_to_reach(curves["fixed_calls"].values, curves["fixed_error"].values, target)
    # Active learning made the calls of its first round, even if fewer had been enough.
    made = active.value
    return {
        "design_error": target,
        "design_calls_active": Calls(made).shown(),
        "design_calls_fixed": fixed.shown(),
        "design_calls_ratio": Calls(fixed.value / made, fixed.relation).shown(2),
    }
