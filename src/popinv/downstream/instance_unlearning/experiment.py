"""An experiment on images: the losses of points as predictors of how hard they are to unlearn.

Models are trained on some images. Forget sets are neighbours in rank of the loss P(x, alpha), the
hardest points by other measures, and random points. References are trained without them, from the
same initial weights and on the same batches. Fine-tuning has unlearned a set once the confidences
in its points cannot be told from those of the references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from popinv.downstream.data.images import ImageSet
from popinv.downstream.instance_unlearning.barriers import loss_barrier, losses_along
from popinv.downstream.instance_unlearning.forgetting import (
    hardest,
    quantile_groups,
    rank_correlation,
    record_steps,
    rows_kept,
    steps_to_match,
)
from popinv.downstream.instance_unlearning.networks import (
    Network,
    Weights,
    network,
    stacked,
    taken,
)
from popinv.downstream.instance_unlearning.renyi import instance_loss, sum_noise
from popinv.downstream.instance_unlearning.scores import (
    confidences,
    gradient_norms,
    label_errors,
    memorisation,
)
from popinv.downstream.instance_unlearning.training import Data, Look, Rule, Steps, descend
from popinv.downstream.kept import kept as kept_part
from popinv.seeds import generator

__all__ = [
    "METHODS",
    "SCORES",
    "SIZES",
    "Experiment",
    "Outcome",
    "Size",
    "datasets",
    "memorised_share",
    "solve",
]

# Methods of fine-tuning, with the training from which each starts.
METHODS = {"sgld": "sgld", "sgd": "sgd", "l1": "sgd"}
SCORES = ("privacy", "gradient_norm", "el2n", "c_proxy", "memorisation")
# Each point is left out of one in this number of models.
_BLOCK = 4


@dataclass(frozen=True)
class Size:
    """Size and settings of the experiment.

    Attributes
    ----------
    network, width
        See :func:`networks.network`.
    points, tested : int
        Numbers of training and of test images.
    steps, tuning : int
        Numbers of steps of training and of fine-tuning.
    group, quantiles : int
        Number of points in a forget set, and of sets by rank of the loss.
    runs, subsets : int
        Number of trainings from different weights, and of models for memorisation, in fours.
    rate, batch, sigma, clip, penalty : float
        eta, b, sigma of Langevin descent, the length of a gradient there, gamma_0 of sparse
        unlearning.
    order : int
        alpha of P(x, alpha).
    level : float
        P-value above which a set is unlearned; see :func:`forgetting.steps_to_match`.
    every : int
        Number of steps between records.
    """

    network: str = "mlp"
    width: int = 64
    points: int = 3000
    tested: int = 2000
    steps: int = 500
    tuning: int = 600
    group: int = 100
    quantiles: int = 8
    runs: int = 5
    subsets: int = 24
    rate: float = 0.1
    batch: float = 128
    sigma: float = 0.0105
    clip: float = 4.0
    penalty: float = 1e-3
    order: int = 8
    level: float = 0.05
    every: int = 100


SIZES = {
    "workstation": Size(),
    # The paper's networks and numbers are unknown to us. This size suits its data sets.
    "paper": Size(
        network="cnn",
        width=32,
        points=20_000,
        tested=5000,
        steps=6000,
        tuning=3000,
        group=500,
        quantiles=10,
        runs=5,
        subsets=40,
        every=300,
    ),
}


@dataclass
class Outcome:
    """Results with one training, ``sgld`` or ``sgd``.

    Attributes
    ----------
    scores : dict of str to ndarray, shape (points,)
        The scores of :data:`SCORES`.
    by_run : dict of str to ndarray, shape (runs, points)
        The same from each training alone; memorisation is from other trainings, and the same.
    names : list of str
        Names of the forget sets.
    groups : ndarray of int, shape (groups, size)
    trained, reference : ndarray of shape (runs, groups)
        Accuracy on each forget set after training with it, and without it.
    unseen : ndarray of shape (groups, runs * size)
        Confidences in the points of each set, of the models trained without it.
    barriers : dict of str to ndarray, shape (runs, groups)
        Barriers on the forget set between models trained without it and those trained with it or
        fine-tuned, in both definitions of :func:`barriers.loss_barrier`, and half of the difference
        of the ends' losses, which is the barrier above their mean if there is no barrier at all.
    steps, reached : dict of str to ndarray, shape (runs, groups)
        Number of steps to unlearn each set, and whether this was reached, by method.
    curves : dict of str to ndarray, shape (runs, records, groups)
        Accuracy on each forget set along fine-tuning, by method.
    at : ndarray of int, shape (records,)
    numbers : dict
        Other metrics.
    """

    scores: dict[str, np.ndarray]
    by_run: dict[str, np.ndarray]
    names: list[str]
    groups: np.ndarray
    trained: np.ndarray
    reference: np.ndarray
    unseen: np.ndarray
    barriers: dict[str, np.ndarray] = field(default_factory=dict)
    steps: dict[str, np.ndarray] = field(default_factory=dict)
    reached: dict[str, np.ndarray] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    at: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))
    numbers: dict[str, Any] = field(default_factory=dict)


def datasets(images: ImageSet, size: Size, seed: int) -> tuple[Data, Data]:
    """Draw training and test points, in units of the training points' spread.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    drawn = []
    for part, count, pixels, labels in (
        ("train", size.points, images.train, images.train_labels),
        ("test", size.tested, images.test, images.test_labels),
    ):
        if count > len(labels):
            raise ValueError(f"{count} images asked for, but the {part} set has {len(labels)}")
        rng = generator(seed, f"instance_unlearning/{part}")
        rows = np.sort(rng.choice(len(labels), count, replace=False))
        values = pixels[rows].astype(np.float32) / 255
        # Channels come first; grey images have one.
        values = values[:, None] if values.ndim == 3 else values.transpose(0, 3, 1, 2)
        drawn.append((values, labels[rows].astype(np.int64)))
    mean, spread = drawn[0][0].mean(), drawn[0][0].std()
    train, test = (
        Data(torch.from_numpy(np.ascontiguousarray((v - mean) / spread)), torch.from_numpy(labels))
        for v, labels in drawn
    )
    return train, test


