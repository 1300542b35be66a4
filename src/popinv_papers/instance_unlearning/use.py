"""The use on a study: its answer forgets systems, and its surrogate solves, that withdraw."""

from __future__ import annotations

from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_data, training_settings
from popinv.threads import fixed_threads
from popinv_papers.instance_unlearning.figures import draw_systems
from popinv_papers.instance_unlearning.solves import nothing_withdrawn, withdraw_solves
from popinv_papers.instance_unlearning.study import forget_systems, solves_metrics


def use(study: StudyInput) -> Outcome:
    """Leave out systems, and solves if requested, by fine-tuning and by a new fit."""
    asked, stores, network = study.asked, study.stores, study.surrogate
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "instance_unlearning"
    )
    start = parameters_of(stores["estimate"])
    result, metrics, invariant = forget_systems(problem, study.descent, start, asked)
    invariants = [invariant]
    print(metrics["statement"])
    if asked.solves:
        solves = stores["solves"]
        number = int(solves["round"].values.max())
        logarithmic = problem.law.logarithmic
        settings = training_settings(
            network, study.forward, study.seed, number, stores["descent"], logarithmic
        )
        settings = settings.replace(
            stage="forget_solves/train", learning_rate=network.learning_rate
        )
        data = training_data(solves, number, study.recency_decay)
        with fixed_threads():
            invariants.append(nothing_withdrawn(data, settings))
            withdrawals, losses, spread = withdraw_solves(
                data, settings, network.refit_learning_rate, asked.solves
            )
        metrics |= solves_metrics(withdrawals, losses, spread, settings.max_epochs)
        print(metrics["solves_statement"])
    return Outcome(
        metrics=metrics,
        figures={"systems": draw_systems(result)},
        result=result,
        invariants=invariants,
    )
