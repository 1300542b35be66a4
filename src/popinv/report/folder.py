"""The report's folder holds the charts' library, and pages that were written before.

The workflow imports this module whenever it is parsed, so the module imports nothing heavy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import cache
from importlib import metadata
from pathlib import Path

ASSETS = "assets"
"""Folder of the charts' library, within the report's folder."""


def library_name() -> str:
    """Return the name of the file with the charts' library, which contains the version."""
    return f"plotly-{metadata.version('plotly')}.min.js"


def library() -> str:
    """Return the charts' library."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def found_studies(results: str | Path) -> list[str]:
    """Return the names of all studies that have numbers or a page in a folder of results."""
    results = Path(results)
    numbers = {file.parent.name for file in results.glob("*/metrics.json")}
    return sorted(numbers | {page.stem for page in results.glob("report/studies/*.html")})


def found_comparisons(results: str | Path) -> list[str]:
    """Return the names of all comparisons of models that have results and a page."""
    pages = {page.stem for page in Path(results).glob("report/comparisons/*.html")}
    files = Path(results).glob("comparisons/*/comparison.json")
    return sorted(pages & {file.parent.name for file in files})


def is_alone(
    studies: Collection[str], comparisons: Collection[str], methods: Collection[str] = ()
) -> bool:
    """Return whether a report has one study and nothing else, so that it begins with its page.

    Parameters
    ----------
    methods : collection of str
        Methods with pages to which no study leads.
    """
    return len(studies) == 1 and not comparisons and not methods


@cache
def templates_hash() -> str:
    """Return a hash of the pages' templates, as Snakemake does not see a package's templates."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parent / "templates").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
