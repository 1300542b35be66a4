"""The use on a study: the posterior of every observed system, sampled through the surrogate."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Band,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Note,
    Panel,
    Points,
    Reference,
    Segments,
    Sheet,
    Stretch,
)
from popinv.charts.style import DATA, LIGHT, MODEL, SYSTEMS, TRUTH, readable
from popinv.inference.answer.result import estimate_of
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.methods.outcome import Outcome, StudyInput, write_table
from popinv.methods.posterior.density import Densities
from popinv.methods.posterior.study import (
    coverage_metrics,
    reported_truth,
    sampled,
    statement,
    systems_table,
    told_order,
    told_quantities,
    varying,
)
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

# Number of draws of the recovered law, with which the posteriors are compared.
_POPULATION = 2000
# A p-value below this counts as a surprise.
SURPRISING = 0.01


def use(study: StudyInput) -> Outcome:
    """Sample the parameters of every system, and report whether their intervals hold the truth."""
    asked, stores, seed = study.asked, study.stores, study.seed
    surrogate, observations = surrogate_of(stores["surrogate"]), stores["observations"]
    problem = descent_problem(study.model, observations, surrogate, seed, "posterior")
    answer = stores["population"]
    p = estimate_of(answer)
    with fixed_threads():
        invariants = Densities.at(problem, p).invariants(problem, p)
    truth = None
    if "truth" in stores:
        truth = reported_truth(problem, stores["truth"])
    told = told_quantities(study.forward, study.law)
    result, posteriors = sampled(problem, answer, observations, asked, told, truth)
    surprise = result["surprise_p_value"].values
    population = told.of(drawn_population(problem, p, seed))
    # The draws determine fewer than six digits.
    in_order = result.isel(system=told_order(observations))
    table = systems_table(in_order, list(told.units), varying(population))
    metrics = {
        **coverage_metrics(result, population, asked.effective),
        "law_and_noise": asked.law_and_noise,
        "surprising_systems": int((surprise < SURPRISING).sum()),
        "surprising_systems_expected": SURPRISING * len(surprise),
        "surrogate_calls": posteriors.evaluations,
    }
    metrics["statement"] = statement(metrics)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={
            "systems": draw_systems(result, population, None if truth is None else told.of(truth)),
            "calibration": draw_calibration(result, population),
        },
        result=result,
        files={"systems.csv": partial(write_table, table)},
        invariants=invariants,
    )


def drawn_population(problem: Problem, p: np.ndarray, seed: int) -> np.ndarray:
    """Return parameters (m, d_z) drawn from the recovered law, for comparison with the systems."""
    # The draws take the design and covariates of the systems in turns.
    known, address = problem.known.in_turns(_POPULATION), (seed, "posterior/population")
    alpha = problem.split(p)[0]
    drawn: np.ndarray = parameters(problem.law, alpha, *address, _POPULATION, known)
    return problem.of_one_member(drawn[:, : problem.law.d_z])


_MOST_PARAMETERS, _MOST_SYSTEMS = 6, 60
# One axis for each parameter.
_COLOURS = (*SYSTEMS, DATA)


def draw_systems(posterior: xr.Dataset, population: np.ndarray, truth: np.ndarray | None) -> Sheet:
    """Return the 95 % intervals of the first systems, sorted, parameter by parameter.

    Parameters that all systems share are left out. The population (m, k) holds the quantities of
    draws of the recovered law, whose central 95 % are shaded, and the truth (N, k) the quantities
    of the systems' own parameters.
    """
    chosen = np.flatnonzero(varying(population))[:_MOST_PARAMETERS]
    count = min(_MOST_SYSTEMS, posterior.sizes["system"])
    place = np.arange(count)
    panels = []
    for index in chosen:
        ends = np.quantile(population[:, index], [0.025, 0.975]).tolist()
        mean = posterior["mean"].values[:count, index]
        order = np.argsort(mean)
        low, high = (posterior[end].values[:count, index][order] for end in ("lower", "upper"))
        interval: Look = {"label": "system, 95 % interval", "colour": MODEL}
        marks: list[Mark] = [
            Stretch(*ends, label="population, central 95 %", colour=LIGHT, alpha=0.2),
            Segments(place, low, place, high, width=1.6, **interval),
            Points(place, mean[order], size=3, label="mean", colour=MODEL),
        ]
        if truth is not None:
            own = truth[:count, index][order]
            marks.append(Points(place, own, "level", 8, label="truth", colour=TRUTH))
        name = readable(str(posterior["parameter"].values[index]))
        panels.append(Panel(Axis("systems, by their mean"), Axis(), marks, title=name))
    title = "Parameters of single systems, given their observations"
    return Sheet(title, 9, 0.6 + 2.3 * len(panels), Grid(panels, legend=4))


def draw_calibration(posterior: xr.Dataset, population: np.ndarray) -> Sheet:
    """Return the coverage of central intervals of every level, and the effective draws.

    The bands hold 95 % of the chance variation of this number of systems, level by level.
    """
    own = np.flatnonzero(varying(population))[:_MOST_PARAMETERS]
    looks: list[Look] = [
        {"label": readable(str(posterior["parameter"].values[index])), "colour": colour}
        for index, colour in zip(own, _COLOURS, strict=False)
    ]
    held: list[Mark] = [Note("no truth to compare with")]
    if "rank" in posterior:
        level, count = np.linspace(0.02, 0.98, 49), posterior.sizes["system"]
        chance = 1.96 * np.sqrt(level * (1 - level) / count)
        held = [Band(level, -chance, chance, label="chance", colour=LIGHT, alpha=0.2)]
        for index, look in zip(own, looks, strict=True):
            off = np.abs(posterior["rank"].values[:, index] - 0.5)
            share = (off[:, None] <= level / 2).mean(axis=0)
            held.append(Line(level, share - level, width=1.4, **look))
        held.append(Reference(0, dash="dash", width=1, colour=TRUTH))
    left = Panel(
        Axis("level of the interval"),
        Axis("share that holds the truth, minus level"),
        held,
        title="Intervals and the truth",
        legend=Legend(size=8) if "rank" in posterior else None,
    )
    effective: list[Mark] = []
    for index, look in zip(own, looks, strict=True):
        ordered = np.sort(posterior["effective"].values[:, index])
        share = (np.arange(len(ordered)) + 1) / len(ordered)
        effective.append(Line(ordered, share, width=1.4, **look))
    x = Axis("independent draws", limits=(0, None))
    y = Axis("share of the systems with fewer")
    right = Panel(x, y, effective, title="Effective sample sizes", legend=Legend(size=8))
    title = "Are the posteriors calibrated, and did the chains mix?"
    return Sheet(title, 10, 4.6, Grid([left, right], 2))
