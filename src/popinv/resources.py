"""Memory and time that a job asks of a cluster, from the size of its study.

Each rule has a function here that adds up the arrays which grow with the problem and the
operations on them. They are upper bounds, not predictions: a job that asks for too much waits a
little longer in the queue, one that asks for too little is killed. A retry asks for twice what
the attempt before it did. What real runs needed stands in their benchmark files;
:mod:`popinv.demand` sets the two side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from popinv.config.forward import Forward, ForwardSection
from popinv.forward.costs import ForwardCost, forward_cost
from popinv.workflow import is_synthetic, solve_count

__all__ = [
    "RULES",
    "Demand",
    "NotAsked",
    "Sizes",
    "demand",
    "memory_mb",
    "runtime_minutes",
    "sizes",
]

Study = Mapping[str, Any]
Wildcards = Mapping[str, str]

# Python with the package, and the processes of Snakemake around it, which on a cluster count
# towards the job: with torch, and without.
_WITH_TORCH_MB = 1200.0
_PLAIN_MB = 900.0
# A matplotlib figure at print resolution, several at once.
_FIGURES_MB = 300.0
# What the arrays below may come to in copies that are not counted one by one.
_MARGIN = 1.5
# Floating-point operations a second of one core, in the products of matrices that networks are.
_FLOPS = 2e10
# Start of Snakemake and Python, compilation of kernels, a busy file system.
_START_SECONDS = 600.0
_OF_A_FILE = 1000


class NotAsked(LookupError):
    """The study does not ask for the method whose rule this is."""


@dataclass(frozen=True)
class Demand:
    """What a job needs at its first attempt: megabytes, and seconds."""

    megabytes: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """The sizes that a study's demands follow from.

    Parameters
    ----------
    study : mapping
        The study's section of a checked configuration.
    row : int
        Numbers of a solved system: parameters and observations.
    observed : int
        Observations of a system.
    systems : int
        Systems observed, those kept aside included.
    training : int
        Solves of all rounds of active learning.
    largest : int
        Solves of the largest round, whatever it is for.
    cost : ForwardCost
        What solving takes.
    """

    study: Study
    row: int
    observed: int
    systems: int
    training: int
    largest: int
    cost: ForwardCost


def sizes(study: Study) -> Sizes:
    """Return the sizes of a study of a checked configuration."""
    section: ForwardSection = TypeAdapter(Forward).validate_python(study["forward"])
    parameters, observed = len(section.parameter_names()), section.observation_count()
    learning = study["active_learning"]
    return Sizes(
        study=study,
        row=parameters + observed,
        observed=observed,
        systems=_systems(study, observed),
        training=solve_count(study, "0")
        + (int(learning["rounds"]) - 1) * int(learning["solves_per_round"]),
        largest=max(solve_count(study, name) for name in _rounds(study)),
        cost=forward_cost(study["forward"], parameters, observed),
    )


def _rounds(study: Study) -> list[str]:
    """Return one name of each sort of rounds that a study has."""
    names = ["0", "1", "check", "fixed"]
    names += [f"systems_{count}" for count in study["evidence"]["system_counts"]]
    return [*names, "truth"] if is_synthetic(study) else names


def _systems(study: Study, observed: int) -> int:
    if is_synthetic(study):
        return solve_count(study, "truth")
    # How many are in the user's file is not known yet: as many as there is room for, at four bytes
    # a number.
    file = Path(study["observations"]["file"])
    files = [f for f in file.rglob("*") if f.is_file()] if file.is_dir() else [file]
    total = sum(f.stat().st_size for f in files if f.exists())
    return max(_OF_A_FILE, total // (4 * observed))


def demand(rule: str, of: Sizes, wildcards: Wildcards) -> Demand:
    """Return what a job of a rule needs at its first attempt.

    Raises
    ------
    KeyError
        If the rule is not one of `RULES`.
    """
    return RULES[rule](of, wildcards)


def memory_mb(needed: Demand, attempt: int = 1) -> int:
    """Return megabytes to ask for, in steps of 100; twice as many at each further attempt."""
    return math.ceil(needed.megabytes / 100) * 100 * 2 ** (attempt - 1)


def runtime_minutes(needed: Demand, attempt: int = 1) -> int:
    """Return minutes to ask for, in steps of 10; twice as many at each further attempt."""
    seconds = _START_SECONDS + 2 * needed.seconds
    return math.ceil(seconds / 600) * 10 * 2 ** (attempt - 1)


def _megabytes(numbers: float) -> float:
    """Memory of so many double-precision numbers, with the margin."""
    return _MARGIN * 8e-6 * numbers


# --- the surrogate -------------------------------------------------------------------------------


def _weights(of: Sizes) -> float:
    """Operations per system that one pass forward through the surrogate takes, halved."""
    network = of.study["surrogate"]
    width = network["width"]
    if network["network"] == "fno":
        return (
            of.cost.cells * network["fourier_layers"] * width * (width + 4 * math.log2(2 + width))
        )
    return width * (of.row + network["depth"] * width)


def _activations(of: Sizes) -> float:
    """Numbers per system that a pass keeps for the gradient."""
    network = of.study["surrogate"]
    if network["network"] == "fno":
        return 4.0 * of.cost.cells * network["fourier_layers"] * network["width"]
    return 2.0 * network["depth"] * network["width"] + of.row


def _training(of: Sizes, solves: int) -> Demand:
    network = of.study["surrogate"]
    epochs, batch = network["max_epochs"], network["batch_size"]
    # The validation set goes through the network whole.
    at_once = max(batch, network["validation_fraction"] * solves)
    numbers = 6 * solves * of.row + 2 * at_once * _activations(of)
    seconds = epochs * (solves * 6 * _weights(of) / _FLOPS + 2e-3 * (1 + solves / batch))
    return Demand(_WITH_TORCH_MB + _megabytes(numbers), seconds)


# --- the descent ---------------------------------------------------------------------------------


def _descent(of: Sizes, systems: int, descents: float = 1, iterations: int | None = None) -> Demand:
    """One descent after the other: memory of one, time of all."""
    asked = of.study["descent"]
    samples, directions = asked["model_samples"], asked["directions"]
    data = min(systems, asked["batch_size"] or systems)
    # Covariances and their factors, besides the samples.
    numbers = 3 * (systems + samples) * of.row + 8 * of.observed**2
    numbers += 10 * (data + samples) * directions + 3 * samples * _activations(of)
    if of.study["noise"]["kind"] == "full":
        numbers += 4 * (of.observed * (of.observed + 1) / 2) ** 2
    of_step = samples * 8 * _weights(of) / _FLOPS + 1e-7 * (data + samples) * directions + 5e-3
    steps = (asked["iterations"] if iterations is None else iterations) * descents
    return Demand(_WITH_TORCH_MB + _megabytes(numbers), steps * of_step)


def _update(of: Sizes, wildcards: Wildcards) -> Demand:
    return _descent(of, of.systems, iterations=of.study["active_learning"]["descent_iterations"])


def _deconvolve(of: Sizes, wildcards: Wildcards) -> Demand:
    return _descent(of, of.systems, of.study["descent"]["restarts"])


def _resample(of: Sizes, wildcards: Wildcards) -> Demand:
    return _descent(of, of.systems, max(1, of.study["assessment"]["bootstrap"]))


def _measure_error(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = of.study["evidence"]
    return _descent(of, int(wildcards["systems"]), asked["repeats"], asked["iterations"])


def _replicate(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = of.study["evidence"]
    descents = asked["coverage_block"] * (1 + of.study["assessment"]["bootstrap"])
    return _descent(of, of.systems, descents)


# --- everything else -----------------------------------------------------------------------------


def _solve(of: Sizes, solves: int, read: int, base: float = _PLAIN_MB) -> Demand:
    numbers = 2 * (read + solves) * of.row
    return Demand(
        base + of.cost.megabytes + _megabytes(numbers),
        of.cost.setup_seconds + solves * of.cost.seconds,
    )


def _solve_chunk(of: Sizes, wildcards: Wildcards) -> Demand:
    # That of the largest round, since all jobs of an array ask for the same; a round's proposals
    # are read as a whole.
    solves = min(of.study["active_learning"]["chunk_size"], of.largest)
    return _solve(of, solves, of.largest)


def _solve_distributed(of: Sizes, wildcards: Wildcards) -> Demand:
    cost, ranks = of.cost, of.study["forward"]["ranks"]
    solves = min(of.study["active_learning"]["chunk_size"], of.largest)
    each = _PLAIN_MB + cost.firedrake_megabytes + _megabytes(2 * (of.largest + solves) * of.row)
    return Demand(
        ranks * each + cost.distributed_megabytes,
        cost.setup_seconds + solves * cost.distributed_seconds / ranks,
    )


def _repeat(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = of.study["assessment"]
    solves = max(1, asked["repeats"]) * asked["repeated_systems"]
    return _solve(of, solves, solves, _WITH_TORCH_MB)


def _rows(copies: float, torch: bool = True) -> Callable[[Sizes, Wildcards], Demand]:
    """Rules that hold all systems or all solves a few times over."""

    def needed(of: Sizes, wildcards: Wildcards) -> Demand:
        rows = of.systems + of.training
        if "round" in wildcards:
            rows += solve_count(of.study, wildcards["round"])
        if "systems" in wildcards:
            rows += int(wildcards["systems"]) * int(of.study["evidence"]["repeats"])
        numbers = copies * rows * of.row
        return Demand(
            (_WITH_TORCH_MB if torch else _PLAIN_MB) + _megabytes(numbers), 1e-6 * numbers
        )

    return needed


def _judge(of: Sizes, wildcards: Wildcards) -> Demand:
    # The held-out test compares with 4000 draws along 200 directions, again for each resample.
    draws = of.systems + 4000
    numbers = 6 * (of.systems + of.training) * of.row + draws * (2000 + _activations(of))
    numbers += 8 * of.observed**2
    seconds = of.study["assessment"]["null_resamples"] * draws * 200 * 2e-7
    return Demand(_WITH_TORCH_MB + _megabytes(numbers), seconds)


def _plot(of: Sizes, wildcards: Wildcards) -> Demand:
    needed = _judge(of, wildcards)
    return Demand(needed.megabytes + _FIGURES_MB, 120 + needed.seconds)


def _two_stage(of: Sizes, wildcards: Wildcards) -> Demand:
    numbers = 6 * of.systems * of.row + 2000 * of.row * _activations(of)
    return Demand(
        _WITH_TORCH_MB + _megabytes(numbers), of.systems * 200 * 8 * _weights(of) / _FLOPS
    )


def _posterior(of: Sizes, wildcards: Wildcards) -> Demand:
    # At most 100 systems; most of it is JAX.
    return Demand(2 * _WITH_TORCH_MB + _megabytes(6 * of.systems * of.row), 6 * 3600)


def _fixed_design(of: Sizes, wildcards: Wildcards) -> Demand:
    return _training(of, int(wildcards["solves"]))


def _asked(of: Sizes, method: str) -> Mapping[str, Any]:
    """Return the settings of a downstream method."""
    if (settings := of.study["downstream"][method]) is None:
        raise NotAsked(method)
    return settings


def _posteriors(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "posterior")
    rows = of.systems * asked["chains"]
    numbers = rows * (asked["draws"] * of.row + 2 * _activations(of) + 6 * of.row)
    moves = asked["warmup"] + asked["draws"] * asked["thin"]
    # A move tries about five angles.
    return Demand(
        _WITH_TORCH_MB + _FIGURES_MB + _megabytes(2 * numbers),
        moves * 5 * rows * 2 * _weights(of) / _FLOPS,
    )


def _group(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "mwgrad")
    evaluations = 3 * asked["iterations"] * len(asked["systems"])
    return Demand(
        _WITH_TORCH_MB + _FIGURES_MB + _megabytes(of.systems * of.row), evaluations * 0.01
    )


def _probe(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "sgd_dynamics")
    # Two lines, on each the places, and at a few critical points the noise and the runs.
    slopes = 2 * (asked["places"] * asked["draws"] + 3 * asked["noise_draws"])
    slopes += 2 * 3 * asked["paths"] * 200
    needed = _descent(of, of.systems, iterations=slopes)
    return Demand(needed.megabytes + _FIGURES_MB, needed.seconds)


def _select(of: Sizes, wildcards: Wildcards) -> Demand:
    asked, network = _asked(of, "influence"), of.study["surrogate"]
    fresh = of.study["assessment"]["surrogate_check"]
    rows = of.training + fresh
    # Scores and kernels of pairs of rows, gradients of the targets, and of a few rows at a time.
    numbers = 3.0 * rows * max(asked["landmarks"] * rows, asked["targets"]) + 6 * rows * of.row
    numbers += 2 * asked["targets"] * _weights(of) + 1e8
    # Six trainings on the pool, and eight on candidates, beside the scores.
    passes = asked["repeats"] * 14 * (asked["steps"] * network["batch_size"] + fresh)
    passes += asked["repeats"] * 20 * rows
    return Demand(
        _WITH_TORCH_MB + _FIGURES_MB + _megabytes(numbers),
        passes * 6 * _weights(of) / _FLOPS + 14 * asked["repeats"] * asked["steps"] * 5e-3,
    )


def _forget(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "certified_unlearning")
    batches = math.ceil(of.systems / asked["batch_size"])
    # An epoch's contraction is strong * batches; learning ends when the start is forgotten.
    learnt = asked["epochs"] + 30 / (asked["strong_convexity"] * batches)
    epochs = 4 * learnt + 2 * asked["epochs"] * len(asked["systems"])
    numbers = 8 * of.systems * of.row
    return Demand(
        _PLAIN_MB + _FIGURES_MB + _megabytes(numbers), asked["repeats"] * epochs * batches * 1e-4
    )


def _withdraw(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "instance_unlearning")
    # Gradients with each system left out, four to each parameter for their noise, and descents.
    slopes = asked["systems"] * asked["places"] + max(asked["noise_draws"], 4 * 2 * of.row)
    slopes += (1 + asked["withdrawn"]) * (of.study["descent"]["iterations"] + asked["steps"])
    needed = _descent(of, of.systems, iterations=slopes)
    trained = _training(of, of.training)
    return Demand(
        max(needed.megabytes, trained.megabytes) + _FIGURES_MB,
        # Numbers of systems that do not divide the draws compare more slowly.
        5 * needed.seconds + (10 * trained.seconds if asked["solves"] else 0),
    )


def _devices(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "analog")
    trainings = 1 + 3 * len(asked["devices"]) * len(asked["ranges"])
    # The curvature keeps the graph of a thousand rows; a step is small, and mostly Python.
    numbers = 3 * 1000 * _activations(of) + 6 * of.training * of.row
    of_step = 6 * asked["batch_size"] * _weights(of) / _FLOPS + 5e-3
    descents = _descent(of, of.systems, 5, iterations=asked["descent_iterations"])
    return Demand(
        descents.megabytes + _FIGURES_MB + _megabytes(numbers + trainings * of.row**2),
        descents.seconds + trainings * asked["steps"] * of_step,
    )


def _sites(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "fedhl")
    count = len(asked["ranks"])
    solving = _solve(of, count * (asked["solves"] + asked["test_solves"]), 0, _WITH_TORCH_MB)
    # Four ways to train; products and gradients of dense increments stand for every site at once.
    dense = count * 4 * _weights(of)
    rows = count * (asked["batch_size"] + asked["test_solves"])
    steps = 4 * asked["rounds"] * asked["local_steps"]
    return Demand(
        solving.megabytes + _FIGURES_MB + _megabytes(6 * dense + rows * _activations(of)),
        solving.seconds
        + steps * (0.02 + (6 * rows * _weights(of) + 6 * dense * max(asked["ranks"])) / _FLOPS),
    )


def _distributed_training(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = _asked(of, "birch")
    training = _training(of, of.training)
    # Three policies: seven step sizes that are tried, the real run and the simulated one; of the
    # real one the slowest worker is waited for at worst.
    each = asked["batch_size"] * 6 * _weights(of) / _FLOPS + 2e-3
    waited = max(asked["seconds"]) + asked["message"]
    seconds = 3 * asked["gradients"] * (9 * each + waited)
    workers = len(asked["seconds"])
    return Demand(training.megabytes + _FIGURES_MB + 200 * workers, seconds)


RULES: dict[str, Callable[[Sizes, Wildcards], Demand]] = {
    "draw_population": _rows(4),
    "observe_population": _rows(6),
    "import_observations": _rows(6),
    "propose_parameters": _rows(4),
    "solve_chunk": _solve_chunk,
    "solve_chunk_distributed": _solve_distributed,
    "collect_solves": _rows(6),
    "train_surrogate": lambda of, wildcards: _training(of, of.training),
    "update_population": _update,
    "deconvolve": _deconvolve,
    "consult_oracle": lambda of, wildcards: _descent(of, of.systems),
    "resample_systems": _resample,
    "assess_population": _judge,
    "plot_figures": _plot,
    "write_study_page": _plot,
    "repeat_solves": _repeat,
    "descend_with_policy": _deconvolve,
    "fit_two_stage": _two_stage,
    "sample_posterior": _posterior,
    "compare_baselines": _rows(2),
    "measure_error": _measure_error,
    "fit_error_slope": _rows(1),
    "train_fixed_design": _fixed_design,
    "compare_designs": _rows(6),
    "replicate_study": _replicate,
    "measure_coverage": _rows(1),
    "posterior": _posteriors,
    "serve_group": _group,
    "probe_descent": _probe,
    "withdraw_systems": _withdraw,
    "advise_optimiser": _rows(4),
    "select_samples": _select,
    "forget_systems": _forget,
    "train_on_devices": _devices,
    "adapt_sites": _sites,
    "train_distributed": _distributed_training,
}
