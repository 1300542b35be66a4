r"""An observed system withdraws: what the law and the noise must forget, and how long that takes.

The descent of a study takes steps of random gradients. Their noise, which comes of the draws of
the model, is measured and taken for normal, with covariance C; leaving out system n moves the mean
gradient by delta_n. One step, whatever its preconditioner and length, then has the divergence

.. math:: D_\alpha = \frac{\alpha}{2}\, \delta_n^T C^{-1} \delta_n,

and P(n, alpha) is its sum along the descent. Near the answer a preconditioned step of rate r keeps
the share 1 - r of what is still to go. The answer is a mean of the last iterates, of which the
share s_k, the mean of (1 - r)^j over j from k/2 to k, is still to go after k steps; as soon as

.. math:: P(n, \alpha)\, s_k^2 \le \epsilon

the system is forgotten. All of this is a linearisation: the number is an estimate, which a few
systems that are really left out are there to check. Their descents see the same random
numbers as one with all systems, and what leaving them out changes is the difference.

The yardstick of that difference is the noise which the draws leave in an answer, of covariance
v H^-1 C H^-1 with v from the learning rates: a system is forgotten when nobody could tell from a
published answer, whose draws are unknown, that it had been there. Of one in a thousand systems
the difference is small, and it is itself known up to the draws: their share in the gradient's
change, of covariance S_n, makes of two equal answers a divergence of

.. math:: \frac{\alpha}{2}\, \mathrm{tr}(C^{-1} S_n)\, \frac{v + v_k}{v}

on average, with v_k of the trailing mean after k steps. That floor is taken off before a
divergence counts, and reported beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from popinv.downstream.instance_unlearning.renyi import gaussian_step
from popinv.errors import ConfigError
from popinv.inference.descent import Descent, run, step
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.seeds import generator

__all__ = [
    "Losses",
    "Tuning",
    "Withdrawal",
    "answer_variance",
    "candidates",
    "check_problem",
    "curvature_of",
    "gradient",
    "linear_steps",
    "noise_shares",
    "system_losses",
    "trailing_means",
    "usual_distance",
    "whole_descent",
    "withdraw",
]

Point = tuple[np.ndarray, np.ndarray]

_DRAWS_PER_PARAMETER = 4
_DRAWS_OF_CHANGE = 20
# The descent's own matrix is of few draws, whose noise makes it too stiff where the data know
# least: at the default study four times, so that steps there would be four times too short.
_CURVATURE_DRAWS = 8000


def check_problem(problem: Problem) -> None:
    """Refuse a problem whose draws depend on which systems there are.

    Raises
    ------
    ConfigError
        For unrestricted noise, or systems with noise scales or gaps.
    """
    if problem.noise.unrestricted:
        raise ConfigError(
            "downstream.instance_unlearning: noise of kind 'full' moves by steps of its own; "
            "leave it out, or choose another noise"
        )
    if problem.traits is not None:
        raise ConfigError(
            "downstream.instance_unlearning: where systems have noise scales or unseen entries, "
            "the model's draws change with every system that is left out; leave it out"
        )


def whole_descent(problem: Problem, settings: DescentSettings, start: Point) -> Descent:
    """Descend on all systems of the problem from where the study's descent starts."""
    return run(begin(*start, settings), problem, settings, progress=False)


def curvature_of(problem: Problem, settings: DescentSettings, descent: Descent) -> np.ndarray:
    """Return the Gauss-Newton matrix H at the answer, of many draws, shape (n_p, n_p)."""
    once = replace(
        settings,
        iterations=1,
        model_samples=_CURVATURE_DRAWS,
        curvature_rows=_CURVATURE_DRAWS,
        curvature_every=1,
    )
    there = replace(problem, stage=f"{problem.stage}/curvature")
    return step(begin(descent.alpha, descent.gamma, once), there, once)[0].curvature


def gradient(problem: Problem, settings: DescentSettings, p: np.ndarray, k: int) -> np.ndarray:
    """Return the stochastic gradient at p with the draws k, shape (n_p,)."""
    # Adam's step needs no curvature, and its move is not used.
    settings = replace(settings, optimiser="adam", iterations=1)
    here = replace(problem, stage=f"{problem.stage}/gradient/{k}")
    d_alpha = problem.d_alpha
    _, info = step(begin(p[:d_alpha], p[d_alpha:], settings), here, settings)
    return np.asarray(info["gradient"])


