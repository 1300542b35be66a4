"""The use on a study: whether a group of its systems may share their parameters.

The figure has the p-values of all pairs of a group, and of each system against the rest.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.charts.style import LIGHT, MODEL, SEQUENTIAL, TRUTH, new_figure, styled
from popinv.inference.build import descent_problem
from popinv.inference.result import parameters_of
from popinv.methods.groups.comparison import any_order, compare_group
from popinv.methods.groups.group_tests import LEVEL
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

# Probabilities below this are drawn as this.
_LEAST = 1e-8


@styled
def draw_tests(result: xr.Dataset) -> Figure:
    """Draw the p-values of all pairs, and of each system against the rest."""
    figure = new_figure("Which systems can have the same parameters?", 10, 4.6)
    left, right = figure.subplots(1, 2)
    names = [str(number) for number in result["group"].values]
    place = np.arange(len(names))
    pairs = np.log10(np.maximum(result["pair_p_value"].values, _LEAST))
    pairs[place, place] = np.nan
    image = left.imshow(pairs, cmap=SEQUENTIAL, vmin=np.log10(_LEAST), vmax=0)
    figure.colorbar(image, ax=left, label="decimal logarithm of p, adjusted")
    left.set(title="pairs", xlabel="system", ylabel="system")
    left.set_xticks(place, names)
    left.set_yticks(place, names)
    p_values = np.maximum(result["system_p_value"].values, _LEAST)
    apart = result["apart"].values.astype(bool)
    for chosen, colour, label in (
        (~apart, MODEL, "may share parameters"),
        (apart, TRUTH, "stands apart"),
    ):
        if chosen.any():
            right.plot(place[chosen], p_values[chosen], "o", color=colour, label=label)
    right.axhline(LEVEL, color=LIGHT, ls="--", label=f"{100 * LEVEL:g} %")
    right.set(yscale="log", ylim=(_LEAST / 2, 2), title="each against the rest")
    right.set(xlabel="system", ylabel="p, adjusted")
    right.set_xticks(place, names)
    right.legend()
    return figure


def use(study: StudyInput) -> Outcome:
    """Test the group as a whole, in pairs, and each of its systems against the rest."""
    asked, stores = study.asked, study.stores
    surrogate = surrogate_of(stores["surrogate"])
    problem = descent_problem(study.model, stores["observations"], surrogate, study.seed, "groups")
    estimate = parameters_of(stores["population"])
    with fixed_threads():
        invariant = any_order(problem, estimate, asked.systems)
        result, metrics = compare_group(problem, estimate, asked.systems, asked.simulated)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"tests": draw_tests(result)},
        result=result,
        invariants=[invariant],
    )
