r"""Withdrawal of an observed system, and the steps in which law and noise forget it.

The descent of a study takes steps of random gradients. Their noise, due to the draws of the model,
is measured and assumed to be normal with covariance C. Leaving out system n moves the mean gradient
by delta_n. One step, with any preconditioner and length, then has the divergence

.. math:: D_\alpha = \frac{\alpha}{2}\, \delta_n^T C^{-1} \delta_n,

and P(n, alpha) is its sum along the descent. Near the answer a preconditioned step of rate r leaves
the share 1 - r of the remaining distance. The answer is a mean of the last iterates, whose share of
the remaining distance after k steps is s_k, the mean of (1 - r)^j over j from k/2 to k. Once

.. math:: P(n, \alpha)\, s_k^2 \le \epsilon

the system is forgotten. This is a linearisation, so the number is an estimate, which is checked by
a few systems that are actually left out. Their descents see the same random numbers as one with all
systems, so that the difference is due to the missing system.

The unit of that difference is the noise that the draws leave in an answer, of covariance
v H^-1 C H^-1 with v from the learning rates. A system is forgotten if a published answer, whose
draws are unknown, does not reveal its former presence. The difference due to one in a thousand
systems is small, and is itself only known up to the draws. The draws' part of the gradient's
change, of covariance S_n, gives two equal answers a divergence of

.. math:: \frac{\alpha}{2}\, \mathrm{tr}(C^{-1} S_n)\, \frac{v + v_k}{v}

on average, with v_k of the trailing mean after k steps. That floor is subtracted from the
divergence and reported separately.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from popinv.inference.density.problem import Problem, begin
from popinv.inference.estimators.descent import Descent, run, step
from popinv.inference.estimators.settings import CurvatureSettings, DescentSettings
from popinv.methods.invariants import Invariant, held
from popinv.seeds import generator
from popinv_papers.instance_unlearning.renyi import gaussian_step

if TYPE_CHECKING:
    from popinv_papers.instance_unlearning.method import InstanceUnlearning

Point = tuple[np.ndarray, np.ndarray]

_DRAWS_PER_PARAMETER = 4
_DRAWS_OF_CHANGE = 20
# The descent's own matrix uses few draws, whose noise makes it too stiff in poorly determined
# directions: by a factor of four in the default study, where steps would be four times too short.
_CURVATURE_DRAWS = 8000
# A divergence that rounding may leave.
_ROUNDING = 1e-9


def whole_descent(problem: Problem, settings: DescentSettings, start: Point) -> Descent:
    """Descend on all systems of the problem, from the start of the study's descent."""
    return run(begin(*start, settings), problem, settings, progress=False)


def curvature_of(problem: Problem, settings: DescentSettings, descent: Descent) -> np.ndarray:
    """Return the Gauss-Newton matrix H at the answer, of many draws, shape (n_p, n_p)."""
    once = settings.replace(iterations=1, model_samples=_CURVATURE_DRAWS)
    there = replace(problem, stage=f"{problem.stage}/curvature")
    taken = CurvatureSettings(every=1, rows=_CURVATURE_DRAWS)
    return step(begin(descent.alpha, descent.gamma, once), there, once, taken)[0].curvature


def gradient(problem: Problem, settings: DescentSettings, p: np.ndarray, k: int) -> np.ndarray:
    """Return the stochastic gradient at p with the draws k, shape (n_p,)."""
    # Adam's step needs no curvature, and its move is not used.
    settings = settings.replace(optimiser="adam", iterations=1)
    here = replace(problem, stage=f"{problem.stage}/gradient/{k}")
    d_alpha = problem.d_alpha
    _, info = step(begin(p[:d_alpha], p[d_alpha:], settings), here, settings)
    return np.asarray(info["gradient"])


def candidates(problem: Problem, most: int) -> np.ndarray:
    """Return the numbers of some systems, at most ``most``, drawn at random, in order."""
    count = len(problem.data)
    rng = generator(problem.seed, f"{problem.stage}/candidates")
    return np.sort(rng.choice(count, min(most, count), replace=False))


@dataclass(frozen=True)
class Losses:
    """The losses of some systems.

    Attributes
    ----------
    systems : ndarray of int, shape (n,)
    loss : ndarray of shape (n,)
        P(n, alpha).
    uncertainty : float
        Standard deviation, due to the draws, of the loss of a system without influence.
    noise : ndarray of shape (n_p, n_p)
        C, at the end of the descent.
    standard_error : ndarray of shape (n_p,)
        Standard error of the answer due to sampling of the systems: the infinitesimal jackknife.
    """

    systems: np.ndarray
    loss: np.ndarray
    uncertainty: float
    noise: np.ndarray
    standard_error: np.ndarray


