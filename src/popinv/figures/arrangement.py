"""Layout of a study's observations: on a line, over time, on a map, by name, by replicate.

Figures know the observations only by the coordinates of a Dataset: places and times
(``observation_x``, ``observation_t``, ...) and, where entries are different quantities, ``label``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import xarray as xr

from popinv.charts.style import axis_label, evenly, readable
from popinv.forward.datasets import names_in_file, place_coordinates, replicates_of

NUMBER = "number of the observation"
_PREFIX = "observation_"
_TIME, _ENTRY = "observation_t", "observation_entry"
# With more names than this, the axis shows the numbers of the observations.
_MOST_NAMES = 24
# Meaning of the usual names of coordinates.
_MEANING = {
    _TIME: "t, time",
    _ENTRY: NUMBER,
    **{f"observation_{axis}": f"{axis}, place of the sensor" for axis in "xyz"},
}


@dataclass(frozen=True)
class ObservedCurve:
    """Observations that form one curve.

    Parameters
    ----------
    title : str
        The place or the quantity; empty if all observations are on the same curve.
    rows : ndarray of int, shape (n,)
        Numbers of the observations, in the order of ``x``.
    x : ndarray of shape (n,)
        Place, time or number.
    """

    title: str
    rows: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class Arrangement:
    """The layout of all observations.

    Parameters
    ----------
    panels : tuple of ObservedCurve
        Each observation once, in curves over a coordinate or over the observation's number.
    x_label : str
        Label of all panels.
    over_time : bool
        Whether the panels are time series.
    shared_scale : bool
        Whether all panels show the same quantity.
    map : ndarray of shape (d_y, 2), optional
        Places in the plane, if there are two coordinates and no curves.
    map_labels : (str, str)
    names : tuple of str
        Names of the observations if each is a separate quantity, else empty.
    """

    panels: tuple[ObservedCurve, ...]
    x_label: str
    over_time: bool = False
    shared_scale: bool = True
    map: np.ndarray | None = None
    map_labels: tuple[str, str] = ("", "")
    names: tuple[str, ...] = ()

    def ticks(self, most: int = 24) -> tuple[np.ndarray, list[str]] | None:
        """Return the numbers of observations, from 1, and their labels on an axis, or None.

        Every observation has its name, or each curve has its title in the middle of its
        observations. There are at most ``most`` labels. None if the numbers suffice.
        """
        if self.names:
            places, names = np.arange(1.0, len(self.names) + 1), list(self.names)
        elif len(self.panels) > 1:
            places = np.array([panel.rows.mean() + 1 for panel in self.panels])
            names = [panel.title for panel in self.panels]
        else:
            return None
        kept = evenly(len(names), most)
        return places[kept], [names[i] for i in kept]


def columns_for(count: int) -> int:
    """Return the number of columns of a grid of panels."""
    return 2 if count == 4 else min(count, 3)


def seen_somewhere(observations: xr.Dataset) -> np.ndarray:
    """Return the numbers of the observations that at least one system has.

    Where systems have times of their own, some times may occur only in held-out systems.
    """
    return np.flatnonzero(observations["y"].notnull().any("system").values)


def arrangement(observations: xr.Dataset) -> Arrangement:
    """Return the layout of the observations.

    Parameters
    ----------
    observations : Dataset
        With the coordinates of :func:`popinv.forward.datasets.observation_coordinates`.

    Notes
    -----
    With several times per place, each place has a curve over time. Repeated labels have one curve
    each. If labels do not repeat, every observation is separate. One coordinate is a line, two are
    a map. Where nothing but the columns of the user's file tells observations apart, they are a
    line over the names of the columns if these are numbers, and are separate if they are a few
    words. All other observations are shown by their number.
    """
    count = observations.sizes["observation"]
    axes = place_coordinates(observations)
    labels = observations["label"].values.astype(str) if "label" in observations.coords else None
    values = {name: observations[name].values for name in axes}
    if _ENTRY in axes:
        # Observations are counted from 1, as in messages.
        values[_ENTRY] = values[_ENTRY] + 1
    others = [name for name in axes if name != _TIME]
    if others and _TIME in axes and np.ptp(values[_TIME]) == 0:
        # A single time does not distinguish observations.
        axes = others
    if _TIME in axes:
        series = _groups([tuple(values[name][i] for name in others) for i in range(count)])
        if max(map(len, series)) > 1:
            x_label = _label(observations, _TIME)
            return _curves(
                observations, series, values[_TIME], x_label, labels, others, over_time=True
            )
    if labels is not None:
        groups = _groups([(label,) for label in labels])
        if len(groups) == count:
            number = np.arange(1.0, count + 1)
            panel = ObservedCurve("", np.arange(count), number)
            names = tuple(readable(label) for label in labels.tolist())
            return Arrangement((panel,), "", shared_scale=False, names=names)
        along = others if len(others) == 1 else axes
        if len(along) == 1:
            x, x_label = values[along[0]], _label(observations, along[0])
        else:
            x, x_label = np.arange(1.0, count + 1), NUMBER
        return _curves(observations, groups, x, x_label, labels, [])
    named = _by_name(observations) if axes == [_ENTRY] else None
    if named is not None:
        return named
    if len(axes) == 1:
        rows = np.argsort(values[axes[0]], kind="stable")
        panel = ObservedCurve("", rows, values[axes[0]][rows])
        return Arrangement((panel,), _label(observations, axes[0]))
    panel = ObservedCurve("", np.arange(count), np.arange(1.0, count + 1))
    if len(axes) == 2:
        plane = np.column_stack([values[name] for name in axes])
        first, second = (_label(observations, name) for name in axes)
        return Arrangement((panel,), NUMBER, map=plane, map_labels=(first, second))
    return Arrangement((panel,), NUMBER)


def _by_name(observations: xr.Dataset) -> Arrangement | None:
    """Return the layout by the names of the columns of a file, or None if there are none."""
    names = names_in_file(observations)
    if names is None:
        return None
    rows = np.arange(len(names))
    try:
        places = np.array([float(name) for name in names])
        words = not np.isfinite(places).all()
    except ValueError:
        words = True
    if words:
        if len(names) > _MOST_NAMES:
            return None
        panel = ObservedCurve("", rows, np.arange(1.0, len(names) + 1))
        return Arrangement((panel,), "", shared_scale=False, names=tuple(map(readable, names)))
    rows = np.argsort(places, kind="stable")
    return Arrangement((ObservedCurve("", rows, places[rows]),), "name of the column in the file")


def _groups(keys: list[tuple[object, ...]]) -> list[np.ndarray]:
    rows_by_key: dict[tuple[object, ...], list[int]] = {}
    for i, key in enumerate(keys):
        rows_by_key.setdefault(key, []).append(i)
    return [np.array(rows) for rows in rows_by_key.values()]


def _label(observations: xr.Dataset, name: str) -> str:
    quantity = _MEANING.get(name, name.removeprefix(_PREFIX).replace("_", " "))
    return axis_label(quantity, observations[name].attrs.get("units", "1"))


def _curves(
    observations: xr.Dataset,
    groups: list[np.ndarray],
    x: np.ndarray,
    x_label: str,
    labels: np.ndarray | None,
    others: list[str],
    over_time: bool = False,
) -> Arrangement:
    panels = []
    for rows in groups:
        ordered = rows[np.argsort(x[rows], kind="stable")]
        title = _title(observations, rows[0], others)
        if labels is not None:
            title = readable(_common_name(labels[rows].tolist())) or title
        panels.append(ObservedCurve(title, ordered, x[ordered]))
    if len(panels) == 1:
        panels = [ObservedCurve("", panels[0].rows, panels[0].x)]
    return Arrangement(tuple(panels), x_label, over_time, shared_scale=labels is None)


def _common_name(labels: list[str]) -> str:
    # Labels name the quantity, with or without the time after a comma or in brackets.
    without_time = [re.sub(r"\s*(,[^,]*|\([^(]*\)|\[[^\[]*\])$", "", label) for label in labels]
    for names in (labels, without_time):
        if len(set(names)) == 1:
            return names[0]
    return ""


def _title(observations: xr.Dataset, row: int, others: list[str]) -> str:
    words = []
    for name in others:
        value = f"{observations[name].values[row]:.3g}"
        units = observations[name].attrs.get("units", "1")
        unit = "" if units in ("", "1") else f" {units}"
        words.append(f"{name.removeprefix(_PREFIX)} = {value}{unit}")
    return ", ".join(words)


def of_one_replicate(observations: xr.Dataset) -> xr.Dataset:
    """Return the first replicate of each system; without replicates, the Dataset itself."""
    count = replicates_of(observations)
    if count == 1:
        return observations
    width = observations.sizes["observation"] // count
    return observations.isel(observation=slice(width)).drop_vars("replicate")


def each_replicate(observations: xr.Dataset) -> xr.Dataset:
    """Return a Dataset whose systems are the single replicates, without missing replicates.

    Parameters
    ----------
    observations : Dataset
        ``y`` (system, observation), with R replicates side by side.

    Returns
    -------
    Dataset
        ``y`` (system, observation) and the coordinates of one replicate's observations.
    """
    count = replicates_of(observations)
    if count == 1:
        return observations
    one = of_one_replicate(observations)[["y"]]
    values = rows_of_replicates(observations["y"].values, count)
    values = values[np.isfinite(values).any(axis=1)]
    rows = one.drop_vars([name for name in one.coords if "system" in one[name].dims])
    rows = rows.isel(system=np.zeros(len(values), dtype=int))
    return rows.assign(y=rows["y"].copy(data=values))


def rows_of_replicates(y: np.ndarray, count: int) -> np.ndarray:
    """Return observations (n, R d_y) of R replicates as rows of their own, (n R, d_y)."""
    return y if count == 1 else y.reshape(len(y) * count, -1)
