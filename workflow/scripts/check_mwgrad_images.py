"""Confront ensembles on pairs of overlapping images with the authors' logs and with each other."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.mwgrad import ensemble_problem
from popinv.figures.mwgrad_images import draw_accuracies, draw_examples
from popinv.figures.style import save
from popinv.job import job

with job(snakemake):
    output = snakemake.output
    trained = {Path(store).parent.stem: storage.load(store) for store in snakemake.input.trained}
    numbers = ensemble_problem.metrics(trained)
    folder = Path(output.figures[0]).parent
    save(draw_examples(trained), folder / "examples.png")
    save(draw_accuracies(trained), folder / "accuracies.png")
    write_claims(ensemble_problem.claims(numbers), Path(output.claims))
    write_metrics(numbers, Path(output.metrics))
