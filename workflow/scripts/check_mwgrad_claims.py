"""Move particles on four mixtures, and confront what happens with the paper's claims."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.mwgrad import mixtures
from popinv.figures.mwgrad import draw_accelerated, draw_particles
from popinv.figures.style import save
from popinv.job import job
from popinv.threads import fixed_threads

with job(snakemake):
    seed, output = snakemake.params.seed, snakemake.output
    with fixed_threads():
        found = mixtures.weight_runs(seed)
        curves = mixtures.accelerated_runs(seed)
    result = mixtures.result_dataset(found, curves)
    numbers = mixtures.metrics(found, curves)
    storage.save(result, output.result, config={}, seed=seed, created_by=snakemake.rule)
    folder = Path(output.figures[0]).parent
    save(draw_particles(result, mixtures.four_mixtures(seed)), folder / "particles.png")
    save(draw_accelerated(result), folder / "accelerated.png")
    write_claims(mixtures.claims(numbers), Path(output.claims))
    write_metrics(numbers, Path(output.metrics))
