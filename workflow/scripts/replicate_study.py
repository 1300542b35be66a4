"""Draw data sets of the study's size from the truth, and find the intervals of each."""

import xarray as xr
from tqdm import tqdm

from popinv import storage
from popinv.evidence.coverage import replicate
from popinv.evidence.populations import observe_again
from popinv.forward.build import observed
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.population.laws.build import law
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    first, replications = given.replications
    truth = storage.load(snakemake.input.truth)
    covariance = truth["noise_covariance"].values
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    model, what = law(given.law, given.forward), observed(given.forward, given.seed)
    start = parameters_of(storage.load(snakemake.input.descent))
    settings = descent_settings(given.descent)
    results = []
    for number in tqdm(range(first, first + replications), desc="replications", disable=None):
        stage = f"replication_{number}"
        z = parameters(model, truth["alpha"].values, given.seed, stage, given.study_systems)
        clean = surrogate.predict(z)
        data = observe_again(clean, covariance, what, given.seed, stage, given.noise_scale)
        problem = descent_problem(study, data, surrogate, given.seed, f"evidence/{stage}")
        results.append(replicate(problem, settings, start, given.resamples))
    storage.save(
        xr.concat(results, "replication"),
        snakemake.output.replications,
        config={**study, "descent": given.descent, "resamples": given.resamples},
        seed=given.seed,
        created_by=snakemake.rule,
    )
