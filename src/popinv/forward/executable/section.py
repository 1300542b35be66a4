"""The section of the user's own program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from popinv.errors import nearest
from popinv.forward.external.files import check_program
from popinv.forward.external.section import LocalSimulator
from popinv.sections.messages import ConfigProblem, listed, shown
from popinv.sections.secrets import plain_secrets

_FILES = ("input", "output")
_PLACEHOLDERS = (*_FILES, "python")


def _words(command: list[str]) -> list[str]:
    if not command[0] or any("\0" in word for word in command):
        raise PydanticCustomError(
            "command", "the first word is the program, and no word holds a null character"
        )
    return command


class Executable(LocalSimulator):
    """Your own program, which reads a file of parameters and writes a file of observations."""

    kind: Literal["executable"] = Field(description="A program.")
    command: Annotated[list[str], Field(min_length=1), AfterValidator(_words)] = Field(
        description=(
            "The program and its arguments, such as `[./simulator, '{input}', '{output}']`.\n\n"
            "`{input}` and `{output}` become the paths of the two files, and `{python}` the Python "
            "that runs popinv. No shell reads the command. The program has the environment of "
            "popinv and reads passwords from there."
        )
    )
    format: Literal["csv", "npy"] = Field(
        default="csv",
        description=(
            "Format of both files: `csv`, or `npy` for tables of float64 in NumPy's format.\n\n"
            "With `csv`, the input has a first line with the parameters' names, then one line for "
            "each system. The output has one line for each system, with or without a first line of "
            "names."
        ),
    )
    pass_seed: bool = Field(
        default=False,
        strict=True,
        description=(
            "`true` gives the input a last column `seed`, with a whole number for each system, for "
            "programs that draw random numbers."
        ),
    )

    def takes_seeds(self) -> bool:
        """Return ``pass_seed``."""
        return self.pass_seed

    def problems(self) -> Iterator[ConfigProblem]:
        """Yield secrets, placeholders that are missing or unknown, and a second column `seed`."""
        yield from super().problems()
        for place in plain_secrets({"command": self.command}):
            yield ConfigProblem(
                place,
                "holds a password or a token in plain text, which would be stored with the "
                "results. Let the program read it from the environment: it has popinv's.",
            )
        names = [name for part in self.command for name in re.findall(r"\{(\w+)\}", part)]
        for name in names:
            if name not in _PLACEHOLDERS:
                yield ConfigProblem(
                    ("command",),
                    f"holds {{{name}}}, but only {{input}}, {{output}} and {{python}} are replaced."
                    + nearest(name, _PLACEHOLDERS),
                )
        missing = [f"{{{name}}}" for name in _FILES if name not in names]
        if missing:
            yield ConfigProblem(
                ("command",),
                f"got {shown(self.command)}, but it must hold {{input}} and {{output}}; missing: "
                f"{listed(missing)}.",
            )
        if self.pass_seed and "seed" in {each.name for each in self.inputs()}:
            yield ConfigProblem(("pass_seed",), "a parameter is called 'seed' already; rename it.")

    def called(self) -> str:
        """Return the command without the names of its files."""
        return f"`{' '.join(word for word in self.command if not word.startswith('{'))}`"

    def code_files(self) -> set[Path]:
        """Return the program, if it is given as a path, and its arguments that are files.

        A program that is found on PATH belongs to the system.
        """
        program, *arguments = self.command
        files = {Path(part) for part in arguments if Path(part).is_file()}
        return files | ({Path(program)} if "/" in program else set())

    def check_files(self) -> None:
        """Check that the program is there and can be run."""
        super().check_files()
        if self.command[0] != "{python}":
            check_program(self.command[0])
