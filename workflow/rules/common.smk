"""Functions that the rules share: the checked configuration, and fingerprints of their code."""

import gc
import inspect
import os
import re
import sys
import time
import traceback
from functools import cache
from pathlib import Path

from snakemake.io import IOFile

from popinv.config.data_files import check_data_files
from popinv.config.loading import as_mapping, load
from popinv.config.study import Study
from popinv.config.yaml_files import read_yaml
from popinv.errors import PopinvError
from popinv.figures.names import FIGURES
from popinv.forward.registry import HOUSES
from popinv.forward.solve_times import solve_times_file, solve_times_of
from popinv.workers import Cores
from popinv.workflow.comparison import (
    ExpectedJob,
    doubts,
    forget_damaged,
    is_as_recorded,
    message as told_of,
)
from popinv.workflow.fingerprint import fingerprint, kind_modules
from popinv.workflow.job import GO_ON, PROGRESS, SPOKEN_FOR, killed_jobs, was_interrupted
from popinv.location import project_folder
from popinv.workflow.preflight import (
    Machine,
    check_entries,
    check_fits,
    check_jobs,
    check_results_folder,
)
from popinv.workflow.preloaded import fork_scripts
from popinv.workflow.processor import numerics_environment
from popinv.workflow.ranks import default_launcher
from popinv.workflow.records import PREDICTION, identity_of
from popinv.workflow.resources import (
    COUNTS,
    RULES,
    demand,
    has_chunk,
    is_in_parts,
    memory_mb,
    processes_of,
    rounds_at_once,
    row_of,
    runtime_minutes,
)
from popinv.workflow.rounds import chunk_count, previous_round, solve_count
from popinv.workflow.stages import STAGES, Stage, call_of, modules_of, shares_loops

STARTED = time.time()

# Snakemake's own modules, and the jobs of a plan, stay until it ends. Python's garbage collector
# would look through them again and again.
gc.freeze()
gc.set_threshold(50_000, 20, 50)

# A store that is made again with the same numbers is the same file. What follows from it is not
# done again, if Snakemake compares files of that size, and not of 1 MB alone.
if workflow.dag_settings is not None:
    workflow.dag_settings.max_checksum_file_size = max(
        workflow.dag_settings.max_checksum_file_size, 2**30
    )
PROJECT = project_folder()


def checked(given, files):
    """Return the configuration as typed sections, or stop with one message."""
    try:
        source = ", ".join(map(str, files)) or "config"
        # Reading the file again finds errors that YAML readers accept, such as a key given twice.
        for file in files:
            read_yaml(file)
        model = load(given, source)
        if workflow.is_main_process:
            check_entries(model.results, model.studies)
            check_jobs(model)
            check_data_files(model)
        return model
    except PopinvError as error:
        if workflow.is_main_process:
            print(f"\n{error}\n", file=sys.stderr)
        raise SystemExit(1)


# Another workflow that uses this one as a module gives the configuration, not a file.
IS_MODULE = workflow.modifier.skip_configfile
CONFIGURATION = checked(dict(config), [] if IS_MODULE else workflow.configfiles)
STUDIES = CONFIGURATION.studies
# The jobs inherit the environment of this process, and a cluster job parses this file too.
COMPILER_FLAGS = [flags for house in HOUSES for flags in house.compiler_flags]
os.environ.update(numerics_environment(CONFIGURATION.instruction_set, os.environ, COMPILER_FLAGS))
config.clear()
config.update(as_mapping(CONFIGURATION))


def signed(function):
    """The same function, which bears its signature.

    Snakemake asks each function of a rule for its signature several times in each job, and Python
    derives one anew each time.
    """
    function.__signature__ = inspect.signature(function)
    return function


def study_of(wildcards):
    """The sections of the study that a job belongs to."""
    return STUDIES[wildcards.study]


@signed
def seed_of(wildcards):
    """Params function: the study's seed."""
    return study_of(wildcards).seed


def of_study(question):
    """Params function: the result of a function of the study."""
    return signed(lambda wildcards: question(study_of(wildcards)))


