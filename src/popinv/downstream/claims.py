"""What a paper claims beside what is measured here.

Every method's test problem ends in a table with a row for each claim: what is claimed, where the
claim stands (the paper, or a reconstruction of what was not readable to us), the number to
compare with where there is one, and ours.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from popinv.whole_files import write_text, written_whole

__all__ = ["Claim", "flat", "write_claims", "write_metrics"]


@dataclass(frozen=True)
class Claim:
    """One row of the table.

    Attributes
    ----------
    claim : str
        In words.
    source : {"paper", "authors' code", "reconstruction", "this package"}
        Whose it is. What the authors' published code or stored results show need not be in the
        paper. A reconstruction follows from what the paper states, but was derived anew.
    expected : str or float
        What the claim says would be found.
    ours : str or float
        What was found.
    holds : bool
        Whether that agrees, by the criterion that ``claim`` names.
    """

    claim: str
    source: Literal["paper", "authors' code", "reconstruction", "this package"]
    expected: str | float
    ours: str | float
    holds: bool


def flat(metrics: dict[str, Any]) -> dict[str, float | int | str]:
    """Return metrics as plain numbers and texts, so that JSON can hold them.

    Raises
    ------
    ValueError
        For anything that is neither.
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
    """Write a flat ``metrics.json``, name to number or text."""
    write_text(path, json.dumps(flat(metrics), indent=2) + "\n")


def write_claims(claims: Iterable[Claim], path: Path) -> None:
    """Write the table as CSV, one claim a row."""
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
