"""What the jobs of downstream methods on a study need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from popinv.estimator_demands import activations, descents, multiply_adds
from popinv.stage_demands import rows_of, solving_of, training
from popinv.study_sizes import (
    FIGURES_MB,
    FLOPS,
    PLAIN_MB,
    WITH_TORCH_MB,
    Demand,
    NotAsked,
    Sizes,
    Wildcards,
    megabytes,
)

__all__ = ["METHODS"]


def _asked(of: Sizes, method: str) -> Mapping[str, Any]:
    """Return the settings of a downstream method."""
    if (settings := of.study["downstream"][method]) is None:
        raise NotAsked(method)
    return settings


def _posteriors(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "posterior")
    rows = of.systems * asked["chains"]
    numbers = rows * (asked["draws"] * of.row + 2 * activations(of) + 6 * of.row)
    moves = asked["warmup"] + asked["draws"] * asked["thin"]
    # A move tries about five angles.
    return Demand(
        WITH_TORCH_MB + FIGURES_MB + megabytes(2 * numbers),
        moves * 5 * rows * 2 * multiply_adds(of) / FLOPS,
    )


def _group(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "mwgrad")
    evaluations = 3 * asked["iterations"] * len(asked["systems"])
    return Demand(WITH_TORCH_MB + FIGURES_MB + megabytes(of.systems * of.row), evaluations * 0.01)


def _probe(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "sgd_dynamics")
    # Two lines, on each the places, and at a few critical points the noise and the runs.
    slopes = 2 * (asked["places"] * asked["draws"] + 3 * asked["noise_draws"])
    slopes += 2 * 3 * asked["paths"] * 200
    needed = descents(of, of.systems, iterations=slopes)
    return Demand(needed.megabytes + FIGURES_MB, needed.seconds)


def _select(of: Sizes, wildcards: Wildcards) -> Demand:
    asked, network = _asked(of, "influence"), of.study["surrogate"]
    fresh = of.study["assessment"]["surrogate_check"]
    rows = of.training + fresh
    # Scores and kernels of pairs of rows, gradients of the targets, and of a few rows at a time.
    numbers = 3.0 * rows * max(asked["landmarks"] * rows, asked["targets"]) + 6 * rows * of.row
    numbers += 2 * asked["targets"] * multiply_adds(of) + 1e8
    # Six trainings on the pool, and eight on candidates, beside the scores.
    passes = asked["repeats"] * 14 * (asked["steps"] * network["batch_size"] + fresh)
    passes += asked["repeats"] * 20 * rows
    return Demand(
        WITH_TORCH_MB + FIGURES_MB + megabytes(numbers),
        passes * 6 * multiply_adds(of) / FLOPS + 14 * asked["repeats"] * asked["steps"] * 5e-3,
    )


def _forget(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "certified_unlearning")
    batches = math.ceil(of.systems / asked["batch_size"])
    # An epoch's contraction is strong * batches; learning ends when the start is forgotten.
    learnt = asked["epochs"] + 30 / (asked["strong_convexity"] * batches)
    epochs = 4 * learnt + 2 * asked["epochs"] * len(asked["systems"])
    numbers = 8 * of.systems * of.row
    return Demand(
        PLAIN_MB + FIGURES_MB + megabytes(numbers), asked["repeats"] * epochs * batches * 1e-4
    )


def _withdraw(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "instance_unlearning")
    # Gradients with each system left out, four to each parameter for their noise, and descents.
    slopes = 2 * asked["systems"] * asked["places"] + max(asked["noise_draws"], 4 * 2 * of.row)
    slopes += 20 * (1 + asked["withdrawn"])
    slopes += (1 + asked["withdrawn"]) * (of.study["descent"]["iterations"] + asked["steps"])
    needed = descents(of, of.systems, iterations=slopes)
    trained = training(of, of.training)
    # The matrix of the curvature is of 8000 draws.
    curvature = megabytes(8000 * (10 * of.study["descent"]["directions"] + 3 * activations(of)))
    return Demand(
        max(needed.megabytes + curvature, trained.megabytes) + FIGURES_MB,
        # Numbers of systems that do not divide the draws compare more slowly.
        5 * needed.seconds + (10 * trained.seconds if asked["solves"] else 0),
    )


def _devices(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "analog")
    trainings = 1 + 3 * len(asked["devices"]) * len(asked["ranges"])
    # The curvature keeps the graph of a thousand rows; a step is small, and mostly Python.
    numbers = 3 * 1000 * activations(of) + 6 * of.training * of.row
    of_step = 6 * asked["batch_size"] * multiply_adds(of) / FLOPS + 5e-3
    needed = descents(of, of.systems, 5, iterations=asked["descent_iterations"])
    return Demand(
        needed.megabytes + FIGURES_MB + megabytes(numbers + trainings * of.row**2),
        needed.seconds + trainings * asked["steps"] * of_step,
    )


def _sites(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "fedhl")
    count = len(asked["ranks"])
    solving = solving_of(of, count * (asked["solves"] + asked["test_solves"]), 0, WITH_TORCH_MB)
    # Four ways to train; products and gradients of dense increments stand for every site at once.
    dense = count * 4 * multiply_adds(of)
    rows = count * (asked["batch_size"] + asked["test_solves"])
    steps = 4 * asked["repeats"] * asked["rounds"] * asked["local_steps"]
    return Demand(
        solving.megabytes + FIGURES_MB + megabytes(6 * dense + rows * activations(of)),
        solving.seconds
        + steps * (0.02 + (6 * rows * multiply_adds(of) + 6 * dense * max(asked["ranks"])) / FLOPS),
    )


def _distributed_training(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "birch")
    needed = training(of, of.training)
    # Three policies: seven step sizes that are tried, the real run and the simulated one; of the
    # real one the slowest worker is waited for at worst.
    each = asked["batch_size"] * 6 * multiply_adds(of) / FLOPS + 2e-3
    waited = max(asked["seconds"]) + asked["message"]
    seconds = 3 * asked["gradients"] * (9 * each + waited)
    workers = len(asked["seconds"])
    return Demand(needed.megabytes + FIGURES_MB + 200 * workers, seconds)


METHODS: dict[str, Callable[[Sizes, Wildcards], Demand]] = {
    "posterior": _posteriors,
    "serve_group": _group,
    "probe_descent": _probe,
    "withdraw_systems": _withdraw,
    "advise_optimiser": rows_of(4),
    "select_samples": _select,
    "forget_systems": _forget,
    "train_on_devices": _devices,
    "adapt_sites": _sites,
    "train_distributed": _distributed_training,
}
"""What a job of each rule of a downstream method on a study needs."""
