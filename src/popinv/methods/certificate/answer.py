r"""Removal of systems from a study's answer, which is a mean over them, under certificate.

A reference answer :math:`p_0` is fitted to other systems, the study's tested ones. With the scores
s_n of the likelihood at p_0, and the information J of one system, on average over the reference,
one step from there is

.. math::
    p = p_0 + J^{-1} \frac1N \sum_n s_n = p_0 + L^{-T} \frac1N \sum_n t_n,
    \qquad t_n = L^{-1} s_n, \quad J = L L^T .

It is as efficient as the maximum, up to the square of the distance from p_0 (Le Cam's one-step
estimator; van der Vaart, Asymptotic Statistics, 1998, section 5.7). The mean minimises the sum of
:math:`|u|^2/2 - t_n \cdot u`, in which each system's term is 1-strongly convex and 1-smooth. A
contribution t_n depends on system n alone, and is clipped to a length C, which bounds what one
system can do. In these coordinates a standard error of the answer is :math:`1/\sqrt N`.

The mean is learned by noisy projected descent with one batch. A step of rate eta leaves the share
c = 1 - eta of a distance, so that K steps without the removed systems leave c^K of the gap that
they had caused. The noise that hides the rest stays in the answer. Its deviation in each direction,
in standard errors of the answer, is the price

.. math:: \sqrt{N} \sqrt{\frac{2 \eta \sigma^2}{1 - c^2}} .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import xarray as xr
from tqdm import tqdm

from popinv.errors import DataError, DivergenceError
from popinv.inference.conditions import heldout_observations
from popinv.inference.estimate import restricted_inverse
from popinv.inference.likelihood.fit_marginal import fit_marginal_likelihood
from popinv.inference.likelihood.fit_pseudo import fit_pseudo_likelihood
from popinv.inference.likelihood.marginal import MarginalSettings
from popinv.inference.likelihood.marginal_near import likelihood_near
from popinv.inference.likelihood.scores import pseudo_scores
from popinv.inference.problem import Problem
from popinv.methods.certificate.accountant import Setting
from popinv.methods.certificate.descent import Linear, Model, Noise, run
from popinv.methods.certificate.records import Partition, Records
from popinv.methods.certificate.requests import Goal, Holder, learn, relearn, remove
from popinv.methods.invariants import Invariant, held
from popinv.methods.privacy import clipped


@dataclass(frozen=True)
class Contributions:
    """The contributions of N systems to the answer.

    Attributes
    ----------
    reference : ndarray of shape (n_p,)
        p_0, unconstrained.
    root : ndarray of shape (n_p, k)
        L^{-T}, zero in the rows of parameters that are held.
    each : ndarray of shape (N, k)
        t_n, not clipped.
    estimator : {"likelihood", "pseudo_likelihood"}
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
    """Return the problems of the reference systems and of those that can be removed.

    The latter are the first ones that the study learned from; their number is returned too.

    Raises
    ------
    DataError
        If the study has no systems aside.
    """
    folds, count = int(observations.attrs.get("folds", 0)), len(problem.data)
    if folds > 1:
        raise DataError(
            "downstream.certified_unlearning: the certificate needs a reference answer of other "
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

    Parameters
    ----------
    start : ndarray of shape (n_p,)
        Start of the fit, which must not depend on the records.
    reference, records : Problem
    estimator : str
        The estimator of the study's answer. The pseudo-likelihood serves for the distance, which
        has no scores of single systems.
    draws : int
        Draws for each system's integral in the likelihood.
    """
    first = fit_pseudo_likelihood(reference, [start])
    estimate, used = first, "pseudo_likelihood"
    if estimator == "likelihood":
        try:
            settings = MarginalSettings(draws=draws)
            estimate = fit_marginal_likelihood(reference, first.p, settings)
            used = "likelihood"
        except DivergenceError as error:
            print(f"the reference is that of the pseudo-likelihood: {error}")
    problem = records if used == "likelihood" else records.of_moments
    scores = _scores(problem, estimate.p, used, draws)
    free = problem.free & (np.diag(estimate.bread) > 0)
    # The curvature of the reference systems, of which the bread is the inverse, is a sum.
    information = restricted_inverse(estimate.bread, free) / len(reference.data)
    lower = np.linalg.cholesky(information[np.ix_(free, free)])
    root = np.zeros((len(free), int(free.sum())))
    root[free] = scipy.linalg.solve_triangular(lower, np.eye(len(lower)), lower=True).T
    return Contributions(estimate.p, root, scores @ root, used)


def _scores(problem: Problem, p: np.ndarray, estimator: str, draws: int) -> np.ndarray:
    if estimator == "likelihood":
        return likelihood_near(problem, p, MarginalSettings(draws=draws)).here.scores
    return pseudo_scores(problem, p)(problem)


EPSILONS = (0.1, 1.0, 10.0)

# The share of a gap that an end has left, and the distance that counts as rounding.
_FORGOTTEN, _ROUNDING = 1e-14, 1e-8


@dataclass(frozen=True)
class Learned:
    """What the removal starts from.

    Attributes
    ----------
    contributions : Contributions
    longest : float
        C, the length to which contributions are clipped.
    records : Records
    setting : Setting
    goal : Goal
    sigma : float
        The smallest noise with which a first removal takes the wanted epochs.
    learnt : int
        Epochs of learning, after which the start is forgotten to the same guarantee.
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

    Parameters
    ----------
    contributions : Contributions
    seed : int
        Of the partition, which is of one batch.
    epsilon : float
        Delta is one over the number of systems.
    epochs, rate : int, float
        Most epochs of a first removal, and eta.
    clipping : float
        C in units of the square root of the number of parameters, the root mean square length of a
        contribution under the reference.
    """
    count, k = contributions.each.shape
    longest = clipping * math.sqrt(k)
    targets = clipped(contributions.each, longest)
    records = Records.of(
        np.ones((count, 1)), targets, Partition(count, count, seed, "certified_unlearning")
    )
    # The mean of clipped contributions lies in the ball, so that the projection does no harm.
    setting = Setting(count, count, rate, 1.0, 1.0, longest, radius=longest, emptied=True)
    goal = Goal(epsilon, 1 / count)
    sigma = setting.sigma_for(epsilon, goal.delta, setting.gap(), epochs, goal.form)
    learnt = setting.epochs_for(epsilon, goal.delta, setting.widest, sigma, goal.form)
    return Learned(contributions, longest, records, setting, goal, sigma, learnt)


def price(learned: Learned, epsilon: float, epochs: int) -> float:
    """Return the deviation of the noise in standard errors of the answer, for one removal."""
    setting = learned.setting
    goal = replace(learned.goal, epsilon=epsilon)
    sigma = setting.sigma_for(epsilon, goal.delta, setting.gap(), epochs, goal.form)
    return _deviation(setting, sigma) * math.sqrt(setting.n)


def _deviation(setting: Setting, sigma: float) -> float:
    """Return the deviation of the stationary noise in one coordinate."""
    return math.sqrt(2 * setting.rate / (1 - setting.contraction**2)) * sigma


@dataclass(frozen=True)
class Removed:
    """The answer after removals, in several runs with different noise.

    Attributes
    ----------
    means : dict of str to ndarray of shape (r, k)
        Means of contributions: ``learnt``, ``sequence`` (removed one by one), ``batch`` (all at
        once) and ``anew`` (learned anew without them).
    exact, exact_left : ndarray of shape (k,)
        The means without noise, with all systems and without the removed ones.
    holders : dict of str to Holder
        Of the first run: ``sequence`` and ``batch``.
    """

    means: dict[str, np.ndarray]
    exact: np.ndarray
    exact_left: np.ndarray
    holders: dict[str, Holder]


def remove_from(learned: Learned, systems: Sequence[int], runs: int, noise_seed: int) -> Removed:
    """Remove systems one by one and all at once, and learn anew without them.

    The answer of one run is certified; the others show what the noise does.

    Parameters
    ----------
    learned : Learned
    systems : sequence of int
    runs : int
    noise_seed : int
    """
    noise = Noise(learned.sigma, noise_seed, "certified_unlearning")
    held = learn(learned.records, learned.loss, learned.setting, noise, learned.learnt, runs)
    one_by_one = held
    for system in tqdm(systems, desc="removals", unit="system", disable=None):
        one_by_one = remove(one_by_one, [system], learned.goal)
    at_once = remove(held, systems, learned.goal)
    anew = relearn(at_once, replace(noise, stage=f"{noise.stage}/anew"))
    count, gone = learned.setting.n, len(systems)
    targets = clipped(learned.contributions.each, learned.longest)
    # An empty place counts as a contribution of zero. How many places are empty is no secret.
    rest = count / (count - gone)
    means = {
        "learnt": _means(held.model),
        "sequence": rest * _means(one_by_one.model),
        "batch": rest * _means(at_once.model),
        "anew": rest * _means(anew),
    }
    left = np.delete(targets, list(systems), axis=0).mean(axis=0)
    holders = {"sequence": _first(one_by_one), "batch": _first(at_once)}
    return Removed(means, targets.mean(axis=0), left, holders)


def nothing_removed(learned: Learned, systems: Sequence[int]) -> list[Invariant]:
    """Check that the descent without noise has the means of the contributions as its ends.

    Where no system is removed it stays at the mean of all, and without some it ends at the mean of
    the others.

    Parameters
    ----------
    learned : Learned
    systems : sequence of int
        Those that are to be removed.
    """
    targets = clipped(learned.contributions.each, learned.longest)
    setting = learned.setting
    count, root = setting.n, math.sqrt(setting.n)
    whole = Model(targets.mean(axis=0)[None, :, None])
    silent = Noise(0.0, 0, "certified_unlearning/silent")
    left = learned.records
    for system in systems:
        left = left.emptied(system)
    epochs = math.ceil(math.log(_FORGOTTEN) / math.log(setting.contraction))

    def end(records: Records) -> np.ndarray:
        return _means(run(whole, records, learned.loss, setting, silent, epochs))[0]

    stays = end(learned.records) - targets.mean(axis=0)
    rest = count / (count - len(systems))
    others = np.delete(targets, list(systems), axis=0).mean(axis=0)
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
            root * float(np.abs(rest * end(left) - others).max()),
            _ROUNDING,
        ),
    ]


def _means(model: Model) -> np.ndarray:
    return model.parameters[0].T


def _first(holder: Holder) -> Holder:
    first = holder.model.parameters[:, :, :1]
    return replace(holder, model=replace(holder.model, parameters=first))
