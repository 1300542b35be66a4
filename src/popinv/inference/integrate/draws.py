r"""Draws of the law and of the proposals, for the integrals over single systems' parameters.

The draws of a system are two randomised quasi-random sets, which fill the unit cube more evenly
than independent draws: Sobol' points whose binary digits are all shifted by the same random digits
(L'Ecuyer and Lemieux, Recent advances in randomized quasi-Monte Carlo methods, 2002). Every point
is uniform, so that a mean over them is unbiased, and its error falls faster than with the root of
the number of points. The two sets of a system are independent, and their difference shows the
error.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

from popinv.inference.density.problem import Problem
from popinv.late import torch
from popinv.seeds import generator

# Number of draws of the law from which the searches for modes choose their starts.
_STARTS = 128
# Binary digits of a Sobol' point.
_BITS = 30
# Number of systems whose random digits are cached; problems with few systems are evaluated often.
_REMEMBERED = 2000


@cache
def _sobol(count: int, width: int) -> torch.Tensor:
    """Return the digits of the first Sobol' points, integers (count, width)."""
    # A law without a parameter that varies has draws of no dimension.
    points = torch.quasirandom.SobolEngine(max(width, 1)).draw(count, dtype=torch.float64)
    return (points[:, :width] * 2**_BITS).to(torch.int64)


@lru_cache(_REMEMBERED)
def _shift(seed: int, address: str, number: int, width: int) -> np.ndarray:
    """Return the random digits of the two sets of a system, integers (2, 1, width)."""
    return generator(seed, address, number).integers(2**_BITS, size=(2, 1, width))


def quasi_random(
    problem: Problem, stage: str, numbers: np.ndarray, count: int, width: int
) -> torch.Tensor:
    """Return two randomised sets of points in (0, 1) for each system, (n, 2, count, width).

    Parameters
    ----------
    stage : str
        Address of the random shifts.
    numbers : ndarray of int, shape (n,)
        Numbers of the systems, on which their shifts depend.
    count, width : int
        Number of points of a set, and their dimension.
    """
    address = f"{problem.stage}/{stage}"
    shifts = [_shift(problem.seed, address, int(i), width) for i in numbers]
    shifted = torch.bitwise_xor(_sobol(count, width), torch.from_numpy(np.array(shifts)))
    return (shifted.to(torch.float64) + 0.5) / 2**_BITS


def antithetic_normals(
    problem: Problem, numbers: np.ndarray, draws: int, width: int | None = None
) -> torch.Tensor:
    """Return standard normal xi (n, S, width) for systems with these numbers, S a multiple of 4.

    Pairs (xi, -xi) stay within one half of the draws. The width is by default d_omega.
    """
    n, d = len(numbers), problem.law.d_omega if width is None else width
    half = torch.special.ndtri(quasi_random(problem, "likelihood", numbers, draws // 4, d))
    return torch.cat([half, -half], dim=2).reshape(n, draws, d)


def inner_shifts(
    problem: Problem, stage: str, numbers: np.ndarray, shape: tuple[int, int], width: int
) -> torch.Tensor:
    """Return the random digits of the sets of inner nodes, integers (n, *shape, width).

    Each system, by its number, has a set for each place and each draw of the outer nodes, which
    are the two lengths of the shape. With more outer draws, the first sets stay the same.
    """
    address = f"{problem.stage}/likelihood/{stage}"
    places, outer = shape
    found = [
        generator(problem.seed, address, int(number)).integers(
            2**_BITS, size=(outer, places, width)
        )
        for number in numbers
    ]
    return torch.from_numpy(np.array(found)).transpose(1, 2)


def shifted_normals(shifts: torch.Tensor, draws: int) -> torch.Tensor:
    """Return standard normal xi (..., R, width) in pairs (xi, -xi) for shifts (..., width)."""
    points = torch.bitwise_xor(_sobol(draws // 2, shifts.shape[-1]), shifts[..., None, :])
    half = torch.special.ndtri((points.to(torch.float64) + 0.5) / 2**_BITS)
    return torch.cat([half, -half], dim=-2)


def usable(log_weight: torch.Tensor, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return weights (n, S) and arrays (n, S, ...) of draws without those that failed.

    A draw at which the simulator fails has weight zero, whatever its scores (the first of the
    arrays). Its entries in all arrays are zero.
    """
    good = torch.isfinite(log_weight) & torch.isfinite(arrays[0]).all(dim=2)
    log_weight = torch.where(good, log_weight, -torch.inf)
    return log_weight, *(torch.where(good[..., None], x, 0.0) for x in arrays)


def draws_of_law(
    problem: Problem, stage: str, width: int | None = None, count: int = _STARTS
) -> torch.Tensor:
    """Return evenly spread draws (S, width), at which the searches for modes may start.

    The width is by default d_omega.
    """
    width = problem.law.d_omega if width is None else width
    points = quasi_random(problem, stage, np.zeros(1, dtype=int), count, width)
    return torch.special.ndtri(points[0, 0])


def best_draws(draws: torch.Tensor, objective: torch.Tensor, count: int = 1) -> torch.Tensor:
    """Return starts of searches for the modes of n systems, shape (count, n, d_omega).

    The first is the draw with the smallest objective. The others are the best of those that are
    smaller than their neighbours among the draws, and so may lie in the basin of another mode
    (Rinnooy Kan and Timmer, Stochastic global optimization methods, Math. Programming 39, 1987). If
    there are fewer, the first is repeated.

    Parameters
    ----------
    draws : Tensor of shape (S, d_omega)
    objective : Tensor of shape (S, n)
        The negative log posterior of each system. Draws at which it is not finite come last.
    """
    objective = torch.where(torch.isfinite(objective), objective, torch.inf)
    best = objective.argmin(dim=0)
    if count == 1:
        return draws[best][None]
    neighbours = min(2 * draws.shape[1] + 2, len(draws) - 1)
    near = torch.cdist(draws, draws).topk(neighbours + 1, largest=False).indices[:, 1:]
    lowest = objective < torch.stack([objective[near[:, k]] for k in range(neighbours)]).amin(dim=0)
    values = torch.where(lowest, objective, torch.inf)
    values[best, torch.arange(len(best))] = -torch.inf
    found = values.topk(count, dim=0, largest=False)
    return draws[torch.where(found.values < torch.inf, found.indices, best)]
