"""Quadratic problems on which the error due to a device is computed exactly.

    f(w) = |A (w - w*)|^2 / (2 n),   gradient H (w - w*),   H = A^T A / n,

with normal A (n x D) and w*. Many trainings run at once, one per row, each with its own rates,
noise and dynamic range. Gradients have noise: normal noise, or the two-point noise of the paper's
lower bound (Theorem 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from popinv.seeds import generator
from popinv_papers.analog.algorithms import Method, begin, point, step

_BLOCK = 1000

# Maps the generator, the iterates and the shape to noise.
Noise = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class LeastSquares:
    """A matrix A of shape (n, D) and a solution of shape (D,)."""

    matrix: np.ndarray
    solution: np.ndarray

    @classmethod
    def drawn(
        cls, seed: int, dimension: int = 40, rows: int = 100, spread: float = 0.45
    ) -> LeastSquares:
        """Return the paper's problem: standard normal A, solution of deviation ``spread``."""
        rng = generator(seed, "analog/least_squares")
        return cls(rng.standard_normal((rows, dimension)), spread * rng.standard_normal(dimension))

    @property
    def hessian(self) -> np.ndarray:
        """Return H, of shape (D, D)."""
        return self.matrix.T @ self.matrix / len(self.matrix)


@dataclass(frozen=True)
class Trace:
    """Averages over the second half of a training, one number or vector per row.

    Attributes
    ----------
    squared_gradient : ndarray of shape (rows,)
        Mean of |H (w - w*)|^2.
    mean : ndarray of shape (rows, D)
        Mean iterate.
    saturation : ndarray of shape (rows,)
        S, the mean of u/(1 - u) with u = |w|_inf^2 / reach^2 over the whole training.
    largest : ndarray of shape (rows,)
        Largest |w|_inf over the whole training.
    """

    squared_gradient: np.ndarray
    mean: np.ndarray
    saturation: np.ndarray
    largest: np.ndarray


def gaussian(sigma: np.ndarray | float) -> Noise:
    """Return normal noise; ``sigma`` is a number, or one per row of shape (rows, 1)."""
    return lambda rng, w: sigma * rng.standard_normal(w.shape)


def two_point(sigma: float, reach: float) -> Noise:
    """Return the noise of Theorem 3's instance, for w = w 1.

    xi = s sqrt((1-p)/p) with probability p, else -s sqrt(p/(1-p)), the same in all coordinates,
    with p = (1 - w/reach)/2 and s = sigma/sqrt(D). Its mean is 0 and E|xi 1|^2 = sigma^2.
    """

    def noise(rng: np.random.Generator, w: np.ndarray) -> np.ndarray:
        p = (1 - w[:, :1] / reach) / 2
        rises = rng.random((len(w), 1)) < p
        s = sigma / math.sqrt(w.shape[1])
        xi = np.where(rises, s * np.sqrt((1 - p) / p), -s * np.sqrt(p / (1 - p)))
        return np.broadcast_to(xi, w.shape)

    return noise


def run(
    problem: LeastSquares,
    method: Method,
    noise: Noise,
    start: np.ndarray,
    steps: int,
    seed: int,
    stage: str,
    reach: np.ndarray | float = np.inf,
) -> Trace:
    """Train all rows of ``start`` at once.

    Parameters
    ----------
    method : Method
        Rates and devices may hold arrays of shape (rows, 1).
    noise : callable
        Added to the gradient: maps a generator and the iterates to an array of their shape.
    start : ndarray of shape (rows, D)
    seed, stage : int, str
        Address of the noise.
    reach : float or ndarray of shape (rows, 1)
        Dynamic range, for S.
    """
    hessian, solution = problem.hessian, problem.solution
    state = begin(np.array(start), method)
    total = np.zeros_like(state.w)
    squares, saturation, largest = np.zeros((3, len(start)))
    half = steps // 2
    for k in range(steps):
        if k % _BLOCK == 0:
            rng = generator(seed, f"analog/{stage}", k // _BLOCK)
        at = point(state, method)
        gradient = (at - solution) @ hessian
        if k >= half:
            true = gradient if at is state.w else (state.w - solution) @ hessian
            squares += np.einsum("ij,ij->i", true, true)
            total += state.w
        top = abs(state.w).max(axis=1)
        np.maximum(largest, top, out=largest)
        u = (top[:, None] / reach) ** 2
        saturation += (u / (1 - u))[:, 0]
        state = step(state, gradient + noise(rng, state.w), method)
    left = steps - half
    return Trace(squares / left, total / left, saturation / steps, largest)


def digital_error(problem: LeastSquares, rate: float, sigma: float) -> float:
    """Return the stationary E|gradient|^2 of digital descent: sum rate h sigma^2/(2 - rate h)."""
    h = np.linalg.eigvalsh(problem.hessian)
    return float(np.sum(rate * h * sigma**2 / (2 - rate * h)))


def analog_minimiser(
    problem: LeastSquares, sigma: float, reach: float, size: float | None = None
) -> np.ndarray:
    """Return the minimiser of f(w) + (S/(2 reach)) |w|^2, S = E|noise| of a coordinate.

    Analog descent converges to it on average if the noise outweighs the gradient (arXiv
    2502.06309). For normal noise S is sqrt(2/pi) sigma.
    """
    size = math.sqrt(2 / math.pi) * sigma if size is None else size
    hessian, d = problem.hessian, len(problem.solution)
    return np.linalg.solve(hessian + size / reach * np.eye(d), hessian @ problem.solution)


def per_sample_losses(
    problem: LeastSquares,
    rates: tuple[float, ...],
    reach: float,
    noise: float,
    steps: int,
    seed: int,
    per_sample: bool,
    analog: bool = True,
) -> np.ndarray:
    """Return the mean loss per coordinate over the last 20 steps, one number per rate.

    The loss is |A (w - w*)|^2/n. Weights are read with normal noise of standard deviation
    ``noise``, drawn anew for each sample. With ``per_sample`` every sample's gradient is its own
    increment, so sizes add up over the samples while the increments cancel. Otherwise the gradient
    of the batch is one increment.
    """
    a, n = problem.matrix, len(problem.matrix)
    step_sizes = np.array(rates)[:, None]
    w = np.zeros((len(rates), a.shape[1]))
    last = np.zeros(len(rates))
    for k in range(steps):
        if k % _BLOCK == 0:
            rng = generator(seed, "analog/per_sample", k // _BLOCK)
        # Noise of the weights enters a sample's error through its row of A.
        errors = (w - problem.solution) @ a.T
        errors = errors + noise * np.linalg.norm(a, axis=1) * rng.standard_normal(errors.shape)
        gradient = 2 / n * errors @ a
        size = 2 / n * abs(errors) @ abs(a) if per_sample else abs(gradient)
        change = -step_sizes * gradient
        w = w + change - (step_sizes * size * w / reach if analog else 0)
        if k >= steps - 20:
            last += np.square((w - problem.solution) @ a.T).mean(axis=1) / a.shape[1] / 20
    return last
