"""The command `popinv` as it is typed, and the study that it writes."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from popinv.cli.commands import popinv
from popinv.config.loading import load_file
from popinv.config.study import Study


def ran(*arguments: str, code: int = 0, typed: str | None = None) -> str:
    """Return what the command prints; it must end with the exit code."""
    done = CliRunner().invoke(popinv, arguments, input=typed)
    assert done.exit_code == code, done.output
    return done.output


def new_study(*options: str, file: str = "y.csv", code: int = 0) -> str:
    """Return what is told of a file of observations when it becomes the study `mine`."""
    return ran("new-study", "mine", "--observations", file, *options, code=code)


def written_study() -> Study:
    """Return the study `mine`."""
    return load_file(Path("mine.yaml")).studies["mine"]
