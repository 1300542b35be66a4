"""Figures of the scores of samples, and of the trainings on selected samples."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from popinv.charts.style import CHECK, LIGHT, MODEL, SYSTEMS, new_figure, readable, styled
from popinv_papers.influence.claims import MERITS, WORDS, merit

_TRAININGS = {
    "selected": "selected by exact scores",
    "landmarks": "selected by landmarks",
    "random": "as many, random",
    "all": "all, weighed alike",
    "target": "the target itself",
    "all_as_weighed": "all, later rounds\nweighing more",
}


@styled
def draw_selections(result: xr.Dataset) -> Figure:
    """Draw accuracy, or loss, after training on each method's selection, a dot for each draw.

    Means over the targets of a part.
    """
    figure = new_figure("After training on a selection", 15, 4.8)
    for ax, (part, kind) in zip(figure.subplots(1, 3), MERITS.items(), strict=True):
        names = [str(n) for n in result[f"{part}_name"].values]
        methods = list(dict.fromkeys(_method(n, part) for n in names if n.startswith(kind)))
        values = np.array([merit(result, part, method) for method in methods])
        order = np.argsort(values.mean(axis=1) * (1 if kind == "accuracy" else -1))
        for place, index in enumerate(order):
            name = methods[index]
            colour = MODEL if name.startswith("landmarks") else LIGHT
            colour = CHECK if name == "exact" else colour
            ax.plot(values[index], np.full(values.shape[1], place), "o", color=colour, ms=4)
            ax.plot(values[index].mean(), place, "|", color=colour, ms=16, mew=2)
        ax.set_yticks(range(len(order)), [readable(methods[i]) for i in order])
        ax.set(title=WORDS[part], xlabel=f"{kind} on the target")
    return figure


def _method(name: str, part: str) -> str:
    """Return the selection of a number's name, without the target."""
    rest = name.partition("_")[2]
    return rest if part == "mixture" else rest.partition("_")[2]


@styled
def draw_landmarks(result: xr.Dataset) -> Figure:
    """Draw the correlation of spread and exact scores against the number of landmarks."""
    figure = new_figure("Scores spread from a few landmarks", 14, 4.4)
    for ax, part in zip(figure.subplots(1, 3, sharey=True), WORDS, strict=True):
        mean = result[part].mean(f"{part}_draw")
        lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for name, value in zip(result[f"{part}_name"].values, mean.values, strict=True):
            if str(name).startswith("correlation_"):
                embedding, rule, count = str(name).removeprefix("correlation_").rsplit("_", 2)
                lines.setdefault((embedding, rule), []).append((int(count), float(value)))
        kinds = list(dict.fromkeys(embedding for embedding, _ in lines))
        for (embedding, rule), points in lines.items():
            ax.plot(
                *zip(*points, strict=True),
                "-o" if rule == "kernel" else "--o",
                ms=4,
                color=SYSTEMS[kinds.index(embedding) % len(SYSTEMS)],
                label=readable(embedding) if rule == "kernel" else None,
            )
        ax.set(xscale="log", title=WORDS[part], xlabel="landmarks")
        ax.legend(fontsize=9)
    figure.axes[0].set_ylabel("correlation with the exact scores")
    figure.supxlabel("solid: kernel regression, dashed: linear", fontsize=10)
    return figure


@styled
def draw_study(result: xr.Dataset) -> Figure:
    """Draw the surrogate's error by its training set, and the answer's by the solved candidates."""
    curves = "candidate_error" in result
    figure = new_figure("Selection of solves", 11 if curves else 6, 4.4)
    axes = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
    left = axes[0]
    names = [str(name) for name in result["training"].values]
    for place, values in enumerate(result["error"].values):
        left.plot(values, np.full(len(values), place), "o", color=LIGHT, ms=4)
        left.plot(values.mean(), place, "|", color=MODEL, ms=16, mew=2)
    left.axvline(result.attrs["error_before"], color="black", lw=1, label="before")
    left.set_yticks(range(len(names)), [_TRAININGS[name] for name in names])
    left.set(title="trained further on", xlabel="error, noise standard deviations", xlim=(0, None))
    left.legend(loc="upper center")
    if curves:
        looks = {"influence": (MODEL, "-o"), "random": (LIGHT, "--o")}
        labels = {"influence": "their worth for the answer", "random": "chance"}
        for name, values in zip(
            result["order"].values, result["candidate_error"].values, strict=True
        ):
            colour, line = looks[str(name)]
            solved = result["candidates"].values
            axes[1].plot(
                solved, values.mean(axis=0), line, color=colour, ms=5, label=labels[str(name)]
            )
            axes[1].plot(solved, values.T, ".", color=colour, ms=4, alpha=0.6)
        without = float(result["error_without"])
        axes[1].axhline(without, color="black", lw=1, label="without any")
        axes[1].set(
            xscale="log",
            title="candidates in the order of",
            xlabel="solved",
            ylabel="error of the answer, standard errors",
        )
        solved = result["candidates"].values
        axes[1].set_xticks(solved, [str(count) for count in solved])
        axes[1].minorticks_off()
        axes[1].legend()
    return figure
