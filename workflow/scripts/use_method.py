"""Use a method on a study."""

from importlib import import_module

from popinv.errors import InvariantError
from popinv.methods.outcome import StudyInput, save_outcome
from popinv.store import storage
from popinv.workflow.job import job
from popinv.workflow.places import at_places_of

with job(snakemake):
    given = snakemake.params.given
    # Files of observations are read by the method itself.
    paths = {name: path for name, path in snakemake.input.items() if name != "files"}
    stores = {name: storage.load(path) for name, path in paths.items()}
    if "forward" in given and "surrogate" in stores:
        stores["surrogate"] = at_places_of(stores["surrogate"], given["forward"])
    outcome = import_module(snakemake.params.module).use(StudyInput(stores=stores, **given))
    if not outcome.invariants:
        raise InvariantError(f"{snakemake.params.module} has checked no invariant")
    save_outcome(outcome, snakemake.output, given, given["seed"], snakemake.rule)
