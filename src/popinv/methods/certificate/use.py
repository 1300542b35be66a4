"""The use on a study: systems are removed from its answer, with certificates."""

from __future__ import annotations

import math
import secrets
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Marker,
    Panel,
    Points,
    Reference,
    Sheet,
    Stretch,
)
from popinv.charts.style import (
    CHECK,
    LIGHT,
    MODEL,
    SYSTEMS,
    TRUTH,
    readable,
)
from popinv.errors import DataError
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.answer.result import (
    correction_of,
    draws_of_answer,
    estimate_of,
    parameter_names,
)
from popinv.inference.density.build import descent_problem, start
from popinv.inference.density.problem import Problem
from popinv.methods.certificate.answer import (
    EPSILONS,
    Learned,
    Removed,
    contributions_of,
    empirical_epsilon,
    learn_from,
    nothing_removed,
    price,
    reference_and_records,
    remove_from,
)
from popinv.methods.certificate.requests import certificate, write_certificate
from popinv.methods.metrics import flatten
from popinv.methods.outcome import Outcome, StudyInput
from popinv.population.observe import system_names
from popinv.sections.systems import rows_of_systems
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads

_FIRST = 3
_NOISES = {
    "seeded": (
        "The noise follows from the study's seed. Anyone who has the seed can subtract it, so the "
        "guarantee protects only against everyone else."
    ),
    "secret": "The noise was drawn anew, and its seed was discarded.",
}
_COVERS = (
    "The parameters of law and noise: {names}. They are one step from a reference answer, which "
    "was fitted to {reference} other systems that cannot be removed. Not covered: the surrogate, "
    "whose solves were chosen where an answer with all systems lay, the correction for its error, "
    "which is the study's, and the study's own answer, files and figures."
)
# Largest number of entries in the arrays of all runs.
_MOST_NUMBERS = 4e7
# Of a picture.
_MOST_PARAMETERS = 12
_WAYS: dict[str, tuple[str, str, Marker]] = {
    "learnt": ("before", LIGHT, "circle"),
    "sequence": ("removed one by one", MODEL, "square"),
    "batch": ("removed all at once", CHECK, "triangle-up"),
    "anew": ("learned anew", TRUTH, "diamond"),
}


def use(study: StudyInput) -> Outcome:
    """Remove the systems one by one and all at once, each with a certificate."""
    asked, stores, seed = study.asked, study.stores, study.seed
    observations, population = stores["observations"], stores["population"]
    problem = descent_problem(
        study.model, observations, surrogate_of(stores["surrogate"]), seed, "certified_unlearning"
    ).at_all_places
    reference, records, count = reference_and_records(problem, observations)
    rows, names = _systems(asked.systems, observations, count)
    with fixed_threads():
        contributions = contributions_of(
            start(study.model, reference),
            reference,
            records,
            str(population.attrs["estimator"]),
            draws_of_answer(population, study.polish.draws),
        )
        learned = learn_from(
            contributions,
            seed,
            epsilon=asked.epsilon,
            epochs=asked.epochs,
            rate=asked.rate,
            clipping=asked.clipping,
        )
        invariants = nothing_removed(learned, rows.tolist())
        runs = int(min(asked.runs, max(20, _MOST_NUMBERS / contributions.each.size)))
        noise_seed = seed if asked.noise == "seeded" else secrets.randbits(62)
        removed = remove_from(learned, rows.tolist(), runs, noise_seed)
    parameters = parameter_names(problem)
    covers = _COVERS.format(names=", ".join(parameters), reference=len(reference.data))
    correction = correction_of(population)
    result = _dataset(problem, learned, removed, estimate_of(population), correction, asked.epochs)
    metrics = _metrics(learned, removed, rows, len(reference.data), result)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"forgetting": draw_forgetting(result)},
        result=result,
        files={
            f"certificate_{way}.json": partial(
                write_certificate,
                certificate(holder, noise=_NOISES[asked.noise], names=names, covers=covers),
            )
            for way, holder in removed.holders.items()
        },
        invariants=invariants,
    )


