"""The estimate of the study with the noise, or the law, known."""

import numpy as np

from popinv import storage
from popinv.forward.build import forward_model
from popinv.inference.build import descent_problem, descent_settings
from popinv.inference.choice import ESTIMATORS, choose
from popinv.inference.oracle import oracle
from popinv.inference.polished import fresh_solves
from popinv.inference.result import estimate_dataset, estimate_of, parameters_of
from popinv.inference.solver import SolverSimulator
from popinv.job import job
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given, known = snakemake.params, snakemake.wildcards.known
    study = {key: given[key] for key in ("forward", "law", "noise")}
    if known == "noise":
        # It may come from another family than the study's own.
        study["noise"] = given.truth["noise_model"] or given.noise
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    surrogate = surrogate_of(loaded["surrogate"], snakemake.config["device"])
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "oracle")
    name, _ = choose({name: loaded[name] for name in ESTIMATORS}, given.estimator)
    answer, fresh = loaded[name], fresh_solves(loaded["check"])
    solver = None
    if answer.attrs.get("through") == "solver":

        def solver() -> SolverSimulator:
            return SolverSimulator(forward_model(given.forward, given.seed))

    truth = np.concatenate(parameters_of(loaded["truth"]))
    start = estimate_of(answer)
    if known == "noise":
        # Noise of another family has other parameters; they are held at the truth anyway.
        start = np.concatenate([start[: problem.d_alpha], truth[problem.d_alpha :]])
    else:
        # The truth's noise may be of another family; the study's own is what is estimated.
        truth = np.concatenate([truth[: problem.d_alpha], start[problem.d_alpha :]])
    result = oracle(
        problem,
        name,
        truth,
        start,
        known,
        given.polish["draws"],
        descent_settings(given.descent),
        fresh,
        solver,
    )
    storage.save(
        estimate_dataset(problem, result, {"estimator": name}),
        snakemake.output.oracle,
        config={**study, "descent": given.descent, "known": known},
        seed=given.seed,
        created_by=snakemake.rule,
    )
