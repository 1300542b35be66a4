"""Descent of particles on several objectives, as one pure step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from popinv.errors import ConfigError, DivergenceError
from popinv.optimisation.adam import adam
from popinv.seeds import generator
from popinv_papers.kit.simplex import kkt_gap, least_norm, project
from popinv_papers.mwgrad.velocities import Target, velocities


@dataclass(frozen=True)
class Settings:
    """Settings of the descent.

    Parameters
    ----------
    method : str
        Velocity estimate, one of ``velocities.METHODS``.
    weights : {"minnorm", "step", "fixed"}
        The weights of least norm at each step; one projected gradient step towards them,
        w <- Proj(w - eta Q w); or fixed weights.
    optimiser : {"plain", "adam", "common_adam", "accelerated"}
        x += h v; Adam on v; Adam with a common size for all particles in each coordinate, which
        keeps normal particles normal in linear fields; or momentum,
        p <- a_t p + sqrt(h) v, x += sqrt(h) p, a_t = (t - 1)/(t + 2), the accelerated variant of
        arXiv 2601.19220 with a reconstructed discretisation.
    rate : float
        h.
    weight_rate : float
        eta.
    momentum : float
        Share of a_t that is kept, from 0 to 1; without momentum (0) the accelerated moves are the
        plain ones.
    bandwidth : float, optional
        Bandwidth of the kernel; by default from the median rule.
    seed, stage : int, str
        Address of the random draws.
    """

    method: str = "blob"
    weights: str = "minnorm"
    optimiser: str = "plain"
    rate: float = 1e-2
    weight_rate: float = 1e-3
    momentum: float = 1.0
    bandwidth: float | None = None
    seed: int = 0
    stage: str = "mwgrad"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("weights", ("minnorm", "step", "fixed")),
            ("optimiser", ("plain", "adam", "common_adam", "accelerated")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} is '{getattr(self, name)}', allowed: {', '.join(allowed)}"
                )
        if not (self.rate > 0 and self.weight_rate >= 0):
            raise ConfigError(
                f"rate {self.rate} and weight_rate {self.weight_rate}: must be positive, and not "
                "negative"
            )
        if not 0 <= self.momentum <= 1:
            raise ConfigError(f"momentum is {self.momentum}: must be from 0 to 1")


@dataclass(frozen=True)
class State:
    """Particles (n, d), weights (K,), and the moments of the optimiser, both (n, d)."""

    iteration: int
    particles: np.ndarray
    weights: np.ndarray
    first_moment: np.ndarray
    second_moment: np.ndarray


def begin(particles: np.ndarray, objectives: int, weights: np.ndarray | None = None) -> State:
    """Return the state before the first step, by default with equal weights."""
    x = np.array(particles, dtype=float)
    w = np.full(objectives, 1 / objectives) if weights is None else np.array(weights, dtype=float)
    if len(w) != objectives or (w < 0).any() or abs(w.sum() - 1) > 1e-9:
        raise ConfigError(f"{objectives} weights must not be negative and sum to 1, got {w}")
    return State(0, x, w, np.zeros_like(x), np.zeros_like(x))


def step(
    state: State, targets: Sequence[Target], settings: Settings
) -> tuple[State, dict[str, Any]]:
    """Move the particles once, as a pure function of the arguments.

    Returns
    -------
    state : State
    info : dict
        At the particles before the move: ``velocity_norm``, the square root of w^T Q w, ``kkt_gap``
        and ``gram``.

    Raises
    ------
    DivergenceError
        If a velocity is not finite.
    """
    k, x = state.iteration, state.particles
    rng = generator(settings.seed, settings.stage, k)
    fields, gram = velocities(settings.method, targets, x, settings.rate, rng, settings.bandwidth)
    if not np.isfinite(fields).all():
        raise DivergenceError(f"step {k}: a velocity is not finite; take a smaller rate")
    w = state.weights
    if settings.weights == "minnorm":
        w = least_norm(gram)
    elif settings.weights == "step":
        w = project(w - settings.weight_rate * gram @ w)
    velocity = np.tensordot(w, fields, axes=1)
    moved = _move(replace(state, weights=w, iteration=k + 1), velocity, settings)
    info = {
        "velocity_norm": float(np.sqrt(max(w @ gram @ w, 0.0))),
        "kkt_gap": kkt_gap(gram, w),
        "gram": gram,
    }
    return moved, info


def _move(state: State, velocity: np.ndarray, settings: Settings) -> State:
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
    state: State, targets: Sequence[Target], settings: Settings, iterations: int
) -> tuple[State, dict[str, np.ndarray]]:
    """Take a number of steps; return the last state and the records of every step.

    Returns
    -------
    state : State
    record : dict of ndarray of shape (iterations,)
        ``velocity_norm`` and ``kkt_gap``.
    """
    record: dict[str, list[float]] = {"velocity_norm": [], "kkt_gap": []}
    for _ in range(iterations):
        state, info = step(state, targets, settings)
        for name, values in record.items():
            values.append(info[name])
    return state, {name: np.array(values) for name, values in record.items()}
