"""Write the page of a comparison of models."""

from popinv.report.evidence_charts import comparison_chart
from popinv.report.gathering import gather_comparison
from popinv.report.pages import comparison_page
from popinv.store.whole_files import write_text
from popinv.workflow.job import job

with job(snakemake):
    comparison = gather_comparison(snakemake.input.comparison)
    page = comparison_page(comparison, [comparison_chart(comparison.numbers)])
    write_text(snakemake.output.page, page)
