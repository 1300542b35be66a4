"""Draw data sets of the study's size from a truth, and estimate each as the study does."""

from dataclasses import replace

import numpy as np
import xarray as xr
from tqdm import tqdm

from popinv import storage
from popinv.evidence.calibration import replication
from popinv.evidence.populations import observe_again
from popinv.forward.build import forward_model, observed
from popinv.inference.build import descent_problem, descent_settings, start
from popinv.inference.estimation import estimate_population
from popinv.inference.polish import PolishSettings
from popinv.inference.polished import fresh_solves
from popinv.inference.result import estimate_of, noise_covariance
from popinv.inference.solver import SolverSimulator
from popinv.job import job
from popinv.population.laws.build import law
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of

with job(snakemake):
    given = snakemake.params
    study = {key: given[key] for key in ("forward", "law", "noise")}
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    first, replications = given.replications
    surrogate = surrogate_of(loaded["surrogate"])
    model, what = law(given.law, given.forward), observed(given.forward, given.seed)
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "evidence")
    settings = PolishSettings.of_study(given.polish, given.estimator in ("auto", "likelihood"))
    fresh, systems = fresh_solves(loaded["check"]), len(problem.data)
    if given.through == "solver":
        solver = SolverSimulator(forward_model(given.forward, given.seed))
    else:
        # Data from the surrogate hold none of its error, and none is to be taken off.
        solver, fresh = None, replace(fresh, y=surrogate.predict(fresh.z))
    results = []
    for number in tqdm(range(first, first + replications), desc="replications", disable=None):
        stage = f"replication_{number}"
        if "truth" in loaded:
            truth, covariance = estimate_of(loaded["truth"]), loaded["truth"]["noise_covariance"]
            covariance = covariance.values
        else:
            population = loaded["population"]
            draw = number % population.sizes["draw"]
            truth = np.concatenate(
                [population[f"{name}_draws"].values[draw] for name in ("alpha", "gamma")]
            )
            covariance = noise_covariance(problem, problem.split(truth)[1])
        z = parameters(model, truth[: problem.d_alpha], given.seed, stage, systems)
        if given.through == "solver":
            clean = solver.model.solve(z, stage).observations
        else:
            clean = surrogate.predict(z)
        data = observe_again(clean, covariance, what, given.seed, stage, given.noise_scale)
        replica = descent_problem(study, data, surrogate, given.seed, f"evidence/{stage}")
        answer = estimate_population(
            replica,
            given.estimator,
            settings,
            descent_settings(given.descent),
            [start(study, replica)],
            fresh,
            solver,
            given.seconds_per_solve,
        )
        if len(truth) != len(replica.free):
            # Noise of another family has no such parameters.
            alpha = truth[: problem.d_alpha]
            truth = np.concatenate([alpha, np.full(len(replica.noise.names), np.nan)])
        results.append(replication(replica, answer, truth, covariance))
        print(f"replication {number + 1}: {answer.estimator}")
    storage.save(
        xr.concat(results, "replication"),
        snakemake.output.replications,
        config={**study, "polish": given.polish, "through": given.through},
        seed=given.seed,
        created_by=snakemake.rule,
    )
