r"""Removal of systems from a study's answer, which is a mean over them, under certificate.

A reference answer :math:`p_0` is fitted to other systems, the study's tested systems. With the
scores s_n of the likelihood at p_0, and the information J of one system, on average over the
reference, one step from there is

.. math::
    p = p_0 + J^{-1} \frac1N \sum_n s_n = p_0 + L^{-T} \frac1N \sum_n t_n,
    \qquad t_n = L^{-1} s_n, \quad J = L L^T .

The scores hold an equal part of the gradient of the penalties. The step is as efficient as the
maximum, up to the square of the distance from p_0 (Le Cam's one-step estimator; van der Vaart,
Asymptotic Statistics, 1998, section 5.7). The mean minimises the sum of
:math:`|u|^2/2 - t_n \cdot u`, in which each system's term is 1-strongly convex and 1-smooth. A
contribution t_n depends on system n alone, and is clipped to a length C, which bounds the effect of
one system. In these coordinates a standard error of the answer is :math:`1/\sqrt N`.

The mean is learned by noisy projected descent with one batch. A step of rate eta leaves the share c
= 1 - eta of a distance, so that K steps without the removed systems leave c^K of the gap that they
had caused. The noise that hides the rest stays in the answer. Its standard deviation in each
direction, in standard errors of the answer, is the price

.. math:: \sqrt{N} \sqrt{\frac{2 \eta \sigma^2}{1 - c^2}} .

An attack infers from an answer whether systems were removed from it or never there. Both answers
are noisy. The best statistic for two normal laws of equal covariance that differ in their means is
the projection on the difference. With a threshold, at most a share beta of the answers that never
saw the systems, and at least a share alpha of those that did, lie beyond it. Any (epsilon,
delta)-guarantee then implies

.. math:: \epsilon \ge \log \frac{\alpha - \delta}{\beta} .

The threshold is chosen on one half of the runs, and the shares are bounds of 95 % (Clopper and
Pearson) of the other half, so that the bound on epsilon holds with 90 % (Jagielski, Ullman and
Oprea, Auditing differentially private machine learning, NeurIPS 2020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import xarray as xr
from scipy.stats import beta
from tqdm import tqdm

from popinv.errors import DataError, DivergenceError
from popinv.inference.density.conditions import heldout_observations
from popinv.inference.density.problem import Problem
from popinv.inference.estimators.estimate import restricted_inverse
from popinv.inference.estimators.fit_marginal import fit_marginal_likelihood
from popinv.inference.estimators.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.integrate.marginal import MarginalSettings
from popinv.inference.integrate.marginal_near import likelihood_near
from popinv.inference.integrate.penalty import penalty_at
from popinv.inference.uncertainty.scores import pseudo_scores
from popinv.methods.certificate.accountant import Setting
from popinv.methods.certificate.descent import (
    EpochNoise,
    IndependentRuns,
    Linear,
    Partition,
    Records,
    run,
)
from popinv.methods.certificate.requests import Goal, Holder, learn, relearn, remove
from popinv.methods.invariants import Invariant, held
from popinv.methods.privacy import clipped

EPSILONS = (0.1, 1.0, 10.0)

# The remaining share of a gap at an end, and the distance that counts as rounding.
_FORGOTTEN, _ROUNDING = 1e-14, 1e-8
# Each bound of the attack holds with 95 %; the attack tries this many thresholds.
_LEVEL, _THRESHOLDS = 0.05, 50


@dataclass(frozen=True)
class Contributions:
    """The contributions t_n (N, k) of N systems to the answer, not clipped.

    The reference (n_p,) is p_0, unconstrained, and the root (n_p, k) is L^{-T}, zero in the rows of
    parameters that are held.
    """

    reference: np.ndarray
    root: np.ndarray
    each: np.ndarray
    estimator: str

    def answer(self, mean: np.ndarray) -> np.ndarray:
        """Return the answer (..., n_p), unconstrained, for means (..., k) of contributions."""
        return self.reference + mean @ self.root.T

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of the answer of all systems, unconstrained, shape (n_p,)."""
        return np.sqrt((self.root**2).sum(axis=1) / len(self.each))


def reference_and_records(
    problem: Problem, observations: xr.Dataset
) -> tuple[Problem, Problem, int]:
    """Return the problems of the reference systems and of the removable systems.

    The removable systems are the first that the study learned from; their number is returned too.

    Raises
    ------
    DataError
        If the study has no systems aside.
    """
    folds, count = int(observations.attrs.get("folds", 0)), len(problem.data)
    if folds > 1:
        raise DataError(
            "the certificate needs a reference answer of other "
            f"systems, but all {count} are learned from and tested in turn; it takes at least 200 "
            "systems, or synthetic observations"
        )
    y, conditions = heldout_observations(observations, problem.conditions)
    reference = replace(problem, data=y, conditions=conditions, stage=f"{problem.stage}/reference")
    kept = count - (len(y) if folds else 0)
    return reference, problem.of_systems(np.arange(kept)), kept