def params_of(rule):
    """Params of the rule of a stage.

    Sections travel in a dict: Snakemake follows the changes of builtin types alone, by what they
    print.
    """
    stage = STAGES[rule]

    def of_job(value):
        return signed(lambda wildcards: value(study_of(wildcards), wildcards))

    params = {"seed": seed_of, **{name: of_job(value) for name, value in stage.options.items()}}
    if stage.sections or stage.instead:
        params["study"] = of_job(stage.sections_of)
    if stage.checkpoint:
        params["checkpoint"] = checkpoint_of(rule)
    return params | ({"stage": call_of(rule)} if stage.part else {}) | {"code": code_of(rule)}


def code_of(rule, *uses, also=()):
    """Params function: fingerprint of a rule's code and of the kinds that its study names.

    The code of a rule is its stage's, as the list of the stages says, or else its script's.
    ``uses`` and ``also`` are those of a rule that is not in the list.
    """
    stage, modules = STAGES.get(rule, Stage(uses=uses, also=also)), modules_of(rule)
    script = f"{PROJECT}/workflow/scripts/{'stage' if modules else rule}.py"

    @signed
    def code(wildcards):
        study = study_of(wildcards)
        late = stage.late(study, wildcards)
        kinds = kind_modules(study, *stage.uses, *(stage.late_uses if late else ()))
        others = study.surrogate.modules_of_others()
        return fingerprint(script, *modules, *kinds, *stage.also, late=late, without=others)

    return code


def checkpoint_of(rule):
    """Params function: where a job keeps its progress, which outlives a kill."""
    folder = Path(config["results"], ".checkpoints")

    @signed
    def checkpoint(wildcards):
        job = ".".join([rule, *(wildcards[name] for name in STAGES[rule].wildcards)])
        return str(folder / wildcards.study / f"{job}.zarr.zip")

    return checkpoint


def code_alone(rule, *also):
    """Params function: fingerprint of a script and of further modules, for a rule without a study."""
    script = f"{PROJECT}/workflow/scripts/{rule}.py"
    return signed(lambda wildcards: fingerprint(script, *also))


onerror:
    told = [log] if isinstance(log, str) else log or []
    # Jobs that Ctrl+C has ended have said all there is to say.
    if was_interrupted(told):
        if SPOKEN_FOR not in os.environ:
            print(f"\n{GO_ON}\n", file=sys.stderr)
    elif said := killed_jobs(config["results"], STARTED, told):
        print(f"\n{said}\n", file=sys.stderr)


class GivenWildcards(dict):
    """Wildcards by name, as a job has them."""

    __getattr__ = dict.__getitem__


def wanted_params(record):
    """The parameters of a record's job in this configuration, None if there is no such job."""
    rules = {rule.name: rule for rule in workflow.rules}
    if (
        record.rule not in rules
        or record.wildcards.get("study", next(iter(STUDIES))) not in STUDIES
    ):
        return None
    wildcards = GivenWildcards(record.wildcards)
    params = rules[record.rule].params
    try:
        # Chunks of an earlier configuration may be left, which had smaller ones.
        if "chunk" in wildcards and not has_chunk(study_of(wildcards), wildcards):
            return None
        now = {
            name: value(wildcards) if callable(value) else value for name, value in params.items()
        }
        # The study may ask for a downstream method no longer.
        return None if now.get("given", {}).get("asked", "") is None else now
    except (KeyError, ValueError, IndexError, WorkflowError):
        return None


def collects(rule, wildcards):
    """Whether a rule has this job, as far as it is one that collects the chunks of a round.

    The constraints of the rule do not say it: of a study whose rounds are one job, it has the jobs
    of the evidence alone.
    """
    if not rule.endswith("collect_solves"):
        return True
    return is_in_parts(STUDIES[wildcards["study"]], wildcards.get("round", ""))


