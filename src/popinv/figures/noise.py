"""The recovered noise: its covariance as heat maps, and its curves with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from popinv.charts.description import (
    Axis,
    Band,
    Bars,
    Grid,
    HeatMap,
    Legend,
    Line,
    Mark,
    Panel,
    Parts,
    Points,
    Reference,
    Sheet,
)
from popinv.charts.style import DATA, INK, LIGHT, MODEL, TRUTH, axis_label, squared
from popinv.figures.arrangement import NUMBER, Arrangement
from popinv.figures.marginals import is_wide
from popinv.figures.noise_statistics import (
    Curve,
    NoiseComparison,
    NoiseGrowth,
    against_distance,
    autocorrelation,
    deviations,
)
from popinv.inference.answer.result import relative_frobenius_error


def growth_panel(growth: NoiseGrowth, units: str, title: str = "") -> Panel:
    """Return the standard deviation against the signal, with intervals and the truth."""
    return Panel(
        Axis(axis_label("noise-free observation", units)),
        Axis(axis_label("standard deviation", units), limits=(0, None)),
        _recovered(growth.signal, growth, 0.2),
        title,
        legend=Legend(),
    )


# Below this share of the variance, a covariance looks like zero.
_VISIBLE = 0.05
# If standard deviations differ by more than this factor, a covariance map would be blank except
# for the largest.
_UNEQUAL = 5.0
# Names along an axis, and letters of all of them that fit side by side.
_TICKS, _LETTERS = 16, 24
_RANGE = "95 % range of the empirical"


def distance_panel(noise: NoiseComparison, distance: np.ndarray, units: str) -> Panel:
    """Return the covariance of each pair of sensors against their distance (d_y, d_y)."""
    curve = against_distance(noise, distance)
    marks = _marks(curve, "empirical, mean of many pairs")
    # A nugget lifts the variance above the curve, so distance zero is drawn separately.
    marks.append(Points(0, noise.estimate[0, 0], size=6, clip=False, colour=MODEL))
    if noise.true is not None:
        ring = Points(0, noise.true[0, 0], size=9, filled=False, clip=False, colour=TRUTH)
        marks.append(ring)
    empirical = np.diag(noise.empirical).mean()
    marks.append(Points(0, empirical, "square", 4, clip=False, colour=DATA))
    # Beyond a few lengths all values are zero and would fill the plot.
    curves = [(curve.recovered, noise.estimate)]
    if curve.true is not None and noise.true is not None:
        curves.append((curve.true, noise.true))
    far = max(curve.x[np.abs(c) > _VISIBLE * m[0, 0]].max(initial=0) for c, m in curves)
    furthest = curve.x[-1] if len(curve.x) else 1.0
    return Panel(
        Axis(
            "distance between sensors",
            limits=(0, min(1.02 * furthest, 2 * far) if far else furthest),
        ),
        Axis(axis_label("covariance", squared(units))),
        marks,
        "Covariance against distance",
        legend=Legend(),
    )


def autocorrelation_panel(noise: NoiseComparison, layout: Arrangement) -> Panel:
    """Return the correlation against the lag at one place."""
    curve = autocorrelation(noise, layout)
    return lag_panel(_marks(curve, "empirical, over the recovered variance"), curve.title, layout)


def lag_panel(marks: list[Mark], place: str, layout: Arrangement) -> Panel:
    """Return correlations against the lag, at a place that has a name or ""."""
    return Panel(
        Axis(layout.x_label.replace("t, time", "lag in time")),
        Axis("correlation"),
        marks,
        f"Autocorrelation at {place}" if place else "Autocorrelation",
        legend=Legend(),
    )


def _marks(curve: Curve, empirical: str) -> list[Mark]:
    marks = list[Mark]()
    if curve.low is not None and curve.high is not None:
        marks.append(
            Band(curve.places, curve.low, curve.high, colour=LIGHT, alpha=0.25, label=_RANGE)
        )
    marks += _recovered(curve.x, curve, 0.25)
    marks.append(Points(curve.places, curve.empirical, "square", 3.5, colour=DATA, label=empirical))
    marks.append(Reference(0, width=0.8, colour=INK))
    return marks


def _recovered(x: np.ndarray, curve: Curve | NoiseGrowth, alpha: float) -> list[Mark]:
    """Return the recovered curve, its interval in this strength, and the true one."""
    marks = list[Mark]()
    if curve.half is not None:
        low, high = curve.recovered - curve.half, curve.recovered + curve.half
        marks.append(Band(x, low, high, colour=MODEL, alpha=alpha, label="95 % interval"))
    marks.append(Line(x, curve.recovered, colour=MODEL, label="recovered"))
    if curve.true is not None:
        marks.append(Line(x, curve.true, "dash", colour=TRUTH, label="true"))
    return marks


def deviations_panel(noise: NoiseComparison, layout: Arrangement, units: str) -> Panel:
    """Return the standard deviation of each observation's noise, with intervals and ranges."""
    curve = deviations(noise)
    x, size, marks = curve.x, 5 if len(curve.x) <= 60 else 3, list[Mark]()
    if curve.low is not None and curve.high is not None:
        ends = curve.low, curve.high
        marks.append(Bars(curve.places, *ends, 0.7, colour=LIGHT, alpha=0.3, label=_RANGE))
    half = curve.half
    marks.append(
        Points(
            x,
            curve.recovered,
            size=size,
            low=None if half is None else curve.recovered - half,
            high=None if half is None else curve.recovered + half,
            colour=MODEL,
            label="recovered" if half is None else "recovered, 95 % interval",
        )
    )
    if curve.true is not None:
        marks.append(Points(x, curve.true, "level", 2 * size, colour=TRUTH, label="true"))
    # A noisy estimate of a small variance may be negative.
    label = "empirical" + (", 0 where negative" if np.any(curve.empirical == 0) else "")
    data = Points(
        curve.places, curve.empirical, "square", size, filled=False, colour=DATA, label=label
    )
    marks.append(data)
    wide = is_wide(curve.recovered)
    return Panel(
        replace(observation_axis(layout), limits=(0.4, len(x) + 0.6)),
        Axis(
            axis_label("standard deviation", units),
            "log" if wide else "linear",
            limits=(None, None) if wide else (0, None),
            # For the legend above.
            room=0.3,
        ),
        marks,
        "Standard deviation of the noise",
        legend=Legend("upper center", 2),
    )


