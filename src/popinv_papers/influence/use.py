"""The use on a study: selection of solves to train its surrogate on, and of candidates to solve."""

from __future__ import annotations

from dataclasses import replace

import xarray as xr

from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.uncertainty.intervals import boundaries
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.build import training_settings
from popinv.threads import fixed_threads
from popinv_papers.influence.candidates import order_candidates
from popinv_papers.influence.figures import draw_study
from popinv_papers.influence.study import Bench, Solves, select_samples


def use(study: StudyInput) -> Outcome:
    """Select solves and train on them; order candidates by their worth for the answer."""
    stores, asked, decay = study.stores, study.asked, study.recency_decay
    first, last = (surrogate_of(stores[name]) for name in ("first_surrogate", "surrogate"))
    logarithmic = study.law.law(study.forward).logarithmic
    # Settings of a later round; the round's number matters for random draws alone.
    settings = training_settings(
        study.surrogate, study.forward, study.seed, 1, stores["population"], logarithmic
    )
    problem = descent_problem(study.model, stores["observations"], first, study.seed, "influence")
    problem = replace(problem.at_all_places, fixed=tuple(boundaries(stores["population"])))
    solves = Solves.of(stores["fresh_solves"], asked.targets)
    with fixed_threads():
        bench = Bench(solves, first, settings.replace(stage="influence"), asked)
        invariant = bench.nothing_trained()
        result, metrics = select_samples(bench, last, decay)
        p = estimate_of(stores["population"])
        ordered, numbers = order_candidates(bench, problem, p, last, decay)
    if ordered is not None:
        result = xr.merge([result, ordered])
    metrics |= numbers
    for name in ("statement", "candidates_statement"):
        print(metrics[name])
    return Outcome(
        metrics=metrics,
        figures={"selection": draw_study(result)},
        result=result,
        invariants=[invariant],
    )
