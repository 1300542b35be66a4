"""The chart of systems that have joined a study: their parameters beside the population's."""

from __future__ import annotations

import textwrap

import numpy as np
import xarray as xr

from popinv.charts.description import Axis, Grid, Legend, Panel, Points, Reference, Sheet
from popinv.charts.style import DATA, LIGHT, MODEL, readable

_NORMAL = 1.959964


def draw_batch(batch: xr.Dataset) -> Sheet:
    """Return the parameters of added systems and of the earlier ones, with 95 % intervals.

    Each line has its own scale: the standard error of the added systems, with the value of the
    earlier ones at zero.

    Parameters
    ----------
    batch : Dataset
        From :func:`popinv.additions.batch.batch_dataset`.
    """
    statement = str(batch.attrs["statement"])
    told = "\n".join(textwrap.wrap(f"{statement[0].upper()}{statement[1:]}.", 100))
    height = 2.2 + 0.34 * batch.sizes["parameter"]
    return Sheet(
        "Added systems beside the earlier ones", 9, height, Grid([batch_panel(batch)]), told
    )


def batch_panel(batch: xr.Dataset) -> Panel:
    """Return the panel of :func:`draw_batch`."""
    values = {name: batch[name].values for name in map(str, batch.data_vars)}
    centre = values["population"]
    width = (values["batch_upper"] - values["batch_lower"]) / (2 * _NORMAL)
    known = np.isfinite(width) & (width > 0)
    width = np.where(known, width, 1.0)
    rows = np.arange(len(centre))[::-1].astype(float)
    names = [
        f"{readable(str(name))}: {before:.4g}" + (f" → {after:.4g}" if seen else "")
        for name, before, after, seen in zip(
            batch["parameter"].values, centre, values["batch"], known, strict=True
        )
    ]

    def points(name: str, shown: np.ndarray, up: float, colour: str, label: str) -> Points:
        at, low, high = (
            ((values[f"{name}{end}"] - centre) / width)[shown] for end in ("", "_lower", "_upper")
        )
        return Points(
            at, rows[shown] + up, low=low, high=high, across=True, colour=colour, label=label
        )

    every = np.ones_like(known)
    alone = "added systems alone" if batch.attrs["own_maximum"] else "added systems, to first order"
    return Panel(
        Axis("standard errors of the added systems"),
        Axis("", limits=(-0.6, len(rows) - 0.4), places=rows, names=names),
        [
            Reference(0.0, upright=True, dash="dot", width=1.0, colour=LIGHT, legend=False),
            points("population", every & known, 0.12, MODEL, "earlier systems"),
            points("batch", known, -0.12, DATA, alone),
        ],
        legend=Legend("below", 2),
    )
