r"""Plain and accelerated descents, each at its own best stable rate.

A lead at one rate that both share is no evidence: the rate may suit one of them. Each descent takes
the rate of a grid at which its worst end over five draws is best, and is then measured on others.

The first case is two normal targets N(m, S) and N(-m, S) with the condition number 100, moved by
the velocity ``normal`` with weights of least norm. Its Pareto laws are N(c m, S), |c| <= 1. The gap
is the merit of the follow-up paper (arXiv 2601.19220),

.. math:: \sup_q \min_k [F_k(\rho) - F_k(q)]

over these laws, with F_k the divergence from target k in closed form: 0 at a weakly Pareto optimal
law, else positive. The second case is the four mixtures, without a closed form for the gap.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popinv.errors import DivergenceError
from popinv.seeds import generator
from popinv_papers.mwgrad.descent import Settings, begin, step
from popinv_papers.mwgrad.mixtures import descent_curve

_DIMENSION, _CONDITION, _PARTICLES, _AWAY = 10, 100.0, 40, 3.0
# Draws on which the rates are chosen.
_DRAWS = 5


@dataclass(frozen=True)
class NormalTarget:
    """A normal law with a diagonal covariance: mean (d,) and variances (d,)."""

    mean: np.ndarray
    variances: np.ndarray

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_i) up to a constant, shape (n,)."""
        return -0.5 * ((x - self.mean) ** 2 / self.variances).sum(axis=1)

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return grad log p(x_i), shape (n, d)."""
        return (self.mean - x) / self.variances


def divergence(target: NormalTarget, x: np.ndarray) -> float:
    """Return KL of the normal law with the particles' moments from the target."""
    covariance = np.cov(x.T, bias=True)
    _, log_determinant = np.linalg.slogdet(covariance)
    square = ((x.mean(axis=0) - target.mean) ** 2 / target.variances).sum()
    trace = (np.diag(covariance) / target.variances).sum()
    ratio = np.log(target.variances).sum() - log_determinant
    return float(0.5 * (trace - len(target.mean) + ratio + square))


def pareto_gap(target: NormalTarget, x: np.ndarray) -> float:
    """Return the gap of particles x for the targets N(m, S) and N(-m, S), the first of them given.

    KL of N(c m, S) from the targets is (1 -+ c)^2 m^T S^-1 m / 2.
    """
    opposite = NormalTarget(-target.mean, target.variances)
    apart = (target.mean**2 / target.variances).sum()
    near, far = divergence(target, x), divergence(opposite, x)
    # One difference grows with c and the other falls, so the least is greatest where they cross.
    c = np.clip((far - near) / (2 * apart), -1, 1)
    return float(min(near - 0.5 * (1 - c) ** 2 * apart, far - 0.5 * (1 + c) ** 2 * apart))


def gap_curve(seed: int, settings: Settings, steps: int) -> np.ndarray:
    """Return the gap after each step from three off in every coordinate, (steps,)."""
    rng = generator(seed, "mwgrad/ill_conditioned")
    variances = np.geomspace(1, 1 / _CONDITION, _DIMENSION)
    target = NormalTarget(rng.standard_normal(_DIMENSION) * variances**0.5, variances)
    targets = [target, NormalTarget(-target.mean, variances)]
    x = _AWAY + rng.standard_normal((_PARTICLES, _DIMENSION)) * variances**0.5
    state, gaps = begin(x, 2), []
    for _ in range(steps):
        state, _ = step(state, targets, settings)
        gaps.append(pareto_gap(target, state.particles))
    return np.array(gaps)


@dataclass(frozen=True)
class Case:
    """A problem, its settings but for the moves, the steps that count, and the rates to try."""

    curve: Callable[[int, Settings, int], np.ndarray]
    velocity: str
    weights: str
    steps: int
    rates: tuple[float, ...]

    def run(self, seed: int, moves: str, rate: float, steps: int | None = None) -> np.ndarray:
        """Return the curve of ``plain`` or ``accelerated`` moves, or of those ``without_momentum``.

        The last are the accelerated moves with the momentum set to zero.
        """
        accelerated = "plain" if moves == "plain" else "accelerated"
        momentum = 0.0 if moves == "without_momentum" else 1.0
        settings = Settings(self.velocity, self.weights, accelerated, rate, momentum=momentum)
        return self.curve(seed, settings, steps or self.steps)


CASES = {
    "ill_conditioned": Case(
        gap_curve, "normal", "minnorm", 100, (2e-3, 5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2)
    ),
    "mixtures": Case(descent_curve, "gfsd", "fixed", 30, (1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1)),
}


@functools.cache
def best_rate(case: str, moves: str, seed: int) -> float:
    """Return the rate whose highest end over the five draws from a seed on is lowest.

    Several draws are needed, since a rate that is too large fails on some draws only.
    """
    ends = {}
    for rate in CASES[case].rates:
        try:
            of_draws = [CASES[case].run(seed + i, moves, rate)[-1] for i in range(_DRAWS)]
        except (DivergenceError, np.linalg.LinAlgError):
            continue
        if np.isfinite(of_draws).all():
            ends[rate] = float(np.max(of_draws))
    if not ends:
        raise DivergenceError(f"{case}: {moves} moves diverge at every rate; try smaller ones")
    return min(ends, key=lambda rate: ends[rate])
