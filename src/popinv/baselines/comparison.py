"""Table of the estimates and the cost of each method on one study.

All methods see the same observations and use the same surrogate, so they share its solver calls
and its error. Seconds are the wall-clock time of the job, including its start-up and loading.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from popinv.errors import DataError
from popinv.inference.answer.result import law_errors, relative_frobenius_error, root_mean_square
from popinv.store.whole_files import written_whole

LAW_ERROR = "alpha_relative_error_rms"
NOISE_ERROR = "noise_covariance_relative_frobenius_error"
# The part that an oracle knows has no error.
_GIVEN = {"noise_known": NOISE_ERROR, "law_known": LAW_ERROR}
# Gelman and Rubin's statistic of a converged chain is commonly required to be below this.
_SETTLED_R_HAT = 1.05


def comparison(
    answers: Mapping[str, xr.Dataset],
    seconds: Mapping[str, float],
    systems: int,
    solver_calls: int,
    truth: xr.Dataset | None = None,
) -> dict[str, dict[str, Any]]:
    """Return errors, cost and estimates of each method.

    Parameters
    ----------
    answers : mapping of str to Dataset
        ``law``, ``noise`` and ``noise_covariance`` of each method.
    seconds : mapping of str to float
        Wall-clock time of each.
    systems : int
        N. The attribute ``systems_used`` of a method says if it used fewer.
    solver_calls : int
        Number of solves behind the shared surrogate.
    truth : Dataset, optional
        The true values. Without them there are no errors.

    Returns
    -------
    dict of dict
        By method: ``systems``, the errors, ``seconds``, ``solver_calls``, ``note`` and the
        parameters of the law, ``alpha_<name>``. An error that cannot be computed is None.
    """
    table: dict[str, dict[str, Any]] = {}
    for name, answer in answers.items():
        errors: dict[str, float | None] = {LAW_ERROR: None, NOISE_ERROR: None}
        if truth is not None:
            law = law_errors(answer["law"].values, truth["law"].values)
            errors[LAW_ERROR] = root_mean_square(law)
            errors[NOISE_ERROR] = relative_frobenius_error(
                answer["noise_covariance"].values, truth["noise_covariance"].values
            )
            if name in _GIVEN:
                errors[_GIVEN[name]] = None
        used = int(answer.attrs.get("systems_used", systems))
        table[name] = {
            "systems": used,
            **errors,
            "seconds": float(seconds[name]),
            "solver_calls": solver_calls,
            "note": _note(answer, used, systems),
        } | {
            f"alpha_{parameter}": float(value)
            for parameter, value in answer["law"].to_series().items()
        }
    return table


def _note(answer: xr.Dataset, used: int, systems: int) -> str:
    notes = []
    if used < systems:
        notes.append(f"{used} of {systems} systems")
    if "law_split_r_hat" in answer:
        worst = max(float(answer[f"{part}_split_r_hat"].max()) for part in ("law", "noise"))
        if not worst <= _SETTLED_R_HAT:
            notes.append(f"the chain has not settled (split R-hat {worst:.2f})")
        if answer.attrs["divergences"]:
            notes.append(f"{answer.attrs['divergences']} divergences")
    return "; ".join(notes)


def seconds_of(path: str | Path) -> float:
    """Return the wall-clock seconds in a benchmark file of Snakemake.

    Raises
    ------
    DataError
        If the file is not a benchmark file.
    """
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        return float(rows[-1]["s"])
    except (IndexError, KeyError, TypeError, ValueError):
        raise DataError(f"{path}: is not a benchmark file with a column 's'") from None


def write_table(table: Mapping[str, Mapping[str, Any]], path: str | Path) -> None:
    """Write the table as CSV with a row for each method; missing numbers stay empty.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    columns = list(dict.fromkeys(key for row in table.values() for key in row))
    with written_whole(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["method", *columns], lineterminator="\n")
        writer.writeheader()
        for name, row in table.items():
            writer.writerow({"method": name, **row})
