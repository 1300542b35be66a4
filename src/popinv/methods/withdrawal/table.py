"""The tables of the method: the influence of every system, and the answers without some."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from popinv.methods.withdrawal.influence import Influence

Natural = Callable[[np.ndarray], np.ndarray]


def influence_table(
    natural: Natural,
    influence: Influence,
    p: np.ndarray,
    names: Sequence[str],
    systems: Sequence[str],
    tolerance: float,
) -> pd.DataFrame:
    """Return one row for each system, the most influential first.

    The columns are the size of the shift without the system, in standard errors of the answer; the
    steps after which a short fit has forgotten it; and, for each parameter, its shift in standard
    errors, and its value without the system.

    Parameters
    ----------
    natural : callable
        Maps parameters (n_p,) to their natural values.
    influence : Influence
    p : ndarray of shape (n_p,)
        The answer, unconstrained.
    names, systems : sequence of str
        Names of the parameters and of the systems.
    tolerance : float
        In standard errors; see :meth:`Influence.steps`.
    """
    in_errors = influence.in_errors(influence.shifts)
    values = np.array([natural(p + shift) for shift in influence.shifts])
    columns: dict[str, object] = {
        "system": list(systems),
        "size [standard errors]": influence.sizes,
        "share of the information": influence.share,
        "steps to forget": influence.steps_of_each(tolerance),
    }
    for i, name in enumerate(names):
        columns[f"{name}: shift [standard errors]"] = in_errors[:, i]
        columns[f"{name} without it"] = values[:, i]
    order = np.argsort(-influence.sizes, kind="stable")
    return pd.DataFrame(columns).iloc[order]


def answers_table(
    natural: Natural,
    answers: Mapping[str, np.ndarray],
    influence: Influence,
    names: Sequence[str],
) -> pd.DataFrame:
    """Return one row for each parameter, with its value in each answer and in standard errors.

    Parameters
    ----------
    natural : callable
        Maps parameters (n_p,) to their natural values.
    answers : mapping of str to ndarray of shape (n_p,)
        Unconstrained, the answer with all systems first.
    influence : Influence
        Its standard errors are the units of the shifts.
    names : sequence of str
    """
    columns: dict[str, object] = {"parameter": list(names)}
    whole = next(iter(answers.values()))
    for told, p in answers.items():
        columns[told] = natural(p)
        if p is not whole:
            columns[f"{told}: shift [standard errors]"] = influence.in_errors(p - whole)
    return pd.DataFrame(columns)