def is_replaced(record):
    """Whether the results of a record are made by another rule in this configuration."""
    of = record.wildcards
    # Other configurations have studies and comparisons of their own.
    elsewhere = any(
        name in of and of[name] not in there
        for name, there in (("study", STUDIES), ("comparison", COMPARISONS))
    )
    if record.rule == PREDICTION or elsewhere:
        return False
    rules = {rule.name: rule for rule in workflow.rules}
    if record.rule in rules:
        constraints = rules[record.rule].wildcard_constraints
        return not collects(record.rule, record.wildcards) or any(
            not re.fullmatch(constraints.get(name, ".*"), value)
            for name, value in record.wildcards.items()
        )
    # Rules have a prefix where this workflow is a module.
    return not any(
        name.endswith(f"_{record.rule}") or record.rule.endswith(f"_{name}") for name in rules
    )


def remembered_identity(path):
    """The identity with which Snakemake remembers to have made a file, or None."""
    metadata = workflow.persistence.metadata(IOFile(path))
    return None if metadata is None or metadata.params is None else identity_of(metadata.params)


def job_of(record):
    """The job of this configuration that writes a file as its record, None if there is none."""
    for rule in workflow.rules:
        if "made" in rule.output.keys() and rule.is_producer(record):
            wildcards = rule.get_wildcards(record)
            outputs, _ = rule.expand_output(wildcards)
            if outputs.made == record and collects(rule.name, wildcards):
                others = tuple(str(path) for path in outputs if path != record)
                return ExpectedJob(rule.name, others)
    return None


@cache
def distrust():
    """Let Snakemake make again what is not what this configuration makes, once in a run.

    Snakemake swallows what an input function raises where a result is there already, as it then
    looks for another rule. It does not swallow the end of the program.
    """
    if not workflow.is_main_process:
        return
    try:
        forgotten = forget_damaged(Path(workflow.persistence.path, "metadata"))
        if forgotten:
            print(
                f"\nSnakemake's memory of {len(forgotten)} results was damaged. It is forgotten, and "
                "the results are compared with their records.\n",
                file=sys.stderr,
            )
        found = doubts(
            config["results"],
            wanted_params,
            is_replaced,
            remembered_identity,
            job_of,
            CONFIGURATION.instruction_set,
        )
        workflow.dag.forcefiles.update(doubt.path for doubt in found)
    except PopinvError as error:
        print(f"\n{error}\n", file=sys.stderr)
        raise SystemExit(1)
    except Exception:
        traceback.print_exc()
        print(
            f"\n{config['results']}: the results could not be compared with their records, so that "
            "nothing was run. This is a fault of popinv.\n",
            file=sys.stderr,
        )
        raise SystemExit(1)
    if found:
        print(f"\n{told_of(found)}\n", file=sys.stderr)


def compared(wildcards):
    """Input function without inputs: the results that are there are compared with their records.

    The first jobs of each study have it, so that it is called before Snakemake decides what to do.
    """
    distrust()
    return {}


QUESTIONS = {
    "synthetic": Study.is_synthetic,
    "shared": lambda study: study.ranks() > 1,
    "in_parts": lambda study: not rounds_at_once(study),
    "rounds_at_once": rounds_at_once,
}


def studies(**wanted):
    """Pattern of the names of the studies with the wanted answers to these questions.

    ``synthetic``: the observations have a known truth. ``shared``: processes share each solve.
    ``in_parts``: the parts of the rounds are jobs of their own. ``rounds_at_once``: the number of
    rounds that one job runs otherwise.
    """
    names = [
        name
        for name, study in STUDIES.items()
        if all(QUESTIONS[question](study) == answer for question, answer in wanted.items())
    ]
    return "|".join(names) or "(?!)"


@cache
def demand_of(rule, study, measured, **counts):
    """The row of a rule for a study."""
    return demand(rule, STUDIES[study], measured, **counts)


@cache
def times_file_of(study):
    """The file of the measured times of a study's solves, if nothing else is known of them."""
    section = STUDIES[study].forward
    return solve_times_file(config["results"], section) if section.cost().guess else None


