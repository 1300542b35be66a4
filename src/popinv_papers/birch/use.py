"""The use on a study: several machines of unequal speed, for its training and for its solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Look,
    Mark,
    Panel,
    Points,
    Reference,
    Sheet,
    Stretch,
)
from popinv.charts.style import LIGHT, MODEL, SYSTEMS, TRUTH
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.build import training_data, training_settings
from popinv_papers.birch.candidates import candidates, seconds_to
from popinv_papers.birch.solve_sharing import NEAR, Machines, advise_solves, alike_machines
from popinv_papers.birch.study import Learning, compare, nothing_trained


def draw_training(result: xr.Dataset) -> Sheet:
    """Return each way's predicted and measured seconds to the target, and the losses of one run."""
    titles = {way.name: way.title for way in candidates(1)}
    names = [str(name) for name in result["candidate"].values]
    target = float(result.attrs["target"])
    needed: list[Mark] = []
    losses: list[Mark] = [Reference(target, width=1, colour=LIGHT)]
    for place, name in enumerate(names):
        for clock, colour, shift in (("predicted", TRUTH, -0.15), ("measured", MODEL, 0.15)):
            runs = result.sel(candidate=name, clock=clock)
            curves = np.stack([runs["time"].values, runs["loss"].values], axis=-1)
            times = [seconds_to(target, curve) for curve in curves]
            needed.append(Points(times, place + shift, size=3.5, colour=colour, label=clock))
        run = result.sel(candidate=name, clock="measured").isel(repeat=0)
        look: Look = {"colour": SYSTEMS[place % len(SYSTEMS)], "label": titles[name]}
        losses.append(Line(run["time"].values, run["loss"].values, **look))
    left = Panel(
        Axis("time to the target [s]", limits=(0, None)),
        Axis(
            places=range(len(names)),
            names=[titles[name] for name in names],
            limits=(len(names) - 0.5, -0.5),
        ),
        needed,
        legend=Legend(),
    )
    loss = Axis("validation loss, one run", "log")
    right = Panel(Axis("time [s]"), loss, losses, legend=Legend(size=8))
    return Sheet("Training on one machine and on several", 12, 4.4, Grid([left, right], 2))


def draw_solves(result: xr.Dataset) -> Sheet:
    """Return the makespan of pulled chunks by their size, and of both ways to split a round."""
    size, makespan = result["chunk_size"].values, result["makespan"].values
    bound, attrs = result.attrs["bound"], result.attrs
    marks: list[Mark] = [
        Stretch(bound, (1 + NEAR) * bound, colour=LIGHT, alpha=0.5),
        Line(size, makespan, colour=MODEL, label="pulled chunks"),
        Reference(attrs["equal"], dash="dot", colour=SYSTEMS[1], label="as many for each"),
        Reference(attrs["by_speed"], dash="dash", colour=SYSTEMS[1], label="shares by speed"),
        Reference(bound, colour=TRUTH, label="bound"),
    ]
    x, y = Axis("solves of a chunk", "log"), Axis("time of the round [s]", "log")
    panel = Panel(x, y, marks, legend=Legend(size=9))
    return Sheet("Solves of a round on unequal machines", 6.4, 4.2, Grid([panel]))


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
    invariants = [nothing_trained(learning, asked), alike_machines(len(asked.machines), study.seed)]
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
