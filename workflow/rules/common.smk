"""What the rules share: the checked configuration, and fingerprints of the code they run."""

import os
import sys
import time
from functools import cache

from popinv.config.data_files import check_data_files
from popinv.config.loading import as_mapping, load, load_file
from popinv.downstream.instance_unlearning.colour_images import check_images
from popinv.errors import PopinvError
from popinv.figure_names import FIGURES
from popinv.fingerprint import fingerprint
from popinv.job import killed_jobs
from popinv.resources import demand, memory_mb, runtime_minutes, sizes
from popinv.selection import selected_modules
from popinv.workflow import (
    check_results_folder,
    chunk_count,
    calibration_blocks,
    evidence_figures,
    has_sampling_error,
    is_synthetic,
    ranks_of,
    last_round,
    refuse_foreign_stores,
    replications_of,
    seconds_per_solve,
    simulator_of,
    solve_count,
    surrogate_thresholds,
    wants_likelihood,
)

STARTED = time.time()


def checked(given, files):
    """Return the configuration with every default filled in, or stop with one message."""
    try:
        source = ", ".join(map(str, files)) or "config"
        # Reading the file again catches what YAML readers let pass, such as a key given twice.
        for file in files:
            load_file(file)
        model = load(given, source)
        complete = as_mapping(model)
        if workflow.is_main_process:
            check_data_files(model)
            check_images(complete["downstream"]["instance_images"])
            refuse_foreign_stores(complete)
        return complete
    except PopinvError as error:
        if workflow.is_main_process:
            print(f"\n{error}\n", file=sys.stderr)
        raise SystemExit(1)


complete = checked(dict(config), workflow.configfiles)
config.clear()
config.update(complete)


def code_of(rule, *uses, also=lambda wildcards: ()):
    """Params function: fingerprint of a rule's script and of what its study selects.

    ``uses`` names what the stage uses of the study (see popinv.selection), and ``also`` further
    modules that the script's imports do not show, since a function imports them.
    """
    script = f"{workflow.basedir}/workflow/scripts/{rule}.py"

    def code(wildcards):
        study = config["studies"][wildcards.study]
        return fingerprint(script, *selected_modules(study, *uses), *also(wildcards))

    return code


def code_alone(rule):
    """Fingerprint of a rule's script where no study's forward model takes part."""
    return fingerprint(f"{workflow.basedir}/workflow/scripts/{rule}.py")


onerror:
    told = [log] if isinstance(log, str) else log or []
    if said := killed_jobs(config["results"], STARTED, told):
        print(f"\n{said}\n", file=sys.stderr)


def studies(synthetic):
    """Pattern of the names of the synthetic studies, or of those with a file."""
    names = [n for n, s in config["studies"].items() if is_synthetic(s) == synthetic]
    return "|".join(names) or "(?!)"


def sharing(solves):
    """Pattern of the names of the studies whose solves are shared by processes, or not."""
    names = [n for n, s in config["studies"].items() if (ranks_of(s) > 1) == solves]
    return "|".join(names) or "(?!)"


@cache
def sizes_of(study):
    """The sizes that the resources of a study's jobs follow from."""
    return sizes(config["studies"][study])


def needed(rulename, study, wildcards):
    """What a job needs, were its study this one."""
    return demand(rulename, sizes_of(study), dict(wildcards.items()))


def memory(wildcards, attempt, rulename):
    """Resource function: megabytes that a job asks for, twice as many at each further attempt."""
    return memory_mb(needed(rulename, wildcards.study, wildcards), attempt)


def runtime(wildcards, attempt, rulename):
    """Resource function: minutes that a job asks for, twice as many at each further attempt."""
    return runtime_minutes(needed(rulename, wildcards.study, wildcards), attempt)


def of_array(convert):
    """Resource function: the most that the chunks of any study ask for.

    All jobs of a Slurm array, which may be of several studies, are given what its first asks for.
    """

    def most(wildcards, attempt, rulename):
        studies = [name for name, study in config["studies"].items() if ranks_of(study) == 1]
        return max(convert(needed(rulename, name, wildcards), attempt) for name in studies)

    return most


def launcher(wildcards):
    """Resource function: what starts the processes of MPI, within a Slurm job and elsewhere."""
    return "srun --mpi=pmix" if "SLURM_JOB_ID" in os.environ else "mpiexec --bind-to none"


def refuse_limited_arrays():
    """Stop if chunks are submitted as arrays, but not all jobs may be submitted at once.

    Slurm's plugin holds chunks back until all that are ready have been handed to it, and is never
    handed the same ones again: with a limit below the number of jobs they would wait for ever.
    """
    arrays = getattr(workflow.executor_settings, "array_jobs", None) or ""
    if "solve_chunk" in arrays or "all" in arrays:
        limit = min(workflow.nodes, workflow.scheduling_settings.max_jobs_per_timespan.max_jobs)
        jobs = len(list(workflow.dag.needrun_jobs()))
        if limit < jobs:
            raise WorkflowError(
                f"At most {limit} jobs can be submitted at a time (--jobs, "
                f"--max-jobs-per-timespan), but there are {jobs}, and arrays need all that are "
                "ready at once. Raise these limits, or turn arrays off: --slurm-array-jobs none."
            )


onstart:
    try:
        check_results_folder(config["results"])
    except PopinvError as error:
        print(f"\n{error}\n", file=sys.stderr)
        raise SystemExit(1)
    refuse_limited_arrays()
