"""What the jobs of the main stages need: arrays that grow with the study, and operations."""

from __future__ import annotations

from collections.abc import Callable

from popinv.estimator_demands import (
    activations,
    descents,
    estimating,
    likelihoods,
    multiply_adds,
    pseudo_likelihood,
    resampling,
)
from popinv.study_sizes import (
    FIGURES_MB,
    FLOPS,
    PLAIN_MB,
    WITH_TORCH_MB,
    Demand,
    Sizes,
    Wildcards,
    megabytes,
)
from popinv.workflow import solve_count, wants_likelihood

__all__ = [
    "STAGES",
    "rows_of",
    "solving_of",
    "training",
]


# --- the surrogate -------------------------------------------------------------------------------


def training(of: Sizes, solves: int) -> Demand:
    """Return what training the surrogate on so many solves needs."""
    network = of.study["surrogate"]
    epochs, batch = network["max_epochs"], network["batch_size"]
    # The validation set goes through the network whole.
    at_once = max(batch, network["validation_fraction"] * solves)
    numbers = 6 * solves * of.row + 2 * at_once * activations(of)
    seconds = epochs * (solves * 6 * multiply_adds(of) / FLOPS + 2e-3 * (1 + solves / batch))
    return Demand(WITH_TORCH_MB + megabytes(numbers), seconds)


# --- law and noise -------------------------------------------------------------------------------


def _times(needed: Demand, count: float) -> Demand:
    """One after the other: memory of one, time of all."""
    return Demand(needed.megabytes, count * needed.seconds)


def _update(of: Sizes, wildcards: Wildcards) -> Demand:
    return pseudo_likelihood(of)


