"""Train a study's surrogate with real worker processes of unequal speed, under three policies."""

from dataclasses import replace
from pathlib import Path

from popinv import storage
from popinv.downstream.birch.study import Learning, compare
from popinv.downstream.claims import write_metrics
from popinv.figures.birch import draw_study
from popinv.figures.style import save
from popinv.job import job
from popinv.population.laws.build import law
from popinv.surrogate.build import training_data, training_settings

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    logarithmic = law(given.law, given.forward).logarithmic
    settings = training_settings(
        given.surrogate, given.forward, given.seed, 0, logarithmic=logarithmic
    )
    solves = storage.load(snakemake.input.solves)
    # All rounds weigh the same.
    data = replace(training_data(solves, int(solves["round"].max()), 1.0), weights=None)
    learning = Learning.of(data, replace(settings, stage="birch"), given.birch["batch_size"])
    result, metrics = compare(learning, given.birch)
    print(metrics["statement"])
    storage.save(
        result, output.result, config=given.birch, seed=given.seed, created_by=snakemake.rule
    )
    save(draw_study(result), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
