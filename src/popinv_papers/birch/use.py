"""The use on a study: several machines of unequal speed, for its training and for its solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.charts.style import (
    LIGHT,
    MODEL,
    SYSTEMS,
    TRUTH,
    labels_once,
    new_figure,
    styled,
)
from popinv.methods.outcome import Outcome, StudyInput
from popinv.surrogate.build import training_data, training_settings
from popinv_papers.birch.candidates import candidates, seconds_to
from popinv_papers.birch.solve_sharing import NEAR, Machines, advise_solves, alike_machines
from popinv_papers.birch.study import Learning, compare, nothing_trained


@styled
def draw_training(result: xr.Dataset) -> Figure:
    """Draw each way's predicted and measured seconds to the target, and the losses of one run."""
    titles = {way.name: way.title for way in candidates(1)}
    names = [str(name) for name in result["candidate"].values]
    figure = new_figure("Training on one machine and on several", 12, 4.4)
    left, right = figure.subplots(1, 2)
    for place, name in enumerate(names):
        for clock, colour, shift in (("predicted", TRUTH, -0.15), ("measured", MODEL, 0.15)):
            runs = result.sel(candidate=name, clock=clock)
            times = [
                seconds_to(float(result.attrs["target"]), curve)
                for curve in np.stack([runs["time"].values, runs["loss"].values], axis=-1)
            ]
            left.plot(
                times, np.full(len(times), place + shift), ".", color=colour, label=clock, ms=7
            )
        run = result.sel(candidate=name, clock="measured").isel(repeat=0)
        right.semilogy(
            run["time"], run["loss"], color=SYSTEMS[place % len(SYSTEMS)], label=titles[name]
        )
    left.set_yticks(range(len(names)), [titles[name] for name in names])
    left.invert_yaxis()
    left.set(xlabel="time to the target [s]", xlim=(0, None))
    left.legend(*labels_once(left))
    right.axhline(float(result.attrs["target"]), color=LIGHT, lw=1)
    right.set(xlabel="time [s]", ylabel="validation loss, one run")
    right.legend(fontsize=8)
    return figure


@styled
def draw_solves(result: xr.Dataset) -> Figure:
    """Draw the makespan of pulled chunks by their size, and of both ways to split a round."""
    figure = new_figure("Solves of a round on unequal machines", 6.4, 4.2)
    ax = figure.subplots()
    ax.loglog(result["chunk_size"], result["makespan"], color=MODEL, label="pulled chunks")
    for name, label, dash in (
        ("equal", "as many for each", ":"),
        ("by_speed", "shares by speed", "--"),
    ):
        ax.axhline(result.attrs[name], color=SYSTEMS[1], ls=dash, label=label)
    bound = result.attrs["bound"]
    ax.axhline(bound, color=TRUTH, label="bound")
    ax.axhspan(bound, (1 + NEAR) * bound, color=LIGHT, alpha=0.5)
    ax.set(xlabel="solves of a chunk", ylabel="time of the round [s]")
    ax.legend(fontsize=9)
    return figure


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
