"""Memory and time that a job asks of a cluster: a table with a row for each rule.

The numbers of a row come from benchmark files: megabytes and seconds of the job's own process,
as a base, and a slope for each size of the study (:mod:`popinv.workflow.sizes`) with which they
grow. The bases are the largest measured with the default study; the slopes come from larger
studies. ``tests/workflow/test_resources.py`` holds what was measured, and compares.

The time of a solve of which nothing is known is assumed until a chunk has measured it
(:mod:`popinv.forward.solve_times`).

A job requests more than its row says, by the margins below. A job that requests too much waits a
little longer in the queue. A job that requests too little is killed, and requests twice as much
when it is tried again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from popinv.config.study import Study
from popinv.methods.method import Amount, StudySizes
from popinv.methods.registry import METHODS
from popinv.workflow.rounds import chunk_count, is_evidence, solves_at_once
from popinv.workflow.sizes import Sizes, megabytes

# Snakemake's processes around a job count towards its memory: up to three of 145 MB.
_SNAKEMAKE_MB = 450
# A nearly full memory kills a job; a slow or busy machine makes it late.
_MEMORY_MARGIN, _TIME_MARGIN = 1.25, 2.0
_LEAST_MB, _LEAST_MINUTES = 1000, 10
# A process that shares a job's loops is worth this many seconds of work, and holds this many
# megabytes of its own. More processes than these hardly help most studies.
_SECONDS_OF_A_PROCESS, _MEGABYTES_OF_A_PROCESS, _MOST_PROCESSES = 60.0, 150, 32
# Rounds whose trainings and estimates are planned with fewer seconds are one job. Rounds of
# the default study are planned with 60 s and take 10 s.
_ROUNDS_AT_ONCE_SECONDS = 120.0


COUNTS = ("systems", "solves")
"""Wildcards of the evidence that take the place of the study's numbers."""


class NotAsked(LookupError):
    """The study does not ask for the method whose rule this is."""


@dataclass(frozen=True)
class Demand:
    """The memory and the time of a job's process.

    Parameters
    ----------
    megabytes, seconds : float
        Measured values, or values that follow from measurements at other sizes.
    granted_seconds : float
        Time limits of the configuration, and the start of a solver: most jobs take less.
    """

    megabytes: float
    seconds: float
    granted_seconds: float = 0.0


Row = Callable[[Sizes], Demand]


def _copying(megabytes: float, copies: float, seconds: float, each: float) -> Row:
    """Return what a job takes that holds copies of all systems and solves, and computes little.

    It takes ``each`` seconds for each megabyte of a copy.
    """
    return lambda s: Demand(megabytes + copies * s.tables, seconds + each * s.tables)


def _training(s: Sizes) -> float:
    return 480 + 6 * (s.records + s.scores) + s.batch


def _descent(s: Sizes) -> float:
    return 600 + 6 * (s.records + s.scores) + s.observations + s.draws


def _moments(s: Sizes) -> float:
    # About this many draws of systems pass through the surrogate in a block.
    covariances = 8 * s.covariance + s.derivatives
    return 850 + 6 * (s.records + s.scores) + s.observations + covariances + 20_000 * s.kept


def _likelihoods(s: Sizes) -> float:
    # Two evaluations, a checkpoint and the result hold scores, modes and moments of each system.
    return _moments(s) + 12 * s.scores + 4 * s.modes


def _estimates(s: Sizes, own: float = 850) -> float:
    """Return the memory of a job of its own that makes estimates one after the other."""
    return max(own, _likelihoods(s), _descent(s))


def _again(s: Sizes) -> float:
    # The systems are drawn or observed anew, and held.
    return _estimates(s, 850 + 10 * s.tables)


def _judging(s: Sizes) -> float:
    return 3 * s.tables + 8 * s.covariance + 2000 * s.kept


def _solving(s: Sizes) -> float:
    # Drawing, solving and collecting in one job, where they take seconds.
    return 730 + 4 * s.tables + s.solver


def _solved_at_once(s: Sizes) -> Demand:
    return Demand(_solving(s), 9 + s.chunk_solves + 0.2 * s.tables, s.start)


def _rounds_seconds(s: Sizes) -> float:
    """Return the time of the trainings and the estimates of all rounds."""
    return s.study.active_learning.rounds * (5 + s.training + s.update)


