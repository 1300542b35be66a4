"""Write the page that compares the errors of the studies' answers with the bound."""

from popinv.workflow.script import stage
from popinv.evidence.efficiency import efficiency_page

with stage(snakemake) as job:
    through = job.params.through
    calibrations = dict(zip(through, job.inputs.get("calibrations", []), strict=True))
    job.write("page", efficiency_page(calibrations, through))
