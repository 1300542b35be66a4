"""Hash of the pages' templates, as Snakemake does not see the templates of a package."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["templates_hash"]


@cache
def templates_hash() -> str:
    """Return a hash of all templates, style sheets and scripts of the pages."""
    digest = hashlib.sha256()
    for file in sorted((Path(__file__).parent / "templates").iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