def _systems(
    asked: list[int | str], observations: xr.Dataset, count: int
) -> tuple[np.ndarray, list[str] | None]:
    """Return the numbers of the systems to remove, and the names of all."""
    names = system_names(observations)
    if not asked:
        return np.arange(min(_FIRST, count - 1)), names
    rows = rows_of_systems(asked, names, observations.sizes["system"])
    aside = [str(name) for name, row in zip(asked, rows, strict=True) if row >= count]
    if aside:
        raise DataError(
            f"systems {', '.join(aside)} cannot be removed: the "
            "reference answer is fitted to the systems that the study is tested on"
        )
    return rows, names


def _metrics(
    learned: Learned, removed: Removed, rows: np.ndarray, reference: int, result: xr.Dataset
) -> dict[str, Any]:
    goal = learned.goal
    batch, sequence = removed.holders["batch"], removed.holders["sequence"]
    direction = removed.exact - removed.exact_left
    attacked = {
        way: empirical_epsilon(removed.means[way], removed.means["anew"], direction, goal.delta)
        for way in ("learnt", "sequence", "batch")
    }
    epochs = [removal.epochs for removal in sequence.removals]
    certified = max(r.epsilon for holder in (batch, sequence) for r in holder.removals)
    prices = flatten(result["price"], "price_epsilon_{epsilon:g}_epochs_{removal_epochs}")
    length = np.linalg.norm(learned.contributions.each, axis=1)
    told = float(result["noise"].sel(way="batch"))
    return {
        "estimator": learned.contributions.estimator,
        "reference_systems": reference,
        "systems": learned.setting.n,
        "systems_removed": len(rows),
        "epsilon": certified,
        "delta": goal.delta,
        "sigma": learned.sigma,
        "epochs_sequence": sum(epochs),
        "epochs_one_by_one": " + ".join(map(str, epochs)),
        "epochs_batch": batch.removals[0].epochs,
        "epochs_anew": learned.learnt,
        "noise_in_standard_errors": told,
        **prices,
        "clipped_share": float((length > learned.longest).mean()),
        "shift_by_clipping": float(result["shift_by_clipping"]),
        "from_the_studys_answer": float(result["from_answer"]),
        "runs": len(removed.means["batch"]),
        "attack_epsilon_sequence": attacked["sequence"],
        "attack_epsilon_batch": attacked["batch"],
        "attack_epsilon_before": attacked["learnt"],
        "statement": f"to epsilon = {goal.epsilon:g}, removing {len(rows)} systems from law and "
        f"noise takes {' + '.join(map(str, epochs))} epochs one by one and "
        f"{batch.removals[0].epochs} all at once, learning anew {learned.learnt}; the noise is "
        f"{told:.2g} standard errors of the answer",
    }


