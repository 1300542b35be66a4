"""Draws of the law and of the proposals, for the integrals over single systems' parameters."""

from __future__ import annotations

import numpy as np
import torch

from popinv.inference.problem import Problem
from popinv.seeds import generator

__all__ = ["antithetic_normals", "best_draws", "draws_of_law", "usable"]

# Number of draws of the law among which the search for a mode starts.
_STARTS = 64


def antithetic_normals(problem: Problem, numbers: np.ndarray, draws: int) -> torch.Tensor:
    """Return standard normal xi (n, S, d_omega) for systems with these numbers, S a multiple of 4.

    Pairs (xi, -xi) stay within one half of the draws.
    """
    n, d, stage = len(numbers), problem.law.d_omega, f"{problem.stage}/likelihood"
    width = draws // 2 * d
    rows = [generator(problem.seed, stage, i).standard_normal(width) for i in numbers]
    half = torch.from_numpy(np.array(rows)).reshape(n, 2, draws // 4, d)
    return torch.cat([half, -half], dim=2).reshape(n, draws, d)


def usable(log_weight: torch.Tensor, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return weights (n, S) and arrays (n, S, ...) of draws without those that failed.

    A draw at which the simulator fails has weight zero, whatever its scores, the first of the
    arrays. Its entries of all arrays are zero.
    """
    good = torch.isfinite(log_weight) & torch.isfinite(arrays[0]).all(dim=2)
    log_weight = torch.where(good, log_weight, -torch.inf)
    return log_weight, *(torch.where(good[..., None], x, 0.0) for x in arrays)


def draws_of_law(problem: Problem, stage: str) -> torch.Tensor:
    """Return standard normal draws (64, d_omega), at which the search for modes may start."""
    rng = generator(problem.seed, f"{problem.stage}/{stage}")
    return torch.from_numpy(rng.standard_normal((_STARTS, problem.law.d_omega)))


def best_draws(
    draws: torch.Tensor, misfit: torch.Tensor, opposite: torch.Tensor | None = None
) -> torch.Tensor:
    """Return for each of n systems the draw with the smallest misfit, shape (n, d_omega).

    Parameters
    ----------
    draws : Tensor of shape (S, d_omega)
    misfit : Tensor of shape (S, n)
        Draws at which it is not finite come last.
    opposite : Tensor of shape (n, d_omega), optional
        If given, only draws in the opposite half space are considered.
    """
    if opposite is not None:
        misfit = torch.where(draws @ opposite.T < 0, misfit, torch.inf)
    return draws[torch.where(torch.isfinite(misfit), misfit, torch.inf).argmin(dim=0)]
