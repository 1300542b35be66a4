"""The descent of the study with the noise, or the law, known."""

from popinv import storage
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.oracle import oracle
from popinv.inference.result import estimate_dataset, parameters_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given, known = snakemake.params, snakemake.wildcards.known
    study = {key: given[key] for key in ("forward", "law", "noise")}
    if known == "noise":
        # It may come from another family than the study's own.
        study["noise"] = given.truth["noise_model"] or given.noise
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate), snakemake.config["device"])
    problem = descent_problem(study, observations, surrogate, given.seed, "oracle")
    result = oracle(
        problem,
        descent_settings(given.descent),
        truth=parameters_of(storage.load(snakemake.input.truth)),
        start=parameters_of(storage.load(snakemake.input.estimate)),
        known=known,
    )
    storage.save(
        estimate_dataset(problem, result),
        snakemake.output.oracle,
        config={**study, "descent": given.descent, "known": known},
        seed=given.seed,
        created_by=snakemake.rule,
    )
