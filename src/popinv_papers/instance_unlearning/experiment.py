"""An experiment on images: the losses of points as predictors of how hard they are to unlearn.

Models are trained on some images. Forget sets are neighbours in rank of the loss P(x, alpha), the
hardest points by other measures, and random points. References are trained without them, from the
same initial weights and on the same batches. Fine-tuning has unlearned a set once the confidences
in its points cannot be distinguished from the references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from popinv.seeds import generator
from popinv_papers.instance_unlearning.difficulty import (
    confidences,
    gradient_norms,
    hardest,
    label_errors,
    loss_barrier,
    memorisation,
    quantile_groups,
    rank_correlation,
    record_steps,
    rows_kept,
    steps_to_match,
)
from popinv_papers.instance_unlearning.networks import Weights, taken
from popinv_papers.instance_unlearning.recipe import METHODS, Recipe
from popinv_papers.instance_unlearning.training import Steps, descend
from popinv_papers.kit.kept import kept as kept_part

SCORES = ("privacy", "gradient_norm", "el2n", "c_proxy", "memorisation")
# Each point is left out of one in this number of models.
_BLOCK = 4


@dataclass
class TrainingOutcome:
    """Results with one training, ``sgld`` or ``sgd``.

    Attributes
    ----------
    scores : dict of str to ndarray, shape (points,)
        The scores of :data:`SCORES`.
    by_run : dict of str to ndarray, shape (runs, points)
        The same from each training alone; memorisation is from other trainings, and the same.
    groups : ndarray of int, shape (groups, size)
    trained, reference : ndarray of shape (runs, groups)
        Accuracy on each forget set after training with it, and without it.
    unseen : ndarray of shape (groups, runs * size)
        Confidences in the points of each set, of the models trained without it.
    barriers : dict of str to ndarray, shape (runs, groups)
        Barriers on the forget set between models trained without it and those trained with it or
        fine-tuned, in both definitions of :func:`difficulty.loss_barrier`, and half of the
        difference of the ends' losses, which is the barrier above their mean if there is no barrier
        at all.
    steps, reached : dict of str to ndarray, shape (runs, groups)
        Number of steps to unlearn each set, and whether this was reached, by method.
    curves : dict of str to ndarray, shape (runs, records, groups)
        Accuracy on each forget set along fine-tuning, by method.
    at : ndarray of int, shape (records,)
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


def group_scores(outcome: TrainingOutcome, score: str) -> np.ndarray:
    """Return the mean of a score over each forget set, shape (groups,)."""
    return outcome.scores[score][outcome.groups].mean(axis=1)


def memorised_share(problem: Recipe) -> np.ndarray:
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


def solve(problem: Recipe, training: str, memorised: np.ndarray) -> TrainingOutcome:
    """Train as ``sgld`` or ``sgd``, choose forget sets, train references, and unlearn."""
    size = problem.size
    originals, scores, by_run, numbers = _trained_on_all(problem, training, memorised)
    names, groups = _forget_sets(problem, scores)
    kept = rows_kept(groups, len(problem.train))
    runs = range(size.runs)
    references = [problem.trained(training, run, kept, "references")[0] for run in runs]
    stacks = {"trained": [taken(one, np.zeros(len(groups), dtype=int)) for one in originals]}
    outcome = TrainingOutcome(
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
    problem: Recipe, name: str, start: Weights, end: Weights, groups: np.ndarray
) -> np.ndarray:
    """Return the losses along lines, which are a part of the test problem that is kept."""
    losses = kept_part(
        f"losses along lines, {name}", lambda: {"losses": problem.own_losses(start, end, groups)}
    )
    return losses["losses"]


def _trained_on_all(
    problem: Recipe, training: str, memorised: np.ndarray
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
    losses, numbers = _privacy(problem, recorded, lengths, training)
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
    problem: Recipe, method: str, stacks: list[Weights], kept: np.ndarray, outcome: TrainingOutcome
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
    problem: Recipe, recorded: np.ndarray, lengths: np.ndarray, training: str
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return P(x, alpha) of every point, and how strongly its ranking depends on the noise."""
    losses = problem.losses(recorded, lengths, training)
    largest = np.full((1, 1, 1), problem.rule(training).clip or recorded.max())
    worst_case = problem.losses(largest, lengths.sum(keepdims=True), training)[0]
    numbers = {
        f"noise_on_sum_{training}": problem.noise(recorded, training),
        f"largest_gradient_{training}": float(recorded.max()),
        f"privacy_median_{training}": float(np.median(losses)),
        f"privacy_worst_case_{training}": float(worst_case),
    }
    for factor in (0.1, 0.3, 3.0, 10.0):
        agreement = rank_correlation(losses, problem.losses(recorded, lengths, training, factor))
        numbers[f"privacy_ranking_noise_times_{factor:g}_{training}"] = agreement
    return losses, numbers


def _forget_sets(problem: Recipe, scores: dict[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    size = problem.size
    by_rank = quantile_groups(scores["privacy"], size.group, size.quantiles)
    rng = generator(problem.seed, "instance_unlearning/random_set")
    random = rng.choice(len(problem.train), size.group, replace=False)
    others = [hardest(scores[name], size.group) for name in SCORES[1:]]
    names = [f"privacy_{i + 1}" for i in range(size.quantiles)]
    names += [f"hardest_{name}" for name in SCORES[1:]] + ["random"]
    return names, np.concatenate([by_rank, others, random[None]])
