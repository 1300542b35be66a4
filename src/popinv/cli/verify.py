"""What `popinv verify` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from popinv.cli.show import folders_of
from popinv.config.loading import load_file
from popinv.errors import DataError
from popinv.regular_files import read_text
from popinv.store.whole_files import write_text
from popinv.workflow.comparison import Results, seal, verify

# The file in the folder of results in which its seal is kept.
_SEAL = "records.sha256"

_STATES = ("whole", "damaged", "missing", "foreign", "unknown")


def verified(
    folders: Sequence[Path],
    configfile: Path | None = None,
    sealed: str | None = None,
    sealing: bool = False,
) -> tuple[str, bool]:
    """Return the verdicts on folders of results as text, and whether all is whole.

    Parameters
    ----------
    folders : sequence of Path
    sealed : str, optional
        The seal that the one folder must have.
    sealing : bool
        Whether to seal the folders that are whole.

    Raises
    ------
    ConfigError
        If the configuration does not pass the checks.
    DataError
        If there is no such folder, or no record in it, or if a seal is given for several folders.
    """
    if sealed is not None and len(folders) != 1:
        raise DataError("--sealed: a seal belongs to one folder; name it, such as results/mine")
    config = None if configfile is None else load_file(configfile)
    lines, whole = [], True
    for folder in (each for given in folders for each in folders_of(given)):
        given = folder if folder.is_dir() else Path("results", folder)
        if not given.is_dir():
            raise DataError(f"{folder}: there is no such folder of results")
        there = Results(given)
        found = verify(there, config)
        if not found:
            raise DataError(f"{given}: holds no record of a job, in folders 'made'")
        counts: Counter[str] = Counter(verdict.state for verdict in found)
        told = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
        lines.append(f"{given}: {told}")
        wrong = [verdict for verdict in found if verdict.state != "whole"]
        lines += [f"  {v.state:<8} {v.path}: {v.why}" for v in wrong]
        lines += [
            f"  note     made with several versions of {package}: {', '.join(versions)}"
            for package, versions in there.mixed_versions().items()
        ]
        of_seal, unbroken = _of_seal(given, sealed, sealing and not wrong)
        lines += of_seal
        whole = whole and not wrong and unbroken
    if not whole:
        lines.append("Run the study again: what is not whole is made again, with what follows.")
    return "\n".join(lines), whole


def _of_seal(folder: Path, sealed: str | None, sealing: bool) -> tuple[list[str], bool]:
    """Return the lines about the seal of a folder, and whether it is whole; seal it on request."""
    file = folder / _SEAL
    if not (sealing or sealed is not None or file.is_file()):
        return [], True
    now = seal(folder)
    if sealing:
        write_text(file, f"{now}\n")
    kept = read_text(file).strip() if file.is_file() else None
    broken = []
    if kept not in (None, now):
        broken.append(f"  broken   {file}: the records have changed since they were sealed")
    if sealed not in (None, now):
        broken.append(f"  broken   the seal of {folder} is {now}, not {sealed}")
    return broken or ([f"  sealed   {kept}"] if kept else []), not broken
