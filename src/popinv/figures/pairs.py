"""The parameters of a law two by two: densities, joint densities and correlations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from popinv.charts.description import Axis, Contours, Grid, Mark, Note, Panel
from popinv.charts.style import DATA, MODEL, TRUTH, axis_label, readable, shades
from popinv.figures.marginals import Marginal, density_of, density_panel, is_wide, logarithmic

# Shares of the population inside the contours.
SHARES = (0.5, 0.9)
# A joint density is a histogram, smoothed over about a twentieth of its range.
_CELLS, _SMOOTHING = 80, 2.5
_NORMAL = 1.959964
# Beyond this size, dark cells need light text.
_DARK = 0.6
# Size of numbers at ticks.
_SMALL = 8.5


@dataclass(frozen=True)
class Joint:
    """The joint density of two quantities, by the population outside its contours.

    Attributes
    ----------
    x, y : ndarray of shape (n,)
        Values along the axes; evenly spaced in logarithms if the quantity is wide.
    recovered, true : ndarray of shape (n, n); ``true`` may be None
        For each point (rows along y), the share of the population where the density is higher. The
        contour at 0.5 holds half of the population.
    """

    x: np.ndarray
    y: np.ndarray
    recovered: np.ndarray
    true: np.ndarray | None


@dataclass(frozen=True)
class Correlations:
    """Correlations of the transformed parameters with their 95 % intervals, each (d, d).

    ``lower`` and ``upper`` are None if there are no draws about the estimate, ``true`` if the truth
    is not known.
    """

    estimate: np.ndarray
    lower: np.ndarray | None
    upper: np.ndarray | None
    true: np.ndarray | None

    def in_words(self, i: int, j: int) -> list[str]:
        """Return the correlation of i and j, its interval and the truth, as far as known."""
        words = [f"{self.estimate[i, j]:.2f}"]
        if self.lower is not None and self.upper is not None:
            words.append(f"{self.lower[i, j]:.2f} to {self.upper[i, j]:.2f}")
        return words if self.true is None else [*words, f"true {self.true[i, j]:.2f}"]


@dataclass(frozen=True)
class PairDraws:
    """The parameters of a joint law, two by two.

    Attributes
    ----------
    marginals : tuple of Marginal
    correlations : Correlations
        Correlations of the same parameters.
    """

    marginals: tuple[Marginal, ...]
    correlations: Correlations


def joint_of(first: Marginal, second: Marginal) -> Joint:
    """Return the joint density of two quantities, from draws of both."""
    axes = [_edges(marginal) for marginal in (first, second)]
    recovered = _outside(axes, first.recovered, second.recovered)
    true = None
    if first.true is not None and second.true is not None:
        true = _outside(axes, first.true, second.true)
    x, y = (_middles(*each) for each in axes)
    return Joint(x, y, recovered, true)


def _edges(marginal: Marginal) -> tuple[np.ndarray, bool]:
    """Return edges of cells, and whether they are evenly spaced in logarithms."""
    values = marginal.recovered
    if marginal.true is not None:
        values = np.concatenate([values, marginal.true])
    wide = is_wide(values)
    low, high = np.quantile(np.log(values) if wide else values, [0.002, 0.998])
    pad = 0.15 * (high - low) or 0.5
    return np.linspace(low - pad, high + pad, _CELLS + 1), wide


def _middles(edges: np.ndarray, wide: bool) -> np.ndarray:
    middles = (edges[:-1] + edges[1:]) / 2
    return np.exp(middles) if wide else middles


def _outside(axes: list[tuple[np.ndarray, bool]], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the share of draws in cells of higher density, (cells of b, cells of a)."""
    x, y = (np.log(v) if wide else v for v, (_, wide) in zip((a, b), axes, strict=True))
    counts, _, _ = np.histogram2d(y, x, bins=[axes[1][0], axes[0][0]])
    density = gaussian_filter(counts, _SMOOTHING, mode="constant")
    order = np.argsort(-density, axis=None, kind="stable")
    share = np.empty(density.size)
    # The draws themselves are counted, so that smoothing does not widen a contour.
    share[order] = np.cumsum(counts.ravel()[order]) / len(a)
    return share.reshape(density.shape)


