"""What `popinv verify` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from popinv.config.loading import load_file
from popinv.errors import DataError
from popinv.workflow.verification import verify

__all__ = ["verified"]

_STATES = ("whole", "damaged", "missing", "foreign", "unknown")


def verified(folders: Sequence[Path], configfile: Path | None = None) -> tuple[str, bool]:
    """Return the verdicts on folders of results as text, and whether all is whole.

    Raises
    ------
    ConfigError
        If the configuration does not pass the checks.
    DataError
        If there is no such folder, or no record in it.
    """
    config = None if configfile is None else load_file(configfile)
    lines, whole = [], True
    for folder in folders:
        given = folder if folder.is_dir() else Path("results", folder)
        if not given.is_dir():
            raise DataError(f"{folder}: there is no such folder of results")
        found = verify(given, config)
        if not found:
            raise DataError(f"{given}: holds no record of a job, in folders 'made'")
        counts: Counter[str] = Counter(verdict.state for verdict in found)
        told = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
        lines.append(f"{given}: {told}")
        wrong = [verdict for verdict in found if verdict.state != "whole"]
        lines += [f"  {v.state:<8} {v.path}: {v.why}" for v in wrong]
        whole = whole and not wrong
    if not whole:
        lines.append("Run the study again: what is not whole is made again, with what follows.")
    return "\n".join(lines), whole