def needed(rule, study, wildcards):
    """The resources of a job for this study.

    Snakemake asks when a job is ready, and again at each further attempt: what the jobs before it
    have measured is known then.
    """
    file = times_file_of(study)
    times = None if file is None else solve_times_of(file)
    measured = None if times is None else times.each
    counts = {name: int(wildcards[name]) for name in COUNTS if name in wildcards.keys()}
    return demand_of(rule, study, measured, **counts)


def request_of(rule, of_array=False):
    """Resources of a rule: what a job requests, twice as much at each further attempt.

    The rule is named, since it has another name where this workflow is a module. All jobs of a Slurm
    array, which may be of several studies, are given what its first one requests: these request what
    the largest job of any study needs.
    """
    alone = [name for name, study in STUDIES.items() if study.ranks() == 1]

    def demands(wildcards):
        return [
            needed(rule, study, wildcards) for study in (alone if of_array else [wildcards.study])
        ]

    @signed
    def memory(wildcards, attempt, threads):
        return max(memory_mb(each, attempt, threads) for each in demands(wildcards))

    @signed
    def runtime(wildcards, attempt):
        return max(runtime_minutes(each, attempt) for each in demands(wildcards))

    return {"mem_mb": memory, "runtime": runtime}


def processes(rule):
    """Threads function: the processes that share the loops of a job, with the same results.

    Snakemake gives a job no more than it has cores.
    """
    if not shares_loops(rule):
        return 1
    return signed(lambda wildcards: processes_of(needed(rule, wildcards.study, wildcards)))


def refuse_limited_arrays(jobs):
    """Stop if chunks are submitted as arrays, but not all jobs may be submitted at once.

    Slurm's plugin holds chunks back until all that are ready have been handed to it, and is never
    handed the same ones again: with a limit below the number of jobs they would wait for ever.
    """
    arrays = getattr(workflow.executor_settings, "array_jobs", None) or ""
    if "solve_chunk" in arrays or "all" in arrays:
        limit = min(workflow.nodes, workflow.scheduling_settings.max_jobs_per_timespan.max_jobs)
        if limit < len(jobs):
            raise WorkflowError(
                f"At most {limit} jobs can be submitted at a time (--jobs, "
                f"--max-jobs-per-timespan), but there are {len(jobs)}, and arrays need all that are "
                "ready at once. Raise these limits, or turn arrays off: --slurm-array-jobs none."
            )


def tell_what_it_takes(jobs):
    """Say what the jobs of the studies take, to the program that shows them if there is one."""
    each = [
        (
            job.rule.name,
            job.wildcards,
            needed(row_of(job.rule.name), job.wildcards.study, job.wildcards),
        )
        for job in jobs
        if row_of(job.rule.name) in RULES
    ]
    if not each:
        return
    minutes = sum(needs.seconds for _, _, needs in each) / 60
    memory = max(needs.megabytes for _, _, needs in each)
    told = (
        f"{len(each)} jobs of studies, at most {minutes:,.0f} minutes of one core and often a "
        f"quarter of that, at most {memory:,.0f} MB in a job"
    )
    files = {times_file_of(of.study) for _, of, _ in each} - {None}
    if any(solve_times_of(file) is None for file in files):
        told += "; the time of a solve is assumed, and 'popinv try' measures it"
    if PROGRESS in os.environ:
        from popinv.workflow.display import PLANNED

        PLANNED.expect(((rule, dict(of), needs.seconds) for rule, of, needs in each), told)
    else:
        print(told, file=sys.stderr)


onstart:
    jobs = list(workflow.dag.needrun_jobs())
    try:
        check_results_folder(config["results"])
        if workflow.executor_plugin.common_settings.local_exec:
            check_fits(CONFIGURATION, Machine.here(config["results"]))
            # Jobs are given one core. What they share takes the cores on which no job runs.
            Cores.lend(workflow.cores)
            rules = sorted({row_of(job.rule.name) for job in jobs})
            fork_scripts(module for rule in rules for module in modules_of(rule))
    except PopinvError as error:
        print(f"\n{error}\n", file=sys.stderr)
        raise SystemExit(1)
    refuse_limited_arrays(jobs)
    tell_what_it_takes(jobs)
