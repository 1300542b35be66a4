"""Move particles that serve a group of a study's systems at once."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_metrics
from popinv.downstream.mwgrad.study import serve_group
from popinv.figures.mwgrad import draw_group
from popinv.figures.style import save
from popinv.forward.build import parameters as forward_parameters
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    study = {key: given[key] for key in ("forward", "law", "noise")}
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    problem = descent_problem(study, observations, surrogate, given.seed, "mwgrad")
    estimate = parameters_of(storage.load(snakemake.input.population))
    names = [parameter.name for parameter in forward_parameters(given.forward)]
    with fixed_threads():
        result, metrics = serve_group(problem, estimate, names=names, **given.mwgrad)
    storage.save(
        result,
        output.result,
        config={**study, "mwgrad": dict(given.mwgrad)},
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_group(result), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
