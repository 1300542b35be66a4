"""What the script of a stage imports before all else.

This module stops Python's garbage collector, which would visit the objects of all modules again and
again while they are imported. The frame of the job turns it on (:mod:`popinv.workflow.job`). It
also keeps the numerics to one thread: the threads that a rule is given are processes. Only scripts
should import this module.
"""

# ruff: noqa: E402

import gc
import os
import sys

gc.disable()

from threadpoolctl import threadpool_limits

from popinv.workflow.processor import ONE_THREAD

os.environ.update(ONE_THREAD)
# NumPy has come with the sections of the study, and its threads were counted then.
threadpool_limits(1, user_api="blas")

from typing import Any

from popinv.workflow.ranks import RanksError, as_rank, start_ranks, wants_ranks
from popinv.workflow.stage import run_stage, stage

__all__ = ["run_job", "stage"]


def run_job(snakemake: Any) -> None:
    """Run the stage of a rule, here or by the ranks that the rule requests."""
    try:
        if wants_ranks(snakemake):
            start_ranks(snakemake)
        else:
            with as_rank(snakemake):
                run_stage(snakemake)
    except RanksError as error:
        sys.exit(f"\n{snakemake.rule}: {error}\n")