def correlations_of(
    estimate: np.ndarray, varied: np.ndarray | None, true: np.ndarray | None
) -> Correlations:
    """Return correlations with intervals that are normal in their atanh.

    Parameters
    ----------
    estimate : ndarray of shape (m, d)
        Draws of the transformed parameters.
    varied : ndarray of shape (K, m, d), optional
        Draws of K laws about the estimate.
    true : ndarray of shape (m, d), optional
    """
    centre = _correlation(estimate)
    lower = upper = None
    if varied is not None:
        inside = [np.arctanh(np.clip(_correlation(x), -1 + 1e-9, 1 - 1e-9)) for x in varied]
        half = _NORMAL * np.std(inside, axis=0, ddof=1)
        middle = np.arctanh(np.clip(centre, -1 + 1e-9, 1 - 1e-9))
        lower, upper = np.tanh(middle - half), np.tanh(middle + half)
    return Correlations(centre, lower, upper, None if true is None else _correlation(true))


def _correlation(x: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.corrcoef(x, rowvar=False))


def pairs_grid(draws: PairDraws) -> Grid:
    """Return densities on the diagonal, joint densities below it, correlations above it.

    Parameters
    ----------
    draws : PairDraws
        Draws of at most six parameters, so that the panels are readable.
    """
    marginals, count = draws.marginals, len(draws.marginals)
    panels = []
    for i in range(count):
        for j in range(count):
            if j > i:
                panels.append(_number(draws.correlations, i, j))
                continue
            if i == j:
                panel = density_panel(marginals[i])
                panel = replace(panel, y=Axis(limits=(0, None), places=[]))
            else:
                panel = joint_panel(marginals[j], marginals[i])
                inside = replace(panel.y, size=_SMALL)
                edge = j == 0
                panel = replace(
                    panel, y=inside if edge else replace(inside, label="", labels=False)
                )
            low = i == count - 1
            x = replace(panel.x, limits=ends_of(marginals[j]), size=_SMALL, labels=low)
            panels.append(replace(panel, x=x if low else replace(x, label="")))
    shares = " and ".join(f"{100 * share:.0f}" for share in SHARES)
    title = f"Densities (contours: {shares} %) and correlations"
    return Grid(panels, count, legend=3, title=title)


def ends_of(marginal: Marginal) -> tuple[float, float]:
    """Return the ends of the values of which a density is shown."""
    x = density_of(marginal).x
    return float(x[0]), float(x[-1])


def _axis(marginal: Marginal) -> Axis:
    label = axis_label(readable(marginal.name), marginal.units)
    return logarithmic(label) if density_of(marginal).wide else Axis(label)


def joint_panel(first: Marginal, second: Marginal) -> Panel:
    """Return the joint density of two parameters, the first across."""
    joint = joint_of(first, second)
    inner, outer = SHARES
    shares = joint.x, joint.y, joint.recovered
    marks: list[Mark] = [
        Contours(*shares, levels, filled=True, colour=MODEL, alpha=alpha, label="contour")
        for levels, alpha in (((0.0, inner), 0.45), ((inner, outer), 0.18))
    ]
    marks.append(
        Contours(*shares, SHARES, width=1.0, colour=MODEL, label="contour", legend="recovered")
    )
    if joint.true is not None:
        true = joint.x, joint.y, joint.true
        marks.append(
            Contours(*true, SHARES, "dash", 1.4, colour=TRUTH, label="contour", legend="truth")
        )
    return Panel(_axis(first), _axis(second), marks)


def _number(correlations: Correlations, i: int, j: int) -> Panel:
    """Return a correlation on a cell of its colour."""
    value = correlations.estimate[i, j]
    first, *rest = correlations.in_words(i, j)
    colour = "#FFFFFF" if abs(value) > _DARK else DATA
    blank = Axis(places=[])
    return Panel(
        blank,
        blank,
        [
            Note(first, y=0.58, size=12, framed=False, colour=colour),
            Note("\n".join(rest), y=0.3, size=_SMALL, framed=False, colour=colour),
        ],
        background=shades("diverging", [(1 + value) / 2])[0],
    )