def _run_rounds(s: Sizes) -> Demand:
    memory = max(_solving(s), _training(s), _moments(s))
    seconds = 30 + _rounds_seconds(s) + 4 * s.chunk_solves + s.tables
    return Demand(memory, seconds, s.start)


def _replications(s: Sizes) -> Demand:
    each, count = s.estimate + s.solves_of_replication, s.study.evidence.calibration_block
    return Demand(_again(s), count * each, count * s.granted)


ROWS: dict[str, Row] = {
    # Populations and solves.
    "draw_population": _copying(450, 1, 3, 0.1),
    "observe_population": _copying(450, 2, 3, 0.1),
    "import_observations": _copying(150, 4, 3, 0.5),
    "propose_parameters": _copying(450, 1, 3, 0.1),
    "solve_chunk": lambda s: Demand(150 + s.solver + s.chunk_tables, 3 + s.chunk_solves, s.start),
    "solve_chunk_distributed": lambda s: Demand(s.shared_solver, 3 + s.shared_solves, s.start),
    # Surrogate and solves; of these, a torch with CUDA takes 200 MB.
    "collect_solves": _copying(730, 2, 3, 0.1),
    "simulate_observations": _solved_at_once,
    "repeat_solves": lambda s: Demand(
        450 + 2 * s.tables + s.solver, 5 + s.repeated_solves, s.start
    ),
    # The surrogate, the law and the noise.
    "train_surrogate": lambda s: Demand(_training(s), 5 + s.training),
    "run_rounds": _run_rounds,
    "train_fixed_design": lambda s: Demand(_training(s), 5 + s.training),
    "update_population": lambda s: Demand(_moments(s), s.update),
    # A second leg of the descent fits into the margin; a third goes on from the checkpoint.
    "deconvolve": lambda s: Demand(_descent(s), s.study.descent.restarts * s.descent),
    "descend_with_policy": lambda s: Demand(_descent(s), s.descent),
    "maximise_likelihoods": lambda s: Demand(_likelihoods(s), s.likelihoods, s.granted),
    "add_systems": lambda s: Demand(_likelihoods(s), 30 + s.likelihoods, s.granted),
    "consult_oracle": lambda s: Demand(_estimates(s), s.estimate, s.granted),
    # Few systems are refitted without each of five folds. A file is taken for at least 1000.
    "refit_without_tested": lambda s: Demand(_again(s), 10 + 5 * s.refit, s.granted),
    "gather_answer": _copying(550, 4, 3, 0.1),
    # Judgement and pages. A moment of drawing holds the observations twice more.
    "assess_population": lambda s: Demand(700 + _judging(s), 10 + s.judging),
    # Each system has at least four times the draws of the likelihood.
    "score_systems": lambda s: Demand(
        _likelihoods(s) + 4 * s.tables,
        10 + 3 * s.moments + 4 * (s.systems + s.heldout + 1000) * s.integral,
        s.granted,
    ),
    "plot_figures": lambda s: Demand(900 + _judging(s) + 2 * s.tables, 40 + s.judging),
    "write_study_page": lambda s: Demand(900 + _judging(s), 40 + s.judging),
    "draw_systems": lambda s: Demand(
        600 + 2 * s.solver + 20 * s.state, 60 + 5 * s.solve + 0.06 * s.state, 2 * s.start
    ),
    "draw_noise": lambda s: Demand(600 + 8 * s.covariance, 60),
    # Other methods, and the evidence.
    "fit_two_stage": lambda s: Demand(
        600 + 6 * s.tables + 8000 * s.kept, 5 + 100 * s.systems * s.parameters * s.passing
    ),
    "sample_hierarchical": lambda s: Demand(
        1200 + 6 * s.tables, 30 + 1e6 * min(s.systems, 100) * s.passing
    ),
    "compare_baselines": _copying(150, 0, 3, 0),
    # The estimates that measure errors start from the study's answer.
    "measure_error": lambda s: Demand(_again(s), 5 + s.study.evidence.repeats * s.estimate / 2),
    "fit_error_slope": _copying(450, 0, 5, 0),
    "compare_designs": _copying(600, 6, 10, 0.1),
    "replicate_study": _replications,
    "measure_calibration": _copying(550, 1, 5, 0),
}
"""The memory and the time of the jobs of each rule of a study, except the rules of methods."""

