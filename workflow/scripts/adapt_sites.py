"""Adapt a study's surrogate to sites with laws of their own, and compare ways to do it."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_metrics
from popinv.downstream.fedhl.study import adapt, site_laws, solved_sites
from popinv.figures.fedhl import draw_sites
from popinv.figures.style import save
from popinv.forward.build import forward_model
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.population.laws.build import law, law_spread
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    asked, seed = given.fedhl, given.seed
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    alpha, _ = parameters_of(storage.load(snakemake.input.population))
    population = law(given.law, given.forward)
    spread = law_spread(given.law, given.forward)
    alphas = site_laws(alpha, spread, len(asked["ranks"]), asked["shift"], seed)
    model = forward_model(given.forward, seed)
    with fixed_threads():
        sites = solved_sites(
            alphas,
            lambda a, stage, count: parameters(population, a, seed, stage, count),
            lambda z, stage: model.solve(z, stage).observations,
            surrogate,
            asked["solves"],
            asked["test_solves"],
        )
        print(f"{len(sites.x)} solves to train on and {len(sites.test_x)} to test with")
        result, metrics = adapt(surrogate, sites, asked, seed)
    print(metrics["statement"])
    storage.save(result, output.result, config=dict(asked), seed=seed, created_by=snakemake.rule)
    save(draw_sites(result), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
