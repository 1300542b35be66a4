"""Figures of the computation trees, and of the fastest method in each regime."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from popinv.charts.style import LIGHT, MODEL, SYSTEMS, TRUTH, new_figure, readable, styled
from popinv_papers.birch.catalogue import METHODS
from popinv_papers.birch.problem import ratios
from popinv_papers.birch.regime_names import SWEPT, VARIATION
from popinv_papers.birch.tree import Tree

_DASHES = ("-", "--", ":")


@styled
def draw_trees(trees: Mapping[str, Tree]) -> Figure:
    """Draw the tree of each method: the main branch above, side branches below it."""
    columns = 3
    rows = -(-len(trees) // columns)
    figure = new_figure("Computation trees", 5.2 * columns, 2.0 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, tree) in zip(axes, trees.items(), strict=False):
        _draw_tree(ax, tree)
        ax.set_title(METHODS[name].title)
    for ax in axes[len(trees) :]:
        ax.set_axis_off()
    figure.supxlabel(
        "steps from the root; thin lines lead from where a gradient was taken to where it was used"
    )
    return figure


def _draw_tree(ax: Axes, tree: Tree) -> None:
    main = set(tree.main)
    depth, lane = _places(tree, main)
    for node in range(1, len(tree.base)):
        base = tree.base[node]
        colour = MODEL if node in main else SYSTEMS[1]
        ax.plot(
            [depth[base], depth[node]],
            [-lane[base], -lane[node]],
            color=colour,
            lw=1.8 if node in main else 1.2,
            zorder=2,
        )
    for before, node in zip(tree.main, tree.main[1:], strict=False):
        z = tree.point[tree.gradient[node]]
        if z != before:
            # Bowed upwards where both ends lie on the main branch.
            x, y = depth[before] + 0.5, 0.0
            bow = 0.12 * (x - depth[z]) if lane[z] == 0 else 0.0
            ax.plot(
                [depth[z], (depth[z] + x) / 2, x],
                [-lane[z], -lane[z] / 2 + bow, y],
                color=LIGHT,
                lw=0.7,
                zorder=1,
            )
    colours = [MODEL if node in main else SYSTEMS[1] for node in range(len(tree.base))]
    ax.scatter(depth, [-y for y in lane], c=colours, s=12, zorder=3)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False)
    ax.margins(y=0.15)


def _places(tree: Tree, main: set[int]) -> tuple[list[int], list[int]]:
    """Return each node's edges from the root, and its lane: 0 of the main branch."""
    depth = [0]
    first_child: dict[int, int] = {}
    for node in range(1, len(tree.base)):
        base = tree.base[node]
        depth.append(depth[base] + 1)
        if node not in main and base not in main:
            first_child.setdefault(base, node)
    lane, taken_until = [0], dict[int, int]()
    for node in range(1, len(tree.base)):
        base = tree.base[node]
        if node in main:
            lane.append(0)
        elif first_child.get(base) == node:
            lane.append(lane[base])
        else:
            # A new side branch: the highest lane that is free from where it leaves to its end.
            free, end = 1, node
            while end in first_child:
                end = first_child[end]
            while taken_until.get(free, -1) >= depth[base]:
                free += 1
            lane.append(free)
            taken_until[free] = depth[end]
    return depth, lane


@styled
def draw_regime(result: xr.Dataset, regime: str) -> Figure:
    """Draw the first seed's loss over simulated time of every method, by task and workers."""
    part = result.sel(regime=regime).isel(seed=0)
    tasks, counts = part["task"].values, part["workers"].values
    figure = new_figure(
        f"Loss over simulated time: {readable(regime)}", 4.6 * len(counts), 3.6 * len(tasks) + 1.2
    )
    axes = figure.subplots(len(tasks), len(counts), squeeze=False)
    names = [str(name) for name in part["algorithm"].values]
    for row, task in enumerate(tasks):
        for column, count in enumerate(counts):
            ax, cell = axes[row, column], part.sel(task=task, workers=count)
            for place, name in enumerate(names):
                curve = cell.sel(algorithm=name)
                ax.loglog(
                    curve["curve_time"],
                    curve["curve_loss"],
                    lw=1.3,
                    label=METHODS[name].title,
                    color=SYSTEMS[place % len(SYSTEMS)],
                    ls=_DASHES[place // len(SYSTEMS)],
                )
            ax.axhline(result.attrs["targets"][row], color=TRUTH, ls="--", lw=1)
            ax.set_title(f"{task}, {count} workers")
            ax.set(xlabel="simulated time", ylabel="loss above infimum" if column == 0 else "")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


@styled
def draw_variation(result: xr.Dataset) -> Figure:
    """Draw each method's time over the fastest's, by the variation of gradient times."""
    variations = {**SWEPT, "classical": VARIATION}
    ordered = sorted(variations, key=lambda regime: variations[regime])
    places = [variations[regime] for regime in ordered]
    relative = ratios(result).sel(regime=ordered)
    figure = new_figure("Equal workers, messages that take no time", 6.4, 4.2)
    ax = figure.subplots()
    for number, name in enumerate(relative["algorithm"].values):
        values = relative.sel(algorithm=name)
        colour = SYSTEMS[number % len(SYSTEMS)]
        ax.plot(
            places,
            values.mean("seed"),
            color=colour,
            ls=_DASHES[number // len(SYSTEMS)],
            label=METHODS[str(name)].title,
        )
        ax.plot(places, values.transpose("regime", "seed"), ".", color=colour, ms=3)
    ax.set(
        xlabel="coefficient of variation of gradient times",
        ylabel="time to the target over the fastest",
        yscale="log",
    )
    ax.legend(fontsize=9)
    return figure
