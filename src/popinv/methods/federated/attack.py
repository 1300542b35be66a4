r"""Reconstruction of observations from the messages of the pseudo-likelihood.

The observer knows the model, the number n of the systems behind a message, and all rounds. The
observation of a system is :math:`y_n = m + R u_n` with mean m and covariance :math:`R R^T` of the
model, so that u_n is standard normal before any message. The scores are quadratic in y_n, and the
observer takes the most probable observations given the messages h_r of all rounds,

.. math:: \min_u \; \sum_n |u_n|^2 + \sum_r |h_r(u) - h_r|^2 / \tau_r^2 ,

by Gauss-Newton steps from several starts, with tau that falls to the standard deviation of the
noise, or to a millionth of an entry's size (inversion of gradients; Zhu, Liu and Han, Deep leakage
from gradients, NeurIPS 2019). Reconstructed systems are matched with true systems as well as
possible, in favour of the observer. The error is a ratio of two distances from the true
observations. The numerator belongs to the reconstruction. The denominator belongs to an observer
without a message, who takes the model's mean or draws of the model, matched in the same way. The
error is 0 if the observations are found, and 1 if nothing is learned. Rounds of the likelihood are
not used, so that an observer may learn more than this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from popinv.inference.density.problem import Problem
from popinv.methods.federated.site import MomentsSoFar
from popinv.seeds import generator

# Starts, steps for each tau, falls of tau, and the relative gain that ends the steps: for few
# unknown numbers, and for many, which a message hardly determines.
_FEW_NUMBERS, _DRAWN = 1000, 5
_THOROUGH = (12, 30, 10.0 ** -np.arange(0.0, 6.5, 0.5), 1e-6)
_QUICK = (2, 8, 10.0 ** -np.arange(0.0, 6.5, 2.0), 1e-3)


@dataclass(frozen=True)
class Told:
    """A round at p (n_p,) as the observer sees it.

    The matrix (m, n_p) makes the message of the sum of the scores, and the message may hold the
    value too. Each number of the message has noise of standard deviation ``deviation``. By default
    the moments use all draws.
    """

    p: np.ndarray
    matrix: np.ndarray
    draws: int | None = None
    value: bool = True
    deviation: float = 0.0


def can_attack(problem: Problem) -> bool:
    """Return whether the scores are quadratic in the observations, with equal moments."""
    return not (problem.known.width or problem.noise_varies)


def reconstruction_error(problem: Problem, rounds: Sequence[Told], moments: MomentsSoFar) -> float:
    """Return the error of the reconstructed observations over their spread.

    The problem holds the systems behind the messages, and the moments are the sites' moments, which
    the observer can compute.
    """
    problem = problem.of_moments
    quadratics = [_Quadratic(problem, told, moments) for told in rounds]
    root = quadratics[-1].root()
    mean = quadratics[-1].mean
    data = np.asarray(problem.data)
    found = [q.message(data) for q in quadratics]
    rng = generator(problem.seed, "federated/attack")
    deviation = np.concatenate(
        [np.full(len(h), q.told.deviation) for q, h in zip(quadratics, found, strict=True)]
    )
    target = np.concatenate(found)
    target = target + deviation * rng.standard_normal(len(target))
    size = np.concatenate([q.size(root, rng) for q in quadratics]) * len(data) ** 0.5
    best, least = mean + 0 * data, np.inf
    starts, steps, falls, gain = _THOROUGH if data.size <= _FEW_NUMBERS else _QUICK
    for _ in range(starts):
        u = rng.standard_normal(data.shape)
        for fall in falls:
            tau = np.maximum(fall * size, deviation)
            u, loss = _descended(quadratics, mean, root, u, target, tau, steps, gain)
        if loss < least:
            best, least = mean + u @ root.T, loss
    # Without any message the observer knows the mean, and draws of the model.
    drawn = [mean + rng.standard_normal(data.shape) @ root.T for _ in range(_DRAWN)]
    unknowing = float(np.mean([_error(problem, draw) for draw in drawn]))
    return _error(problem, best) / min(unknowing, _error(problem, mean + 0 * data))


def _descended(
    quadratics: Sequence[_Quadratic],
    mean: np.ndarray,
    root: np.ndarray,
    u: np.ndarray,
    target: np.ndarray,
    tau: np.ndarray,
    steps: int,
    gain: float,
) -> tuple[np.ndarray, float]:
    """Return u (n, d_y) after Gauss-Newton steps, and the loss there."""

    def residual(at: np.ndarray) -> np.ndarray:
        y = mean + at @ root.T
        return (np.concatenate([q.message(y) for q in quadratics]) - target) / tau

    def loss(at: np.ndarray, r: np.ndarray) -> float:
        return float((at**2).sum() + (r**2).sum())

    r = residual(u)
    value = loss(u, r)
    for _ in range(steps):
        y = mean + u @ root.T
        # Rows of messages, columns of systems and their entries.
        slope = np.concatenate([q.slope(y) @ root for q in quadratics]) / tau[:, None, None]
        rows = slope.reshape(len(tau), -1)
        inner = rows @ rows.T + np.eye(len(tau))
        goal = (rows.T @ np.linalg.solve(inner, rows @ u.ravel() - r)).reshape(u.shape)
        length = 1.0
        while length > 1e-3:
            new = u + length * (goal - u)
            there = residual(new)
            if loss(new, there) < value:
                break
            length /= 2
        else:
            break
        gained, u, r, value = value - loss(new, there), new, there, loss(new, there)
        if gained < gain * value:
            break
    return u, value


def _error(problem: Problem, found: np.ndarray) -> float:
    """Return the distance of found from true observations, matched as well as possible."""
    data = np.asarray(problem.data)
    seen = problem.conditions.present.astype(float)
    # Squared distances of true systems, in rows, from reconstructed ones.
    true, squares = data * seen, (data**2 * seen).sum(axis=1)
    distance = squares[:, None] - 2 * true @ found.T + seen @ (found**2).T
    rows, columns = linear_sum_assignment(distance)
    return float(np.sqrt(max(distance[rows, columns].sum(), 0.0)))


class _Quadratic:
    """The message of a round as a function of the observations."""

    def __init__(self, problem: Problem, told: Told, known: MomentsSoFar) -> None:
        self.told = told
        moments = known(problem, told.p, told.draws)
        if len(moments) > 1:
            raise ValueError("the systems have moments of their own")
        d, free = problem.data.shape[1], problem.free
        self.mean, self._signal = moments.mean[0].numpy(), moments.signal[0].numpy()
        noise = self._noise = moments.noise[0].numpy()
        means, of_signal = np.zeros((len(free), d)), np.zeros((len(free), d, d))
        means[: moments.of_mean.shape[1]] = moments.of_mean[0].numpy()
        of_signal[: moments.of_signal.shape[1]] = moments.of_signal[0].numpy()
        of_noise = moments.of_noise[0].numpy()
        both = np.column_stack([problem.conditions.present, problem.conditions.scale])
        kinds, self._kind = np.unique(both, axis=0, return_inverse=True)
        self._kind = self._kind.reshape(-1)
        self._parts = []
        for kind in kinds:
            at, square = np.flatnonzero(kind[:-1]), kind[-1] ** 2
            inner = np.ix_(at, at)
            inverse = np.zeros((d, d))
            inverse[inner] = np.linalg.inv((self._signal + square * noise)[inner])
            changes = of_signal + square * of_noise
            quadratic = np.array([0.5 * inverse @ change @ inverse for change in changes])
            constant = np.array([-0.5 * np.sum(inverse * change) for change in changes])
            linear = means @ inverse
            linear[~free], quadratic[~free], constant[~free] = 0.0, 0.0, 0.0
            linear, constant = told.matrix @ linear, told.matrix @ constant
            quadratic = np.einsum("mk,kij->mij", told.matrix, quadratic)
            if told.value:
                linear = np.vstack([linear, np.zeros(d)])
                quadratic = np.concatenate([quadratic, -0.5 * inverse[None]])
                constant = np.append(constant, 0.0)
            self._parts.append((linear, quadratic, constant))

    def root(self) -> np.ndarray:
        """Return R of a system at scale 1 with all entries seen."""
        return np.linalg.cholesky(self._signal + self._noise)

    def message(self, y: np.ndarray) -> np.ndarray:
        """Return the message of observations (n, d_y), without constants of the value."""
        out = np.zeros((len(y), len(self._parts[0][2])))
        for kind, (linear, quadratic, constant) in enumerate(self._parts):
            rows = self._kind == kind
            d = y[rows] - self.mean
            moved = np.einsum("mij,nj->nmi", quadratic, d)
            out[rows] = constant + d @ linear.T + np.einsum("nmi,ni->nm", moved, d)
        return np.asarray(out.sum(axis=0))

    def slope(self, y: np.ndarray) -> np.ndarray:
        """Return the derivative (m, n, d_y) of the message in the observations."""
        out = np.zeros((len(self._parts[0][2]), *y.shape))
        for kind, (linear, quadratic, _) in enumerate(self._parts):
            rows = self._kind == kind
            moved = np.einsum("mij,nj->mni", quadratic, y[rows] - self.mean)
            out[:, rows] = linear[:, None, :] + 2 * moved
        return out

    def size(self, root: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the spread of each entry of the message of one system under the model."""
        linear, quadratic, constant = self._parts[0]
        d = rng.standard_normal((200, len(root))) @ root.T
        values = constant + d @ linear.T + np.einsum("ni,mij,nj->nm", d, quadratic, d)
        return np.asarray(np.maximum(values.std(axis=0), 1e-12))
