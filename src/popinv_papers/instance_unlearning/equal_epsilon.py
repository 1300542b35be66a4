r"""Test accuracy after unlearning at equal epsilon, with the noise that each bound needs.

A softmax regression is trained by noisy descent on all points, and goes on without one point. The
noise is the same in training and unlearning. For each number k of unlearning steps it is the
smallest level for which a bound gives (epsilon, delta):

``own``        the loss of the point, from the gradients it had in training
``uniform``    the same formula with the largest gradient that any point can have
``coupled``    a uniform bound that needs convexity: two trainings coupled by the same noise come so
               near that later noise hides the rest (Chien, Wang, Chen and Li, arXiv 2403.17105)

The less noise, the better the model. Epsilon compares the unlearned model with a training without
the point of equally many steps; ``coupled`` compares it likewise.

The losses of the regression are strongly convex,

.. math:: L(W) = \frac{1}{n} \sum_i \Bigl[\log \sum_c e^{(x_i W)_c} - (x_i W)_{y_i}\Bigr]
    + \frac{m}{2} |W|^2

With features of length 1, the gradient of a point is x (p - y)', of length |p - y| of at most
sqrt(2), and the smoothness is at most m + 1/2. A point that is left out leaves its place empty:
sums are still divided by n. A stack of models with different noise and different points sees the
same features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch

from popinv.seeds import generator
from popinv_papers.instance_unlearning.bounds import (
    convex_bound,
    coupled_gap,
    epsilon_of,
    noise_of_gap,
)
from popinv_papers.instance_unlearning.difficulty import mean_over_steps, record_steps
from popinv_papers.instance_unlearning.recipe import RecipeSize, datasets
from popinv_papers.instance_unlearning.renyi import instance_loss, sum_noise
from popinv_papers.instance_unlearning.training import Data
from popinv_papers.kit.images import ImageSet
from popinv_papers.kit.kept import kept

LIPSCHITZ = math.sqrt(2)
"""Largest length of a point's gradient."""

_CONSTANT = 0.3


def features(data: Data, mean: torch.Tensor) -> torch.Tensor:
    """Return pixels less a mean image, with a constant feature, as rows of length 1."""
    pixels = torch.nn.functional.normalize((data.images - mean).flatten(1))
    constant = torch.full((len(data), 1), _CONSTANT)
    return torch.nn.functional.normalize(torch.cat([pixels, constant], dim=1))


