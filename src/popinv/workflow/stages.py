"""The stages of a study in the order of a run: one list for rules, plan, display and `popinv.fit`.

A stage is a function of the package with the name of its rule. The names of its parameters say what
it takes of a run (:mod:`popinv.workflow.run`): sections of the study, artefacts, options, seed and
device. The list says which sections and options these are, what the function returns, and what
its stores record.

Functions are named by their modules and are imported when a job runs. The rules and the plan thus
wait for no computing library, and the code of a job is the code of its own stage
(:mod:`popinv.workflow.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from popinv.config.study import Study
from popinv.methods.registry import METHODS
from popinv.workflow.resources import rounds_at_once, row_of
from popinv.workflow.rounds import (
    chunk_count,
    counts_of_rounds,
    previous_round,
    rounds_of,
    solve_count,
)

if TYPE_CHECKING:
    from popinv.observation_files.section import AddedTables

Wildcards = Mapping[str, str]
"""The wildcards of a job: its round, its chunk, ..."""

Of = Callable[[Study, Wildcards], Any]
"""A value that a job takes from its study."""


_SAVING = "popinv.charts.saving"
"""Writes charts."""


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow.

    Attributes
    ----------
    part : str
        The part of the package that holds its function, in ``stages``. It is empty where the rule
        has a script of its own that calls several stages.
    wildcards : tuple of str
        What tells its jobs apart within a study, in the order of their names.
    returns : tuple of str
        Names of the outputs that it returns, in order.
    sections : tuple of str
        Sections of the study that it depends on.
    instead : mapping of str to callable
        Sections that take the place of the study's own ones, or None for no section.
    joined : bool
        Whether it sees the systems that have joined the study since its rounds.
    options : mapping of str to callable
        Further values. The function takes those that it names.
    uses : tuple of str
        What it runs of the kinds that the study names (:data:`popinv.workflow.fingerprint.USES`).
        They are part of the code of its jobs, as is all that it imports.
    also : tuple of str
        Modules that it imports by name, which are part of its code too.
    late : callable
        Whether a job runs what its stage imports within functions.
    late_uses : tuple of str
        What such a job uses besides.
    recorded : tuple of str
        Options that its stores record beside the sections; ``code`` is the fingerprint of its code.
    streams : bool
        Whether large tables of single systems stay in their stores and are read in blocks of rows
        (:mod:`popinv.store.rows`).
    shares : bool
        Whether it shares loops among the processes of its job (:mod:`popinv.workers`).
    checkpoint : bool
        Whether an interrupted job goes on from where it was; otherwise it starts again.
    chart : str
        Function that draws what is returned, ``module.function``, for an output ``figure``.
    jobs : callable
        Number of its jobs in a run of a study, from nothing to the assessment and the figures.
    announced : str
        What `popinv.fit` says before it runs the stage; empty for the stages that it does not run.
    step : str
        The line of its jobs in what `popinv run` prints; empty for the line of their round.
    told : bool
        Whether this line tells what the jobs found, which is of interest in their logs otherwise.
    """

    part: str = ""
    wildcards: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    instead: Mapping[str, Of] = field(default_factory=dict)
    joined: bool = False
    options: Mapping[str, Of] = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    late: Of = lambda study, wildcards: True
    late_uses: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    streams: bool = False
    shares: bool = False
    checkpoint: bool = False
    chart: str = ""
    jobs: Callable[[Study], int] = lambda study: 0
    announced: str = ""
    step: str = ""
    told: bool = True

    def sections_of(self, study: Study, wildcards: Wildcards) -> dict[str, Any]:
        """Return the sections that a job depends on, by name."""
        seen = study.joined() if self.joined else study
        own = {name: getattr(seen, name) for name in self.sections}
        instead = {name: section(study, wildcards) for name, section in self.instead.items()}
        return own | {name: section for name, section in instead.items() if section is not None}

    def options_of(self, study: Study, wildcards: Wildcards) -> dict[str, Any]:
        """Return the options of a job by name."""
        return {name: option(study, wildcards) for name, option in self.options.items()}


def _of(question: Callable[[Study], Any]) -> Of:
    """Return the same value for all jobs of a study."""
    return lambda study, wildcards: question(study)


def _number(wildcard: str) -> Of:
    return lambda study, wildcards: int(wildcards[wildcard])


