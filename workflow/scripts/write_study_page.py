"""Write the page of a study."""

from popinv import storage
from popinv.inference.build import descent_problem
from popinv.job import job
from popinv.report.gathering import gather_study
from popinv.report.writing import page_of
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads
from popinv.whole_files import write_text

with job(snakemake):
    section, inputs = snakemake.params.study, snakemake.input
    stores = {name: path for name, path in inputs.items() if str(path).endswith("/zarr.json")}
    loaded = {name: storage.load(path) for name, path in stores.items()}
    study = gather_study(inputs.metrics, section, stores.values())
    surrogate = surrogate_of(loaded["surrogate"])
    problem = descent_problem(
        section, loaded["observations"], surrogate, section["seed"], "figures"
    )
    with fixed_threads():
        page = page_of(study, problem, loaded)
    write_text(snakemake.output.page, page)
