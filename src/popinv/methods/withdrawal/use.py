"""The use on a study: the influence of every system, and the answer without withdrawn systems."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.charts.description import (
    Axis,
    Cloud,
    Grid,
    Legend,
    Look,
    Mark,
    Marker,
    Note,
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
    ORACLE,
    TRUTH,
    readable,
)
from popinv.forward.datasets import parameter_coordinate
from popinv.inference.answer.result import draws_of_answer, estimate_of, parameter_names
from popinv.inference.density.build import descent_problem
from popinv.inference.density.problem import Problem
from popinv.inference.density.solver import SolverSimulator
from popinv.methods.outcome import Outcome, StudyInput, write_table
from popinv.methods.withdrawal.influence import (
    SystemInfluence,
    answers_table,
    influence_of,
    influence_table,
)
from popinv.methods.withdrawal.refit import Checked, Refit, Refitter, check_systems
from popinv.population.observe import system_names
from popinv.sections.systems import rows_of_systems
from popinv.store.variables import variable
from popinv.surrogate.artefact import surrogate_of
from popinv.surrogate.simulator import is_exact

ALL, ONE_STEP, REFIT, RERUN = "all systems", "one step", "short fit", "rerun"


def use(study: StudyInput) -> Outcome:
    """Rank all systems by their influence, and leave out those that withdraw."""
    asked, stores = study.asked, study.stores
    observations, population = stores["observations"], stores["population"]
    influence = influence_of(population)
    # The stage belongs to the answer, so that the fits have the answer's draws.
    problem = descent_problem(
        study.model, observations, surrogate_of(stores["surrogate"]), study.seed, "polish"
    )
    if population.attrs["estimator"] == "distance":
        problem = problem.of_distance
    count, p = len(problem.data), estimate_of(population)
    known = system_names(observations)
    systems = known or [str(number) for number in range(count)]
    rows = rows_of_systems(asked.systems, known, count)
    answers, together = {ALL: p}, None
    draws = draws_of_answer(population, study.polish.draws)
    with _simulated(problem, study) as simulated:
        refitter = Refitter(simulated, population, influence, study.descent, draws)
        invariant = refitter.nothing_removed()
        checked = check_systems(refitter, influence, asked.checked, asked.tolerance)
        if len(rows):
            began = time.monotonic()
            together = refitter.without(rows)
            print(f"a short fit without them took {time.monotonic() - began:.1f} s")
            answers[ONE_STEP] = p + influence.shift(rows)
            answers[REFIT] = p + together.shift
    if "rerun" in stores:
        answers[RERUN] = estimate_of(stores["rerun"])
    names = parameter_names(problem)
    table = influence_table(problem.natural, influence, p, names, systems, asked.tolerance)
    of_answers = answers_table(problem.natural, answers, influence, names)
    gone = [systems[row] for row in rows]
    metrics = {
        **_influence_metrics(influence, systems, checked, names, asked.tolerance),
        **_withdrawn_metrics(influence, rows, answers, together, asked.tolerance),
        "rerun_solver_calls": int(stores["solves"].sizes["sample"]),
    }
    metrics["statement"] = _statement(gone, metrics)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={
            "influence": draw_influence(table, names, gone),
            "answers": draw_answers(of_answers, influence.standard_error),
        },
        result=_dataset(problem, influence, answers, checked, asked.tolerance),
        files={
            "influence.csv": partial(write_table, table),
            "answers.csv": partial(write_table, of_answers),
        },
        invariants=[invariant],
    )


@contextmanager
def _simulated(problem: Problem, study: StudyInput) -> Iterator[Problem]:
    """Provide the problem with the simulator of the answer: the solver itself, or the surrogate."""
    if study.stores["population"].attrs["through"] != "solver" or is_exact(problem.simulate):
        yield problem
        return
    solver = SolverSimulator(study.forward.model(study.seed))
    with solver.session():
        yield problem.through(solver)
    print(f"fits through the solver took {solver.solves:,} solves")


def _influence_metrics(
    influence: SystemInfluence,
    systems: Sequence[str],
    checked: Checked,
    names: Sequence[str],
    tolerance: float,
) -> dict[str, Any]:
    size, steps = influence.sizes, influence.steps_of_each(tolerance)
    known = np.isfinite(checked.correlation)
    correlation = dict(zip(names, checked.correlation, strict=True))
    smallest = {"smallest": checked.correlation[known].min()} if known.any() else {}
    left = {}
    if len(checked.systems):
        # The last has the largest predicted size.
        gap = checked.shift[-1] - influence.shifts[checked.systems[-1]]
        left = {"checked_left_by_one_step": float(influence.size(gap))}
    return {
        "systems": len(size),
        "most_influential": systems[int(size.argmax())],
        "size_largest": float(size.max()),
        "size_median": float(np.median(size)),
        "steps_to_forget_largest": int(steps.max()),
        "systems_of_more_than_one_step": int((steps > 1).sum()),
        "checked": len(checked.systems),
        "checked_arrived": checked.arrived,
        **{
            f"checked_correlation_{name.replace(' ', '_')}": float(value)
            for name, value in (correlation | smallest).items()
            if np.isfinite(value)
        },
        "checked_steps_above_predicted": int((checked.steps > checked.predicted_steps).sum()),
        **left,
    }


def _withdrawn_metrics(
    influence: SystemInfluence,
    rows: np.ndarray,
    answers: dict[str, np.ndarray],
    together: Refit | None,
    tolerance: float,
) -> dict[str, Any]:
    if together is None:
        return {"withdrawn": 0}
    shift = influence.shift(rows)
    share = influence.share[rows].sum()[None]
    metrics = {
        "withdrawn": len(rows),
        "withdrawn_size": float(influence.size(together.shift)),
        "withdrawn_size_one_step": float(influence.size(shift)),
        "withdrawn_left_by_one_step": float(influence.size(together.shift - shift)),
        "withdrawn_steps_predicted": int(
            influence.steps(influence.size(shift)[None], share, tolerance)[0]
        ),
        "withdrawn_steps": together.steps(tolerance),
        "withdrawn_arrived": together.arrived,
    }
    if RERUN in answers:
        rerun = answers[RERUN] - answers[ALL]
        metrics["withdrawn_size_rerun"] = float(influence.size(rerun))
        metrics["rerun_from_short_fit"] = float(influence.size(rerun - together.shift))
    return metrics


def _statement(gone: Sequence[str], metrics: dict[str, Any]) -> str:
    """Return the finding in words."""
    most = (
        f"system {metrics['most_influential']} has most influence: without it the answer moves by "
        f"{metrics['size_largest']:.2g} standard errors"
    )
    if not gone:
        return most
    named = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
    return (
        f"without {named} the answer moves by {metrics['withdrawn_size']:.2g} standard errors, of "
        f"which one step leaves {metrics['withdrawn_left_by_one_step']:.2g}; {most}"
    )


def _dataset(
    problem: Problem,
    influence: SystemInfluence,
    answers: dict[str, np.ndarray],
    checked: Checked,
    tolerance: float,
) -> xr.Dataset:
    names = parameter_names(problem)
    values = list(answers.values())
    return xr.Dataset(
        {
            "shift": variable(
                ("system", "fitted"), influence.shifts, "shift without the system, unconstrained"
            ),
            "size": variable("system", influence.sizes, "size of the shift, in standard errors"),
            "share": variable("system", influence.share, "share of the information"),
            "steps": variable(
                "system",
                influence.steps_of_each(tolerance),
                "steps of a short fit that forget the system",
            ),
            "standard_error": variable(
                "fitted", influence.standard_error, "standard error, unconstrained"
            ),
            "unconstrained": variable(("answer", "fitted"), values, "law and noise, unconstrained"),
            "natural": variable(
                ("answer", "fitted"), [problem.natural(p) for p in values], "law and noise"
            ),
            "checked_shift": variable(
                ("checked", "fitted"), checked.shift, "shift of a short fit, unconstrained"
            ),
            "checked_steps": variable("checked", checked.steps, "steps that forgot the system"),
        },
        coords={
            **parameter_coordinate(list(answers), "answer", "how the answer was found"),
            **parameter_coordinate(names, "fitted", "parameter of law or noise"),
            "checked": variable("checked", checked.systems, "number of the system"),
        },
        attrs={"tolerance": tolerance},
    )


_NAMED, _MOST_PARAMETERS = 3, 12
_MARKS: tuple[tuple[Marker, str], ...] = (
    ("circle", MODEL),
    ("square", CHECK),
    ("triangle-up", ORACLE),
    ("diamond", TRUTH),
)


def draw_influence(table: pd.DataFrame, names: Sequence[str], withdrawn: Sequence[str]) -> Sheet:
    """Return the shift of each parameter without each system, and the sizes of the shifts.

    The most influential systems are named, and the withdrawn systems are marked. The table comes
    from :func:`popinv.methods.withdrawal.influence.influence_table`.
    """
    shown = list(names)[:_MOST_PARAMETERS]
    systems = table["system"].astype(str).to_numpy()
    gone = np.isin(systems, list(withdrawn))
    # Systems are spread over the height of a row only for visibility; the places repeat.
    height = 0.6 * ((np.arange(len(systems)) * 0.618034) % 1.0 - 0.5)
    withdraws: Look = {"label": "withdraws", "colour": TRUTH}
    marks: list[Mark] = [Reference(0, upright=True, width=1, colour=LIGHT)]
    for row, name in enumerate(shown):
        shift = table[f"{name}: shift [standard errors]"].to_numpy()
        marks.append(Cloud(shift, row + height, size=3, colour=LIGHT, alpha=0.5, label="systems"))
        marks.append(Points(shift[gone], row + height[gone], **withdraws))
        for i in np.argsort(-np.abs(shift))[:_NAMED]:
            at = float(shift[i]), float(row + height[i])
            marks.append(Note(systems[i], *at, size=7, framed=False, shift=(4, 2)))
    left = Panel(
        Axis("shift without the system, in standard errors"),
        _rows([readable(name) for name in shown]),
        marks,
    )
    size = table["size [standard errors]"].to_numpy()
    rank = np.arange(1, len(size) + 1)
    sizes: list[Mark] = [Points(rank, size, size=3, colour=MODEL, label="systems", legend=False)]
    if gone.any():
        sizes.append(Points(rank[gone], size[gone], **withdraws))
    x = Axis("systems, by their influence", "log")
    y = Axis("size of the shift, in standard errors", "log")
    right = Panel(x, y, sizes, legend=Legend() if gone.any() else None)
    tall = max(4.2, 1.4 + 0.6 * len(shown))
    grid = Grid([left, right], 2, widths=[3, 2])
    return Sheet("Influence of every system on the answer", 11, tall, grid)


def _rows(names: Sequence[str]) -> Axis:
    """Return an axis with a row for each name, the first above."""
    return Axis(places=range(len(names)), names=names, limits=(len(names) - 0.5, -0.5))


def draw_answers(table: pd.DataFrame, errors: np.ndarray) -> Sheet:
    """Return each parameter with all systems, and without those that withdraw.

    The table comes from :func:`popinv.methods.withdrawal.influence.answers_table`. Parameters
    without a standard error (n_p,) are left out.
    """
    ending = ": shift [standard errors]"
    told = [name.removesuffix(ending) for name in table.columns if name.endswith(ending)]
    rows = np.flatnonzero(errors > 0)[:_MOST_PARAMETERS]
    panel = Panel(Axis(), Axis(), [Note("no system withdraws")])
    if told:
        one: Look = {"label": "all systems, one standard error", "colour": LIGHT}
        marks: list[Mark] = [
            Stretch(-1, 1, upright=True, alpha=0.2, **one),
            Reference(0, upright=True, width=1, colour=LIGHT),
        ]
        for j, (name, (marker, colour)) in enumerate(zip(told, _MARKS, strict=False)):
            shift = table[f"{name}{ending}"].to_numpy()[rows]
            place = np.arange(len(rows)) + 0.14 * (j - (len(told) - 1) / 2)
            marks.append(Points(shift, place, marker, colour=colour, label=name))
        names = [readable(str(table["parameter"].iloc[i])) for i in rows]
        panel = Panel(Axis("shift of the answer, in standard errors"), _rows(names), marks)
    tall = max(3.4, 1.6 + 0.5 * len(rows))
    grid = Grid([panel], legend=4 if told else 0)
    return Sheet("Law and noise without the systems that withdraw", 9, tall, grid)