def _text(wildcard: str) -> Of:
    return lambda study, wildcards: wildcards[wildcard]


def _solves(study: Study, wildcards: Wildcards) -> int:
    return solve_count(study, wildcards["round"])


def _added(study: Study, wildcards: Wildcards) -> AddedTables:
    return study.additions()[int(wildcards["number"]) - 1]


def _once(study: Study) -> int:
    return 1


def _judges(study: Study, wildcards: Wildcards) -> bool:
    """Return whether the solves of a round judge the surrogate of the round before."""
    return previous_round(study, wildcards["round"]) is not None


def _chooses(study: Study, wildcards: Wildcards) -> bool:
    """Return whether a surrogate chooses a round's solves; elsewhere they are plain draws."""
    chosen = wildcards["round"].isdigit() and bool(study.candidates())
    return chosen and _judges(study, wildcards)


def _thresholds(study: Study, wildcards: Wildcards) -> dict[str, float] | None:
    return study.surrogate_thresholds() if _judges(study, wildcards) else None


def _if_judged(section: str) -> Of:
    return lambda study, wildcards: getattr(study, section) if _judges(study, wildcards) else None


def _in_parts(jobs: Callable[[Study], int]) -> Callable[[Study], int]:
    return lambda study: 0 if rounds_at_once(study) else jobs(study)


def _synthetic(study: Study) -> int:
    return int(study.is_synthetic())


def _rounds(study: Study) -> int:
    return study.active_learning.rounds


def _chunks(study: Study) -> int:
    return sum(chunk_count(study, name) for name in rounds_of(study))


def _budget(study: Study) -> float:
    return study.active_learning.failure_budget


def _decay(study: Study) -> float:
    return study.active_learning.recency_decay


_TRUE_LAW: Mapping[str, Of] = {
    "law": _of(Study.true_law),
    "observations": _of(Study.known_distributions),
}

# What draws, solves, observes or trains needs no prior.
_LAW: Mapping[str, Of] = {"law": _of(Study.law_without_prior)}
_LAW_AND_NOISE_ALONE: Mapping[str, Of] = {**_LAW, "noise": _of(Study.noise_without_prior)}

# Systems that join a study change neither its first observations nor its rounds.
_FIRST: Mapping[str, Of] = {"observations": _of(Study.first_observations)}

_OF_CHUNK: Mapping[str, Of] = {
    "chunk_size": _of(lambda study: study.active_learning.chunk_size),
    "simulator": _of(Study.simulator_hash),
    "round_name": _text("round"),
    "chunk": _number("chunk"),
}
# By this the job that collects the chunks knows its own.
_RECORDED_OF_CHUNK = ("simulator", "code")

_LAW_AND_NOISE = ("law", "noise")
_MODEL = ("forward", "law", "noise")
_ESTIMATORS = (*_MODEL, "descent", "estimator", "polish")


def _replications(which: int) -> Of:
    """Return the first of the replications of a block (0), or their number (1)."""
    return lambda study, wildcards: study.evidence.replications(int(wildcards["block"]))[which]


