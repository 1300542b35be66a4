"""Write the page of a study."""

from popinv.workflow.script import stage
from popinv.population.model import Model
from popinv.report.gathering import gather_study
from popinv.report.study_page import write_study_page
from popinv.workflow.places import at_places_of

with stage(snakemake) as job:
    section = job.study["whole"]
    model = Model(section.forward, section.law, section.noise)
    stores = [snakemake.input[name] for name in job.inputs]
    record = gather_study(snakemake.input.answer, section, stores)
    alone = snakemake.params.alone
    through = at_places_of(job.inputs["surrogate"], section.forward)
    loaded = {**job.inputs, "surrogate": through}
    job.write("page", write_study_page(record, model, loaded, job.seed, alone))
