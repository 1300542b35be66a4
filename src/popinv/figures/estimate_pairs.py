"""Draws about the estimate two by two: which parameters of law and noise are exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.inference.answer.result import parameter_names
from popinv.inference.answer.stated_values import read_names, read_values, stated_entries
from popinv.inference.density.problem import Problem

# Largest number of readable panels.
_MOST = 6


@dataclass(frozen=True)
class EstimatePairs:
    """Some parameters of law and noise, as users read them.

    Attributes
    ----------
    names : tuple of str
        Law before noise.
    count : int
        Number of all parameters that the data move.
    draws : ndarray of shape (K, n)
        From the normal law of the estimate.
    estimate : ndarray of shape (n,)
    true : ndarray of shape (n,)
        NaN where the truth is not known.
    """

    names: tuple[str, ...]
    count: int
    draws: np.ndarray
    estimate: np.ndarray
    true: np.ndarray

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the draws, (n, n)."""
        return np.corrcoef(self.draws, rowvar=False)


def estimate_pairs(problem: Problem, loaded: Mapping[str, xr.Dataset]) -> EstimatePairs | None:
    """Return the parameters with the strongest correlations; None if fewer than two move.

    Parameters
    ----------
    loaded : mapping of str to Dataset
        ``population``, and optionally ``truth``.
    """
    population, truth = loaded["population"], loaded.get("truth")
    # An unrestricted covariance has too many entries, none of which is a parameter by itself.
    kinds = ("law",) if problem.noise.unrestricted else ("law", "noise")
    law = problem.law
    read = {
        "law": lambda alpha: read_values(law, law.to_natural(alpha)),
        "noise": problem.noise.to_natural,
    }
    draws, estimate, true = [], [], []
    for kind, entry in (("law", "alpha"), ("noise", "gamma")):
        if kind not in kinds:
            continue
        drawn = population[f"{entry}_draws"].values
        draws.append(read[kind](drawn))
        estimate.append(read[kind](population[entry].values))
        dim = f"{kind}_parameter"
        same = truth is not None and np.array_equal(truth[dim], population[dim])
        none = np.full(len(estimate[-1]), np.nan)
        true.append(read[kind](truth[entry].values) if same and truth is not None else none)
    every = np.concatenate(draws, axis=1)
    every = every[np.isfinite(every).all(axis=1)]
    # Entries that summaries stand for have no meaning of their own, and held ones do not move.
    moves = np.ptp(every, axis=0) > 1e-9 * np.abs(every).max(axis=0, initial=1e-300)
    moves[: problem.d_alpha] &= stated_entries(law)
    shown = np.flatnonzero(moves)
    count = len(shown)
    if count < 2:
        return None
    if count > _MOST:
        strength = np.abs(np.corrcoef(every[:, shown], rowvar=False))
        np.fill_diagonal(strength, 0.0)
        strongest = np.argsort(-strength.max(axis=0), kind="stable")[:_MOST]
        shown = shown[np.sort(strongest)]
    names = parameter_names(problem, read_names(law))
    return EstimatePairs(
        tuple(names[i] for i in shown),
        count,
        every[:, shown],
        np.concatenate(estimate)[shown],
        np.concatenate(true)[shown],
    )
