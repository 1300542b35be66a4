"""Write the index page, with links to the pages of the studies and the methods."""

from popinv.report.gathering import gather_comparison, gather_listed, gather_method
from popinv.report.pages import first_page, index_page
from popinv.store.whole_files import write_text
from popinv.workflow.job import job

with job(snakemake):
    given = snakemake.params
    sections = {**given.studies, **dict.fromkeys(given.other_studies)}
    studies = [gather_listed(given.results, *each) for each in sections.items()]
    methods = [
        gather_method(
            name, given.results, {user: given.studies[user] for user in users}, given.about[name]
        )
        for name, users in given.methods.items()
    ]
    comparisons = [
        gather_comparison(f"{given.results}/comparisons/{name}/comparison.json")
        for name in given.comparisons
    ]
    text = index_page(studies, methods, comparisons)
    if given.alone:
        text = first_page(studies[0].name)
    write_text(snakemake.output.index, text)
