"""Checks that the files of the user's own simulator exist, and detection of their changes.

Both checks run each time the workflow is parsed, so nothing of the user's is imported or
run here.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import symtable
from collections.abc import Iterable
from importlib.util import decode_source
from pathlib import Path

from popinv.errors import ConfigError, nearest
from popinv.sections.sources import file_content, module_file, module_files

__all__ = ["check_function", "check_program", "module_files", "nearest_file", "simulator_hash"]


def simulator_hash(files: Iterable[Path], folder: str = ".") -> str:
    """Return a hash of the content of a simulator's files.

    Comments and layout of Python modules do not count.

    Parameters
    ----------
    files : iterable of Path
        From `popinv.forward.section.ForwardSection.source_files`.
    folder : str
        A folder that may be moved: the paths of its files count from there.
    """
    named = [
        (path.relative_to(folder) if path.is_relative_to(folder) else path, path) for path in files
    ]
    digest = hashlib.sha256()
    for name, path in sorted(named):
        digest.update(f"{name}\n".encode())
        digest.update(file_content(path))
    return digest.hexdigest()[:16]


def check_program(program: str) -> None:
    """Check that a program is there and can be run.

    Raises
    ------
    ConfigError
        With the key, what was given, and the nearest name there is.
    """
    if "/" not in program:
        if shutil.which(program) is None:
            hint = f" For a program in the working directory write './{program}'."
            raise ConfigError(
                f"command[0]: there is no program '{program}' on PATH."
                + (hint if Path(program).exists() else "")
            )
    elif not Path(program).is_file():
        raise ConfigError(f"command[0]: there is no file '{program}'.{nearest_file(program)}")
    elif not os.access(program, os.X_OK):
        raise ConfigError(
            f"command[0]: '{program}' is not executable; allow it with chmod +x, or name its "
            "interpreter first, as in [python, script.py, ...]"
        )


def check_function(target: str, folder: str) -> None:
    """Check that a module of the folder, or an installed one, defines a function.

    Raises
    ------
    ConfigError
        With the key, what was given, and the nearest name there is.
    """
    module, name = target.split(":")
    if not Path(folder).is_dir():
        raise ConfigError(f"path: there is no folder '{folder}'.{nearest_file(folder)}")
    file = module_file(module, folder)
    if file is None:
        there = [path.stem for path in Path(folder).glob("*.py")]
        raise ConfigError(
            f"function: there is no module '{module}' in the folder '{folder}', nor an installed "
            f"one.{nearest(module, there)}"
        )
    if file.suffix != ".py":
        return  # a compiled module: its names are known only after its import
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"function: {file} is not valid Python: {error}") from None
    names = _defined(file)
    # The names that a star imports are known only after the import.
    stars = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    if name not in names and not any(alias.name == "*" for n in stars for alias in n.names):
        raise ConfigError(
            f"function: {file} does not define '{name}' at its top level.{nearest(name, names)}"
        )


def _defined(file: Path) -> set[str]:
    """Return the names that a module binds at its top level."""
    table = symtable.symtable(decode_source(file.read_bytes()), str(file), "exec")
    return {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }


def nearest_file(path: str) -> str:
    """Return a hint at the file whose name is nearest, empty if none is near."""
    folder = Path(path).parent
    there = [str(file) for file in folder.iterdir()] if folder.is_dir() else []
    return nearest(str(Path(path)), there)
