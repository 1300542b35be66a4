"""Memory and time that a job asks of a cluster: a table with a row for each rule.

The numbers of a row are those of benchmark files: megabytes and seconds of the job's own process,
a base and slopes. The bases are the largest measured with the default study; the slopes come from
larger studies. ``tests/workflow/test_resources.py`` holds what was measured, and compares.

The time of a solve of which nothing is known is assumed until a chunk has measured it
(:mod:`popinv.forward.solve_times`).

A job asks for more than its row says, by the margins below. A job that asks for too much waits a
little longer in the queue; one that asks for too little is killed, and asks for twice as much when
it is tried again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace

from popinv.config.study import Study
from popinv.workflow.method_demands import METHODS
from popinv.workflow.questions import has_known, solves_at_once
from popinv.workflow.study_sizes import Demand, NotAsked, Row, Sizes, megabytes, sizes

__all__ = [
    "ROWS",
    "Demand",
    "NotAsked",
    "Sizes",
    "demand",
    "memory_mb",
    "rounds_at_once",
    "row_of",
    "runtime_minutes",
    "sizes",
]

# Snakemake's processes around a job count towards its memory: up to three of 145 MB.
_SNAKEMAKE_MB = 450
# A nearly full memory kills a job; a slow or busy machine makes it late.
_MEMORY_MARGIN, _TIME_MARGIN = 1.25, 2.0
_LEAST_MB, _LEAST_MINUTES = 1000, 10
# Rounds whose trainings and estimates are planned with fewer seconds are one job. Those of the
# default study are planned with 60 s and take 10 s.
_ROUNDS_AT_ONCE_SECONDS = 120.0


def _moments_mb(s: Sizes) -> float:
    # About so many draws of systems pass through the surrogate in a block.
    blocks = 850 + 6 * s.records + s.observations + (8 + s.law + s.noise) * s.covariance
    return blocks + s.of_systems(6 * (s.law + s.noise)) + 20_000 * s.layers


def _likelihoods_mb(s: Sizes) -> float:
    # Two evaluations, a checkpoint and the result hold scores, modes and moments of each system.
    return _moments_mb(s) + s.of_systems(4 * (3 * (s.law + s.noise) + 3 * s.parameters + 4))


def _estimate_mb(s: Sizes) -> float:
    return max(_likelihoods_mb(s), s.descent_megabytes)


def _again_mb(s: Sizes) -> float:
    # The systems are drawn or observed anew, and held.
    return max(_estimate_mb(s), 850 + 10 * s.tables)


def _likelihoods_seconds(s: Sizes) -> float:
    pseudo = 5 + 3 * s.moments
    # The curvature takes some systems again for each parameter.
    evaluations = 6 * s.systems + 3000 + 2 * (s.law + s.noise) * min(400, s.systems)
    wanted = s.study.estimator in ("auto", "likelihood")
    return pseudo + (evaluations * s.integral if wanted else 0.0)


def _descent_seconds(s: Sizes) -> float:
    return 5 + s.study.descent.iterations * s.step


def _estimate_seconds(s: Sizes) -> float:
    """Return the seconds of one estimate by the estimator that the study asks for."""
    likelihoods, distance = _likelihoods_seconds(s), _descent_seconds(s)
    # Where neither likelihood passes, the distance follows.
    either = {"distance": distance, "auto": max(likelihoods, distance)}
    return either.get(s.study.estimator, likelihoods)


def _resample_seconds(s: Sizes) -> float:
    steps = 80 if s.study.noise.unrestricted else 12
    distance, pseudo = steps * s.step, 4 * s.moments
    likelihood = 4 * (s.systems + 300) * s.integral
    each = {"distance": distance, "pseudo_likelihood": pseudo, "likelihood": likelihood}
    return each.get(s.study.estimator, max(each.values()))


def _refit_seconds(s: Sizes) -> float:
    # Few systems are refitted without each of five folds. A file is taken for at least 1000.
    return 10 + 5 * _resample_seconds(s)


def _judged_mb(s: Sizes) -> float:
    return 700 + 3 * s.tables + 8 * s.covariance + 2000 * s.layers


def _judged_seconds(s: Sizes) -> float:
    held_out = s.study.assessment.null_resamples * 1e-5 * (s.heldout + 1000)
    return 10 + held_out + 3 * (min(s.systems, 4000) + 4000) * s.integral


def _repeated_solves(s: Sizes) -> int:
    return s.study.assessment.repeats * s.study.assessment.repeated_systems


def _replicated_seconds(s: Sizes) -> float:
    through_solver = s.study.evidence.through == "solver"
    observed = s.solving(s.systems) if through_solver else 0.0
    return s.study.evidence.calibration_block * (observed + _estimate_seconds(s))


def _proposed_mb(s: Sizes) -> float:
    # Designs and covariates come with the observations of their systems.
    return 450 + 2 * (s.tables if has_known(s.study) else s.inputs)


def _training_seconds(s: Sizes) -> float:
    return 5 + s.solves * s.training


def _update_seconds(s: Sizes) -> float:
    # Through an early surrogate the ascent takes many steps.
    return 12 + 8 * s.moments_of_round


# Drawing, solving and collecting in one job, where they take seconds.
_AT_ONCE = Row(
    lambda s: 730 + s.cost.megabytes + 4 * s.tables,
    lambda s: 9 + s.solving(s.chunk) + 0.2 * s.tables,
    lambda s: s.cost.setup_seconds,
)

_ROWS = {
    # Populations and solves.
    "draw_population": Row(lambda s: 450 + 2 * s.inputs, lambda s: 3 + 0.1 * s.inputs),
    "observe_population": Row(lambda s: 450 + 2 * s.tables, lambda s: 3 + 0.1 * s.tables),
    "import_observations": Row(lambda s: 150 + 4 * s.tables, lambda s: 3 + 0.5 * s.tables),
    "propose_parameters": Row(_proposed_mb, lambda s: 3 + 0.1 * s.inputs),
    "solve_chunk": Row(
        lambda s: 150 + s.cost.megabytes + s.rows_of_proposals + 4 * megabytes(s.chunk * s.numbers),
        lambda s: 3 + s.solving(s.chunk),
        lambda s: s.cost.setup_seconds,
    ),
    "solve_chunk_distributed": Row(
        lambda s: (
            s.ranks * (300 + s.cost.firedrake_megabytes + 2 * s.tables)
            + s.cost.distributed_megabytes
        ),
        lambda s: 3 + s.chunk * s.cost.distributed_seconds / s.ranks,
        lambda s: s.cost.setup_seconds,
    ),
    # Surrogate and solves; of these 200 MB are those of a torch with CUDA.
    "collect_solves": Row(lambda s: 730 + 2 * s.tables, lambda s: 3 + 0.1 * s.tables),
    "simulate_observations": _AT_ONCE,
    "solve_population": _AT_ONCE,
    "solve_round": _AT_ONCE,
    "repeat_solves": Row(
        lambda s: 450 + s.cost.megabytes + 2 * s.tables,
        lambda s: 5 + s.solving(_repeated_solves(s)),
        lambda s: s.cost.setup_seconds,
    ),
    # The surrogate, the law and the noise.
    "train_surrogate": Row(lambda s: s.training_megabytes, _training_seconds),
    "run_rounds": Row(
        lambda s: max(_AT_ONCE.megabytes(s), s.training_megabytes, _moments_mb(s)),
        lambda s: (
            (1 + s.study.active_learning.rounds) * _AT_ONCE.seconds(s)
            + s.study.active_learning.rounds * (_training_seconds(s) + _update_seconds(s))
        ),
        lambda s: s.cost.setup_seconds,
    ),
    "train_fixed_design": Row(lambda s: s.training_megabytes, _training_seconds),
    "update_population": Row(_moments_mb, _update_seconds),
    # A second leg of the descent fits into the margin; a third goes on from the checkpoint.
    "deconvolve": Row(
        lambda s: s.descent_megabytes, lambda s: s.study.descent.restarts * _descent_seconds(s)
    ),
    "descend_with_policy": Row(lambda s: s.descent_megabytes, _descent_seconds),
    "maximise_likelihoods": Row(_likelihoods_mb, _likelihoods_seconds, lambda s: s.solver),
    "consult_oracle": Row(_estimate_mb, _estimate_seconds, lambda s: s.solver),
    "resample_systems": Row(
        _again_mb, lambda s: 5 + (s.study.assessment.bootstrap + 1) * _resample_seconds(s)
    ),
    "refit_without_tested": Row(_again_mb, _refit_seconds, lambda s: s.solver),
    "gather_answer": Row(lambda s: 550 + 4 * s.tables, lambda s: 3 + 0.1 * s.tables),
    # Judgement and pages.
    "assess_population": Row(_judged_mb, _judged_seconds),
    "score_systems": Row(
        lambda s: _likelihoods_mb(s) + 4 * s.tables,
        # Each system has at least four times the draws of the likelihood.
        lambda s: 10 + 3 * s.moments + 4 * (s.systems + s.heldout + 1000) * s.integral,
        lambda s: s.solver,
    ),
    # A moment of drawing holds the observations twice more.
    "plot_figures": Row(
        lambda s: 200 + _judged_mb(s) + 2 * s.tables, lambda s: 30 + _judged_seconds(s)
    ),
    "write_study_page": Row(lambda s: 200 + _judged_mb(s), lambda s: 30 + _judged_seconds(s)),
    "draw_systems": Row(
        lambda s: 600 + 2 * s.cost.megabytes + megabytes(20 * s.cost.state),
        lambda s: 60 + 5 * s.solve_seconds + 5e-7 * s.cost.state,
        lambda s: 2 * s.cost.setup_seconds,
    ),
    "draw_noise": Row(lambda s: 600 + 8 * s.covariance, lambda s: 60),
    # Other methods, and the evidence.
    "fit_two_stage": Row(
        lambda s: 600 + 6 * s.tables + 8000 * s.layers,
        lambda s: 5 + s.systems * 100 * s.parameters * s.passing,
    ),
    "sample_hierarchical": Row(
        lambda s: 1200 + 6 * s.tables, lambda s: 30 + 1e6 * min(s.systems, 100) * s.passing
    ),
    "compare_baselines": Row(lambda s: 150, lambda s: 3),
    "measure_error": Row(
        # The estimates start from the study's answer.
        _again_mb,
        lambda s: 5 + s.study.evidence.repeats * _estimate_seconds(s) / 2,
    ),
    "fit_error_slope": Row(lambda s: 450, lambda s: 5),
    "compare_designs": Row(lambda s: 600 + 6 * s.tables, lambda s: 10 + 0.1 * s.tables),
    "replicate_study": Row(
        _again_mb,
        _replicated_seconds,
        lambda s: s.study.evidence.calibration_block * s.solver,
    ),
    "measure_calibration": Row(lambda s: 550 + s.tables, lambda s: 5),
}

ROWS: dict[str, Row] = {**_ROWS, **METHODS}
"""The memory and the time of the jobs of each rule of a study."""


def demand(rule: str, of_study: Sizes, wildcards: Mapping[str, str]) -> Demand:
    """Return what a job of a rule takes.

    Raises
    ------
    KeyError
        If the table has no such rule.
    NotAsked
        If it is the rule of a downstream method that the study does not ask for.
    """
    if "systems" in wildcards:
        of_study = replace(of_study, systems=int(wildcards["systems"]))
    if "solves" in wildcards:
        of_study = replace(of_study, solves=int(wildcards["solves"]))
    return ROWS[rule].demand(of_study)


def rounds_at_once(study: Study) -> int:
    """Return the number of rounds that one job runs with the check, as all of it takes seconds.

    It is 0 where the parts of the rounds are jobs of their own. It depends on the study alone, as
    :func:`popinv.workflow.questions.solves_at_once`.
    """
    if not solves_at_once(study):
        return 0
    of_study, rounds = sizes(study), study.active_learning.rounds
    seconds = rounds * (_training_seconds(of_study) + _update_seconds(of_study))
    return rounds if seconds <= _ROUNDS_AT_ONCE_SECONDS else 0


def row_of(rule: str) -> str:
    """Return the name of a rule's row; rules that differ by their number of rounds share one."""
    return re.sub(r"^run_\d+_rounds$", "run_rounds", rule)


def memory_mb(needed: Demand, attempt: int = 1) -> int:
    """Return megabytes to ask for, in steps of 100; twice as many at each further attempt."""
    wanted = _SNAKEMAKE_MB + _MEMORY_MARGIN * needed.megabytes
    return max(_LEAST_MB, math.ceil(wanted / 100) * 100) * 2 ** (attempt - 1)


def runtime_minutes(needed: Demand, attempt: int = 1) -> int:
    """Return minutes to ask for, in steps of 5; twice as many at each further attempt."""
    wanted = (_TIME_MARGIN * needed.seconds + needed.granted_seconds) / 60
    return max(_LEAST_MINUTES, math.ceil(wanted / 5) * 5) * 2 ** (attempt - 1)
