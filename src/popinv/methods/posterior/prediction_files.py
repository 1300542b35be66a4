"""Tables and pictures of predictions of new systems."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from popinv.charts.description import Axis, Band, Dash, Grid, Line, Look, Mark, Panel, Points, Sheet
from popinv.charts.saving import save
from popinv.charts.style import DATA, LIGHT, MODEL, axis_label, evenly
from popinv.figures.arrangement import ObservedCurve, arrangement
from popinv.forward.datasets import place_coordinates
from popinv.methods.outcome import write_table
from popinv.methods.posterior.study import systems_table
from popinv.store import storage

# Curves of a system that are drawn, and systems that have a picture each.
_CURVES, MOST_PICTURES = 6, 60
_TOLD = 20
STORE = "predictions.zarr.zip"


def parameters_table(new: xr.Dataset) -> pd.DataFrame:
    """Return one row for each system: its parameters with 95 % intervals, and its p-value."""
    units = str(new["mean"].attrs["parameter_units"]).split(", ")
    named = new.rename(p_value="surprise_p_value").assign_coords(
        system_id=("system", new["system"].values)
    )
    own = new["deviation"].values.max(axis=0) > 0
    table = systems_table(named, units, own)
    return table.rename(columns={"surprise p-value": "p-value"})


def observations_table(new: xr.Dataset) -> pd.DataFrame:
    """Return one row for each system and observation: what was given, and 95 % intervals."""
    count, width = new.sizes["system"], new.sizes["observation"]
    units = new["given"].attrs["units"]
    ending = "" if units in ("", "1") else f" [{units}]"
    columns: dict[str, np.ndarray] = {"system": np.repeat(new["system"].values, width)}
    for name in ("column", "label", *place_coordinates(new)):
        if name in new.coords:
            short = name.removeprefix("observation_")
            columns["observation" if name == "column" else short] = np.tile(new[name].values, count)
    columns[f"given{ending}"] = new["given"].values.ravel()
    ends = {"median": "median", "lower": "2.5 %", "upper": "97.5 %"}
    parts = {
        "signal": "without noise",
        "observed": "with noise",
        "population": "population",
    }
    for name, words in parts.items():
        for key, end in ends.items():
            columns[f"{words}, {end}{ending}"] = new[f"{name}_{key}"].values.ravel()
    return pd.DataFrame(columns)


def draw_prediction(new: xr.Dataset, system: int) -> Sheet:
    """Return the picture of a system: what was given, and the bands that hold 95 %.

    The bands are those of the population with the same design, of the system with noise, and of the
    system without noise.
    """
    layout = arrangement(new)
    given = new["given"]
    label = axis_label(str(new.attrs["quantity"]), given.attrs["units"])
    panels = []
    for i in evenly(len(layout.panels), _CURVES):
        curve = layout.panels[i]
        panels.append(
            Panel(
                Axis(layout.x_label, places=curve.x, names=layout.names, slanted=True)
                if layout.names
                else Axis(layout.x_label),
                Axis(label),
                _marks(new.isel(system=system), curve, bool(layout.names)),
                curve.title,
            )
        )
    told, p_value = str(new["system"].values[system]), float(new["p_value"].values[system])
    belongs = "" if np.isnan(p_value) else f", p-value {p_value:.2g}"
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    grid = Grid(panels, columns, legend=4)
    return Sheet(f"{told}{belongs}", 7.0 if columns == 1 else 4.2 * columns, 1.2 + 3.2 * rows, grid)


def _marks(new: xr.Dataset, curve: ObservedCurve, separate: bool) -> list[Mark]:
    marks, rows = list[Mark](), curve.rows
    bands: tuple[tuple[str, str, str, float, Dash], ...] = (
        ("population", "population", LIGHT, 0.25, "dash"),
        ("observed", "system, with noise", MODEL, 0.2, "dot"),
        ("signal", "system, without noise", MODEL, 0.45, "solid"),
    )
    for k, (name, label, colour, alpha, dash) in enumerate(bands):
        low, middle, high = (new[f"{name}_{e}"].values[rows] for e in ("lower", "median", "upper"))
        look: Look = {"label": label, "colour": colour}
        if separate or len(rows) < 3:
            shift = 0.12 * (k - 1) * (1 if separate else np.ptp(curve.x) or 1)
            x = curve.x + shift
            marks.append(Points(x, middle, "level", 6, low=low, high=high, **look))
            continue
        marks.append(Band(curve.x, low, high, alpha=alpha, **look))
        if name != "observed":
            median = Look(label=f"{label}, median", colour=colour)
            marks.append(Line(curve.x, middle, dash, 1.4, legend=False, **median))
    y = new["given"].values[rows]
    seen = np.isfinite(y)
    if seen.any():
        marks.append(Points(curve.x[seen], y[seen], size=5, label="given", colour=DATA))
    return marks


def write_predictions(
    new: xr.Dataset, folder: Path, config: Mapping[str, Any], seed: int, pictures: bool = True
) -> list[Path]:
    """Write the Dataset, the two tables and a picture of each system, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    storage.save(new, folder / STORE, config=dict(config), seed=seed, created_by="popinv predict")
    tables = {"systems.csv": parameters_table(new), "observations.csv": observations_table(new)}
    written = [folder / STORE]
    for name, table in tables.items():
        write_table(table, folder / name)
        written.append(folder / name)
    names = list(map(str, new["system"].values))
    for i, name in enumerate(names[:MOST_PICTURES] if pictures else []):
        safe = re.sub(r"[^\w.-]+", "_", name)
        path = folder / "figures" / f"{safe}.png"
        if path in written:
            path = path.with_stem(f"{safe}_{i + 1}")
        path.parent.mkdir(exist_ok=True)
        save(draw_prediction(new, i), path)
        written.append(path)
    return written


def told(new: xr.Dataset) -> str:
    """Return for a terminal the parameters of the first systems, and which do not belong."""
    rows = []
    for i in range(min(_TOLD, new.sizes["system"])):
        p_value = float(new["p_value"].values[i])
        row = {"system": str(new["system"].values[i])}
        for j, name in enumerate(map(str, new["parameter"].values)):
            median, low, high = (float(new[k].values[i, j]) for k in ("median", "lower", "upper"))
            row[name] = f"{median:.3g} ({low:.3g} to {high:.3g})"
        rows.append(row | {"p-value": "no data" if np.isnan(p_value) else f"{p_value:.2g}"})
    text = pd.DataFrame(rows).to_string(index=False)
    rest = new.sizes["system"] - len(rows)
    p_values = new["p_value"].values
    far = int((p_values < 0.05).sum())
    seen = int(np.isfinite(p_values).sum())
    said = [text + (f"\n... and {rest} more" if rest else "")]
    said.append("Medians, and 95 % intervals in brackets.")
    if seen:
        said.append(
            f"{far} of {seen} systems with observations have a p-value below 0.05; "
            f"{0.05 * seen:.3g} are expected of systems of the population."
        )
    return "\n\n".join(said)


def config_of(new: xr.Dataset) -> dict[str, Any]:
    """Return the settings of a prediction."""
    found: dict[str, Any] = json.loads(new.attrs["config"])
    return found
