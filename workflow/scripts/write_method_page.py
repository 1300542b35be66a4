"""Write the page of a downstream method."""

from popinv.methods.registry import METHODS
from popinv.report.describing import question_of
from popinv.report.gathering import gather_method
from popinv.report.pages import method_page
from popinv.store.whole_files import write_text
from popinv.workflow.job import job

with job(snakemake):
    given, name = snakemake.params, snakemake.wildcards.method
    about = given.results, given.studies, given.about, question_of(name), given.benchmarks
    cells = getattr(METHODS.get(name), "cells", dict)
    method = gather_method(name, *about, cells)
    write_text(snakemake.output.page, method_page(method))
