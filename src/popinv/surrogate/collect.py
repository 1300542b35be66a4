"""The record of solves: joined from chunks, counted, and used to judge the last surrogate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from popinv.errors import SolverError
from popinv.forward.checks import too_many_failed
from popinv.forward.datasets import ORIGIN, reason_codes, reasons_of
from popinv.store.variables import variable
from popinv.surrogate.design import whitened_rmse

if TYPE_CHECKING:
    from popinv.surrogate.simulator import TrainedSurrogate


@dataclass(frozen=True)
class Thresholds:
    """The limits below which a surrogate is good enough.

    Attributes
    ----------
    error : float
        Error on fresh solves, in standard deviations of the noise.
    push : float
        Change of the answer due to that error, in standard errors of the answer.
    """

    error: float
    push: float


_ROUND = ("solver_calls", "solver_failures", "surrogate_error", "surrogate_push")


def _joined(first: xr.Dataset, second: xr.Dataset, dim: str, names: Sequence[str]) -> xr.Dataset:
    return xr.concat([first[list(names)], second[list(names)]], dim=dim, combine_attrs="override")


def collect(chunks: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join the chunks of a round, in order, and count its calls and failures.

    Returns
    -------
    Dataset
        ``z``, ``y``, ``reason`` and ``round`` along ``sample``; ``solver_calls``,
        ``solver_failures``, ``surrogate_error`` and ``surrogate_push`` (NaN until judged) along
        ``round_number``.
        The attribute ``converged`` is 0.
    """
    names = [name for name in ("z", "y", *ORIGIN) if name in chunks[0]]
    joined = xr.concat([chunk[names] for chunk in chunks], "sample", combine_attrs="override")
    reasons = np.concatenate([reasons_of(chunk) for chunk in chunks])
    joined["reason"] = reason_codes(reasons)
    joined["round"] = variable("sample", np.zeros(len(reasons), dtype=np.int32), "round")
    joined["solver_calls"] = variable("round_number", [len(reasons)], "solver calls in the round")
    joined["solver_failures"] = variable(
        "round_number", [int(np.sum(reasons != ""))], "failed solves in the round"
    )
    joined["surrogate_error"] = variable(
        "round_number",
        [np.nan],
        "error of the previous surrogate on the round's solves, root mean square, "
        "in standard deviations of the noise",
    )
    joined["surrogate_push"] = variable(
        "round_number",
        [np.nan],
        "shift of the round's estimate due to the previous surrogate's error, the largest of the "
        "parameters, in standard errors",
    )
    return joined.assign_attrs(converged=0)


def failure_counts(solves: xr.Dataset, most: int = 5) -> str:
    """Return why solves failed and how often, with the most frequent reasons first.

    Parameters
    ----------
    solves : Dataset
        A Dataset with ``reason``, from :func:`collect`.
    most : int
        The largest number of reasons. The others are counted together.

    Returns
    -------
    str
        For example ``"3 times: time limit of 60 s; 1 time: no root"``; empty without failures.
    """
    reasons = reasons_of(solves)
    counts = Counter(str(reason) for reason in reasons[reasons != ""]).most_common()
    told = [f"{n} time{'s' if n > 1 else ''}: {why}" for why, n in counts[:most]]
    if others := counts[most:]:
        told.append(f"{sum(n for _, n in others)} times: {len(others)} other reasons")
    return "; ".join(told)


def check_failures(fresh: xr.Dataset, budget: float) -> None:
    """Raise an error if more than the tolerated share of a round's solves failed.

    Raises
    ------
    SolverError
        The message gives the number of failures and their reasons.
    """
    reasons = reasons_of(fresh)
    failed = int(np.sum(reasons != ""))
    if too_many_failed(failed, len(reasons), budget):
        raise SolverError(
            f"{failed} of {len(reasons)} solves failed ({failure_counts(fresh)}). The study "
            f"tolerates a share of {budget:g} (active_learning.failure_budget)."
        )


def judge(
    fresh: xr.Dataset,
    previous: xr.Dataset,
    surrogate: TrainedSurrogate,
    estimate: xr.Dataset,
    thresholds: Thresholds,
    push: Callable[[xr.Dataset], float] | None,
) -> xr.Dataset:
    """Append fresh solves to the earlier ones, with the error of the last surrogate.

    The attribute ``converged`` of the result is 1 if the surrogate's error and its effect on the
    answer are below their thresholds, or if an earlier round converged and this one solved nothing.
    The forward model itself has neither an error nor an effect.

    Parameters
    ----------
    fresh, previous : Dataset
        From :func:`collect`, and the result of this function in the round before.
    estimate : Dataset
        The round's estimate, with ``noise_covariance``.
    push : callable
        Maps the fresh solves to the shift of the estimate, in standard errors. None for a random
        simulator, of which single solves do not measure it. No round then converges, as each makes
        the surrogate more accurate.
    """
    number = previous.sizes["round_number"]
    fresh = fresh.copy()
    fresh["round"] = fresh["round"] + number
    fresh["round"].attrs = dict(previous["round"].attrs)
    solved = fresh["reason"].values == 0
    error = pushed = np.nan
    # Same test as `popinv.surrogate.simulator.is_exact`, whose module needs the tensor library.
    exact = bool(getattr(surrogate, "exact", False))
    if solved.any() and not exact:
        noise = estimate["noise_covariance"].values
        good = fresh.isel(sample=np.flatnonzero(solved))
        z, y = good["z"].values, good["y"].values
        predicted = surrogate.predict(z)
        if push is None:
            from popinv.surrogate.mean_and_factor import systematic_error

            error = systematic_error(predicted, z, y, noise)
        else:
            error, pushed = whitened_rmse(predicted, y, np.linalg.cholesky(noise)), push(fresh)
    fresh["surrogate_error"] = fresh["surrogate_error"].copy(data=[error])
    fresh["surrogate_push"] = fresh["surrogate_push"].copy(data=[pushed])
    names = [name for name in ("z", "y", *ORIGIN, "round") if name in fresh]
    samples = _joined(previous, fresh, "sample", names)
    rounds = _joined(previous, fresh, "round_number", _ROUND)
    samples["reason"] = reason_codes(np.concatenate([reasons_of(previous), reasons_of(fresh)]))
    fine = exact or (error < thresholds.error and pushed < thresholds.push)
    converged = previous.attrs["converged"] if not len(solved) else int(fine)
    return samples.merge(rounds).assign_attrs(converged=converged)