def contributions_of(
    start: np.ndarray, reference: Problem, records: Problem, estimator: str, draws: int
) -> Contributions:
    """Fit the reference, and return the contributions of the records.

    The start (n_p,) of the fit must not depend on the records. The estimator is the study's own,
    with ``draws`` draws for each system's integral in the likelihood. The pseudo-likelihood
    replaces the distance, which has no scores of single systems.
    """
    estimate, used = fit_pseudo_likelihood(reference, [start]), "pseudo_likelihood"
    settings = MarginalSettings(draws=draws)
    if estimator == "likelihood":
        try:
            estimate = fit_marginal_likelihood(reference, estimate.p, settings)
            used = "likelihood"
        except DivergenceError as error:
            print(f"the pseudo-likelihood gives the reference: {error}")
    if used == "likelihood":
        problem = records
        scores = likelihood_near(problem, estimate.p, settings).here.scores
    else:
        problem = records.of_moments
        scores = pseudo_scores(problem, estimate.p)(problem)
    free = problem.free & (np.diag(estimate.bread) > 0)
    # The curvature of the reference systems, whose inverse is the bread, is a sum.
    information = restricted_inverse(estimate.bread, free) / len(reference.data)
    lower = np.linalg.cholesky(information[np.ix_(free, free)])
    root = np.zeros((len(free), int(free.sum())))
    root[free] = scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True).T
    # The penalties are public; each record bears the same part of them.
    public = penalty_at(problem, estimate.p).gradient / len(scores)
    return Contributions(estimate.p, root, (scores - public) @ root, used)


@dataclass(frozen=True)
class Learned:
    """The start of the removal.

    ``longest`` is C, the length to which contributions are clipped, and ``sigma`` the smallest
    noise with which a first removal takes the wanted epochs. After ``learnt`` epochs of learning
    the start is forgotten to the same guarantee.
    """

    contributions: Contributions
    longest: float
    records: Records
    setting: Setting
    goal: Goal
    sigma: float
    learnt: int

    @property
    def loss(self) -> Linear:
        """The loss of a contribution."""
        return Linear(self.longest)

    @property
    def clipped(self) -> np.ndarray:
        """The clipped contributions, shape (N, k)."""
        return clipped(self.contributions.each, self.longest)

    def mean_without(self, systems: Sequence[int]) -> np.ndarray:
        """Return the mean of the clipped contributions of the other systems, (k,)."""
        return np.delete(self.clipped, list(systems), axis=0).mean(axis=0)

    def kept(self, systems: Sequence[int]) -> float:
        """Return the factor from means with empty places to means of the other systems.

        An empty place counts as a contribution of zero. The number of empty places is not secret.
        """
        return self.setting.n / (self.setting.n - len(systems))


def learn_from(
    contributions: Contributions,
    seed: int,
    *,
    epsilon: float,
    epochs: int,
    rate: float,
    clipping: float,
) -> Learned:
    """Return records, constants and noise for a guarantee.

    The seed belongs to the partition, which has one batch. Delta is one over the number of systems.
    A first removal takes at most ``epochs`` epochs of the rate eta. ``clipping`` is C in units of
    the square root of the number of parameters, the root mean square length of a contribution under
    the reference.
    """
    count, k = contributions.each.shape
    longest = clipping * math.sqrt(k)
    targets = clipped(contributions.each, longest)
    records = Records.of(
        np.ones((count, 1)), targets, Partition(count, count, seed, "certified_unlearning")
    )
    # The mean of clipped contributions lies in the ball, so that the projection does not change it.
    setting = Setting(count, count, rate, 1.0, 1.0, longest, radius=longest, emptied=True)
    goal = Goal(epsilon, 1 / count)
    sigma = setting.sigma_for(epsilon, goal.delta, setting.gap(), epochs, goal.form)
    learnt = setting.epochs_for(epsilon, goal.delta, setting.widest, sigma, goal.form)
    return Learned(contributions, longest, records, setting, goal, sigma, learnt)


def price(learned: Learned, epsilon: float, epochs: int) -> float:
    """Return the noise's standard deviation in standard errors of the answer, for one removal."""
    setting = learned.setting
    goal = replace(learned.goal, epsilon=epsilon)
    sigma = setting.sigma_for(epsilon, goal.delta, setting.gap(), epochs, goal.form)
    # The standard deviation of the stationary noise in one coordinate.
    deviation = math.sqrt(2 * setting.rate / (1 - setting.contraction**2)) * sigma
    return deviation * math.sqrt(setting.n)