def candidates(problem: Problem, most: int) -> np.ndarray:
    """Return the numbers of at most so many systems, drawn at random, in order."""
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
        Standard deviation that the draws leave in the loss of a system that changes nothing.
    noise : ndarray of shape (n_p, n_p)
        C, at the end of the descent.
    standard_error : ndarray of shape (n_p,)
        Of the answer, for the systems are a sample: the infinitesimal jackknife.
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
    places: int,
    noise_draws: int,
    order: int,
) -> Losses:
    """Measure P(n, alpha) of some systems along a descent.

    At each place delta_n is measured twice, with independent draws, so that the product of both
    has no part that is noise on average; the square of one measurement has, and for most systems
    that part outweighs the rest.

    Parameters
    ----------
    problem, settings : Problem, DescentSettings
    descent : Descent
        On all systems.
    curvature : ndarray of shape (n_p, n_p)
        H, from :func:`curvature_of`.
    systems : ndarray of int
    places, noise_draws : int
        Places along the descent at which gradients are compared, and gradients for C, of which
        there are at least four for each parameter.
    order : int
        alpha.
    """
    path, count = descent.state.path, len(problem.data)
    end = np.concatenate([descent.alpha, descent.gamma])
    drawn = max(noise_draws, _DRAWS_PER_PARAMETER * len(end))
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
    # What leaving out moves, at the last place; draws that both share are no part of its spread.
    one, other = np.linalg.solve(curvature, moved[-1][..., None])[..., 0]
    variance = ((one - one.mean(axis=0)) * (other - other.mean(axis=0))).mean(axis=0)
    return Losses(systems, loss, uncertainty, noise, np.sqrt(count * np.maximum(variance, 0.0)))


def usual_distance(data: np.ndarray, systems: np.ndarray) -> np.ndarray:
    """Return how far systems' observations lie from the mean, in standard deviations (Mahalanobis).

    The score that a user would think of first; its covariance is that of all observations, with a
    millionth of its mean diagonal added.
    """
    covariance = np.atleast_2d(np.cov(data, rowvar=False))
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    gap = data[systems] - data.mean(axis=0)
    return np.sqrt(np.einsum("ni,ni->n", gap, np.linalg.solve(covariance, gap.T).T))


def trailing_means(path: np.ndarray) -> np.ndarray:
    """Return the means of the last half of what is known at each step, shape of the path."""
    sums = np.vstack([np.zeros(path.shape[1]), np.cumsum(path, axis=0)])
    end = np.arange(1, len(path) + 1)
    first = end // 2
    return (sums[end] - sums[first]) / (end - first)[:, None]


def linear_steps(loss: np.ndarray, epsilon: float, rate: float) -> np.ndarray:
    """Return the first k with P s_k^2 <= epsilon, shape of ``loss``.

    After k steps the share (1 - r)^k is still to go, and of their trailing mean s_k.

    Parameters
    ----------
    loss : ndarray
        P(n, alpha).
    epsilon, rate : float
        epsilon, and r in (0, 1).
    """
    largest = math.log(max(1.0, float(np.max(loss)) / epsilon))
    # The mean's share is that of its first step at most, which is half as old.
    most = 2 + 2 * math.ceil(largest / (-2 * math.log1p(-rate)))
    share = trailing_means(((1 - rate) ** np.arange(most + 1))[:, None])[:, 0]
    return np.argmax(np.asarray(loss)[..., None] * share**2 <= epsilon, axis=-1)


@dataclass(frozen=True)
class Tuning:
    """How the answer is made to forget.

    Attributes
    ----------
    steps, rate : int, float
        Fine-tuning steps, and their share of a Gauss-Newton step.
    order, epsilon : int, float
        alpha, and the divergence at which a system counts as forgotten.
    """

    steps: int
    rate: float
    order: int
    epsilon: float


