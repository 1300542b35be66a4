"""Run a method's own test problem."""

from importlib import import_module
from pathlib import Path

from popinv.downstream.outcome import CheckInput, save_outcome
from popinv.workflow.job import job

with job(snakemake):
    settings = snakemake.params.settings
    files = tuple(map(Path, snakemake.input))
    outcome = import_module(snakemake.params.module).check(CheckInput(files, **settings))
    save_outcome(outcome, snakemake.output, settings, settings.get("seed", 0), snakemake.rule)
