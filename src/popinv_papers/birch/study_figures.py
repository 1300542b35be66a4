"""Figures of the use on a study: times of training, and of a round's solves."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.figures.style import LIGHT, MODEL, SYSTEMS, TRUTH, new_figure, styled
from popinv_papers.birch.candidates import candidates, seconds_to
from popinv_papers.birch.solve_advice import NEAR


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
    left.legend(*_first_two(left.get_legend_handles_labels()))
    right.axhline(float(result.attrs["target"]), color=LIGHT, lw=1)
    right.set(xlabel="time [s]", ylabel="validation loss, one run")
    right.legend(fontsize=8)
    return figure


def _first_two(found: tuple[list, list]) -> tuple[list, list]:
    return found[0][:2], found[1][:2]


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
