"""The use on a study: several machines of unequal speed, for its training and for its solves."""

from __future__ import annotations

from dataclasses import replace

from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.build import training_data, training_settings
from popinv_papers.birch.solve_advice import advise_solves, alike_machines
from popinv_papers.birch.solve_sharing import Machines
from popinv_papers.birch.study import Learning, compare, nothing_trained
from popinv_papers.birch.study_figures import draw_solves, draw_training


def use(study: StudyInput) -> Outcome:
    """Say whether several machines are worth it for the training, and how to share solves."""
    asked, solves = study.asked, study.stores["solves"]
    logarithmic = study.law.law(study.forward).logarithmic
    settings = training_settings(
        study.surrogate, study.forward, study.seed, 0, logarithmic=logarithmic
    )
    # All rounds weigh the same.
    last = int(solves["round"].max())
    data = replace(training_data(solves, last, 1.0), weights=None)
    learning = Learning.of(data, settings.replace(stage="birch"), asked.batch_size)
    invariants = [
        nothing_trained(learning, asked),
        alike_machines(len(asked.machines), study.seed),
    ]
    training, metrics = compare(learning, asked)
    machines = Machines(
        tuple(asked.machines.values()),
        asked.chunk_overhead,
        asked.solve_variation,
        asked.machine_variation,
    )
    of_round = int((solves["round"] == last).sum())
    shares, more = advise_solves(asked.machines, machines, of_round, asked.repeats, study.seed)
    metrics |= more
    print(metrics["statement"], metrics["solves_statement"], sep="\n")
    return Outcome(
        metrics=metrics,
        figures={"training": draw_training(training), "solves": draw_solves(shares)},
        result=training.merge(shares, combine_attrs="no_conflicts"),
        invariants=invariants,
    )
