"""Run a method's own test problem."""

from importlib import import_module
from pathlib import Path

from popinv.workflow.job import job
from popinv.workflow.records import content_of
from popinv_papers.kit.kept import keeping
from popinv_papers.kit.test_problems import CheckInput, save_check

with job(snakemake):
    params, files = snakemake.params, tuple(map(Path, snakemake.input))
    settings, hashes = params.settings, [content_of(file).sha256 for file in files]
    with keeping(Path(params.kept), {**settings, "inputs": hashes, "code": params.code}) as found:
        outcome = import_module(params.module).check(CheckInput(files, **settings))
        save_check(outcome, snakemake.output, settings, settings.get("seed", 0), snakemake.rule)
    if found:
        print(f"{len(found)} parts of an earlier run were used")
