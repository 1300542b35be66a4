"""Error of the surrogate, and its training or its predictive intervals."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from popinv.charts.style import CHECK, LIGHT, MODEL, TRUTH, new_figure, note, styled
from popinv.inference.surrogate_intervals import QUANTILE, HeldOutSolves

_FEW_ROUNDS = 6


@styled
def draw_surrogate_error(
    check: xr.Dataset,
    surrogate: xr.Dataset,
    threshold: float | None = None,
    held_out: HeldOutSolves | None = None,
) -> Figure:
    """Draw the surrogate's error on each round's fresh solves, and its last training.

    A Gaussian process has no training to draw. Its predictions of held-out solves are drawn.

    Parameters
    ----------
    check : Dataset
        ``surrogate_error`` (round_number,); the last entry is the final check.
    surrogate : Dataset
        ``training_loss`` and ``validation_loss`` by epoch, where it was trained by epochs.
    threshold : float, optional
        Threshold of a good enough surrogate.
    held_out : HeldOutSolves, optional
        Predictions of a Gaussian process.
    """
    figure = new_figure("Error of the surrogate", 11, 4.6)
    left, right = figure.subplots(1, 2)
    _errors(left, check["surrogate_error"].values, threshold)
    if "training_loss" in surrogate:
        _training(right, surrogate)
    elif held_out is not None:
        _predictions(right, held_out)
    else:
        note(right, "no solves were held out")
    return figure


def _errors(ax: Axes, error: np.ndarray, threshold: float | None) -> None:
    number = np.arange(len(error))
    seen = np.flatnonzero(~np.isnan(error))
    ax.plot(seen, error[seen], color=MODEL, lw=1.2)
    rounds = seen[seen < len(error) - 1]
    ax.plot(rounds, error[rounds], "o", color=MODEL, ms=7, label="on a round's fresh solves")
    if len(seen) and seen[-1] == len(error) - 1:
        ax.plot(seen[-1], error[-1], "D", color=CHECK, ms=8, label="final check")
    for i in seen:
        ax.annotate(
            f"{error[i]:.2g}",
            (i, error[i]),
            (0, 9),
            textcoords="offset points",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
    if threshold is not None:
        label = f"good enough, below {threshold:g}"
        ax.axhline(threshold, color=TRUTH, ls="--", lw=1.4, label=label)
    ax.set_yscale("log")
    values = np.append(error[seen], [] if threshold is None else threshold)
    if len(values):
        ax.set_ylim(values.min() / 1.6, values.max() * 3)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        note(ax, "no surrogate was judged")
    ticks = [*(str(i) for i in number[:-1]), "check"]
    words = "round"
    few = len(error) <= _FEW_ROUNDS
    for i in np.flatnonzero(np.isnan(error)):
        if few:
            ticks[i] += "\n(none yet)" if i == 0 else "\n(no solves)"
        elif i > 0:
            # If there is no room for the words, brackets replace them.
            ticks[i] = f"({ticks[i]})"
            words = "round, in brackets where nothing was solved"
    ax.set_xticks(number, ticks)
    ax.set_xlim(-0.5, len(error) - 0.5)
    ax.set(title="Error of the surrogate at the start of a round", xlabel=words)
    ax.set_ylabel("root mean square error,\nstandard deviations of the noise")
    ax.legend(loc="upper right")


def _training(ax: Axes, surrogate: xr.Dataset) -> None:
    for name, colour in (("training", LIGHT), ("validation", MODEL)):
        loss = surrogate[f"{name}_loss"].values
        ax.plot(np.arange(1, len(loss) + 1), loss, color=colour, lw=1.4, label=name)
    best = int(np.argmin(loss))
    ax.plot(best + 1, loss[best], "o", color=CHECK, label=f"kept, epoch {best + 1}")
    ax.set_yscale("log")
    ax.set(title="Last training", xlabel="epoch", ylabel="mean squared error, standardised")
    ax.legend(loc="upper right")


def _predictions(ax: Axes, held_out: HeldOutSolves) -> None:
    """Draw predicted against true values of the observation that is predicted worst."""
    errors = np.abs(held_out.predicted - held_out.true)
    spread = held_out.true.std(axis=0)
    worst = int(np.argmax(errors.mean(axis=0) / np.where(spread > 0, spread, np.inf)))
    true, predicted = held_out.true[:, worst], held_out.predicted[:, worst]
    half, inside = QUANTILE * held_out.deviation[:, worst], held_out.inside[:, worst]
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    ax.plot(ends, ends, color=TRUTH, ls="--", lw=1.2, label="equal")
    for mask, colour, label in (
        (inside, MODEL, "95 % interval holds the truth"),
        (~inside, CHECK, "it does not"),
    ):
        if mask.any():
            ax.errorbar(
                true[mask],
                predicted[mask],
                half[mask],
                fmt="o",
                ms=4,
                lw=1,
                color=colour,
                label=label,
            )
    ax.set(
        title=f"Held-out solves: {held_out.coverage:.0%} of {held_out.true.size} values\n"
        "within their 95 % intervals",
        xlabel=f"solver, observation {worst + 1} (the one predicted worst)",
        ylabel="surrogate",
    )
    ax.legend(loc="upper left")
