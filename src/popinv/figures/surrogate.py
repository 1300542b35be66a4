"""Error of the surrogate, and its training or its predictive intervals."""

from __future__ import annotations

import numpy as np
import xarray as xr

from popinv.charts.description import (
    Axis,
    Grid,
    Legend,
    Line,
    Mark,
    Note,
    Panel,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import CHECK, LIGHT, MODEL, TRUTH
from popinv.inference.checks.surrogate_intervals import QUANTILE, HeldOutSolves

_FEW_ROUNDS = 6


def draw_surrogate_error(
    check: xr.Dataset,
    surrogate: xr.Dataset,
    threshold: float | None = None,
    held_out: HeldOutSolves | None = None,
) -> Sheet:
    """Return the surrogate's error on each round's fresh solves, and its last training.

    A Gaussian process has no training to show. Its predictions of held-out solves are shown.

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
    if "training_loss" in surrogate:
        right = _training(surrogate)
    elif held_out is not None:
        right = predictions_panel(held_out)
    else:
        right = Panel(Axis(), Axis(), [Note("no solves were held out")])
    panels = [errors_panel(check["surrogate_error"].values, threshold), right]
    return Sheet("Error of the surrogate", 11, 4.6, Grid(panels, 2))


def errors_panel(error: np.ndarray, threshold: float | None) -> Panel:
    """Return the surrogate's error at the start of each round; the last is the final check."""
    number = np.arange(len(error))
    seen = np.flatnonzero(~np.isnan(error))
    rounds, last = seen[seen < len(error) - 1], seen[seen == len(error) - 1]
    marks: list[Mark] = [
        Line(seen, error[seen], width=1.2, colour=MODEL),
        Points(rounds, error[rounds], size=7, colour=MODEL, label="on a round's fresh solves"),
    ]
    if len(last):
        marks.append(Points(last, error[last], "diamond", 8, colour=CHECK, label="final check"))
    marks += [Note(f"{error[i]:.2g}", float(i), float(error[i])) for i in seen]
    if threshold is not None:
        label = f"good enough, below {threshold:g}"
        marks.append(Reference(threshold, dash="dash", colour=TRUTH, label=label))
    values = np.append(error[seen], [] if threshold is None else threshold)
    limits: tuple[float | None, float | None] = (None, None)
    if len(values):
        limits = (float(values.min() / 1.6), float(values.max() * 3))
    else:
        marks.append(Note("no surrogate was judged"))
    ticks, words = _round_ticks(error)
    return Panel(
        Axis(words, places=number, names=ticks, limits=(-0.5, len(error) - 0.5)),
        Axis(
            "root mean square error,\nnoise standard deviations",
            "log" if len(values) else "linear",
            limits=limits,
            steps=(1, 2, 5),
        ),
        marks,
        "Error of the surrogate at the start of a round",
        legend=Legend("upper right"),
    )


def _round_ticks(error: np.ndarray) -> tuple[list[str], str]:
    """Return the names of the rounds, and of their axis."""
    ticks = [*(str(i) for i in range(len(error) - 1)), "check"]
    words = "round"
    few = len(error) <= _FEW_ROUNDS
    for i in np.flatnonzero(np.isnan(error)):
        if few:
            ticks[i] += "\n(none yet)" if i == 0 else "\n(no solves)"
        elif i > 0:
            # If there is no room for the words, brackets replace them.
            ticks[i] = f"({ticks[i]})"
            words = "round, in brackets where nothing was solved"
    return ticks, words


def _training(surrogate: xr.Dataset) -> Panel:
    marks: list[Mark] = []
    for name, colour in (("training", LIGHT), ("validation", MODEL)):
        loss = surrogate[f"{name}_loss"].values
        epochs = np.arange(1, len(loss) + 1)
        marks.append(Line(epochs, loss, width=1.4, colour=colour, label=name))
    best = int(np.argmin(loss))
    label = f"kept, epoch {best + 1}"
    return Panel(
        Axis("epoch"),
        Axis("mean squared error, standardised", "log"),
        [*marks, Points(best + 1, loss[best], colour=CHECK, label=label)],
        "Last training",
        legend=Legend("upper right"),
    )


def predictions_panel(held_out: HeldOutSolves) -> Panel:
    """Return predicted against true values of the observation that is predicted worst."""
    errors = np.abs(held_out.predicted - held_out.true)
    spread = held_out.true.std(axis=0)
    worst = int(np.argmax(errors.mean(axis=0) / np.where(spread > 0, spread, np.inf)))
    true, predicted = held_out.true[:, worst], held_out.predicted[:, worst]
    half, inside = QUANTILE * held_out.deviation[:, worst], held_out.inside[:, worst]
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    marks: list[Mark] = [Line(ends, ends, "dash", 1.2, colour=TRUTH, label="equal")]
    marks += [
        Points(
            true[mask],
            predicted[mask],
            size=4,
            low=(predicted - half)[mask],
            high=(predicted + half)[mask],
            bar=1,
            colour=colour,
            label=label,
        )
        for mask, colour, label in (
            (inside, MODEL, "95 % interval holds the truth"),
            (~inside, CHECK, "it does not"),
        )
        if mask.any()
    ]
    return Panel(
        Axis(f"solver, observation {worst + 1} (the one predicted worst)"),
        Axis("surrogate"),
        marks,
        f"Held-out solves: {held_out.coverage:.0%} of {held_out.true.size} values\n"
        "within their 95 % intervals",
        legend=Legend("upper left"),
    )