RULES = (*ROWS, *(f"use_{name}" for name in METHODS))
"""The rules that have a row, or whose method states what they take."""


def demand(
    rule: str,
    study: Study,
    measured: float | None = None,
    *,
    systems: int | None = None,
    solves: int | None = None,
) -> Demand:
    """Return what a job of a rule takes.

    Parameters
    ----------
    measured, systems, solves
        As in :class:`popinv.workflow.sizes.Sizes`.

    Raises
    ------
    KeyError
        If the table has no such rule.
    NotAsked
        If it is the rule of a downstream method that the study does not ask for.
    """
    of_study = Sizes(study, measured, systems, solves)
    method = METHODS.get(rule.removeprefix("use_"))
    if rule in ROWS or method is None:
        return ROWS[rule](of_study)
    asked = getattr(study.downstream, method.name)
    if asked is None:
        raise NotAsked(method.name)
    named = _of_methods(of_study)

    def amount(of: Amount) -> float:
        return float(of(named, asked) if callable(of) else of)

    return Demand(amount(method.use.megabytes), 60 * amount(method.use.minutes))


def _of_methods(s: Sizes) -> StudySizes:
    """Return the sizes by the names that the records of methods use."""
    return StudySizes(
        systems=s.systems,
        row=s.row,
        members=s.members,
        calls=s.calls,
        training=s.solves,
        network=s.weights,
        activations=s.kept / megabytes(1),
        network_seconds=s.passing,
        descent_megabytes=_descent(s),
        iteration_seconds=s.step,
        training_megabytes=_training(s),
        training_seconds=s.training,
        solve_megabytes=s.solver,
        solve_seconds=s.solve,
    )


def rounds_at_once(study: Study) -> int:
    """Return the number of rounds that one job runs with the check, as all of it takes seconds.

    It is 0 where the parts of the rounds are jobs of their own. It depends on the study alone, as
    :func:`popinv.workflow.rounds.solves_at_once`.
    """
    if not solves_at_once(study) or _rounds_seconds(Sizes(study)) > _ROUNDS_AT_ONCE_SECONDS:
        return 0
    return study.active_learning.rounds


def is_in_parts(study: Study, round_name: str) -> bool:
    """Return whether the parts of a round are jobs of their own, its chunks among them.

    One job makes all rounds where they take seconds (:func:`rounds_at_once`), except rounds of the
    evidence.
    """
    return is_evidence(round_name) or not rounds_at_once(study)


def has_chunk(study: Study, wildcards: Mapping[str, str]) -> bool:
    """Return whether a study has a job with these wildcards, as far as its chunk is concerned.

    Larger chunks are fewer, and what is solved at once has none.
    """
    if not wildcards.get("chunk", "").isdigit():
        return True
    name = wildcards["round"]
    return int(wildcards["chunk"]) < chunk_count(study, name) and is_in_parts(study, name)


def row_of(rule: str) -> str:
    """Return the name of a rule's row; rules that differ by their number of rounds share one."""
    return re.sub(r"^run_\d+_rounds$", "run_rounds", rule)


def processes_of(needed: Demand) -> int:
    """Return among how many processes a job that can share its loops shares them, at most."""
    wanted = int(needed.seconds / _SECONDS_OF_A_PROCESS)
    return max(1, min(wanted, _MOST_PROCESSES))


def memory_mb(needed: Demand, attempt: int = 1, processes: int = 1) -> int:
    """Return megabytes to ask for, in steps of 100; twice as many at each further attempt."""
    own = needed.megabytes + (processes - 1) * _MEGABYTES_OF_A_PROCESS
    wanted = _SNAKEMAKE_MB + _MEMORY_MARGIN * own
    return max(_LEAST_MB, math.ceil(wanted / 100) * 100) * 2 ** (attempt - 1)


def runtime_minutes(needed: Demand, attempt: int = 1) -> int:
    """Return minutes to ask for, in steps of 5; twice as many at each further attempt."""
    wanted = (_TIME_MARGIN * needed.seconds + needed.granted_seconds) / 60
    return max(_LEAST_MINUTES, math.ceil(wanted / 5) * 5) * 2 ** (attempt - 1)
