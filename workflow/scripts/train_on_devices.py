"""Train the surrogate's last layers on analog devices, and ask what that does to the answer."""

from pathlib import Path

from popinv import storage
from popinv.downstream.analog import answer
from popinv.downstream.analog.study import trainings
from popinv.downstream.claims import write_metrics
from popinv.figures.analog import draw_errors
from popinv.figures.style import save
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.job import job
from popinv.population.laws.build import law
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_data, training_settings
from popinv.surrogate.training import prepare

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    asked = given.analog
    loaded = {name: storage.load(path) for name, path in snakemake.input.items()}
    study = {key: given[key] for key in ("forward", "law", "noise")}
    surrogate = surrogate_of(loaded["surrogate"])
    logarithmic = law(given.law, given.forward).logarithmic
    settings = training_settings(
        given.surrogate, given.forward, given.seed, 1, loaded["estimate"], logarithmic
    )
    solves = loaded["solves"]
    data = training_data(solves, int(solves["round"].max()), given.recency_decay)
    rows = answer.check_rows(loaded["check"])
    covariance = loaded["population"]["noise_covariance"].values
    chosen, errors, fits = (asked["devices"][0], asked["ranges"][0]), {}, []
    for fit in trainings(prepare(data, settings, surrogate), surrogate, asked, given.seed):
        error = answer.error_of(fit.surrogate, rows, covariance)
        errors[fit.device, fit.method, fit.reach] = error
        print(f"{fit.device}, {fit.method}, range {fit.reach:g}: error {error:.3g}")
        if fit.method == "digital" or (fit.device, fit.reach) == chosen:
            fits.append(fit)
    problem = descent_problem(study, loaded["observations"], surrogate, given.seed, "analog")
    solution = parameters_of(loaded["population"])
    answers = dict(answer.changes(problem, solution, fits, asked["descent_iterations"]))
    before = answer.error_of(surrogate, rows, covariance)
    metrics = answer.metrics(errors, before, chosen, answers)
    print(metrics["statement"])
    result = answer.result_dataset(errors)
    storage.save(result, output.result, config=asked, seed=given.seed, created_by=snakemake.rule)
    on_devices = {key: error for key, error in errors.items() if key[1] != "digital"}
    digital = errors["none", "digital", 0.0]
    save(draw_errors(on_devices, digital, before), Path(output.figures))
    write_metrics(metrics, Path(output.metrics))
