"""Figures of training on analog devices and of an accelerator: errors that are left, and shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from popinv.charts.style import (
    LIGHT,
    SYSTEMS,
    TRUTH,
    labels_once,
    new_figure,
    readable,
    styled,
)
from popinv_papers.analog import quadratic
from popinv_papers.analog.deployment import FAR, TOLERANCE, Shift, by_draw
from popinv_papers.analog.digits import PAPER, RANGES
from popinv_papers.analog.levels import ERRORS

_COLOURS = dict(zip(("digital", "analog", "tiki_taka", "residual"), SYSTEMS, strict=False))
_LABELS = {
    "digital": "digital descent",
    "analog": "analog descent",
    "tiki_taka": "Tiki-Taka",
    "residual": "residual learning",
}


@styled
def draw_floor(numbers: Mapping[str, float]) -> Figure:
    """Draw the error on a quadratic problem against rate, dynamic range and noise."""
    figure = new_figure("Quadratic problem: the error that devices leave", 12, 4)
    rates, ranges, noises = figure.subplots(1, 3)
    lines: tuple[tuple[str, tuple[float, ...]], ...] = (
        ("digital", quadratic.RATES),
        ("analog", quadratic.RATES),
        ("tiki_taka", quadratic.TRANSFERS),
        ("residual", quadratic.TRANSFERS),
    )
    for name, values in lines:
        squares = [numbers[f"{name}_{value:g}_squared_gradient"] for value in values]
        rates.plot(values, squares, "o-", ms=4, color=_COLOURS[name], label=_LABELS[name])
    rates.set(
        xscale="log",
        yscale="log",
        xlabel="rate (of transfer, where there are two arrays)",
        ylabel="mean squared gradient",
    )
    rates.set_ylim(top=0.2)
    rates.legend(loc="upper left")
    for ax, name, places, label in (
        (ranges, "range", list(quadratic.RANGES), "dynamic range"),
        (noises, "noise", list(quadratic.NOISES), "standard deviation of the gradient noise"),
    ):
        offs = [numbers[f"analog_{name}_{place:g}_bias"] for place in places]
        ax.plot(places, offs, "o-", ms=4, color=_COLOURS["analog"], label=_LABELS["analog"])
        ax.set(xscale="log", yscale="log", xlabel=label, ylabel="distance of the mean iterate")
        ax.set_xticks(places, [f"{place:g}" for place in places])
        ax.tick_params(axis="x", which="minor", labelbottom=False)
        ax.legend(loc="best")
    return figure


@styled
def draw_accuracies(reached: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """Draw the test accuracy of every training, and the paper's."""
    figure = new_figure("MNIST on analog devices", 5.5 * len(reached), 4.2)
    axes = figure.subplots(1, len(reached), squeeze=False)[0]
    for ax, (kind, by_method) in zip(axes, reached.items(), strict=True):
        for name, accuracies in by_method.items():
            method, _, reach = name.rpartition("_") if name != "digital" else (name, "", "")
            at = [float(reach)] if reach else list(RANGES[kind])
            ax.plot(
                at,
                accuracies[-1:] * len(at),
                "o" if reach else "-",
                color=_COLOURS[method],
                label=_LABELS[method],
            )
        for method, expected in PAPER[kind].items():
            paper = expected if len(expected) > 1 else expected * len(RANGES[kind])
            ax.plot(RANGES[kind], paper, "x--", lw=0.8, color=_COLOURS[method], alpha=0.6)
        ax.plot([], [], "x--", lw=0.8, color=LIGHT, label="the paper's")
        ax.set_xticks(RANGES[kind], [f"{reach:g}" for reach in RANGES[kind]])
        ax.set(title=kind.upper(), xlabel="dynamic range", ylabel="test accuracy in per cent")
    axes[0].legend(*labels_once(axes[0]), loc="center right")
    return figure


@styled
def draw_errors(
    errors: Mapping[tuple[str, str, float], float], digital: float, before: float
) -> Figure:
    """Draw the surrogate's whitened error by device, method and dynamic range.

    Beside the errors by (device, method, range) are that of digital training, and that of the
    study's surrogate before.
    """
    devices = list(dict.fromkeys(device for device, _, _ in errors))
    figure = new_figure("The surrogate's last layers on devices", 4 * len(devices), 4.2)
    axes = figure.subplots(1, len(devices), squeeze=False, sharey=True)[0]
    finite = [e for e in (*errors.values(), digital, before) if np.isfinite(e)]
    # Errors that hardly differ are drawn as differences.
    near = before > 0 and max(finite) < 2 * min(finite)
    for ax, device in zip(axes, devices, strict=True):
        ax.axhline(
            _height(before, before, near),
            color=TRUTH,
            ls="--",
            lw=1.4,
            label="the study's surrogate",
        )
        ax.axhline(
            _height(digital, before, near),
            color=_COLOURS["digital"],
            lw=1.2,
            label=_LABELS["digital"],
        )
        chosen = [(m, r) for d, m, r in errors if d == device]
        for method in dict.fromkeys(m for m, _ in chosen):
            ranges = [r for m, r in chosen if m == method]
            ax.plot(
                ranges,
                [_height(errors[device, method, r], before, near) for r in ranges],
                "o-",
                ms=4,
                color=_COLOURS[method],
                label=_LABELS[method],
            )
        if not near and min(finite) > 0:
            ax.set(yscale="log")
        ticks = sorted({r for _, r in chosen})
        ax.set_xticks(ticks, [f"{reach:g}" for reach in ticks])
        ax.set(title=readable(device), xlabel="dynamic range over the largest weight")
    axes[0].set(
        ylabel=f"error against the surrogate's {before:.3g}, in per cent"
        if near
        else "error in standard deviations of the noise"
    )
    axes[-1].legend(loc="best")
    return figure


def _height(error: float, before: float, near: bool) -> float:
    """Return the error, or by how many per cent it is above the study's surrogate's."""
    return 100 * (error / before - 1) if near else error


@styled
def draw_deployment(shifts: Sequence[Shift]) -> Figure:
    """Draw the largest shift of the answer by error and level, one line for each draw.

    A refit that was lost is a cross at the shift up to which refits are followed.
    """
    figure = new_figure("The surrogate on an accelerator: shift of the answer", 4 * len(ERRORS), 4)
    axes = figure.subplots(1, len(ERRORS), sharey=True)
    for ax, (kind, own) in zip(axes, ERRORS.items(), strict=True):
        of_kind = [one for one in shifts if one.kind == kind]
        for levels, sizes in by_draw(of_kind):
            ax.plot(levels, sizes, "o-", ms=3, lw=1, color=SYSTEMS[0])
        lost = [one.level for one in of_kind if not np.isfinite(one.shift).all()]
        ax.plot(lost, np.full(len(lost), FAR), "x", ms=5, color=SYSTEMS[0])
        ax.axhline(TOLERANCE, color=TRUTH, ls="--", lw=1.2, label="half a standard error")
        scale = "linear" if own.in_bits else "log"
        ax.set(title=readable(kind), xlabel=own.unit, xscale=scale)
        ax.set_yscale("log")
        first, last = own.place(own.levels[0]), own.place(own.levels[-1])
        margin = 0.05 * (last - first)
        # All levels are shown, so that an axis has limits where every refit was lost.
        ax.set_xlim(own.level(first - margin), own.level(last + margin))
    axes[0].set(ylabel="largest shift in standard errors")
    axes[0].legend(loc="best")
    return figure
