"""Checks of the rows of a batch, which forward models share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from popinv.errors import DataError, SolverError
from popinv.forward.base import Parameter, Solutions


def too_many_failed(failed: int, solves: int, budget: float) -> bool:
    """Return whether more than the tolerated share of solves failed, which stops a run."""
    return failed > budget * solves


def checked_rows(
    kind: str, z: Any, parameters: Sequence[Parameter]
) -> tuple[np.ndarray, np.ndarray]:
    """Return z as a table of numbers, with a reason for each row that is not finite.

    Parameters
    ----------
    kind : str
        The forward model, for messages.
    z : array_like of shape (n, d_z)
    parameters : sequence of Parameter, length d_z

    Returns
    -------
    z : ndarray of float64, shape (n, d_z)
    reasons : ndarray of object, shape (n,)
        Empty strings where the row is finite.

    Raises
    ------
    DataError
        If z is not a table of numbers with d_z columns.
    """
    try:
        z = np.ascontiguousarray(z, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{kind}: z is not a table of numbers: {error}") from error
    width = len(parameters)
    if z.ndim != 2 or z.shape[1] != width:
        names = ", ".join(parameter.name for parameter in parameters[:4])
        raise DataError(
            f"{kind}: z has shape (n, {width}), not {z.shape}; its columns are {names}"
            + (", ..." if width > 4 else "")
        )
    reasons = np.full(len(z), "", dtype=object)
    bad = ~np.isfinite(z)
    for i in np.flatnonzero(bad.any(axis=1)):
        j = int(bad[i].argmax())
        reasons[i] = f"parameter '{parameters[j].name}' is {z[i, j]}"
    return z, reasons


def unmasked(values: Any) -> Any:
    """Return values with NaN in place of masked entries, also within lists and tuples.

    NumPy drops the masks where it makes an array, so that what is invalid would count as a number.

    Examples
    --------
    >>> unmasked([np.ma.array([1.0, 2.0], mask=[False, True])])
    [array([ 1., nan])]
    """
    if isinstance(values, np.ma.MaskedArray):
        # Whole numbers have no NaN. Text and complex numbers are left to be refused.
        numbers = values.dtype.kind in "biufO"
        return np.ma.filled(values.astype(float), np.nan) if numbers else values
    if isinstance(values, list | tuple):
        return [
            unmasked(each) if isinstance(each, np.ma.MaskedArray | list | tuple) else each
            for each in values
        ]
    return values


def finished(values: np.ndarray, reasons: np.ndarray) -> Solutions:
    """Return the outcome of a batch, with every failed row NaN throughout.

    Parameters
    ----------
    values : ndarray of shape (n, d_y)
        Changed in place. Masked entries are not finite.
    reasons : ndarray of object, shape (n,)
        Changed in place: a row that is not finite and has no reason yet gets one.
    """
    values = unmasked(values)
    for i in np.flatnonzero(~np.isfinite(values).all(axis=1)):
        reasons[i] = reasons[i] or "the solution is not finite"
    values[reasons != ""] = np.nan
    return Solutions(observations=values, reason=reasons.astype(str))


def check_solutions(solutions: Any, systems: int, observations: int) -> None:
    """Check the outcome of a batch of solves, for any forward model.

    Parameters
    ----------
    solutions : Solutions
        The return value of ``solve``.
    systems, observations : int
        Numbers of rows of z and of entries of an observation vector.

    Raises
    ------
    SolverError
        If it has another type or shape, or holds a value that is not finite without a reason.
    """
    if not isinstance(solutions, Solutions):
        raise SolverError(
            "the forward model's 'solve' must return popinv.forward.base.Solutions, not a value of "
            f"type {type(solutions).__name__}"
        )
    shape = (systems, observations)
    given = np.shape(solutions.observations), np.shape(solutions.reason)
    if given != (shape, shape[:1]):
        raise SolverError(
            f"the forward model's 'solve' must return observations of shape {shape} and a reason "
            f"for each row, but their shapes are {given[0]} and {given[1]}"
        )
    if np.ma.is_masked(solutions.observations) or np.ma.is_masked(solutions.reason):
        raise SolverError(
            "the forward model's 'solve' returned masked entries, but a row that cannot be solved "
            "is NaN, with a reason; popinv.forward.checks.finished makes such rows of masked ones"
        )
    finite = np.isfinite(solutions.observations).all(axis=1)
    for row in np.flatnonzero(~finite & ~solutions.failed)[:1]:
        raise SolverError(
            f"the forward model's 'solve' returned values that are not finite in row {row}, but no "
            "reason; popinv.forward.checks.finished fills in such rows"
        )