STAGES: Mapping[str, Stage] = {
    # --- the rounds -------------------------------------------------------------------------------
    "draw_population": Stage(
        part="population",
        wildcards=("round",),
        returns=("proposals",),
        sections=("forward",),
        uses=("law",),
        instead=_TRUE_LAW,
        options={"samples": _solves, "round_name": _text("round")},
        recorded=("samples",),
        jobs=_in_parts(_synthetic),
        step="Observations",
    ),
    "propose_parameters": Stage(
        part="surrogate",
        wildcards=("round",),
        returns=("proposals",),
        sections=("forward", "law"),
        instead=_LAW,
        uses=("law",),
        late=_chooses,
        options={
            "samples": _solves,
            "candidates": _of(Study.candidates),
            "round_name": _text("round"),
        },
        recorded=("samples", "candidates"),
        jobs=_in_parts(lambda study: _rounds(study) + 1),
        told=False,
    ),
    "solve_chunk": Stage(
        part="forward",
        wildcards=("round", "chunk"),
        returns=("solves",),
        sections=("forward",),
        uses=("solver",),
        options=_OF_CHUNK,
        recorded=_RECORDED_OF_CHUNK,
        streams=True,
        jobs=_in_parts(lambda study: 0 if study.ranks() > 1 else _chunks(study)),
        told=False,
    ),
    "solve_chunk_distributed": Stage(
        part="forward",
        wildcards=("round", "chunk"),
        returns=("solves",),
        sections=("forward",),
        uses=("distributed",),
        options=_OF_CHUNK,
        recorded=_RECORDED_OF_CHUNK,
        jobs=_in_parts(lambda study: _chunks(study) if study.ranks() > 1 else 0),
    ),
    "collect_solves": Stage(
        part="inference",
        wildcards=("round",),
        returns=("solves",),
        late=_judges,
        late_uses=_LAW_AND_NOISE,
        # The model judges a surrogate, if there is one.
        instead={name: _if_judged(name) for name in ("forward", "law", "noise")},
        options={
            "thresholds": _thresholds,
            "failure_budget": _of(_budget),
            "round_name": _text("round"),
        },
        recorded=("failure_budget", "thresholds"),
        streams=True,
        jobs=_in_parts(lambda study: len(rounds_of(study))),
    ),
    "simulate_observations": Stage(
        sections=("forward", "law", "noise", "observations"),
        instead=_LAW_AND_NOISE_ALONE,
        uses=("law", "true_noise", "solver"),
        late=_of(lambda study: False),
        options={
            "truth": lambda study, wildcards: {
                name: section
                for name, of in _TRUE_LAW.items()
                if (section := of(study, wildcards)) is not None
            },
            "samples": _of(lambda study: solve_count(study, "truth")),
            "simulator": _of(Study.simulator_hash),
            "failure_budget": _of(_budget),
        },
        jobs=lambda study: int(study.is_synthetic() and bool(rounds_at_once(study))),
        step="Observations",
    ),
    "observe_population": Stage(
        part="population",
        returns=("observations", "truth"),
        sections=("forward", "law", "noise", "observations"),
        instead=_LAW_AND_NOISE_ALONE,
        uses=("law", "true_noise"),
        jobs=_in_parts(_synthetic),
        step="Observations",
    ),
    "import_observations": Stage(
        part="population",
        returns=("observations",),
        sections=("forward", "law", "noise", "observations"),
        instead={**_LAW_AND_NOISE_ALONE, **_FIRST},
        uses=("forward",),
        jobs=lambda study: int(not study.is_synthetic()),
        step="Observations",
    ),
    "run_rounds": Stage(
        shares=True,
        sections=("forward", "law", "noise", "surrogate"),
        uses=("law", "noise", "solver"),
        options={
            "samples": _of(counts_of_rounds),
            "candidates": _of(Study.candidates),
            "known": _of(Study.has_known),
            "simulator": _of(Study.simulator_hash),
            "thresholds": _of(Study.surrogate_thresholds),
            "failure_budget": _of(_budget),
            "recency_decay": _of(_decay),
        },
        jobs=lambda study: int(bool(rounds_at_once(study))),
        step="Rounds of solves",
    ),
    "train_surrogate": Stage(
        part="surrogate",
        wildcards=("round",),
        returns=("surrogate",),
        sections=("forward", "law", "surrogate"),
        instead=_LAW,
        uses=("law",),
        options={"recency_decay": _of(_decay), "round_number": _number("round")},
        recorded=("recency_decay",),
        checkpoint=True,
        jobs=_in_parts(_rounds),
        told=False,
    ),
    "update_population": Stage(
        wildcards=("round",),
        shares=True,
        part="inference",
        returns=("estimate",),
        sections=("forward", "law", "noise"),
        uses=_LAW_AND_NOISE,
        options={"round_number": _number("round")},
        streams=True,
        jobs=_in_parts(_rounds),
    ),
    # --- the answer -------------------------------------------------------------------------------
    "maximise_likelihoods": Stage(
        shares=True,
        part="inference",
        returns=("pseudo_likelihood", "likelihood"),
        sections=(*_MODEL, "polish"),
        uses=("law", "noise", "solver"),
        options={
            "likelihood": _of(Study.wants_likelihood),
            "seconds_per_solve": _of(Study.seconds_per_solve),
        },
        recorded=("likelihood",),
        streams=True,
        checkpoint=True,
        jobs=_once,
        announced="maximising the likelihoods",
        step="Estimate",
        told=False,
    ),
    "deconvolve": Stage(
        part="inference",
        returns=("descent",),
        sections=(*_MODEL, "descent"),
        uses=_LAW_AND_NOISE,
        streams=True,
        checkpoint=True,
        jobs=_once,
        announced="descending on the distance",
        step="Estimate",
        told=False,
    ),
    "add_systems": Stage(
        wildcards=("number",),
        shares=True,
        part="additions",
        returns=("batch", "observations", "distance", "pseudo_likelihood", "likelihood"),
        sections=(*_MODEL, "observations", "estimator", "polish"),
        instead={
            **_FIRST,
            "forward": lambda study, wildcards: study.joined(int(wildcards["number"])).forward,
        },
        uses=("forward", "law", "noise", "solver"),
        options={
            "file": lambda study, wildcards: _added(study, wildcards).file,
            "inputs": lambda study, wildcards: _added(study, wildcards).inputs,
            "thresholds": _of(Study.surrogate_thresholds),
        },
        recorded=("file", "inputs"),
        jobs=lambda study: len(study.additions()),
        step="Added systems",
        chart="popinv.figures.batch.draw_batch",
    ),
    "consult_oracle": Stage(
        wildcards=("known",),
        shares=True,
        part="inference",
        returns=("oracle",),
        joined=True,
        sections=_ESTIMATORS,
        uses=("law", "noise", "true_noise", "solver"),
        # The true noise may be of another family.
        instead={
            "noise": lambda study, wildcards: (
                study.true_noise() if wildcards["known"] == "noise" else study.noise
            )
        },
        options={"known": _text("known")},
        recorded=("known",),
        streams=True,
        jobs=lambda study: 2 if study.is_synthetic() and study.assessment.oracles else 0,
        step="Oracles",
    ),
    "repeat_solves": Stage(
        part="inference",
        returns=("sampling_error",),
        sections=("forward", "law"),
        instead=_LAW,
        uses=("solver", "law"),
        options={
            "repeats": _of(lambda study: study.assessment.repeats),
            "systems": _of(lambda study: study.assessment.repeated_systems),
        },
        recorded=("repeats", "systems"),
        jobs=lambda study: int(study.has_sampling_error()),
        announced="repeating solves for their sampling error",
        step="Repeated solves",
    ),
    "gather_answer": Stage(
        part="inference",
        returns=("population",),
        joined=True,
        sections=(*_MODEL, "estimator"),
        uses=_LAW_AND_NOISE,
        jobs=_once,
        announced="gathering the answer",
        step="Estimate",
    ),
    "assess_population": Stage(
        shares=True,
        part="inference",
        returns=("answer", "metrics"),
        joined=True,
        sections=_MODEL,
        uses=("law", "noise", "solver"),
        options={
            "null_resamples": _of(lambda study: study.assessment.null_resamples),
            "thresholds": _of(Study.surrogate_thresholds),
        },
        jobs=_once,
        announced="testing the answer",
        step="Tests and figures",
    ),
    "plot_figures": Stage(
        part="figures",
        joined=True,
        sections=_MODEL,
        jobs=_once,
        step="Tests and figures",
        uses=_LAW_AND_NOISE,
    ),
    # --- what a study may ask for besides ---------------------------------------------------------
    "descend_with_policy": Stage(
        part="inference",
        wildcards=("policy",),
        returns=("answer",),
        joined=True,
        sections=(*_MODEL, "descent"),
        uses=_LAW_AND_NOISE,
        instead={
            "descent": lambda study, wildcards: study.descent.replace(policy=wildcards["policy"])
        },
        streams=True,
        checkpoint=True,
    ),
    "fit_two_stage": Stage(
        uses=_LAW_AND_NOISE,
        shares=True,
        part="baselines",
        returns=("answer",),
        joined=True,
        sections=_MODEL,
        step="Baselines",
    ),
    "sample_hierarchical": Stage(
        part="baselines",
        returns=("answer",),
        joined=True,
        sections=_MODEL,
        step="Baselines",
        also=("popinv.inference.uncertainty.numpyro_sampler",),
        uses=_LAW_AND_NOISE,
    ),
    "compare_baselines": Stage(step="Baselines"),
    "measure_error": Stage(
        wildcards=("systems",),
        shares=True,
        part="evidence",
        returns=("errors",),
        joined=True,
        sections=(*_MODEL, "observations", "descent", "estimator", "polish"),
        uses=("law", "noise", "true_noise"),
        options={
            "repeats": _of(lambda study: study.evidence.repeats),
            "systems": _number("systems"),
        },
    ),
    "fit_error_slope": Stage(
        part="evidence",
        returns=("errors", "metrics"),
        options={"through": _of(lambda study: study.evidence.through)},
        recorded=("through",),
        chart="popinv.figures.evidence.draw_error_against_systems",
    ),
    "train_fixed_design": Stage(
        part="evidence",
        wildcards=("solves",),
        returns=("surrogate",),
        sections=("forward", "law", "surrogate"),
        instead=_LAW,
        uses=("law",),
        options={"solver_calls": _number("solves")},
    ),
    "compare_designs": Stage(
        part="evidence",
        returns=("designs", "metrics"),
        options={"solves": _of(lambda study: study.evidence.design_counts)},
        recorded=("solves",),
        chart="popinv.figures.evidence.draw_designs",
    ),
    # Its blocks are jobs of one core each, which leave none idle.
    "replicate_study": Stage(
        part="evidence",
        wildcards=("block",),
        returns=("replications",),
        joined=True,
        sections=_ESTIMATORS,
        uses=("law", "noise", "solver"),
        options={
            "through": _of(lambda study: study.evidence.through),
            "seconds_per_solve": _of(Study.seconds_per_solve),
            "first": _replications(0),
            "replications": _replications(1),
        },
        recorded=("through",),
        step="Calibration",
    ),
    "measure_calibration": Stage(
        part="evidence",
        returns=("calibration", "metrics"),
        options={"replications": _of(lambda study: study.evidence.calibration)},
        recorded=("replications",),
        chart="popinv.figures.evidence.draw_calibration",
        step="Calibration",
    ),
    "refit_without_tested": Stage(
        shares=True,
        part="evidence",
        returns=("without_tested",),
        joined=True,
        sections=(*_MODEL, "descent", "polish"),
        uses=("law", "noise", "solver"),
        step="Tests and figures",
    ),
    "score_systems": Stage(
        shares=True,
        part="evidence",
        returns=("scores",),
        joined=True,
        sections=(*_MODEL, "polish"),
        uses=("law", "noise", "solver"),
        options={"seconds_per_solve": _of(Study.seconds_per_solve)},
        step="Tests and figures",
    ),
    "write_study_page": Stage(step="Report", uses=_LAW_AND_NOISE),
    "draw_systems": Stage(
        part="figures",
        returns=("systems",),
        joined=True,
        sections=_MODEL,
        step="Report",
        uses=("states", "law", "noise"),
    ),
    "draw_noise": Stage(
        part="figures",
        returns=("noise",),
        joined=True,
        sections=("forward", "noise"),
        uses=("noise",),
        step="Report",
    ),
}
"""The stages of a study by the names of their rules, in the order of a run."""