def system_losses(
    problem: Problem,
    settings: DescentSettings,
    descent: Descent,
    curvature: np.ndarray,
    systems: np.ndarray,
    asked: InstanceUnlearning,
) -> Losses:
    """Measure P(n, alpha) of some systems along a descent on all systems, with the curvature H.

    At each place delta_n is measured twice, with independent draws, so that the noise in the
    product of both has mean zero. The noise in the square of one measurement has a positive mean,
    which for most systems exceeds the rest.
    """
    places, order = asked.places, asked.order
    path, count = descent.state.path, len(problem.data)
    end = np.concatenate([descent.alpha, descent.gamma])
    drawn = max(asked.noise_draws, _DRAWS_PER_PARAMETER * len(end))
    gradients = [gradient(problem, settings, end, k) for k in range(drawn)]
    noise = np.atleast_2d(np.cov(np.array(gradients), rowvar=False))
    # The inverse of a sample covariance is too large by this factor.
    noise *= (drawn - 1) / (drawn - len(end) - 2)
    steps = np.diff(np.linspace(0, len(path), places + 1).round().astype(int))
    moved = np.empty((places, 2, len(systems), len(end)))
    first = np.cumsum(steps) - steps
    for place in tqdm(range(places), desc="systems left out", unit="place", disable=None):
        p = path[first[place]]
        for half in range(2):
            k = drawn + 2 * place + half
            everyone = gradient(problem, settings, p, k)
            for column, system in enumerate(systems):
                others = problem.of_systems(np.delete(np.arange(count), system))
                moved[place, half, column] = gradient(others, settings, p, k) - everyone
    whitened = np.linalg.solve(np.linalg.cholesky(noise), moved[..., None])[..., 0]
    products = (whitened[:, 0] * whitened[:, 1]).sum(axis=-1)
    loss = np.maximum(order / 2 * steps @ products, 0.0)
    # The product of two draws of pure noise of covariance S has the variance tr(S^2).
    apart = (whitened[:, 0] - whitened[:, 1]) / math.sqrt(2)
    spread = np.einsum("pni,pnj->pij", apart, apart) / len(systems)
    uncertainty = order / 2 * math.sqrt(float(steps**2 @ np.einsum("pij,pij->p", spread, spread)))
    # The change at the last place; draws common to both gradients do not add to its spread.
    one, other = np.linalg.solve(curvature, moved[-1][..., None])[..., 0]
    variance = ((one - one.mean(axis=0)) * (other - other.mean(axis=0))).mean(axis=0)
    return Losses(systems, loss, uncertainty, noise, np.sqrt(count * np.maximum(variance, 0.0)))


def usual_distance(data: np.ndarray, systems: np.ndarray) -> np.ndarray:
    """Return the Mahalanobis distance of systems' observations from the mean.

    This is the most obvious score. Its covariance is over all observations, with a millionth of
    its mean diagonal added.
    """
    covariance = np.atleast_2d(np.cov(data, rowvar=False))
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    gap = data[systems] - data.mean(axis=0)
    return np.sqrt(np.einsum("ni,ni->n", gap, np.linalg.solve(covariance, gap.T).T))


def trailing_means(path: np.ndarray) -> np.ndarray:
    """Return the mean of the last half of the path up to each step, shape of the path."""
    sums = np.vstack([np.zeros(path.shape[1]), np.cumsum(path, axis=0)])
    end = np.arange(1, len(path) + 1)
    first = end // 2
    return (sums[end] - sums[first]) / (end - first)[:, None]


def linear_steps(loss: np.ndarray, epsilon: float, rate: float) -> np.ndarray:
    """Return the first k with P s_k^2 <= epsilon, shape of ``loss``, P(n, alpha).

    After k steps of rate r in (0, 1) the share (1 - r)^k of the distance remains, and s_k for their
    trailing mean.
    """
    largest = math.log(max(1.0, float(np.max(loss)) / epsilon))
    # The mean's share is at most the share of its first step, which is half as old.
    most = 2 + 2 * math.ceil(largest / (-2 * math.log1p(-rate)))
    share = trailing_means(((1 - rate) ** np.arange(most + 1))[:, None])[:, 0]
    return np.argmax(np.asarray(loss)[..., None] * share**2 <= epsilon, axis=-1)


@dataclass(frozen=True)
class WithdrawalEffect:
    """Result of leaving out a system.

    Attributes
    ----------
    rerun, forgotten : ndarray of shape (n_p,)
        Law and noise, unconstrained: of a descent without the system; and of fine-tuning, that is,
        the answer with all systems plus the change by fine-tuning without the system, averaged over
        the last half of its steps.
    divergence : ndarray of shape (steps + 1,)
        Divergence from the rerun after each number of steps, in the noise of an answer.
    floor : ndarray of shape (steps + 1,)
        Mean divergence due to the draws if nothing is left to forget.
    steps : int
        First step at which the divergence minus its floor is at most epsilon, or the last step.
    """

    system: int
    rerun: np.ndarray
    forgotten: np.ndarray
    divergence: np.ndarray
    floor: np.ndarray
    steps: int
    reached: bool


