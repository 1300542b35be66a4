"""Put the library that draws the charts beside the pages."""

from popinv.report.folder import library
from popinv.store.whole_files import write_text
from popinv.workflow.job import job

with job(snakemake):
    write_text(snakemake.output.library, library())
