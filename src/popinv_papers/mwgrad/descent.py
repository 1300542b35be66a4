"""Descent of particles on several objectives, as one pure step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from popinv.errors import ConfigError, DivergenceError
from popinv.optimisation.adam import adam
from popinv_papers.kit.simplex import least_norm, project
from popinv_papers.mwgrad.velocities import Target, velocities

# eta.
_WEIGHT_RATE = 1e-3


@dataclass(frozen=True)
class Settings:
    """Settings of the descent.

    Parameters
    ----------
    method : str
        Velocity estimate, one of ``velocities.METHODS``.
    weights : {"minnorm", "step", "fixed"}
        The weights of least norm at each step; one projected gradient step towards them,
        w <- Proj(w - eta Q w) with eta = 0.001; or fixed weights.
    optimiser : {"plain", "adam", "common_adam", "accelerated"}
        x += h v; Adam on v; Adam with a common size for all particles in each coordinate, which
        keeps normal particles normal in linear fields; or momentum,
        p <- a_t p + sqrt(h) v, x += sqrt(h) p, a_t = (t - 1)/(t + 2), the accelerated variant of
        arXiv 2601.19220 with a reconstructed discretisation.
    rate : float
        h.
    momentum : float
        Share of a_t that is kept, from 0 to 1; without momentum (0) the accelerated moves are the
        plain ones.
    bandwidth : float, optional
        Bandwidth of the kernel; by default from the median rule.
    """

    method: str = "blob"
    weights: str = "minnorm"
    optimiser: str = "plain"
    rate: float = 1e-2
    momentum: float = 1.0
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("weights", ("minnorm", "step", "fixed")),
            ("optimiser", ("plain", "adam", "common_adam", "accelerated")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} is '{getattr(self, name)}', allowed: {', '.join(allowed)}"
                )


@dataclass(frozen=True)
class ParticleState:
    """Particles (n, d), weights (K,), and the moments of the optimiser, both (n, d)."""

    iteration: int
    particles: np.ndarray
    weights: np.ndarray
    first_moment: np.ndarray
    second_moment: np.ndarray


def begin(
    particles: np.ndarray, objectives: int, weights: np.ndarray | None = None
) -> ParticleState:
    """Return the state before the first step, by default with equal weights."""
    x = np.array(particles, dtype=float)
    w = np.full(objectives, 1 / objectives) if weights is None else np.array(weights, dtype=float)
    if len(w) != objectives or (w < 0).any() or abs(w.sum() - 1) > 1e-9:
        raise ConfigError(f"{objectives} weights must not be negative and sum to 1, got {w}")
    return ParticleState(0, x, w, np.zeros_like(x), np.zeros_like(x))


def step(
    state: ParticleState, targets: Sequence[Target], settings: Settings
) -> tuple[ParticleState, float]:
    """Move the particles once, as a pure function of the arguments.

    Returns
    -------
    state : ParticleState
    norm : float
        The square root of w^T Q w at the particles before the move.

    Raises
    ------
    DivergenceError
        If a velocity is not finite.
    """
    fields, gram = velocities(settings.method, targets, state.particles, settings.bandwidth)
    if not np.isfinite(fields).all():
        raise DivergenceError(
            f"step {state.iteration}: a velocity is not finite; take a smaller rate"
        )
    w = state.weights
    if settings.weights == "minnorm":
        w = least_norm(gram)
    elif settings.weights == "step":
        w = project(w - _WEIGHT_RATE * gram @ w)
    moved = replace(state, weights=w, iteration=state.iteration + 1)
    return _move(moved, np.tensordot(w, fields, axes=1), settings), merged_norm(gram, w)


def merged_norm(gram: np.ndarray, w: np.ndarray) -> float:
    """Return the norm of the merged velocity, the square root of w^T Q w."""
    return float(np.sqrt(max(w @ gram @ w, 0.0)))


def _move(state: ParticleState, velocity: np.ndarray, settings: Settings) -> ParticleState:
    x, t = state.particles, state.iteration
    if settings.optimiser == "plain":
        return replace(state, particles=x + settings.rate * velocity)
    if settings.optimiser == "accelerated":
        root = settings.rate**0.5
        kept = settings.momentum * (t - 1) / (t + 2)
        momentum = kept * state.first_moment + root * velocity
        return replace(state, particles=x + root * momentum, first_moment=momentum)
    square = velocity**2
    if settings.optimiser == "common_adam":
        square = np.broadcast_to(square.mean(axis=0), square.shape)
    first, second, mean, root = adam(velocity, state.first_moment, state.second_moment, t, square)
    change = settings.rate * mean / root
    return replace(state, particles=x + change, first_moment=first, second_moment=second)


def run(
    state: ParticleState, targets: Sequence[Target], settings: Settings, iterations: int
) -> tuple[ParticleState, float]:
    """Take a number of steps, at least one; the norm belongs to the last, see :func:`step`."""
    for _ in range(iterations):
        state, norm = step(state, targets, settings)
    return state, norm
