"""Sections of a study, as a configuration states them."""

from __future__ import annotations

from typing import Any


def moments(**each: tuple[float, float]) -> dict[str, dict[str, float]]:
    """Return the mean and standard deviation of each parameter."""
    return {name: {"mean": m, "standard_deviation": s} for name, (m, s) in each.items()}


def function(name: str, *parameters: str, **keys: Any) -> dict[str, Any]:
    """Return a function of Python with these parameters as a forward model."""
    return {"kind": "python", "function": name, "parameters": list(parameters), **keys}


def long_table(file: str, system: str, value: str, time: str, **keys: Any) -> dict[str, Any]:
    """Return a long table with these columns as observations."""
    columns = {"system_column": system, "value_column": value, "time_column": time}
    return {"file": file, "layout": "long", **columns, **keys}