@dataclass(frozen=True)
class Withdrawal:
    """What happened when a system was left out.

    Attributes
    ----------
    system : int
    rerun, forgotten : ndarray of shape (n_p,)
        Law and noise, unconstrained, of a descent without the system, and of fine-tuning: the
        answer with all systems, moved by what fine-tuning without the system changed, on average
        over the last half of its steps.
    divergence : ndarray of shape (steps + 1,)
        From the rerun, in the noise that the draws leave in an answer, after so many steps.
    floor : ndarray of shape (steps + 1,)
        What the draws make of it on average where nothing is left to forget.
    steps : int
        First step at which the divergence less its floor is at most epsilon; the last one if it
        never is.
    reached : bool
    """

    system: int
    rerun: np.ndarray
    forgotten: np.ndarray
    divergence: np.ndarray
    floor: np.ndarray
    steps: int
    reached: bool


def noise_shares(rates: np.ndarray) -> np.ndarray:
    """Return how much of the noise of each step is in each iterate, shape (T + 1, T).

    In units of a whole Gauss-Newton step, with x_{k+1} = (1 - r_k) x_k + r_k noise_k. An answer
    that is a mean of iterates, with weights w, has the variance sum_k (w' shares)_k^2.
    """
    shares = np.zeros((len(rates) + 1, len(rates)))
    for k, rate in enumerate(rates):
        shares[k + 1] = (1 - rate) * shares[k]
        shares[k + 1, k] = rate
    return shares


def answer_variance(settings: DescentSettings) -> float:
    """Return the variance of a descent's answer, over that of a whole Gauss-Newton step."""
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
    tuning: Tuning,
) -> list[Withdrawal]:
    """Leave systems out one at a time: descend again, and fine-tune.

    Parameters
    ----------
    problem, settings, start : Problem, DescentSettings, (alpha, gamma)
        Of the descent.
    descent : Descent
        On all systems.
    curvature, noise : ndarray of shape (n_p, n_p)
        H, and C.
    systems : sequence of int
    tuning : Tuning
    """
    end = np.concatenate([descent.alpha, descent.gamma])
    short = replace(
        settings,
        iterations=tuning.steps,
        learning_rate=tuning.rate,
        final_learning_rate=tuning.rate,
        curvature_every=0,
    )
    there = begin(descent.alpha, descent.gamma, short, curvature)
    stage = f"{problem.stage}/tuning"
    control = run(there, replace(problem, stage=stage), short, progress=False).state.path
    # An answer has the covariance v H^-1 C H^-1 over the draws.
    of_answer = answer_variance(settings)
    precision = curvature @ np.linalg.solve(noise, curvature) / of_answer
    shares = noise_shares(np.full(tuning.steps, tuning.rate))
    of_both = of_answer + (trailing_means(shares) ** 2).sum(axis=1)
    with_all = np.array([gradient(problem, settings, end, k) for k in range(_DRAWS_OF_CHANGE)])
    found = []
    for system in tqdm(systems, desc="withdrawals", unit="system", disable=None):
        others = problem.of_systems(np.delete(np.arange(len(problem.data)), system))
        again = whole_descent(others, settings, start)
        rerun = np.concatenate([again.alpha, again.gamma])
        path = run(there, replace(others, stage=stage), short, progress=False).state.path
        moved = np.vstack([np.zeros(len(end)), path - control])
        # Like every answer here, that of fine-tuning is a mean of its last iterates.
        moved = trailing_means(moved)
        gap = moved - (rerun - end)
        length = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", gap, precision, gap), 0.0))
        divergence = gaussian_step(length, 1.0, tuning.order)
        # Both changes see the same draws with and without the system; what these make of its
        # share of the gradient is left in them.
        left = [gradient(others, settings, end, k) for k in range(_DRAWS_OF_CHANGE)]
        change = np.atleast_2d(np.cov(np.array(left) - with_all, rowvar=False))
        spread = float(np.trace(np.linalg.solve(noise, change)))
        floor = tuning.order / 2 * spread * of_both / of_answer
        close = np.flatnonzero(divergence - floor <= tuning.epsilon)
        steps = int(close[0]) if len(close) else tuning.steps
        found.append(Withdrawal(
            system, rerun, end + moved[-1], divergence, floor, steps, bool(len(close))
        ))  # fmt: skip
    return found