def map_scale(recovered: np.ndarray, units: str) -> tuple[np.ndarray | float, str]:
    """Return the divisor of covariances in a heat map, and the name of the quotient.

    Entries of quantities of different sizes are divided by the recovered deviations of the two.
    """
    deviation = np.sqrt(np.diag(recovered))
    if deviation.max() > _UNEQUAL * deviation.min():
        scale = np.outer(deviation, deviation)
        return scale, "covariance, in the recovered\nstandard deviations"
    return 1.0, axis_label("covariance", units)


def matrix_extent(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """Return the edges of a heat map of a square matrix, whose entries are counted from 1."""
    end = len(matrix) + 0.5
    return 0.5, end, end, 0.5


def covariance_panels(
    noise: NoiseComparison, layout: Arrangement, units: str
) -> tuple[list[Panel], str]:
    """Return the covariance as heat maps on one scale, and the name of their values.

    They are the recovered one, the true or empirical one, and their difference.
    """
    scale, label = map_scale(noise.estimate, squared(units))
    estimate, reference = noise.estimate / scale, noise.reference / scale
    # Two observations that were never observed together have no empirical covariance.
    seen = ~np.isnan(reference)
    apart = "no two were observed together"
    if seen.any():
        error = relative_frobenius_error(estimate[seen], reference[seen])
        apart = f"{error:.2g} in relative norm"
    largest = float(max(np.abs(estimate).max(), np.abs(reference[seen]).max(initial=0.0)))
    extent = matrix_extent(estimate)
    edges = [
        Reference(edge, upright, width=0.5, colour=LIGHT)
        for edge in _edges(layout)
        for upright in (False, True)
    ]
    across = observation_axis(layout)
    upwards = replace(across, slanted=False, size=8.5)
    panels = [
        Panel(
            across,
            upwards if number == 0 else replace(upwards, label="", names=None, places=None),
            [HeatMap(matrix, extent, -largest, largest, colours="diverging", scale=label), *edges],
            title,
        )
        for number, (title, matrix) in enumerate(
            (
                ("Recovered", estimate),
                (noise.reference_name.capitalize(), reference),
                (f"Difference, {apart}", estimate - reference),
            )
        )
    ]
    return panels, label


def _edges(layout: Arrangement) -> list[float]:
    """Return the positions between the observations of neighbouring curves."""
    if not 1 < len(layout.panels) <= _TICKS:
        return []
    ends = [float(panel.rows.max()) + 1.5 for panel in layout.panels]
    whole = all(np.ptp(panel.rows) == len(panel.rows) - 1 for panel in layout.panels)
    return sorted(ends)[:-1] if whole else []


def observation_axis(layout: Arrangement) -> Axis:
    """Return an axis of observations by name, by curve, or by number."""
    ticks = layout.ticks(_TICKS)
    if ticks is None:
        return Axis(NUMBER)
    places, names = ticks
    many = max(map(len, names)) * len(names) > _LETTERS
    return Axis(places=places, names=names, slanted=many, size=8.5 if many else None)


def draw_noise_covariance(
    noise: NoiseComparison,
    layout: Arrangement,
    distance: np.ndarray | None = None,
    units: str = "1",
    discrepancy: Panel | None = None,
    further: Sequence[Panel] = (),
) -> Sheet:
    """Return the covariance as heat maps, and as suitable curves.

    Parameters
    ----------
    layout : Arrangement
        Layout of the observations.
    distance : ndarray of shape (d_y, d_y), optional
        Distances between sensors, if the noise is stationary over them.
    units : str
        Units of the observations.
    discrepancy : Panel, optional
        The error of the simulator, if the noise has one.
    further : sequence of Panel
        Panels below the curves.
    """
    maps, scale = covariance_panels(noise, layout, units)
    curves = noise_curves(noise, layout, distance, units)
    top = Grid(maps, 3, share_x=True, share_y=True, scale=scale)
    title = f"Noise covariance: recovered and {noise.reference_name}"
    parts: list[Grid | Parts] = [top, Grid(curves, len(curves))]
    if discrepancy is not None:
        parts.append(Grid([discrepancy], 1))
        title = f"Noise: recovered and {noise.reference_name}, and error of the simulator"
    if further:
        parts.append(Grid(list(further), len(further)))
    shares = (1.15, *[1.0] * (len(parts) - 1))
    return Sheet(title, 12, 4.0 * len(parts), Parts(parts, down=True, shares=shares))


def noise_curves(
    noise: NoiseComparison, layout: Arrangement, distance: np.ndarray | None, units: str
) -> list[Panel]:
    """Return the curves of a noise covariance.

    Noise that is stationary over places is shown against distance. Noise over time is shown by its
    autocorrelation at one place and its standard deviations. Other noise is shown by its standard
    deviations, and noise that grows also by its standard deviation against the signal.
    """
    if noise.growth is not None:
        growth = growth_panel(noise.growth, units, "Standard deviation against the signal")
        return [deviations_panel(noise, layout, units), growth]
    if layout.over_time:
        return [autocorrelation_panel(noise, layout), deviations_panel(noise, layout, units)]
    if distance is not None:
        return [distance_panel(noise, distance, units)]
    return [deviations_panel(noise, layout, units)]
