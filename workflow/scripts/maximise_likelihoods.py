"""Pseudo-likelihood and likelihood of law and noise, after the distance."""

from popinv import storage
from popinv.checkpoints import Checkpoint
from popinv.forward.build import forward_model
from popinv.inference.build import descent_problem, start
from popinv.inference.polish import PolishSettings, polish
from popinv.inference.polished import fresh_solves, likelihood_dataset, pseudo_likelihood_dataset
from popinv.inference.result import estimate_of
from popinv.inference.solver import SolverSimulator
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    surrogate = surrogate_of(loaded["surrogate"], snakemake.config["device"])
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "polish")
    config = {**study, "polish": given.polish, "likelihood": given.likelihood}
    checkpoint = Checkpoint.of_job(snakemake, config, loaded.values())
    starts = [estimate_of(loaded["estimate"]), start(study, problem)]
    settings = PolishSettings.of_study(given.polish, given.likelihood)
    solver = None
    if settings.may_solve(problem, given.seconds_per_solve):
        solver = SolverSimulator(forward_model(given.forward, given.seed))
    found = polish(
        problem,
        settings,
        starts,
        fresh_solves(loaded["check"]),
        solver,
        given.seconds_per_solve,
        checkpoint,
    )
    for dataset, path in (
        (pseudo_likelihood_dataset(problem, found), snakemake.output.pseudo_likelihood),
        (likelihood_dataset(problem, found), snakemake.output.likelihood),
    ):
        storage.save(dataset, path, config=config, seed=given.seed, created_by=snakemake.rule)
    checkpoint.clear()
