"""The use on a study: whether another start of its descent finds a better answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from popinv.charts.style import LIGHT, MODEL, SYSTEMS, new_figure, styled
from popinv.inference.build import descent_problem
from popinv.inference.fit_distance import starts_near
from popinv.inference.result import estimate_of, parameter_names
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.restarts.descents import Descents, descent_end, descents_from, same_descent
from popinv.surrogate.artefact import surrogate_of


def use(study: StudyInput) -> Outcome:
    """Tell whether another start finds a better answer, and how often."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(
        study.model, stores["observations"], surrogate, study.seed, "restarts"
    )
    descent = stores["descent"]
    answer = descent_end(descent)
    errors = np.sqrt(np.diag(descent["sampling_covariance"].values))
    estimate = estimate_of(stores["estimate"])
    invariant = same_descent(problem, study.descent, estimate, answer, errors)
    # The study's own restarts come first, and more of the same.
    starts = starts_near(replace(problem, stage="descent"), estimate, asked.starts + 1)[1:]
    errors = np.where(problem.free, errors, 0.0)
    made = descents_from(problem, study.descent, answer, errors, starts, asked.draws, asked.apart)
    metrics = made.found.metrics(made.farthest) | {"legs_most": int(made.legs.max())}
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"ends": draw_ends(made)},
        result=made.dataset(starts, parameter_names(problem)),
        invariants=[invariant],
    )


@styled
def draw_ends(made: Descents) -> Figure:
    """Draw by how much the loss at each end exceeds that at the answer, with its error."""
    figure = new_figure("Ends of the descent from other starts", 8, 4.8)
    ax = figure.subplots()
    excess = made.losses[1:] - made.losses[0]
    error = excess.std(axis=1, ddof=1) / np.sqrt(excess.shape[1])
    groups = made.found.groups[1:]
    for number in np.unique(groups[groups >= 0]):
        rows = groups == number
        ax.errorbar(
            made.distances[1:][rows],
            excess[rows].mean(axis=1),
            yerr=2 * error[rows],
            fmt="o",
            color=MODEL if number == 0 else SYSTEMS[1 + (number - 1) % (len(SYSTEMS) - 1)],
            label="the answer" if number == 0 else f"answer {number}",
        )
    ax.axhline(0, color=LIGHT, lw=1)
    ax.set(
        xlabel="distance from the answer, in standard errors",
        ylabel="loss above that of the answer (2 standard errors)",
    )
    ax.legend(loc="best")
    return figure
