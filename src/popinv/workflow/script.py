"""What the script of a stage imports before all else.

This module stops Python's garbage collector, which would visit the objects of all modules again and
again while they are imported. The frame of the job turns it on (:mod:`popinv.workflow.job`). Only
scripts should import this module.
"""

# ruff: noqa: E402

import gc

gc.disable()

from popinv.workflow.stage import run_stage, stage

__all__ = ["run_stage", "stage"]
