"""Look for critical points of a study's descent along lines, and run the descent at them."""

from dataclasses import replace
from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_metrics
from popinv.downstream.sgd_dynamics.study import lines, probe, result_dataset
from popinv.figures.sgd_dynamics import draw_slices
from popinv.figures.style import save
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.fit_distance import starts_near
from popinv.inference.result import estimate_of, parameters_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    study = {key: given[key] for key in ("forward", "law", "noise")}
    asked = given.sgd_dynamics
    observations = storage.load(snakemake.input.observations)
    surrogate = surrogate_of(storage.load(snakemake.input.surrogate))
    problem = descent_problem(study, observations, surrogate, given.seed, "sgd_dynamics")
    solution = parameters_of(storage.load(snakemake.input.descent))
    estimate = estimate_of(storage.load(snakemake.input.estimate))
    # The study's own first restart, drawn as the descent draws it.
    restart = problem.split(starts_near(replace(problem, stage="descent"), estimate, 2)[1])
    batch = min(asked["batch_size"], len(problem.data))
    settings = replace(descent_settings(given.descent), batch_size=batch, model_samples=batch)
    slices, metrics = {}, {}
    for name, (origin, direction) in lines(problem, settings, solution, restart).items():
        slices[name], numbers = probe(problem, settings, origin, direction, asked)
        metrics |= {f"{name}_{key}": value for key, value in numbers.items()}
        print(f"{name}: {numbers['statement']}")
    result = result_dataset(slices)
    storage.save(result, output.result, config=asked, seed=given.seed, created_by=snakemake.rule)
    save(draw_slices(slices), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
