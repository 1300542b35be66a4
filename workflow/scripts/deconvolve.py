"""The coupled descent on law and noise."""

from popinv import storage
from popinv.checkpoints import Checkpoint
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.fit_distance import fit_distance, starts_near
from popinv.inference.likelihood.scores import distance_scores
from popinv.inference.polished import fresh_solves
from popinv.inference.result import estimate_dataset, estimate_of
from popinv.inference.surrogate_bias import corrected
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    observations = storage.load(snakemake.input.observations)
    fitted = storage.load(snakemake.input.surrogate)
    estimate, check = (storage.load(snakemake.input[name]) for name in ("estimate", "check"))
    surrogate = surrogate_of(fitted, snakemake.config["device"])
    problem = descent_problem(study, observations, surrogate, given.seed, "descent")
    config = {**study, "descent": given.descent}
    checkpoint = Checkpoint.of_job(snakemake, config, (observations, fitted, estimate, check))
    starts = starts_near(problem, estimate_of(estimate), given.descent["restarts"])
    found = fit_distance(problem, descent_settings(given.descent), starts, checkpoint)
    losses = {"loss": found.loss, "fixed_loss": found.fixed_loss}
    best = found.estimate
    if found.influence is not None:
        scores, fresh = distance_scores(found.influence), fresh_solves(check)
        best = corrected(problem, best, scores, fresh, "descent/fresh", pairs=4)
    dataset = estimate_dataset(problem, best, losses=losses)
    print(dataset["law"].to_series().to_string(), dataset["noise"].to_series().to_string())
    print(found.estimate.reason or "the descent has arrived")
    storage.save(
        dataset,
        snakemake.output.descent,
        config=config,
        seed=given.seed,
        created_by=snakemake.rule,
    )
    checkpoint.clear()
