r"""Removal of systems from a study's answer, under certificate.

The mean of the systems' contributions (:mod:`.contributions`) is learned by noisy projected descent
with one batch. A step of rate eta leaves the share c = 1 - eta of a distance, so that K steps
without the removed systems leave c^K of the gap that they had caused. The noise that hides the rest
stays in the answer. Its deviation in each direction, in standard errors of the answer, is the price

.. math:: \sqrt{N} \sqrt{\frac{2 \eta \sigma^2}{1 - c^2}} .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from popinv.methods.certificate.accountant import Setting
from popinv.methods.certificate.contributions import Contributions
from popinv.methods.certificate.descent import Model, Noise, run
from popinv.methods.certificate.losses import Linear
from popinv.methods.certificate.records import Partition, Records
from popinv.methods.certificate.requests import Goal, Holder, learn, relearn, remove
from popinv.methods.invariants import Invariant, held
from popinv.methods.privacy import clipped

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
