"""The command ``popinv design``: where to observe how many systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from popinv.api.design import design, new_folder
from popinv.api.design_sources import numbers
from popinv.cli.programs import program
from popinv.config.loading import load_file
from popinv.errors import ConfigError


def told_design(
    source: Path,
    to: Path | None,
    *,
    candidates: str | None,
    choose: Sequence[str],
    sizes: Mapping[str, str | None],
    costs: tuple[float, float] | None,
    **settings: Any,
) -> str:
    """Search a design, write it into a folder, and return what to print.

    Parameters
    ----------
    source : path
        A configuration, or the folder of a finished study.
    to : path, optional
        By default ``designs/next`` in the folder of a finished study, and ``designs/first`` in the
        folder that a study will have.
    candidates : str, optional
        ``1,2,5`` or ``FIRST:LAST:STEP``.
    choose : sequence of str
        ``NAME=1,2,4`` each.
    sizes : mapping of str to str
        ``sensors``, ``systems`` and ``replicates``: numbers such as ``5,10`` or ``2:10:2``.
    costs : (float, float), optional
        Of a system, and of an observation.

    Raises
    ------
    PopinvError
        As :func:`popinv.design`.
    """
    if to is not None:
        new_folder(to)
    given: dict[str, Any] = {n: _whole(n, text) for n, text in sizes.items() if text is not None}
    if costs is not None:
        given |= {"cost_of_system": costs[0], "cost_of_observation": costs[1]}
    found = design(
        source,
        candidates=None if candidates is None else numbers(candidates),
        choices=_choices(choose),
        **given,
        **settings,
    )
    folder = to or _folder(source, found.name)
    files = found.save(folder)
    study = next((path for path in files if path.suffix == ".yaml"), None)
    written = f"{folder}: {', '.join(path.name for path in files)}"
    if study is not None:
        written += f"\n\nRehearse it with simulated systems:\n  {program('popinv')} run {study}"
    return f"{found.told()}\n\n{written}"


def _folder(source: Path, name: str) -> Path:
    if source.is_dir():
        return source / "designs" / "next"
    return Path(load_file(source).results, name, "designs", "first")


def _whole(name: str, text: str) -> list[int]:
    found = numbers(text)
    if any(each != int(each) for each in found):
        raise ConfigError(f"--{name}: got {text}, but whole numbers are needed")
    return [int(each) for each in found]


def _choices(given: Sequence[str]) -> dict[str, list[float]] | None:
    found = {}
    for each in given:
        name, equals, values = each.partition("=")
        if not equals:
            raise click.BadParameter(f"got '{each}', but it is NAME=1,2,4", param_hint="--choose")
        found[name.strip()] = numbers(values)
    return found or None