def noise_shares(rates: np.ndarray) -> np.ndarray:
    """Return the share of the noise of each step in each iterate, shape (T + 1, T).

    The unit is a whole Gauss-Newton step, with x_{k+1} = (1 - r_k) x_k + r_k noise_k. An answer
    that is a mean of iterates with weights w has the variance sum_k (w' shares)_k^2.
    """
    shares = np.zeros((len(rates) + 1, len(rates)))
    for k, rate in enumerate(rates):
        shares[k + 1] = (1 - rate) * shares[k]
        shares[k + 1, k] = rate
    return shares


def answer_variance(settings: DescentSettings) -> float:
    """Return the variance of a descent's answer, relative to a whole Gauss-Newton step."""
    rates = np.geomspace(settings.learning_rate, settings.final_learning_rate, settings.iterations)
    last = max(1, round(settings.averaging * settings.iterations))
    return float((noise_shares(rates)[-last:].mean(axis=0) ** 2).sum())


def withdraw(
    problem: Problem,
    settings: DescentSettings,
    start: Point,
    descent: Descent,
    curvature: np.ndarray,
    noise: np.ndarray,
    systems: Sequence[int],
    asked: InstanceUnlearning,
) -> tuple[list[WithdrawalEffect], Invariant]:
    """Leave systems out one at a time, by a new descent and by fine-tuning, and none at first.

    ``start`` and ``settings`` are from the study's descent, and ``descent`` is on all systems;
    ``curvature`` and ``noise`` are H and C.
    """
    end = np.concatenate([descent.alpha, descent.gamma])
    short = settings.replace(
        iterations=asked.steps, learning_rate=asked.rate, final_learning_rate=asked.rate
    )
    kept = CurvatureSettings(every=0)
    there = begin(descent.alpha, descent.gamma, short, curvature)
    stage = f"{problem.stage}/tuning"

    def tuned(on: Problem) -> np.ndarray:
        """Return the path of fine-tuning on the systems of a problem."""
        here = replace(on, stage=stage)
        return run(there, here, short, progress=False, curvature_settings=kept).state.path

    control = tuned(problem)
    # An answer has the covariance v H^-1 C H^-1 over the draws.
    of_answer = answer_variance(settings)
    precision = curvature @ np.linalg.solve(noise, curvature) / of_answer
    shares = noise_shares(np.full(asked.steps, asked.rate))
    of_both = of_answer + (trailing_means(shares) ** 2).sum(axis=1)
    with_all = np.array([gradient(problem, settings, end, k) for k in range(_DRAWS_OF_CHANGE)])

    def without(gone: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Return the rerun, the moves of fine-tuning, and their divergence and floor."""
        others = problem.of_systems(np.delete(np.arange(len(problem.data)), gone))
        again = whole_descent(others, settings, start)
        rerun = np.concatenate([again.alpha, again.gamma])
        # Like every answer here, fine-tuning ends in a mean of its last iterates.
        moved = trailing_means(np.vstack([np.zeros(len(end)), tuned(others) - control]))
        gap = moved - (rerun - end)
        length = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", gap, precision, gap), 0.0))
        divergence = gaussian_step(length, 1.0, asked.order)
        # Both changes see the same draws with and without the system. The draws' part of the
        # system's own gradient remains.
        left = [gradient(others, settings, end, k) for k in range(_DRAWS_OF_CHANGE)]
        change = np.atleast_2d(np.cov(np.array(left) - with_all, rowvar=False))
        spread = float(np.trace(np.linalg.solve(noise, change)))
        return rerun, moved, divergence, asked.order / 2 * spread * of_both / of_answer

    *_, divergence, floor = without([])
    invariant = held(
        "nothing_removed",
        "no system removed: divergence of a new descent, and of fine-tuning, from the answer",
        float(np.max([divergence, floor])),
        _ROUNDING,
    )
    withdrawals = []
    for system in tqdm(systems, desc="withdrawals", unit="system", disable=None):
        rerun, moved, divergence, floor = without([system])
        close = np.flatnonzero(divergence - floor <= asked.epsilon)
        steps = int(close[0]) if len(close) else asked.steps
        withdrawals.append(
            WithdrawalEffect(
                system, rerun, end + moved[-1], divergence, floor, steps, bool(len(close))
            )
        )
    return withdrawals, invariant
