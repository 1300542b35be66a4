"""The parameters of a law two by two: densities, joint densities and correlations."""

from __future__ import annotations

from dataclasses import replace

from popinv.charts.description import Axis, Contours, Grid, Mark, Note, Panel
from popinv.charts.style import DATA, MODEL, TRUTH, axis_label, readable, shades
from popinv.figures.joint import SHARES, Correlations, PairDraws, joint_of
from popinv.figures.marginals import Marginal, density_of, density_panel, logarithmic

# Beyond this size, dark cells need light text.
_DARK = 0.6
# Size of numbers at ticks.
_SMALL = 8.5


def pairs_grid(draws: PairDraws) -> Grid:
    """Return densities on the diagonal, joint densities below it, correlations above it.

    Parameters
    ----------
    draws : PairDraws
        Of at most six parameters, so that the panels are readable.
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
