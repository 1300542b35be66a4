"""Tables of a simulator that errs: known errors, a right simulator, and held-out systems.

``benchmarks.discrepancy`` writes the numbers, with the commit and the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from tables.cells import measured_rows, recorded, table

__all__ = ["TABLES"]

Row = Mapping[str, str]
_LAW = ("rate_mean", "size_mean", "rate_standard_deviation", "size_standard_deviation")
_MODELS = {"none": "none", "free": "`shared: free`", "smooth": "`{kernel: matern52}`"}


def _rows(name: str) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of a file by data and model, in the order of the file."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in measured_rows(f"discrepancy_{name}"):
        found.setdefault((row.get("data", ""), row["model"]), []).append(row)
    return found


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    n = len(values)
    mean = sum(values) / n
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)


def _percent(values: Sequence[float]) -> str:
    mean, error = _mean(values)
    return f"{100 * mean:.0f} ± {100 * error:.0f}"


def _gain(values: Sequence[float], without: Sequence[Row]) -> str:
    """Return the sum of the scores above those without a discrepancy, with its standard error."""
    plain = [float(row["score"]) for row in without]
    mean, error = _mean([a - b for a, b in zip(values, plain, strict=True)])
    return f"{len(values) * mean:+.1f} ± {len(values) * error:.1f}"


def _told(rows: Mapping[tuple[str, str], Sequence[Row]]) -> str:
    every = [row for group in rows.values() for row in group]
    return f"*Recorded at {recorded(every)}.*"


def _judged(name: str) -> Iterator[str]:
    """Yield what the intervals of repeated data sets hold."""
    rows, cells = _rows(name), []
    for (_, model), group in rows.items():
        # An interval of each of four parameters in each data set; data sets are independent.
        law = [sum(int(row[f"holds_{each}"]) for each in _LAW) / len(_LAW) for row in group]
        shifts = [_mean([float(row[f"shift_{each}"]) for row in group])[0] for each in _LAW]
        own = ["", "", ""]
        if group[0]["joint"]:
            own = [_percent([float(row[key]) for row in group]) for key in ("pointwise", "joint")]
            own.append(f"{sum(float(row['error']) for row in group) / len(group):.3f}")
        noise = sum(float(row["noise"]) for row in group) / len(group)
        told = [f"{shift:+.1f}" for shift in shifts]
        cells.append([_MODELS[model], str(len(group)), *told, _percent(law), f"{noise:.3f}", *own])
    heads = [
        *("discrepancy", "data sets", "rate", "size", "spread of rate", "spread of size"),
        *("law covered, %", "noise", "b covered, %", "band holds b, %", "error of b"),
    ]
    yield from table(heads, cells)
    yield from ("", _told(rows))


def recovery() -> Iterator[str]:
    """Yield the table of a known error."""
    yield from _judged("recovery")


def right() -> Iterator[str]:
    """Yield the table of a right simulator."""
    yield from _judged("right")


def own() -> Iterator[str]:
    """Yield how the error of each system is told apart from the noise."""
    rows = measured_rows("discrepancy_own")
    names = {
        "standard_deviation": ("noise", 0.1),
        "discrepancy_own_amplitude": ("amplitude", 0.15),
        "discrepancy_own_length": ("length", 0.2),
    }
    cells = []
    for replicates in sorted({row["replicates"] for row in rows}):
        group = [row for row in rows if row["replicates"] == replicates]
        for name, (told, true) in names.items():
            values = [float(row[name]) for row in group]
            mean, error = _mean(values)
            spread = error * math.sqrt(len(values))
            held = _percent([float(row[f"holds_{name}"]) for row in group])
            numbers = [f"{mean:.4f} ± {error:.4f}", f"{spread:.4f}", held]
            cells.append([replicates, str(len(group)), told, f"{true:g}", *numbers])
    heads = ["replicates", "data sets", "parameter", "true", "mean", "spread", "covered, %"]
    yield from table(heads, cells)
    yield from ("", _told({("", ""): rows}))


def valves() -> Iterator[str]:
    """Yield the answers of the example study."""
    rows, cells = _rows("valves"), []
    for (_, model), (row,) in rows.items():
        told = [
            f"{float(row[name]):.3g} ({float(row[f'{name}_lower']):.3g} to "
            f"{float(row[f'{name}_upper']):.3g})"
            for name in ("first_median", "rate_median")
        ]
        noise, aic, score = (float(row[name]) for name in ("noise", "aic", "score"))
        gain = f"{float(row['gain']):.0f}" if row["gain"] else ""
        own = [f"{noise:.4f}", row["parameters"], f"{aic:.1f}", f"{score:.2f}", gain]
        cells.append([_MODELS[model], *told, *own])
    heads = [
        *("discrepancy", "first median, bar", "rate median, 1/s", "noise, bar", "parameters"),
        *("AIC", "log score of a tank", "log evidence"),
    ]
    yield from table(heads, cells)
    yield from ("", _told(rows))


def unlike() -> Iterator[str]:
    """Yield the first pressures of tanks whose error is unlike its prior."""
    rows, cells, true = _rows("unlike"), [], 3.0
    for (_, model), group in rows.items():
        median, low, high = (
            [float(row[f"first_median{end}"]) for row in group] for end in ("", "_lower", "_upper")
        )
        mean, error = _mean(median)
        ends = f"{_mean(low)[0]:.2f} to {_mean(high)[0]:.2f}"
        held = sum(a <= true <= b for a, b in zip(low, high, strict=True))
        counts = [str(len(group)), f"{mean:.3f} ± {error:.3f}", ends, str(held)]
        cells.append([_MODELS[model], *counts])
    heads = ["discrepancy", "data sets", "first median, bar", "mean interval", "hold 3 bar"]
    yield from table(heads, cells)
    yield from ("", _told(rows))


def scores() -> Iterator[str]:
    """Yield the log scores of held-out systems, and the differences from no discrepancy."""
    rows, cells = _rows("scores"), []
    for (data, model), group in rows.items():
        values = [float(row["score"]) for row in group]
        gain = "" if model == "none" else _gain(values, rows[data, "none"])
        cells.append([data, str(len(values)), _MODELS[model], f"{sum(values):.1f}", gain])
    heads = ["data", "systems", "discrepancy", "log score, sum", "gain"]
    yield from table(heads, cells)
    yield from ("", _told(rows))


def porous() -> Iterator[str]:
    """Yield the log scores of held-out porous samples, and what the discrepancy adds."""
    rows, cells = _rows("porous"), []
    told = {"right": "none", "errs": "0.1 sin(2 π x)"}
    for (data, model), group in rows.items():
        values = [float(row["score"]) for row in group]
        gain = "" if model == "none" else _gain(values, rows[data, "none"])
        noise, wrong = float(group[0]["noise"]), group[0]["error"]
        own = [f"{noise:.4f}", f"{float(wrong):.3f}" if wrong else ""]
        cells.append([told[data], _MODELS[model], f"{sum(values):.1f}", gain, *own])
    heads = ["error", "discrepancy", "log score, sum", "gain", "noise", "error of b"]
    yield from table(heads, cells)
    yield from ("", _told(rows))


def confounded() -> Iterator[str]:
    """Yield what a law that explains a part of an error takes of it."""
    rows, cells = _rows("confounded"), []
    for (data, model), group in rows.items():
        first, error = _mean([100 * float(row["first"]) for row in group])
        held = [int(value) for row in group for key, value in row.items() if "holds_" in key]
        own = ["", "", "", ""]
        if group[0]["joint"]:
            values = [sum(float(row[key]) for row in group) for key in ("pointwise", "confounded")]
            counts = [str(sum(int(row[key]) for row in group)) for key in ("joint", "limit")]
            own = [f"{100 * values[0] / len(group):.0f}", *counts, f"{values[1] / len(group):.1f}"]
        noise = sum(float(row["noise"]) for row in group) / len(group)
        told = [f"{first:+.1f} ± {error:.1f}", f"{100 * sum(held) / len(held):.0f}", f"{noise:.3f}"]
        cells.append([data, _MODELS[model], str(len(group)), *told, *own])
    heads = [
        *("error", "discrepancy", "data sets", "median decay, %", "law covered, %", "noise"),
        *("b covered, %", "bands that hold b", "lengths at a limit", "confounded parameters"),
    ]
    yield from table(heads, cells)
    yield from ("", _told(rows))


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "recovery": recovery,
    "scores": scores,
    "right": right,
    "valves": valves,
    "unlike": unlike,
    "own": own,
    "confounded": confounded,
    "porous": porous,
}