def _deconvolve(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = of.study["descent"]
    return descents(of, of.systems, asked["restarts"] * asked["legs"])


def _maximise(of: Sizes, wildcards: Wildcards) -> Demand:
    # Ends of intervals that the covariance does not tell are looked for along the likelihoods.
    needed = _times(likelihoods(of, wants_likelihood(of.study)), 4)
    return Demand(needed.megabytes, needed.seconds + of.cost.setup_seconds)


def _resample(of: Sizes, wildcards: Wildcards) -> Demand:
    return resampling(of, of.study["assessment"]["bootstrap"])


def _consult(of: Sizes, wildcards: Wildcards) -> Demand:
    likelihoods, distance = estimating(of), descents(of, of.systems, of.study["descent"]["legs"])
    return Demand(
        max(likelihoods.megabytes, distance.megabytes),
        likelihoods.seconds + distance.seconds + of.cost.setup_seconds,
    )


def _measure_error(of: Sizes, wildcards: Wildcards) -> Demand:
    return _times(estimating(of, int(wildcards["systems"])), of.study["evidence"]["repeats"])


def _replicate(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = of.study["evidence"]
    needed = _times(estimating(of), asked["calibration_block"])
    solves = of.systems * asked["calibration_block"] if asked["through"] == "solver" else 0
    return Demand(
        needed.megabytes, needed.seconds + of.cost.setup_seconds + solves * of.cost.seconds
    )


# --- everything else -----------------------------------------------------------------------------


def solving_of(of: Sizes, solves: int, read: int, base: float = PLAIN_MB) -> Demand:
    """Return what a number of solves needs, beside so many that are read."""
    numbers = 2 * (read + solves) * of.row
    return Demand(
        base + of.cost.megabytes + megabytes(numbers),
        of.cost.setup_seconds + solves * of.cost.seconds,
    )


def _solve_chunk(of: Sizes, wildcards: Wildcards) -> Demand:
    # That of the largest round, since all jobs of an array ask for the same; a round's proposals
    # are read as a whole.
    solves = min(of.study["active_learning"]["chunk_size"], of.largest)
    return solving_of(of, solves, of.largest)


def _solve_distributed(of: Sizes, wildcards: Wildcards) -> Demand:
    cost, ranks = of.cost, of.study["forward"]["ranks"]
    solves = min(of.study["active_learning"]["chunk_size"], of.largest)
    each = PLAIN_MB + cost.firedrake_megabytes + megabytes(2 * (of.largest + solves) * of.row)
    return Demand(
        ranks * each + cost.distributed_megabytes,
        cost.setup_seconds + solves * cost.distributed_seconds / ranks,
    )


def _repeat(of: Sizes, wildcards: Wildcards) -> Demand:
    asked = of.study["assessment"]
    solves = max(1, asked["repeats"]) * asked["repeated_systems"]
    return solving_of(of, solves, solves, WITH_TORCH_MB)


def rows_of(copies: float) -> Callable[[Sizes, Wildcards], Demand]:
    """Return the demand of rules that hold all systems or all solves a few times over."""

    def needed(of: Sizes, wildcards: Wildcards) -> Demand:
        rows = of.systems + of.training
        if "round" in wildcards:
            rows += solve_count(of.study, wildcards["round"])
        if "systems" in wildcards:
            rows += int(wildcards["systems"]) * int(of.study["evidence"]["repeats"])
        numbers = copies * rows * of.row
        return Demand(WITH_TORCH_MB + megabytes(numbers), 1e-6 * numbers)

    return needed


def _judge(of: Sizes, wildcards: Wildcards) -> Demand:
    # The held-out test compares with 4000 draws along 200 directions, again for each resample.
    draws = of.systems + 4000
    numbers = 6 * (of.systems + of.training) * of.row + draws * (2000 + activations(of))
    numbers += 8 * of.observed**2
    seconds = of.study["assessment"]["null_resamples"] * draws * 200 * 2e-7
    return Demand(WITH_TORCH_MB + megabytes(numbers), seconds)


def _plot(of: Sizes, wildcards: Wildcards) -> Demand:
    needed = _judge(of, wildcards)
    return Demand(needed.megabytes + FIGURES_MB, 120 + needed.seconds)


def _systems(of: Sizes, wildcards: Wildcards) -> Demand:
    # Five systems, their states in a few copies, and two solvers.
    solving = solving_of(of, 5, of.systems, WITH_TORCH_MB)
    return Demand(
        solving.megabytes + of.cost.megabytes + FIGURES_MB + megabytes(5 * 4 * of.cost.state),
        120 + 2 * of.cost.setup_seconds + solving.seconds + 1e-7 * 5 * of.cost.state,
    )


def _noise(of: Sizes, wildcards: Wildcards) -> Demand:
    return Demand(WITH_TORCH_MB + FIGURES_MB + megabytes(8 * of.observed**2), 120)


def _two_stage(of: Sizes, wildcards: Wildcards) -> Demand:
    numbers = 6 * of.systems * of.row + 2000 * of.row * activations(of)
    return Demand(
        WITH_TORCH_MB + megabytes(numbers), of.systems * 200 * 8 * multiply_adds(of) / FLOPS
    )


def _posterior(of: Sizes, wildcards: Wildcards) -> Demand:
    # At most 100 systems; most of it is JAX.
    return Demand(2 * WITH_TORCH_MB + megabytes(6 * of.systems * of.row), 6 * 3600)


def _fixed_design(of: Sizes, wildcards: Wildcards) -> Demand:
    return training(of, int(wildcards["solves"]))


STAGES: dict[str, Callable[[Sizes, Wildcards], Demand]] = {
    "draw_population": rows_of(4),
    "observe_population": rows_of(6),
    "import_observations": rows_of(6),
    "propose_parameters": rows_of(4),
    "solve_chunk": _solve_chunk,
    "solve_chunk_distributed": _solve_distributed,
    "collect_solves": rows_of(6),
    "train_surrogate": lambda of, wildcards: training(of, of.training),
    "update_population": _update,
    "deconvolve": _deconvolve,
    "maximise_likelihoods": _maximise,
    "consult_oracle": _consult,
    "resample_systems": _resample,
    "gather_answer": rows_of(6),
    "assess_population": _judge,
    "plot_figures": _plot,
    "draw_systems": _systems,
    "draw_noise": _noise,
    "write_study_page": _plot,
    "repeat_solves": _repeat,
    "descend_with_policy": _deconvolve,
    "fit_two_stage": _two_stage,
    "sample_posterior": _posterior,
    "compare_baselines": rows_of(2),
    "measure_error": _measure_error,
    "fit_error_slope": rows_of(1),
    "train_fixed_design": _fixed_design,
    "compare_designs": rows_of(6),
    "replicate_study": _replicate,
    "measure_calibration": rows_of(1),
}
"""What a job of each rule of the main stages needs."""
