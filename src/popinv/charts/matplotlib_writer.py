"""Draw sheets of panels with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis as DrawnAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from popinv.charts.description import Axis, Grid, HeatMap, Mark, Panel, Parts, Sheet
from popinv.charts.matplotlib_marks import draw_mark
from popinv.charts.style import root, root_ticks, square, style


def drawn(sheet: Sheet) -> Figure:
    """Return the figure of a sheet."""
    with style():
        figure = Figure(figsize=(sheet.width, sheet.height))
        figure.suptitle(sheet.title)
        _part(figure, sheet.body)
        if sheet.below:
            figure.supxlabel(sheet.below, fontsize=10)
    for text in _words(figure):
        # Dollar signs, such as in a unit, are drawn as they are written, not as mathematics.
        text.set_parse_math(False)
    return figure


def _words(artist: Artist) -> Iterator[Text]:
    """Yield all text of a figure but the numbers at ticks, which are mathematics.

    Ticks take long to make, and are not made here where numbers stand at them.
    """
    if isinstance(artist, Text):
        yield artist
    if isinstance(artist, DrawnAxis) and not _has_names(artist):
        yield artist.label
        return
    for child in artist.get_children():
        yield from _words(child)


def _has_names(axis: DrawnAxis) -> bool:
    return isinstance(axis.get_major_formatter(), FixedFormatter)


def _part(figure: Figure | SubFigure, part: Grid | Parts) -> None:
    if isinstance(part, Grid):
        _grid(figure, part)
        return
    count = len(part.parts)
    space: dict[str, Any]
    if part.down:
        shape, space = (count, 1), {"height_ratios": part.shares, "hspace": 0.02}
    else:
        shape, space = (1, count), {"width_ratios": part.shares, "wspace": 0.02}
    places = figure.subfigures(*shape, squeeze=False, **space)
    for place, each in zip(places.flat, part.parts, strict=True):
        _part(place, each)


def _grid(figure: Figure | SubFigure, grid: Grid) -> None:
    rows = -(-len(grid.panels) // grid.columns)
    axes = figure.subplots(
        rows,
        grid.columns,
        squeeze=False,
        sharex=grid.share_x,
        sharey=grid.share_y,
        height_ratios=grid.heights,
        width_ratios=grid.widths,
    )
    by_row: list[list[Axes]] = [[] for _ in range(rows)]
    images: list[ScalarMappable | None] = [None] * rows
    for place, (ax, panel) in enumerate(zip(axes.flat, grid.panels, strict=False)):
        if panel is None:
            ax.remove()
            continue
        row = place // grid.columns
        images[row] = draw_panel(ax, panel) or images[row]
        if grid.share_x and panel.x.label:
            # Though it shares the axis with others below.
            ax.xaxis.set_tick_params(labelbottom=True)
        by_row[row].append(ax)
    for ax in axes.flat[len(grid.panels) :]:
        ax.remove()
    used = [ax for row in by_row for ax in row]
    if isinstance(grid.scale, str):
        _colour_bar(figure, next(filter(None, images[::-1]), None), used, grid.scale, shrink=0.85)
    elif grid.scale is not None:
        for image, of_row, label in zip(images, by_row, grid.scale, strict=True):
            if label is not None:
                _colour_bar(figure, image, of_row, label, pad=0.01)
    if grid.title:
        figure.suptitle(grid.title, fontsize=11.5, fontweight="normal")
    if grid.legend:
        handles, labels = _labels_once(*used)
        if grid.keys:
            handles = [_key(mark) for mark in grid.keys]
            labels = [mark.label for mark in grid.keys]
        figure.legend(handles, labels, loc="outside lower center", ncols=grid.legend)


def _colour_bar(
    figure: Figure | SubFigure,
    image: ScalarMappable | None,
    axes: list[Axes],
    label: str,
    **space: Any,
) -> None:
    if image is None:
        return
    bar = figure.colorbar(image, ax=axes, label=label, **space)
    low, high = image.get_clim()
    if isinstance(image.norm, FuncNorm) and low is not None and high is not None:
        ticks = root_ticks(low, high)
        bar.set_ticks(ticks.tolist(), labels=[f"{tick:.3g}" for tick in ticks])


def draw_panel(ax: Axes, panel: Panel) -> ScalarMappable | None:
    """Draw a panel into axes, and return the last mark that has a scale of colours."""
    image = None
    for mark in panel.marks:
        image = draw_mark(ax, mark) or image
    if any(isinstance(mark, HeatMap) for mark in panel.marks):
        ax.grid(False)
    _axis(ax, "x", panel.x)
    _axis(ax, "y", panel.y)
    if panel.equal:
        ax.set_aspect("equal")
    ax.set_title(panel.title, fontsize=panel.title_size)
    if panel.background is not None:
        ax.set_facecolor(panel.background)
        ax.grid(False)
    if panel.legend is not None:
        style: dict[str, Any] = {"loc": panel.legend.place}
        if panel.legend.place == "below":
            style = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        style |= {"ncols": panel.legend.columns, "fontsize": panel.legend.size}
        ax.legend(*_labels_once(ax), columnspacing=1.0, **style)
    return image


def _axis(ax: Axes, name: Literal["x", "y"], given: Axis) -> None:
    axis = ax.xaxis if name == "x" else ax.yaxis
    axis.set_label_text(given.label)
    if given.scale == "symlog":
        _setter(ax, "scale", name)("symlog", linthresh=given.threshold)
    elif given.scale == "log":
        _setter(ax, "scale", name)("log")
        if given.steps:
            # A few decades have too few powers of ten to read values from.
            axis.set_major_locator(LogLocator(subs=given.steps, numticks=given.ticks))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    elif given.scale == "root":
        _setter(ax, "scale", name)("function", functions=(root, square))
        low, high = given.limits
        ticks = root_ticks(0.0, high or 1.0)
        axis.set_ticks(ticks.tolist(), [f"{tick:.3g}" for tick in ticks])
    elif given.ticks is not None:
        ax.locator_params(axis=name, nbins=given.ticks)
    if given.whole:
        axis.set_major_locator(MaxNLocator(integer=True))
    if given.margin is not None:
        _setter(ax, "margin", name)(given.margin)
    low, high = given.limits
    ends = _setter(ax, "lim", name)
    if low is not None or high is not None:
        ends(low, high)
    if given.room:
        low, high = ax.get_xlim() if name == "x" else ax.get_ylim()
        longer = high * (high / low) ** given.room if given.scale == "log" else None
        ends(low, high + given.room * (high - low) if longer is None else longer)
    if given.places is not None:
        axis.set_ticks(list(given.places), None if given.names is None else list(given.names))
    if not given.minor:
        axis.set_minor_formatter(NullFormatter())
    if given.bare:
        # An empty name keeps the axis away from the edge of the figure.
        axis.set_ticks([0], ["   "])
        ax.tick_params(axis=name, length=0)
        ax.spines["left" if name == "y" else "bottom"].set_visible(False)
    if not given.labels:
        ax.tick_params(axis=name, **{"labelbottom" if name == "x" else "labelleft": False})
    if given.slanted:
        for text in axis.get_ticklabels():
            text.set(rotation=45, ha="right", rotation_mode="anchor")
    if given.size is not None:
        ax.tick_params(axis=name, labelsize=given.size)
    if not given.grid:
        ax.grid(axis=name, visible=False)


def _setter(ax: Axes, what: str, name: str) -> Callable[..., Any]:
    setter: Callable[..., Any] = getattr(ax, f"set_{name}{what}")
    return setter


def _key(mark: Mark) -> Artist:
    """Return what stands for a mark in a legend."""
    ax = Figure().subplots()
    draw_mark(ax, mark)
    (handle,), _ = ax.get_legend_handles_labels()
    return handle


def _labels_once(*axes: Axes) -> tuple[list[Artist], list[str]]:
    """Return handles and labels for a legend, with each label once."""
    artists: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            artists.setdefault(label, handle)
    return list(artists.values()), list(artists)
