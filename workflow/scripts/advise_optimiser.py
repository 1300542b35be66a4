"""Ask Zipf's law which optimiser suits a linear model of a study's series, and run both."""

from pathlib import Path

from popinv import storage
from popinv.downstream.bigram.counts import Bigrams
from popinv.downstream.bigram.series import advise, quantised
from popinv.downstream.claims import write_metrics
from popinv.figures import bigram as figures
from popinv.figures.style import save
from popinv.job import job

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    observations = storage.load(snakemake.input.observations)
    vocabulary, target = given.bigram["vocabulary"], given.bigram["target"]
    symbols = quantised(observations, vocabulary, given.seed)
    metrics, curves = advise(Bigrams.of(symbols, vocabulary), target)
    print(f"advice: {metrics['advice']}; faster: {metrics['faster']}")
    storage.save(
        curves, output.result, config=given.bigram, seed=given.seed, created_by=snakemake.rule
    )
    title = "Relative loss on the observed series"
    save(figures.draw_curves(curves, title), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
