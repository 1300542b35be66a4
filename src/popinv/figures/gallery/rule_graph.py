"""The rules of a workflow and their dependencies, from the jobs that Snakemake plans."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from popinv.charts.description import Arrow, Axis, Box, Grid, Mark, Note, Panel, Sheet
from popinv.charts.style import readable

_JOB = re.compile(r'^\s*(\d+)\[label = "(\w+)', re.MULTILINE)
_ARROW = re.compile(r"^\s*(\d+) -> (\d+)", re.MULTILINE)
# Light tints of the colours of single systems.
_TINTS = ("#CFE3F1", "#FBE3B5", "#C2E7DA", "#F3DDE9", "#DDF0FA")
_LINE = "#5A5A5A"
# Size of a box in units of levels and rows.
_WIDTH, _HEIGHT = 0.76, 0.52

Place = tuple[float, float]


@dataclass(frozen=True)
class RuleGraph:
    """Rules in the order of their first jobs.

    Parameters
    ----------
    levels : mapping of str to int
        Number of steps before a rule's first job can run, without gaps.
    jobs : mapping of str to int
        Number of jobs of a rule.
    arrows : frozenset of (str, str)
        Pairs of a rule and a rule that reads its output, without arrows implied by others.
    """

    levels: Mapping[str, int]
    jobs: Mapping[str, int]
    arrows: frozenset[tuple[str, str]]

    @property
    def back(self) -> frozenset[tuple[str, str]]:
        """Arrows to a rule that had jobs before: the rounds."""
        return frozenset((a, b) for a, b in self.arrows if self.levels[a] >= self.levels[b])


def read_jobs(dot: str, without: Iterable[str] = ("all",)) -> RuleGraph:
    """Return the graph of the rules, from the jobs that ``snakemake --dag`` prints.

    Parameters
    ----------
    dot : str
        The output, in the language of Graphviz.
    without : iterable of str
        Rules to leave out.

    Raises
    ------
    ValueError
        If it has no job.
    """
    rule_of = {job: rule for job, rule in _JOB.findall(dot) if rule not in set(without)}
    if not rule_of:
        raise ValueError("Snakemake has printed no jobs")
    before: dict[str, set[str]] = {job: set() for job in rule_of}
    for earlier, later in _ARROW.findall(dot):
        if earlier in rule_of and later in rule_of:
            before[later].add(earlier)
    depth: dict[str, int] = {}
    ancestors: dict[str, set[str]] = {}

    def visit(job: str) -> None:
        if job not in depth:
            for other in before[job]:
                visit(other)
            depth[job] = 1 + max((depth[other] for other in before[job]), default=-1)
            ancestors[job] = before[job].union(*(ancestors[other] for other in before[job]))

    for job in rule_of:
        visit(job)
    first: dict[str, int] = {}
    for job, rule in rule_of.items():
        first[rule] = min(depth[job], first.get(rule, depth[job]))
    steps = {step: number for number, step in enumerate(sorted(set(first.values())))}
    arrows = set()
    for job, earlier in before.items():
        implied = set().union(*(ancestors[other] for other in earlier))
        arrows |= {(rule_of[other], rule_of[job]) for other in earlier - implied}
    levels = {rule: steps[step] for rule, step in sorted(first.items(), key=lambda item: item[1])}
    own = frozenset((a, b) for a, b in arrows if a != b)
    return RuleGraph(levels, Counter(rule_of.values()), own)


def draw_rule_graph(graph: RuleGraph, groups: Mapping[str, str], title: str) -> Sheet:
    """Return rules as boxes from left to right, with their numbers of jobs.

    Parameters
    ----------
    groups : mapping of str to str
        Group of each rule, which determines its colour.
    """
    places = _places(graph)
    across = max(graph.levels.values()) + 1
    up = [y for _, y in places.values()]
    names = list(dict.fromkeys(groups[rule] for rule in graph.levels))
    tints = dict(zip(names, _TINTS, strict=False))
    marks: list[Mark] = []
    for a, b in sorted(graph.arrows):
        if (a, b) in graph.back:
            marks += _round(places[a], places[b], min(up))
        else:
            corners = _way(places[a], places[b], list(places.values()))
            x, y = zip(*corners, strict=True)
            marks.append(Arrow(x, y, colour=_LINE))
    for rule, (column, row) in places.items():
        words, group = rule.replace("_", "\n"), groups[rule]
        box = Box(words, column, row, _WIDTH, _HEIGHT, label=readable(group), colour=tints[group])
        marks.append(box)
        if graph.jobs[rule] > 1:
            jobs, at = f"× {graph.jobs[rule]}", (column + 0.36 * _WIDTH, row + _HEIGHT / 2)
            marks.append(Note(jobs, *at, size=9.5, framed=False, shift=(0, 3), colour=_LINE))
    panel = Panel(
        Axis(limits=(-0.5, across - 0.5), bare=True, grid=False),
        Axis(limits=(min(up) - 1.25, max(up) + 0.95), bare=True, grid=False),
        marks,
    )
    size = 0.4 + 1.36 * across, 2.4 + 1.15 * (max(up) - min(up) + 1)
    return Sheet(title, *size, Grid([panel], legend=len(names)))


def _places(graph: RuleGraph) -> dict[str, Place]:
    """Place rules of a level above each other, near the rules whose output they read."""
    by_level = defaultdict(list)
    for rule, level in graph.levels.items():
        by_level[level].append(rule)
    height: dict[str, float] = {}
    for level in sorted(by_level):
        rules = by_level[level]
        near = {r: [height[a] for a, b in graph.arrows if b == r and a in height] for r in rules}
        wanted = {
            rule: float(np.mean(heights)) if heights else 0.0 for rule, heights in near.items()
        }
        rules.sort(key=lambda rule: (-wanted[rule], rule))
        middle = float(np.mean(list(wanted.values())))
        for number, rule in enumerate(rules):
            height[rule] = middle + (len(rules) - 1) / 2 - number
    return {rule: (float(level), height[rule]) for rule, level in graph.levels.items()}


def _way(start: Place, end: Place, boxes: Iterable[Place]) -> list[Place]:
    """Return the corners of an arrow that passes the boxes between."""
    (x_0, y_0), (x_1, y_1) = start, end
    crossed = [
        (x, y)
        for x, y in boxes
        if x_0 < x < x_1
        and abs(y_0 + (y_1 - y_0) * (x - x_0) / (x_1 - x_0) - y) < 0.5 * _HEIGHT + 0.1
    ]
    if not crossed:
        return [(x_0 + _WIDTH / 2, y_0), (x_1 - _WIDTH / 2, y_1)]
    between = [y for x, y in boxes if x_0 < x < x_1]
    top, gap = max(between) + 0.85, x_1 - 0.5
    entry = [(gap, y_1), (x_1 - _WIDTH / 2, y_1)]
    if not any(x == x_1 and y > y_1 for x, y in boxes):
        # The arrow passes above the boxes between.
        entry = [(x_1, top), (x_1, y_1 + _HEIGHT / 2)]
    elif all(abs(y - y_0) > _HEIGHT for y in between):
        # The arrow follows a free row, and goes down before the last column.
        return [(x_0 + _WIDTH / 2, y_0), (gap, y_0), *entry]
    else:
        entry = [(gap, top), *entry]
    return [(x_0, y_0 + _HEIGHT / 2), (x_0, top), *entry]


def _round(start: Place, end: Place, lowest: float) -> list[Mark]:
    """Return an arrow back below the boxes, from right to left."""
    below = lowest - 0.85
    (x_0, y_0), (x_1, y_1) = start, end
    x, y = (x_0, x_0, x_1, x_1), (y_0 - _HEIGHT / 2, below, below, y_1 - _HEIGHT / 2)
    words = Note("next round", (x_0 + x_1) / 2, below, size=10, shift=(0, 0))
    return [Arrow(x, y, "dash", colour=_LINE), words]
