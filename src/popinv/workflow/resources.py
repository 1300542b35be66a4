"""Memory and time that a job asks of a cluster: a table with a row for each rule.

The numbers of a row are those of benchmark files: megabytes and seconds of the job's own process,
as a base, and a slope for each size of the study (:mod:`popinv.workflow.sizes`) with which they
grow. The bases are the largest measured with the default study; the slopes come from larger
studies. ``tests/workflow/test_resources.py`` holds what was measured, and compares.

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
from dataclasses import dataclass, field
from typing import Any

from popinv.config.study import Study
from popinv.methods.method import Amount, StudySizes
from popinv.methods.registry import METHODS
from popinv.workflow.rounds import solves_at_once
from popinv.workflow.sizes import Sizes, megabytes, sizes

# Snakemake's processes around a job count towards its memory: up to three of 145 MB.
_SNAKEMAKE_MB = 450
# A nearly full memory kills a job; a slow or busy machine makes it late.
_MEMORY_MARGIN, _TIME_MARGIN = 1.25, 2.0
_LEAST_MB, _LEAST_MINUTES = 1000, 10
# Rounds whose trainings and estimates are planned with fewer seconds are one job. Those of the
# default study are planned with 60 s and take 10 s.
_ROUNDS_AT_ONCE_SECONDS = 120.0


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


Slopes = Mapping[str, float]


@dataclass(frozen=True)
class RuleNeeds:
    """A row of the table.

    Parameters
    ----------
    megabytes, seconds : float
        What a job of the smallest study takes.
    memory, time : mapping of str to float
        Megabytes and seconds that are added for each unit of a size.
    granted : mapping of str to float
        The same of the seconds that are granted besides.
    like : tuple of str
        Rules whose work its jobs do too, one after the other, and hold at least as much memory.
    """

    megabytes: float
    memory: Slopes
    seconds: float
    time: Slopes = field(default_factory=dict)
    granted: Slopes = field(default_factory=dict)
    like: tuple[str, ...] = ()

    def demand(self, of_study: Sizes) -> Demand:
        """Return what a job takes in a study of these sizes."""

        def added(slopes: Slopes) -> float:
            return sum(slope * of_study[size] for size, slope in slopes.items())

        others = [ROWS[rule].demand(of_study).megabytes for rule in self.like]
        return Demand(
            max([self.megabytes + added(self.memory), *others]),
            self.seconds + added(self.time),
            added(self.granted),
        )


_HELD = {"records": 6.0, "scores": 6.0}
_TRAINING = {**_HELD, "batch": 1.0}
_DESCENT = {**_HELD, "observations": 1.0, "draws": 1.0}
# About so many draws of systems pass through the surrogate in a block.
_MOMENTS = {**_HELD, "observations": 1.0, "covariance": 8.0, "derivatives": 1.0, "kept": 20_000.0}
# Two evaluations, a checkpoint and the result hold scores, modes and moments of each system.
_LIKELIHOODS = {**_MOMENTS, "scores": 18.0, "modes": 4.0}
_ESTIMATE = ("maximise_likelihoods", "deconvolve")
# The systems are drawn or observed anew, and held.
_AGAIN = {"tables": 10.0}
_JUDGING = {"tables": 3.0, "covariance": 8.0, "kept": 2000.0}
# Drawing, solving and collecting in one job, where they take seconds.
_SOLVING = {"tables": 4.0, "solver": 1.0}
_LITTLE = {"tables": 0.1}

ROWS: dict[str, RuleNeeds] = {
    # Populations and solves.
    "draw_population": RuleNeeds(450, {"tables": 1}, 3, _LITTLE),
    "observe_population": RuleNeeds(450, {"tables": 2}, 3, _LITTLE),
    "import_observations": RuleNeeds(150, {"tables": 4}, 3, {"tables": 0.5}),
    "propose_parameters": RuleNeeds(450, {"tables": 1}, 3, _LITTLE),
    "solve_chunk": RuleNeeds(150, {"solver": 1, "chunk": 1}, 3, {"chunk_solves": 1}, {"start": 1}),
    "solve_chunk_distributed": RuleNeeds(
        0, {"shared_solver": 1}, 3, {"shared_solves": 1}, {"start": 1}
    ),
    # Surrogate and solves; of these 200 MB are those of a torch with CUDA.
    "collect_solves": RuleNeeds(730, {"tables": 2}, 3, _LITTLE),
    "simulate_observations": RuleNeeds(
        730, _SOLVING, 9, {"chunk_solves": 1, "tables": 0.2}, {"start": 1}
    ),
    "repeat_solves": RuleNeeds(
        450, {"tables": 2, "solver": 1}, 5, {"repeated_solves": 1}, {"start": 1}
    ),
    # The surrogate, the law and the noise.
    "train_surrogate": RuleNeeds(480, _TRAINING, 5, {"training": 1}),
    "run_rounds": RuleNeeds(
        730,
        _SOLVING,
        30,
        {"rounds": 1, "chunk_solves": 4, "tables": 1},
        {"start": 1},
        like=("train_surrogate", "update_population"),
    ),
    "train_fixed_design": RuleNeeds(480, _TRAINING, 5, {"training": 1}),
    "update_population": RuleNeeds(850, _MOMENTS, 0, {"update": 1}),
    # A second leg of the descent fits into the margin; a third goes on from the checkpoint.
    "deconvolve": RuleNeeds(600, _DESCENT, 0, {"descents": 1}),
    "descend_with_policy": RuleNeeds(600, _DESCENT, 0, {"descent": 1}),
    "maximise_likelihoods": RuleNeeds(850, _LIKELIHOODS, 0, {"likelihoods": 1}, {"granted": 1}),
    "consult_oracle": RuleNeeds(0, {}, 0, {"estimate": 1}, {"granted": 1}, like=_ESTIMATE),
    "resample_systems": RuleNeeds(850, _AGAIN, 5, {"resamples": 1}, like=_ESTIMATE),
    # Few systems are refitted without each of five folds. A file is taken for at least 1000.
    "refit_without_tested": RuleNeeds(
        850, _AGAIN, 10, {"resample": 5}, {"granted": 1}, like=_ESTIMATE
    ),
    "gather_answer": RuleNeeds(550, {"tables": 4}, 3, _LITTLE),
    # Judgement and pages. A moment of drawing holds the observations twice more.
    "assess_population": RuleNeeds(700, _JUDGING, 10, {"judging": 1}),
    # Each system has at least four times the draws of the likelihood.
    "score_systems": RuleNeeds(
        850, {**_LIKELIHOODS, "tables": 4}, 10, {"moments": 3, "scoring": 4}, {"granted": 1}
    ),
    "plot_figures": RuleNeeds(900, {**_JUDGING, "tables": 5}, 40, {"judging": 1}),
    "write_study_page": RuleNeeds(900, _JUDGING, 40, {"judging": 1}),
    "draw_systems": RuleNeeds(
        600, {"solver": 2, "state": 20}, 60, {"solve": 5, "state": 0.06}, {"start": 2}
    ),
    "draw_noise": RuleNeeds(600, {"covariance": 8}, 60),
    # Other methods, and the evidence.
    "fit_two_stage": RuleNeeds(600, {"tables": 6, "kept": 8000}, 5, {"own_fits": 1}),
    "sample_hierarchical": RuleNeeds(1200, {"tables": 6}, 30, {"chains": 1}),
    "compare_baselines": RuleNeeds(150, {}, 3),
    "measure_error": RuleNeeds(850, _AGAIN, 5, {"errors": 1}, like=_ESTIMATE),
    "fit_error_slope": RuleNeeds(450, {}, 5),
    "compare_designs": RuleNeeds(600, {"tables": 6}, 10, _LITTLE),
    "replicate_study": RuleNeeds(
        850,
        _AGAIN,
        0,
        {"replications": 1, "replicated_solves": 1},
        {"granted_replications": 1},
        like=_ESTIMATE,
    ),
    "measure_calibration": RuleNeeds(550, {"tables": 1}, 5),
}
"""The memory and the time of the jobs of each rule of a study, but for those of methods."""

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
        As in :func:`popinv.workflow.sizes.sizes`.

    Raises
    ------
    KeyError
        If the table has no such rule.
    NotAsked
        If it is the rule of a downstream method that the study does not ask for.
    """
    of_study = sizes(study, measured, systems, solves)
    method = METHODS.get(rule.removeprefix("use_"))
    if rule in ROWS or method is None:
        return ROWS[rule].demand(of_study)
    asked = getattr(study.downstream, method.name)
    if asked is None:
        raise NotAsked(method.name)
    named = _of_methods(of_study)

    def amount(of: Amount) -> float:
        return float(of(named, asked) if callable(of) else of)

    return Demand(amount(method.use.megabytes), 60 * amount(method.use.minutes))


def _of_methods(of_study: Sizes) -> StudySizes:
    """Return the sizes by the names that the records of methods use."""
    trained, descended = (ROWS[rule].demand(of_study) for rule in ("train_surrogate", "deconvolve"))
    counts: Any = {name: int(of_study[name]) for name in ("systems", "row")}
    return StudySizes(
        **counts,
        training=int(of_study["solves"]),
        network=of_study["weights"],
        activations=of_study["kept"] / megabytes(1),
        network_seconds=of_study["passing"],
        descent_megabytes=descended.megabytes,
        iteration_seconds=of_study["step"],
        training_megabytes=trained.megabytes,
        training_seconds=of_study["training"],
        solve_megabytes=of_study["solver"],
        solve_seconds=of_study["solve"],
    )


def rounds_at_once(study: Study) -> int:
    """Return the number of rounds that one job runs with the check, as all of it takes seconds.

    It is 0 where the parts of the rounds are jobs of their own. It depends on the study alone, as
    :func:`popinv.workflow.rounds.solves_at_once`.
    """
    if not solves_at_once(study) or sizes(study)["rounds"] > _ROUNDS_AT_ONCE_SECONDS:
        return 0
    return study.active_learning.rounds


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
