"""Select solves to train a study's surrogate on, and candidates to solve."""

from dataclasses import replace
from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_metrics
from popinv.downstream.influence.study import Asked, select_samples
from popinv.figures.influence import draw_study
from popinv.figures.style import save
from popinv.job import job
from popinv.population.laws.build import law
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_settings
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    first, last = (surrogate_of(storage.load(snakemake.input[name])) for name in ("first", "last"))
    estimate = storage.load(snakemake.input.population)
    logarithmic = law(given.law, given.forward).logarithmic
    # As a later round trains; the round's number matters for random draws alone.
    settings = training_settings(
        given.surrogate, given.forward, given.seed, 1, estimate, logarithmic
    )
    with fixed_threads():
        result, metrics = select_samples(
            storage.load(snakemake.input.record),
            first,
            last,
            replace(settings, stage="influence"),
            Asked(**given.influence),
            given.recency_decay,
        )
    for name in ("selected_statement", "candidates_statement"):
        print(metrics[name])
    storage.save(
        result,
        output.result,
        config={"influence": dict(given.influence)},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_study(result), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