def modules_of(rule: str) -> tuple[str, ...]:
    """Return the modules that the stage of a rule runs, none if a script calls several stages."""
    stage = STAGES.get(rule, Stage())
    if not stage.part:
        return ()
    drawn = (stage.chart.rpartition(".")[0], _SAVING) if stage.chart else ()
    return (f"popinv.{stage.part}.stages.{rule}", *drawn)


def call_of(rule: str) -> dict[str, Any]:
    """Return how a job calls its stage, for :func:`popinv.workflow.stage.run_stage`."""
    stage = STAGES[rule]
    return {
        "function": f"popinv.{stage.part}.stages.{rule}.{rule}",
        "returns": list(stage.returns),
        "recorded": list(stage.recorded),
        "streams": stage.streams,
        "chart": stage.chart,
    }


def shares_loops(rule: str) -> bool:
    """Return whether a job of a rule, or of a method, shares its loops among processes."""
    method = METHODS.get(rule.removeprefix("use_"))
    return STAGES[row_of(rule)].shares if method is None else method.use.shares


def jobs_of(study: Study) -> dict[str, int]:
    """Return the numbers of jobs of a study by rule, from nothing to the assessment and figures."""
    counts = {name: stage.jobs(study) for name, stage in STAGES.items()}
    return {name: count for name, count in counts.items() if count}
