"""Claims of a paper, compared with measurements.

Every method's test problem ends in a table with a row for each claim: the claim, its source (the
paper, or a reconstruction of a part that was not readable to us), the number to compare with, if
there is one, and ours.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from popinv.store.whole_files import write_text, written_whole

__all__ = [
    "Claim",
    "Source",
    "compared",
    "flat",
    "flatten",
    "near",
    "write_claims",
    "write_metrics",
]


Source = Literal["paper", "authors' code", "reconstruction", "this package"]


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes
    ----------
    claim : str
        The claim in words.
    source : {"paper", "authors' code", "reconstruction", "this package"}
        The source of the claim. The authors' published code or stored results may show things that
        are not in the paper. A reconstruction follows from the paper's statements, but was derived
        anew.
    expected : str or float
        The result that the claim predicts.
    ours : str or float
        Our result.
    holds : bool
        True if the results agree, by the criterion that ``claim`` names.
    """

    claim: str
    source: Source
    expected: str | float
    ours: str | float
    holds: bool


def compared(
    claim: str,
    source: Source,
    ours: float,
    relation: Literal["below", "above"],
    limit: float,
    expected: str | float | None = None,
) -> Claim:
    """Return the row of a claim that a number is below, or above, a limit.

    Parameters
    ----------
    claim, source, ours
        The attributes of :class:`Claim`.
    relation : {"below", "above"}
    limit : float
    expected : str or float, optional
        The statement of the claim, where it is not the limit itself.
    """
    holds = bool(ours < limit if relation == "below" else ours > limit)
    stated = f"{relation} {limit:g}" if expected is None else expected
    return Claim(claim, source, stated, ours, holds)


def near(claim: str, source: Source, expected: float, ours: float, tolerance: float) -> Claim:
    """Return the row of a claim that a number is within a tolerance of the expected one."""
    return Claim(claim, source, expected, ours, bool(abs(ours - expected) <= tolerance))


def flatten(values: xr.DataArray, pattern: str) -> dict[str, Any]:
    """Return the entries of an array by names that hold their coordinates.

    Parameters
    ----------
    values : DataArray
        The array has a coordinate for each dimension.
    pattern : str
        The names, with the dimensions in braces; dimensions that come first vary most slowly.

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


def write_claims(claims: Iterable[Claim], path: Path) -> None:
    """Write the table as CSV, with one claim per row."""
    with (
        written_whole(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(Claim)])
        writer.writeheader()
        for claim in claims:
            row = asdict(claim)
            for name in ("expected", "ours"):
                if isinstance(row[name], float):
                    row[name] = f"{row[name]:.4g}"
            row["holds"] = "yes" if claim.holds else "no"
            writer.writerow(row)