@dataclass(frozen=True)
class Removed:
    """The answer after removals, in several runs with different noise.

    The means (r, k) of contributions are ``learnt``, ``sequence`` (removed one by one), ``batch``
    (all at once) and ``anew`` (learned anew without them); without noise they are exact (k,), with
    all systems and without the removed ones. The holders ``sequence`` and ``batch`` belong to the
    first run.
    """

    means: dict[str, np.ndarray]
    exact: np.ndarray
    exact_left: np.ndarray
    holders: dict[str, Holder]


def remove_from(learned: Learned, systems: Sequence[int], runs: int, noise_seed: int) -> Removed:
    """Remove systems one by one and all at once, and learn anew without them.

    The answer of one run is certified; the other runs show the effect of the noise.
    """
    noise = EpochNoise(learned.sigma, noise_seed, "certified_unlearning")
    held = learn(learned.records, learned.loss, learned.setting, noise, learned.learnt, runs)
    one_by_one = held
    for system in tqdm(systems, desc="removals", unit="system", disable=None):
        one_by_one = remove(one_by_one, [system], learned.goal)
    at_once = remove(held, systems, learned.goal)
    anew = relearn(at_once, replace(noise, stage=f"{noise.stage}/anew"))
    rest = learned.kept(systems)
    means = {
        "learnt": _means(held.model),
        "sequence": rest * _means(one_by_one.model),
        "batch": rest * _means(at_once.model),
        "anew": rest * _means(anew),
    }
    holders = {"sequence": _first(one_by_one), "batch": _first(at_once)}
    return Removed(means, learned.clipped.mean(axis=0), learned.mean_without(systems), holders)


def nothing_removed(learned: Learned, systems: Sequence[int]) -> list[Invariant]:
    """Check that the descent without noise has the means of the contributions as its ends.

    If no system is removed, the descent stays at the mean of all; without some systems, it ends at
    the mean of the others.
    """
    setting, mean = learned.setting, learned.clipped.mean(axis=0)
    root, whole = math.sqrt(setting.n), IndependentRuns(mean[None, :, None])
    silent = EpochNoise(0.0, 0, "certified_unlearning/silent")
    left = learned.records
    for system in systems:
        left = left.emptied(system)
    epochs = math.ceil(math.log(_FORGOTTEN) / math.log(setting.contraction))

    def end(records: Records) -> np.ndarray:
        return _means(run(whole, records, learned.loss, setting, silent, epochs))[0]

    stays = end(learned.records) - mean
    apart = learned.kept(systems) * end(left) - learned.mean_without(systems)
    return [
        held(
            "nothing_removed",
            f"no system removed: shift of the answer by {epochs} epochs without noise, in standard "
            "errors",
            root * float(np.abs(stays).max()),
            _ROUNDING,
        ),
        held(
            "removed_without_noise",
            "removed without noise: distance from the mean of the other systems, in standard "
            "errors",
            root * float(np.abs(apart).max()),
            _ROUNDING,
        ),
    ]


def _means(model: IndependentRuns) -> np.ndarray:
    return model.parameters[0].T


def _first(holder: Holder) -> Holder:
    first = holder.model.parameters[:, :, :1]
    return replace(holder, model=replace(holder.model, parameters=first))


def empirical_epsilon(
    seen: np.ndarray, unseen: np.ndarray, direction: np.ndarray, delta: float
) -> float:
    """Return the lower bound on epsilon that the attack proves, 0 if it proves none.

    The answers (r, k) either used the systems before their removal, or never used them. The removed
    systems had moved the answer in the direction (k,).
    """
    one, other = seen @ direction, unseen @ direction
    half = len(one) // 2, len(other) // 2
    levels = np.linspace(0, 1, _THRESHOLDS + 2)[1:-1]
    thresholds = np.quantile(np.concatenate([one[: half[0]], other[: half[1]]]), levels)
    found = [
        _bound(side * one[: half[0]], side * other[: half[1]], side * threshold, delta)
        for side in (1, -1)
        for threshold in thresholds
    ]
    best = int(np.argmax(found))
    side, threshold = (1, -1)[best // _THRESHOLDS], thresholds[best % _THRESHOLDS]
    return _bound(side * one[half[0] :], side * other[half[1] :], side * threshold, delta)


def _bound(seen: np.ndarray, unseen: np.ndarray, threshold: float, delta: float) -> float:
    hits, false = int((seen > threshold).sum()), int((unseen > threshold).sum())
    least = float(beta.ppf(_LEVEL, hits, len(seen) - hits + 1)) if hits else 0.0
    most = float(beta.ppf(1 - _LEVEL, false + 1, len(unseen) - false)) if false < len(unseen) else 1
    return max(0.0, math.log((least - delta) / most)) if least > delta else 0.0
