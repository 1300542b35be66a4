"""The use on a study: its surrogate on an analog accelerator, deployed or trained there."""

from __future__ import annotations

from popinv.inference.build import descent_problem
from popinv.inference.result import parameter_names
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_data, training_settings
from popinv.surrogate.training import prepare
from popinv_papers.analog import answer, deployment
from popinv_papers.analog.accelerator import Accelerator
from popinv_papers.analog.deployment import Refitter
from popinv_papers.analog.figures import draw_deployment, draw_errors
from popinv_papers.analog.study import trainings


def use(study: StudyInput) -> Outcome:
    """Refit the answer through the surrogate with every error, and after training on devices."""
    asked, stores, seed = study.asked, study.stores, study.seed
    surrogate = surrogate_of(stores["surrogate"])
    logarithmic = study.law.law(study.forward).logarithmic
    settings = training_settings(
        study.surrogate, study.forward, seed, 1, stores["estimate"], logarithmic
    )
    solves = stores["solves"]
    data = training_data(solves, int(solves["round"].max()), study.recency_decay)
    rows = answer.check_rows(stores["fresh_solves"])
    covariance = stores["population"]["noise_covariance"].values
    chosen = asked.devices[0], asked.ranges[0]
    accelerator = Accelerator.of(surrogate, rows[0], seed)
    # The stage is that of the answer, whose draws the refits have.
    problem = descent_problem(study.model, stores["observations"], surrogate, seed, "polish")
    refitter = Refitter(problem, surrogate, stores["population"], study.polish.draws)
    invariants = [
        answer.nothing_changed(surrogate, accelerator, asked.layers, rows, covariance),
        refitter.nothing_changed(surrogate),
    ]
    errors, fits = {}, []
    for fit in trainings(prepare(data, settings, surrogate), surrogate, asked, seed):
        error = answer.error_of(fit.surrogate, rows, covariance)
        errors[fit.device, fit.method, fit.reach] = error
        print(f"{fit.device}, {fit.method}, range {fit.reach:g}: error {error:.3g}")
        if fit.method == "digital" or (fit.device, fit.reach) == chosen:
            fits.append(fit)
    answers = dict(answer.changes(refitter, fits))
    shifts = list(deployment.deployed(refitter, accelerator, asked.draws))
    before = answer.error_of(surrogate, rows, covariance)
    metrics = answer.metrics(errors, before, chosen, answers)
    metrics |= deployment.metrics(shifts, problem.d_alpha)
    print(metrics["statement"])
    print(metrics["advice"])
    on_devices = {key: error for key, error in errors.items() if key[1] != "digital"}
    digital = errors["none", "digital", 0.0]
    return Outcome(
        metrics=metrics,
        figures={
            "errors": draw_errors(on_devices, digital, before),
            "deployment": draw_deployment(shifts),
        },
        result=answer.result_dataset(errors).merge(
            deployment.shifts_dataset(shifts, parameter_names(problem))
        ),
        invariants=invariants,
    )
