"""Sections of a study, as a configuration states them, and the examples of the project."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "config/examples"


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


def example_models() -> ModuleType:
    """Return the module of the models of the examples with real data."""
    spec = importlib.util.spec_from_file_location(
        "example_models", EXAMPLES / "real_data/models.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
