"""How the programs of this environment are called from this folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from popinv.location import snakefile


def program(name: str) -> str:
    """Return how to call a program of this environment: by its name if that is on the path."""
    here = Path(sys.executable).parent / name
    on_path = shutil.which(name)
    if not here.exists() or (on_path and Path(on_path) == here):
        return name
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def snakefile_option() -> list[str]:
    """Return the option of Snakemake that names the workflow, empty in its own folder."""
    workflow = snakefile()
    return [] if Path("Snakefile").resolve() == workflow else ["--snakefile", str(workflow)]
