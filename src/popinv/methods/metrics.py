"""Metrics of a method's job, as plain numbers and text by name."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import xarray as xr

from popinv.store.whole_files import write_text


def flatten(values: xr.DataArray, pattern: str) -> dict[str, Any]:
    """Return the entries of an array by names that hold their coordinates.

    The pattern of the names has the dimensions in braces, each of which has a coordinate.
    Dimensions that come first vary most slowly.

    Examples
    --------
    >>> loss = xr.DataArray([[1.0, 2.0]], {"rule": ["sign"], "size": [10, 100]}, ("rule", "size"))
    >>> flatten(loss, "loss_{rule}_size_{size}")
    {'loss_sign_size_10': 1.0, 'loss_sign_size_100': 2.0}
    """
    dims = [str(dim) for dim in values.dims]
    coordinates = itertools.product(*(values[dim].values.tolist() for dim in dims))
    names = (pattern.format(**dict(zip(dims, place, strict=True))) for place in coordinates)
    return dict(zip(names, values.values.ravel().tolist(), strict=True))


def flat(metrics: dict[str, Any]) -> dict[str, float | int | str]:
    """Return metrics as plain numbers and text, for JSON.

    Raises
    ------
    ValueError
        If a metric is neither.
    """
    plain: dict[str, float | int | str] = {}
    for name, value in metrics.items():
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, float | int | str):
            raise ValueError(f"metric '{name}' is a {type(value).__name__}, not a number or text")
        plain[name] = value
    return plain


def write_metrics(metrics: dict[str, Any], path: Path) -> None:
    """Write a flat ``metrics.json`` that maps names to numbers or text."""
    write_text(path, json.dumps(flat(metrics), indent=2) + "\n")