class Experiment:
    """Data, network and settings; its methods are the parts of the experiment."""

    def __init__(self, train: Data, test: Data, size: Size, seed: int) -> None:
        self.train, self.test, self.size, self.seed = train, test, size, seed
        _, *shape = train.images.shape
        classes = int(train.labels.max()) + 1
        self.network: Network = network(
            size.network, (shape[0], shape[1], shape[2]), classes, size.width
        )

    def rule(self, method: str) -> Rule:
        """Return how the method takes its steps."""
        size = self.size
        return Rule(
            size.rate,
            size.batch,
            sigma=size.sigma if method == "sgld" else 0.0,
            penalty=size.penalty if method == "l1" else 0.0,
            clip=size.clip if method == "sgld" else 0.0,
        )

    def noise(self, recorded: np.ndarray, training: str) -> float:
        """Return the noise on a sum of gradients.

        Plain descent adds none: it is treated as if its own were normal, with the largest gradient
        for a deviation, where the ranking is nearly that of the squares' sum.
        """
        size = self.size
        if training == "sgld":
            return sum_noise(size.rate, size.sigma, size.batch)
        return float(recorded.max())

    def losses(self, recorded: np.ndarray, lengths: np.ndarray, training: str) -> np.ndarray:
        """Return P(x, alpha) of every point from norms of shape (runs, records, points)."""
        share = self.size.batch / len(self.train)
        noise, norms = self.noise(recorded, training), self.shortened(recorded, training)
        return instance_loss(norms, lengths, share, noise, self.size.order)

    def shortened(self, norms: np.ndarray, training: str) -> np.ndarray:
        """Return norms of gradients as the training uses them, which may clip them."""
        clip = self.rule(training).clip
        return np.minimum(norms, clip) if clip else norms

    def begin(self, run: int, models: int) -> Weights:
        """Return a stack that starts from the same weights."""
        rng = generator(self.seed, "instance_unlearning/weights", run)
        return taken(stacked([self.network.initial(rng)]), np.zeros(models, dtype=int))

    def trained(
        self, method: str, run: int, kept: np.ndarray, part: str, look: Look | None = None
    ) -> tuple[Weights, dict[str, np.ndarray]]:
        """Train a stack, each model on its own points; the batches are those of the run."""
        steps = Steps(self.size.steps, self.seed, f"instance_unlearning/{method}/{run}")
        start = self.begin(run, len(kept))
        return descend(start, self.network, self.train, kept, self.rule(method), steps, look, part)

    def right(self, weights: Weights, groups: np.ndarray) -> np.ndarray:
        """Return each model's accuracy on its own group, shape (groups,)."""
        logits, labels = self._own_logits(weights, groups)
        return (logits.argmax(2) == labels).float().mean(1).numpy()

    def beliefs(self, weights: Weights, groups: np.ndarray) -> np.ndarray:
        """Return each model's confidence in the points of its own group, shape of ``groups``."""
        logits, labels = self._own_logits(weights, groups)
        own = torch.softmax(logits, dim=2).gather(2, labels[..., None])
        return own[..., 0].double().numpy()

    def _own_logits(
        self, weights: Weights, groups: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each model's logits of its own group (groups, size, classes), and the labels."""
        own = self.train.of(groups.ravel())
        images = own.images.reshape(*groups.shape, *own.images.shape[1:])
        with torch.no_grad():
            logits = torch.func.vmap(self.network.logits)(weights, images)
        return logits, own.labels.reshape(groups.shape)

    def tested(self, stacks: list[Weights]) -> float:
        """Return the mean accuracy on the test images."""
        rights = [confidences(self.network, stack, self.test)[1].mean() for stack in stacks]
        return float(np.mean(rights))

    def own_losses(self, start: Weights, end: Weights, groups: np.ndarray) -> np.ndarray:
        """Return each pair's losses along its line on its own group, shape (groups, places)."""
        rows = []
        for model, group in enumerate(groups):
            first, last = (taken(weights, np.array([model])) for weights in (start, end))
            rows.append(losses_along(self.network, first, last, self.train.of(group))[0])
        return np.array(rows)


def memorised_share(problem: Experiment) -> np.ndarray:
    """Return the memorisation of each point, from models trained on subsets of the points."""
    size, everyone = problem.size, len(problem.train)
    kept = np.ones((size.subsets, everyone), dtype=bool)
    for block in range(size.subsets // _BLOCK):
        rng = generator(problem.seed, "instance_unlearning/subsets", block)
        part = rng.permutation(np.arange(everyone) % _BLOCK)
        kept[block * _BLOCK + part, np.arange(everyone)] = False
    # Each block has its own weights and batches, which no other training has.
    right = []
    for block in range(size.subsets // _BLOCK):
        rows = slice(block * _BLOCK, (block + 1) * _BLOCK)
        weights, _ = problem.trained("sgd", size.runs + block, kept[rows], "subsets")
        right.append(confidences(problem.network, weights, problem.train)[1])
    return memorisation(np.concatenate(right), kept)


def solve(problem: Experiment, training: str, memorised: np.ndarray) -> Outcome:
    """Train, choose forget sets, train references, and unlearn by each method.

    Parameters
    ----------
    problem : Experiment
    training : {"sgld", "sgd"}
    memorised : ndarray of shape (points,)
    """
    size = problem.size
    originals, scores, by_run, numbers = _trained_on_all(problem, training, memorised)
    names, groups = _forget_sets(problem, scores)
    kept = rows_kept(groups, len(problem.train))
    runs = range(size.runs)
    references = [problem.trained(training, run, kept, "references")[0] for run in runs]
    stacks = {"trained": [taken(one, np.zeros(len(groups), dtype=int)) for one in originals]}
    outcome = Outcome(
        scores,
        by_run,
        names,
        groups,
        trained=np.array([problem.right(stack, groups) for stack in stacks["trained"]]),
        reference=np.array([problem.right(stack, groups) for stack in references]),
        unseen=np.concatenate([problem.beliefs(stack, groups) for stack in references], axis=1),
        at=record_steps(size.tuning + 1, 5),
    )
    for method in (method for method, start in METHODS.items() if start == training):
        stacks[method] = _unlearn(problem, method, stacks["trained"], kept, outcome)
        numbers[f"test_accuracy_unlearned_{method}"] = problem.tested(stacks[method])
    for name, ends in stacks.items():
        heights = [
            _losses_between(problem, f"{training}, {name}, run {run}", end, reference, groups)
            for run, (end, reference) in enumerate(zip(ends, references, strict=True))
        ]
        for against in ("line", "mean"):
            barriers = [loss_barrier(losses, against) for losses in heights]
            outcome.barriers[f"{name}_above_{against}"] = np.array(barriers)
        ends = [np.abs(losses[:, 0] - losses[:, -1]) / 2 for losses in heights]
        outcome.barriers[f"{name}_half_difference"] = np.array(ends)
    numbers[f"test_accuracy_trained_{training}"] = problem.tested(originals)
    numbers[f"test_accuracy_reference_{training}"] = problem.tested(references)
    outcome.numbers = numbers
    return outcome


def _losses_between(
    problem: Experiment, name: str, start: Weights, end: Weights, groups: np.ndarray
) -> np.ndarray:
    """Return the losses along lines, which are a part of the test problem that is kept."""
    losses = kept_part(
        f"losses along lines, {name}", lambda: {"losses": problem.own_losses(start, end, groups)}
    )
    return losses["losses"]


def _trained_on_all(
    problem: Experiment, training: str, memorised: np.ndarray
) -> tuple[list[Weights], dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]:
    """Train on all points; return the models, every point's scores, and numbers about them.

    Scores come from all trainings together, and from each alone.
    """
    size, data, net = problem.size, problem.train, problem.network
    at = record_steps(size.steps, size.every)

    def look(k: int, weights: Weights) -> dict[str, np.ndarray]:
        if k not in at:
            return {}
        return {
            "norms": gradient_norms(net, weights, data)[0],
            "errors": label_errors(net, weights, data)[0],
            "beliefs": confidences(net, weights, data)[0][0],
        }

    everyone = np.ones((1, len(data)), dtype=bool)
    runs = [problem.trained(training, run, everyone, "all", look) for run in range(size.runs)]
    originals = [weights for weights, _ in runs]
    # Each of shape (runs, records, points).
    recorded, errors, beliefs = (
        np.array([record[name] for _, record in runs]) for name in ("norms", "errors", "beliefs")
    )
    lengths = np.diff(np.append(at, size.steps))
    losses, numbers = _privacy(problem, recorded, lengths, problem.rule(training).sigma)
    share = lengths / lengths.sum()
    early = (at > 0) & (at <= size.steps // 5)
    by_run = {
        "privacy": np.array([problem.losses(one[None], lengths, training) for one in recorded]),
        "gradient_norm": np.einsum("c,rcn->rn", share, recorded),
        "el2n": errors[:, early].mean(axis=1),
        "c_proxy": 1 - np.einsum("c,rcn->rn", share, beliefs),
        "memorisation": np.tile(memorised, (size.runs, 1)),
    }
    scores = {name: values.mean(axis=0) for name, values in by_run.items()}
    # The expectation over trainings is within the logarithm.
    scores["privacy"] = losses
    return originals, scores, by_run, numbers


def _unlearn(
    problem: Experiment, method: str, stacks: list[Weights], kept: np.ndarray, outcome: Outcome
) -> list[Weights]:
    """Fine-tune every run's stack without its sets, and record the progress."""
    size, groups, at = problem.size, outcome.groups, outcome.at
    ends, curves, matched = [], [], []

    def watch(k: int, weights: Weights) -> dict[str, np.ndarray]:
        if k not in at:
            return {}
        return {
            "right": problem.right(weights, groups),
            "beliefs": problem.beliefs(weights, groups),
        }

    rule = problem.rule(method)
    for run, stack in enumerate(stacks):
        steps = Steps(size.tuning, problem.seed, f"instance_unlearning/tuning/{method}/{run}")
        end, seen = descend(stack, problem.network, problem.train, kept, rule, steps, watch)
        ends.append(end)
        curves.append(seen["right"])
        matched.append(steps_to_match(seen["beliefs"], outcome.unseen, size.level, at))
    outcome.curves[method] = np.array(curves)
    outcome.steps[method] = np.array([steps for steps, _ in matched])
    outcome.reached[method] = np.array([reached for _, reached in matched])
    return ends


def _privacy(
    problem: Experiment, recorded: np.ndarray, lengths: np.ndarray, sigma: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return P(x, alpha) of every point, and how strongly its ranking depends on the noise."""
    size = problem.size
    training = "sgld" if sigma else "sgd"
    noise = problem.noise(recorded, training)
    share = size.batch / len(problem.train)
    norms = problem.shortened(recorded, training)

    def of(noise: float) -> np.ndarray:
        return instance_loss(norms, lengths, share, noise, size.order)

    losses = of(noise)
    numbers = {
        f"noise_on_sum_{training}": noise,
        f"largest_gradient_{training}": float(recorded.max()),
        f"privacy_median_{training}": float(np.median(losses)),
        f"privacy_worst_case_{training}": float(
            instance_loss(
                np.full((1, 1, 1), problem.rule(training).clip or recorded.max()),
                lengths.sum(keepdims=True),
                share,
                noise,
                size.order,
            )[0]
        ),
    }
    for factor in (0.1, 0.3, 3.0, 10.0):
        agreement = rank_correlation(losses, of(factor * noise))
        numbers[f"privacy_ranking_noise_times_{factor:g}_{training}"] = agreement
    return losses, numbers


def _forget_sets(
    problem: Experiment, scores: dict[str, np.ndarray]
) -> tuple[list[str], np.ndarray]:
    size = problem.size
    by_rank = quantile_groups(scores["privacy"], size.group, size.quantiles)
    rng = generator(problem.seed, "instance_unlearning/random_set")
    random = rng.choice(len(problem.train), size.group, replace=False)
    others = [hardest(scores[name], size.group) for name in SCORES[1:]]
    names = [f"privacy_{i + 1}" for i in range(size.quantiles)]
    names += [f"hardest_{name}" for name in SCORES[1:]] + ["random"]
    return names, np.concatenate([by_rank, others, random[None]])
