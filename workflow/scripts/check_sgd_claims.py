"""Confront theory with simulated paths of stochastic gradient descent."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.sgd_dynamics import problem
from popinv.figures.sgd_dynamics import draw_comparisons
from popinv.figures.style import save
from popinv.job import job

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    found = []
    for comparison in problem.comparisons(problem.SIZES[given.size], given.seed):
        print(f"{comparison.name}: {comparison.theory:.4g}, simulated {comparison.simulated:.4g}")
        found.append(comparison)
    result = problem.result_dataset(found)
    storage.save(
        result,
        output.result,
        config={"size": given.size},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_comparisons(result), Path(output.figures))
    write_claims(problem.claims(found), Path(output.claims))
    write_metrics(problem.metrics(found), Path(output.metrics))
