"""Let the answer of a study forget systems, and its surrogate solves, that withdraw."""

from dataclasses import replace
from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_metrics
from popinv.downstream.instance_unlearning.solves import withdraw_solves
from popinv.downstream.instance_unlearning.study import forget_systems, solves_metrics
from popinv.figures.instance_unlearning import draw_systems
from popinv.figures.style import save
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_data, training_settings
from popinv.threads import fixed_threads

with job(snakemake):
    given, read, output = snakemake.params, snakemake.input, snakemake.output
    study = {key: given[key] for key in ("forward", "law", "noise")}
    asked, network = given.instance_unlearning, given.surrogate
    observations, solves = storage.load(read.observations), storage.load(read.solves)
    surrogate = surrogate_of(storage.load(read.surrogate))
    problem = descent_problem(study, observations, surrogate, given.seed, "instance_unlearning")
    start = parameters_of(storage.load(read.estimate))
    result, metrics = forget_systems(problem, descent_settings(given.descent), start, asked)
    print(metrics["statement"])
    if asked["solves"]:
        number = int(solves["round"].values.max())
        settings = training_settings(
            network, given.forward, given.seed, number, storage.load(read.descent),
            problem.law.logarithmic,
        )  # fmt: skip
        settings = replace(
            settings, stage="forget_solves/train", learning_rate=network["learning_rate"]
        )
        data = training_data(solves, number, given.recency_decay)
        with fixed_threads():
            found, losses, spread = withdraw_solves(
                data, settings, network["refit_learning_rate"], asked["solves"]
            )
        metrics |= solves_metrics(found, losses, spread, settings.max_epochs)
        print(metrics["solves_statement"])
    storage.save(result, output.result, config=asked, seed=given.seed, created_by=snakemake.rule)
    save(draw_systems(result), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