@dataclass(frozen=True)
class StackedRegressions:
    """A stack of softmax regressions.

    Attributes
    ----------
    rows, labels : Tensor of shape (n, features), (n,)
    strong, rate : float
        m and eta.
    sigma : Tensor of shape (models,)
        sigma of each model's noise sqrt(2 eta sigma^2) N(0, I).
    """

    rows: torch.Tensor
    labels: torch.Tensor
    classes: int
    strong: float
    rate: float
    sigma: torch.Tensor

    def initial(self) -> torch.Tensor:
        """Return zero weights, shape (features, models, classes)."""
        return torch.zeros(self.rows.shape[1], len(self.sigma), self.classes)

    def logits(self, weights: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (rows, models, classes)."""
        return (rows @ weights.flatten(1)).unflatten(1, weights.shape[1:])

    def errors(self, weights: torch.Tensor) -> torch.Tensor:
        """Return p - y of every point, shape (n, models, classes)."""
        p = torch.softmax(self.logits(weights, self.rows), dim=2)
        p[torch.arange(len(p)), :, self.labels] -= 1
        return p

    def step(
        self, weights: torch.Tensor, kept: torch.Tensor | None, rng: np.random.Generator
    ) -> torch.Tensor:
        """Take a step of each model, with weights (features, models, classes).

        ``kept`` (n, models) is 1 if a model sees a point, else 0; by default all do.
        """
        errors = self.errors(weights)
        if kept is not None:
            errors = errors * kept[..., None]
        slope = (self.rows.T @ errors.flatten(1)).reshape(weights.shape) / len(self.rows)
        noise = torch.from_numpy(rng.standard_normal(weights.shape, dtype=np.float32))
        scale = math.sqrt(2 * self.rate) * self.sigma[:, None]
        return weights - self.rate * (slope + self.strong * weights) + scale * noise

    def descend(
        self,
        weights: torch.Tensor,
        steps: int,
        rng: Callable[[int], np.random.Generator],
        kept: torch.Tensor | None = None,
        look: Callable[[int, torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        """Take some steps; ``look`` sees the weights before the first one and after each."""
        for k in range(steps):
            if look is not None:
                look(k, weights)
            weights = self.step(weights, kept, rng(k))
        if look is not None:
            look(steps, weights)
        return weights


EPSILONS = (1.0, 5.0, 10.0)
# Points that are unlearned: their place in the order of the losses.
POINTS = {"easy": 0.1, "median": 0.5, "hard": 0.9}
# Each point by its own loss, and the point in the middle by the worst case.
BOUNDS = (*POINTS, "uniform", "coupled")
Rival = Literal["uniform", "best"]
_ORDERS = np.array([2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64])


@dataclass(frozen=True)
class Convex:
    """Settings.

    Attributes
    ----------
    points : int
        n.
    steps, tuning : int
        Most steps of training and of unlearning.
    draws, paths : int
        Numbers of draws of images, and of trainings on each, over which losses are a mean.
    lowest, highest, levels : float, float, int
        Levels of sigma, equidistant in the logarithm.
    strong, rate : float
        m and eta.
    every : int
        Number of steps between records.
    """

    points: int = 1000
    steps: int = 400
    tuning: int = 400
    draws: int = 5
    paths: int = 2
    lowest: float = 0.0015
    highest: float = 0.9
    levels: int = 16
    strong: float = 0.003
    rate: float = 1.9
    every: int = 25

    @property
    def sigmas(self) -> np.ndarray:
        """Return the levels of the noise."""
        return np.geomspace(self.lowest, self.highest, self.levels)

    @property
    def delta(self) -> float:
        """Return delta = 1/n."""
        return 1 / self.points


CONVEX = {
    "workstation": Convex(),
    "paper": Convex(points=5000, steps=2000, tuning=4000, levels=30, every=100),
}


@dataclass(frozen=True)
class Curves:
    """What was found.

    Attributes
    ----------
    at : ndarray of int, shape (records,)
        Numbers k of unlearning steps.
    noise : ndarray of shape (draws, bounds, epsilons, records)
        sigma, in the order of :data:`BOUNDS` and :data:`EPSILONS`; NaN where no level suffices.
    accuracy : ndarray of shape (draws, paths, bounds, epsilons, records)
        Accuracy on test images.
    noiseless : ndarray of shape (draws,)
        Accuracy after training with the lowest noise.
    losses : ndarray of shape (draws, points)
        P(x, 2) of the points of :data:`POINTS` at the lowest noise, over the uniform bound's value.
    """

    at: np.ndarray
    noise: np.ndarray
    accuracy: np.ndarray
    noiseless: np.ndarray
    losses: np.ndarray


def gains(curves: Curves, epsilon: float, rival: Rival) -> np.ndarray:
    """Return the lead in accuracy of the median point's loss over a rival, shape (draws,).

    It is the mean over the steps of unlearning, and over the paths, at one of :data:`EPSILONS`. The
    rival is the bound ``uniform``, or (``best``) at each number of steps the one of the two uniform
    bounds that needs less noise.
    """
    own = curves.accuracy[:, :, BOUNDS.index("median"), EPSILONS.index(epsilon)]
    return mean_over_steps((own - _rival(curves, epsilon, rival)).mean(axis=1), curves.at)


def gains_of_other_draws(curves: Curves, epsilon: float, rival: Rival) -> np.ndarray:
    """Return the rival's accuracy on the first path less that on the last one, shape (draws,)."""
    found = _rival(curves, epsilon, rival)
    return mean_over_steps(found[:, 0] - found[:, -1], curves.at)


def _rival(curves: Curves, epsilon: float, rival: Rival) -> np.ndarray:
    """Return the accuracy by a rival, shape (draws, paths, records)."""
    at = EPSILONS.index(epsilon)
    uniform, coupled = (curves.accuracy[:, :, BOUNDS.index(b), at] for b in BOUNDS[-2:])
    if rival == "uniform":
        return uniform
    noise = curves.noise[:, :, at]
    # Comparisons with NaN are false: where coupling gives no bound, the uniform one stays.
    less = noise[:, BOUNDS.index("coupled")] < noise[:, BOUNDS.index("uniform")]
    return np.where(less[:, None], coupled, uniform)


def smallest_level(epsilons: np.ndarray, wanted: float) -> np.ndarray:
    """Return the lowest level of noise at and above which epsilon is at most the wanted one.

    Raises
    ------
    ValueError
        If the highest level, the last row of ``epsilons`` (levels, ...), does not suffice.
    """
    enough = np.asarray(epsilons) <= wanted
    if not enough[-1].all():
        raise ValueError(
            f"the highest level of noise gives epsilon {np.max(epsilons[-1]):.3g}, more than the "
            f"{wanted:g} requested; raise it"
        )
    return np.argmax(np.logical_and.accumulate(enough[::-1])[::-1], axis=0)


def curves(images: ImageSet, convex: Convex, size: RecipeSize, seed: int) -> Curves:
    """Return accuracy and noise along unlearning, for some draws of the images."""
    size = replace(size, points=convex.points)
    parts = []
    for number in range(convex.draws):
        compute = partial(_draw, images, convex, size, seed, number)
        parts.append(kept(f"equal epsilon, draw {number}", compute))
    at = record_steps(convex.tuning + 1, convex.every)
    return Curves(at, *(np.array([part[name] for part in parts]) for name in _PARTS))


_PARTS = ("noise", "accuracy", "noiseless", "losses")


def _draw(
    images: ImageSet, convex: Convex, size: RecipeSize, seed: int, number: int
) -> dict[str, np.ndarray]:
    """Return the parts of :class:`Curves` for one draw of the images."""
    train, test = datasets(images, size, seed, number)
    mean = train.images.mean(dim=0)
    rows, tested = features(train, mean), features(test, mean)
    # Models by level, then by path.
    sigma = torch.from_numpy(np.repeat(convex.sigmas, convex.paths)).float()
    model = StackedRegressions(rows, train.labels, train.classes, convex.strong, convex.rate, sigma)
    address = f"instance_unlearning/equal_epsilon/{number}"
    at = np.arange(0, convex.steps, convex.every)
    recorded: list[np.ndarray] = []

    def record(k: int, weights: torch.Tensor) -> None:
        if k in at:
            recorded.append(model.errors(weights).norm(dim=2).numpy())

    def noise(k: int) -> np.random.Generator:
        return generator(seed, f"{address}/train", k)

    trained = model.descend(model.initial(), convex.steps, noise, look=record)
    lengths = np.diff(np.append(at, convex.steps))
    shape = (len(at), len(rows), convex.levels, convex.paths)
    # By level, path, record and point.
    norms = np.array(recorded, dtype=float).reshape(shape).transpose(2, 3, 0, 1)
    losses = losses_of(norms[0], lengths, convex.sigmas[0], 2, convex)
    ranks = [round(place * (len(rows) - 1)) for place in POINTS.values()]
    points = np.argsort(losses, kind="stable")[ranks]
    largest = np.full((*norms.shape[:3], 1), LIPSCHITZ)
    chosen = np.concatenate([norms[..., points], largest], axis=3)
    tuned = record_steps(convex.tuning + 1, convex.every)
    epsilons = epsilons_of(chosen, lengths, tuned, convex)
    accuracy = _unlearned(
        model, trained, points, Data(tested, test.labels), tuned, f"{address}/tune", convex, seed
    )
    levels = [
        [_level(epsilons, bound, wanted, tuned, convex) for wanted in EPSILONS] for bound in BOUNDS
    ]
    uniform = losses_of(chosen[0][..., -1:], lengths, convex.sigmas[0], 2, convex)
    return {
        **_at_levels(np.array(levels), accuracy, convex.sigmas),
        "noiseless": accuracy[0, :, 0, 0].mean(),
        "losses": losses[points] / uniform,
    }


def losses_of(
    norms: np.ndarray, lengths: np.ndarray, sigma: float, order: int, convex: Convex
) -> np.ndarray:
    """Return P(x, alpha) of points from norms of shape (paths, records, points)."""
    noise = sum_noise(convex.rate, sigma, convex.points)
    return instance_loss(norms, lengths, 1.0, noise, order)


def epsilons_of(
    norms: np.ndarray, lengths: np.ndarray, tuned: np.ndarray, convex: Convex
) -> np.ndarray:
    """Return epsilon by level, number of unlearning steps, and point, (levels, numbers, points).

    The norms are of shape (levels, paths, records, points). A record stands for ``lengths``
    (records,) steps of training, and ``tuned`` are the numbers of unlearning steps.
    """
    by_level = []
    for sigma, own in zip(convex.sigmas, norms, strict=True):
        divergences = [
            convex_bound(
                losses_of(own, lengths, sigma, order, convex),
                tuned[:, None],
                *(order, convex.strong, convex.rate),
            )
            for order in _ORDERS.tolist()
        ]
        by_level.append(epsilon_of(np.array(divergences), _ORDERS, convex.delta))
    return np.array(by_level)


def _level(
    epsilons: np.ndarray, bound: str, wanted: float, tuned: np.ndarray, convex: Convex
) -> np.ndarray:
    """Return the level of noise for each number of steps; the number of levels if none suffices."""
    if bound != "coupled":
        return smallest_level(epsilons[:, :, BOUNDS.index(bound)], wanted)
    return np.searchsorted(convex.sigmas, coupled_noise(wanted, tuned, convex))


def coupled_noise(wanted: float, tuned: np.ndarray, convex: Convex) -> np.ndarray:
    """Return sigma that the bound by coupling needs; it gives none before the first step."""
    gap = coupled_gap(LIPSCHITZ / convex.points, convex.steps, convex.strong, convex.rate)
    return noise_of_gap(gap, wanted, convex.delta, tuned, convex.strong, convex.rate)


def _at_levels(
    levels: np.ndarray, accuracy: np.ndarray, sigmas: np.ndarray
) -> dict[str, np.ndarray]:
    """Return noise and accuracy at levels of shape (bounds, epsilons, records).

    They are NaN where no level suffices.
    """
    known = levels < len(sigmas)
    levels = np.minimum(levels, len(sigmas) - 1)
    # The uniform bounds forget the point in the middle.
    forgotten = [list(POINTS).index(b if b in POINTS else "median") for b in BOUNDS]
    found = accuracy[levels, :, np.array(forgotten)[:, None, None], np.arange(levels.shape[-1])]
    return {
        "noise": np.where(known, sigmas[levels], np.nan),
        "accuracy": np.where(known[..., None], found, np.nan).transpose(3, 0, 1, 2),
    }


def _unlearned(
    model: StackedRegressions,
    trained: torch.Tensor,
    points: np.ndarray,
    test: Data,
    tuned: np.ndarray,
    address: str,
    convex: Convex,
    seed: int,
) -> np.ndarray:
    """Go on without each point; return accuracy by level, path, point and number of steps."""
    count = len(points)
    model = replace(model, sigma=model.sigma.repeat_interleave(count))
    kept_points = torch.ones(len(model.rows), len(model.sigma))
    for i, point in enumerate(points):
        kept_points[point, i::count] = 0
    accuracy: list[np.ndarray] = []

    def watch(k: int, weights: torch.Tensor) -> None:
        if k in tuned:
            answers = model.logits(weights, test.images).argmax(dim=2)
            accuracy.append((answers == test.labels[:, None]).double().mean(dim=0).numpy())

    start = trained.repeat_interleave(count, dim=1)
    model.descend(
        start, convex.tuning, lambda k: generator(seed, address, k), kept_points, look=watch
    )
    shape = (len(tuned), convex.levels, convex.paths, count)
    return np.array(accuracy).reshape(shape).transpose(1, 2, 3, 0)
