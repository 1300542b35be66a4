"""Sample the posterior of every observed system through the surrogate."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_metrics
from popinv.downstream.posterior import coverage_metrics, posterior_dataset, sample_posteriors
from popinv.figures.posterior import draw_calibration, draw_systems
from popinv.figures.style import save
from popinv.forward.build import parameters as forward_parameters
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    study = {key: given[key] for key in ("forward", "law", "noise")}
    asked = dict(given.posterior)
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    problem = descent_problem(study, observations, surrogate, given.seed, "posterior")
    estimate = parameters_of(storage.load(snakemake.input.population))
    kept = asked.pop("kept_draws")
    with fixed_threads():
        posteriors = sample_posteriors(problem, estimate, **asked)
    truth = snakemake.input.get("truth")
    if truth is not None:
        truth = storage.load(truth)["z"].values[: len(problem.data)]
    described = forward_parameters(given.forward)
    names, units = [p.name for p in described], [p.units for p in described]
    found = posterior_dataset(posteriors, names, kept, units, truth)
    population = parameters(problem.law, estimate[0], given.seed, "posterior/population", 2000)
    metrics = coverage_metrics(found, population)
    metrics["surrogate_calls"] = posteriors.evaluations
    storage.save(
        found,
        output.posterior,
        config={**study, "posterior": dict(given.posterior)},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    folder = Path(output.figures[0]).parent
    save(draw_systems(found, population, truth), folder / "systems.png")
    save(draw_calibration(found, population), folder / "calibration.png")
    write_metrics(metrics, Path(output.metrics))
