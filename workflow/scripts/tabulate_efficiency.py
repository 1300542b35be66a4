"""Write the page that tells how near the answers of the studies come to the bound."""

from popinv import storage
from popinv.evidence.efficiency import efficiency_page
from popinv.job import job
from popinv.whole_files import write_text

with job(snakemake):
    through = snakemake.params.through
    found = {
        name: storage.load(path)
        for name, path in zip(through, snakemake.input.calibrations, strict=True)
    }
    write_text(snakemake.output.page, efficiency_page(found, through))