def _dataset(
    problem: Problem,
    learned: Learned,
    removed: Removed,
    whole: np.ndarray,
    correction: np.ndarray | float,
    epochs: int,
) -> xr.Dataset:
    contributions, root = learned.contributions, math.sqrt(learned.setting.n)
    ways = [*removed.means, "exact"]
    means = [*(runs[0] for runs in removed.means.values()), removed.exact_left]
    spread = [runs.std(axis=0, ddof=1).mean() for runs in removed.means.values()]
    # The correction for the surrogate's error depends on the solves, and little on the systems.
    answers = contributions.answer(np.array(means)) + correction
    unclipped = contributions.each.mean(axis=0)
    error = contributions.standard_error
    known = error > 0
    gap = contributions.answer(unclipped) + correction - whole
    steps = np.arange(1, epochs + 1)
    return xr.Dataset(
        {
            "price": variable(
                ("epsilon", "removal_epochs"),
                [[price(learned, e, int(k)) for k in steps] for e in EPSILONS],
                "deviation of the noise for the removal of one system, in standard errors",
            ),
            "unconstrained": variable(("way", "fitted"), answers, "law and noise, unconstrained"),
            "natural": variable(
                ("way", "fitted"), [problem.natural(p) for p in answers], "law and noise"
            ),
            "noise": variable(
                "way", [root * value for value in (*spread, 0.0)], "noise, in standard errors"
            ),
            "standard_error": variable("fitted", error, "standard error, unconstrained"),
            "reference": variable("fitted", contributions.reference, "reference, unconstrained"),
            "shift_by_clipping": variable(
                (),
                root * float(np.linalg.norm(removed.exact - unclipped)),
                "what clipping moves, in standard errors",
            ),
            "from_answer": variable(
                (),
                float(np.abs(gap[known] / error[known]).max()),
                "largest distance from the study's answer, in standard errors",
            ),
            "epochs": variable(
                "request",
                [removal.epochs for removal in removed.holders["sequence"].removals],
                "epochs of the request",
            ),
            "batch_epochs": variable(
                (), removed.holders["batch"].removals[0].epochs, "epochs of removing all at once"
            ),
            "anew_epochs": variable((), learned.learnt, "epochs of learning anew"),
        },
        coords={
            **parameter_coordinate(ways, "way", "how the answer came about"),
            **parameter_coordinate(parameter_names(problem), "fitted", "law or noise"),
            "epsilon": variable("epsilon", np.array(EPSILONS), "epsilon of the guarantee"),
            "removal_epochs": variable("removal_epochs", steps, "epochs of the removal"),
            "request": variable(
                "request",
                [removal.records[0] for removal in removed.holders["sequence"].removals],
                "number of the removed system",
            ),
        },
    )


def draw_forgetting(result: xr.Dataset) -> Sheet:
    """Return the price of the guarantee, and the answers after the removal, with their noise."""
    epochs = result["removal_epochs"].values
    prices: list[Mark] = [Reference(1, dash="dot", width=1, colour=LIGHT)]
    for epsilon, colour in zip(result["epsilon"].values, SYSTEMS, strict=False):
        price = result["price"].sel(epsilon=epsilon).values
        look: Look = {"label": f"ε = {epsilon:g}", "colour": colour}
        prices.append(Line(epochs, price, marker="circle", **look))
    left = Panel(
        Axis("epochs of the removal", places=epochs[:: 1 + (len(epochs) - 1) // 10]),
        Axis("noise, in standard errors", "log"),
        prices,
        legend=Legend(),
    )
    error, exact = result["standard_error"].values, result["unconstrained"].sel(way="exact").values
    rows = np.flatnonzero(error > 0)[:_MOST_PARAMETERS]
    shifts: list[Mark] = [Stretch(-1, 1, upright=True, colour=LIGHT, alpha=0.2)]
    for j, (way, (label, colour, marker)) in enumerate(_WAYS.items()):
        shift = (result["unconstrained"].sel(way=way).values - exact)[rows] / error[rows]
        noise = float(result["noise"].sel(way=way))
        ends: dict[str, Any] = {"low": shift - 2 * noise, "high": shift + 2 * noise, "across": True}
        place = np.arange(len(rows)) + 0.15 * (j - 1.5)
        shifts.append(Points(shift, place, marker, 5, colour=colour, label=label, **ends))
    names = [readable(str(result["fitted"].values[i])) for i in rows]
    right = Panel(
        Axis("distance from the exact answer without them,\nin standard errors"),
        Axis(places=range(len(rows)), names=names, limits=(len(rows) - 0.5, -0.5)),
        shifts,
    )
    # The legend of the prices is their own.
    grid = Grid([left, right], 2, legend=4, keys=[m for m in shifts if isinstance(m, Points)])
    return Sheet("Removing systems from law and noise, under certificate", 11, 4.8, grid)
