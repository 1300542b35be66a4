"""Write the page of a downstream method."""

from popinv.job import job
from popinv.report.describing import question_of
from popinv.report.gathering import gather_method
from popinv.report.pages import method_page
from popinv.whole_files import write_text

with job(snakemake):
    given, name = snakemake.params, snakemake.wildcards.method
    method = gather_method(
        name, given.results, given.studies, given.about, question_of(name), given.benchmarks
    )
    write_text(snakemake.output.page, method_page(method))
