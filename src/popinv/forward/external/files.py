"""The files of a simulator of one's own: whether they are there, and whether they have changed.

Both questions are asked each time the workflow is parsed, so nothing of the user's is imported or
run here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import shutil
import symtable
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import decode_source, find_spec
from pathlib import Path
from typing import Any

from popinv.errors import ConfigError, nearest

__all__ = ["check_simulator", "simulator_files", "simulator_hash"]

Section = Mapping[str, Any]


def check_simulator(forward: Section) -> None:
    """Check that the files of a simulator exist and hold what the configuration names.

    Raises
    ------
    ConfigError
        With the key, what was given, and the nearest name there is.
    """
    for i, file in enumerate(forward.get("files", ())):
        if not Path(file).is_file():
            raise ConfigError(f"files[{i}]: there is no file '{file}'.{_nearest_file(file)}")
    if forward["kind"] == "python":
        _check_function(forward["function"], forward["path"])
    elif forward["kind"] == "executable":
        _check_program(forward["command"][0])


def simulator_files(forward: Section) -> tuple[Path, ...]:
    """Return the files whose change must repeat the solves, sorted.

    For ``python`` the module, what it imports from the folder ``path``, and ``files``. For
    ``executable`` the program, if it is given as a path, those of its arguments that are files,
    and ``files``; a program found on PATH belongs to the system. A server's are out of reach.
    """
    found = {Path(file) for file in forward.get("files", ())}
    if forward["kind"] == "python":
        found |= _modules(forward["function"].split(":")[0], forward["path"])
    elif forward["kind"] == "executable":
        program, *arguments = forward["command"]
        found |= {Path(part) for part in arguments if Path(part).is_file()}
        found |= {Path(program)} if "/" in program else set()
    return tuple(sorted(found))


def simulator_hash(forward: Section) -> str:
    """Return a hash of the content of a simulator's files.

    Comments and layout of Python modules do not count.
    """
    digest = hashlib.sha256()
    for path in simulator_files(forward):
        digest.update(f"{path}\n".encode())
        status = path.stat() if path.is_file() else None
        digest.update(_content(path, status and (status.st_mtime_ns, status.st_size)))
    return digest.hexdigest()[:16]


@cache
def _content(path: Path, state: tuple[int, int] | None) -> bytes:
    """Return what counts of a file; its state tells the cache when to look again."""
    content = path.read_bytes() if state else b""
    if path.suffix == ".py":
        try:
            return ast.dump(ast.parse(content)).encode()
        except SyntaxError:
            return content
    return hashlib.sha256(content).digest()


def _check_program(program: str) -> None:
    if "/" not in program:
        if shutil.which(program) is None:
            hint = f" For a program in the working directory write './{program}'."
            raise ConfigError(
                f"command[0]: there is no program '{program}' on PATH."
                + (hint if Path(program).exists() else "")
            )
    elif not Path(program).is_file():
        raise ConfigError(f"command[0]: there is no file '{program}'.{_nearest_file(program)}")
    elif not os.access(program, os.X_OK):
        raise ConfigError(
            f"command[0]: '{program}' is not executable; allow it with chmod +x, or name its "
            "interpreter first, as in [python, script.py, ...]"
        )


def _check_function(target: str, folder: str) -> None:
    module, name = target.split(":")
    if not Path(folder).is_dir():
        raise ConfigError(f"path: there is no folder '{folder}'.{_nearest_file(folder)}")
    file = _module_file(module, folder)
    if file is None:
        there = [path.stem for path in Path(folder).glob("*.py")]
        raise ConfigError(
            f"function: there is no module '{module}' in the folder '{folder}', nor an installed "
            f"one.{nearest(module, there)}"
        )
    if file.suffix != ".py":
        return  # compiled: its names are known only once it is imported
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"function: {file} is not valid Python: {error}") from None
    names = _defined(file)
    # What a star brings in is not known before it is imported.
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


def _module_file(module: str, folder: str) -> Path | None:
    """Return the file of a module, looked for without importing anything."""
    importlib.invalidate_caches()
    first, *others = module.split(".")
    # Absolute, so that what is found can be told from what is installed.
    spec = PathFinder.find_spec(first, [os.path.abspath(folder)])
    if spec is None:
        try:
            spec = find_spec(first)  # imports nothing where there is no dot
        except ValueError:
            return None
    name = first
    for part in others:
        if spec is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations or ()))
    return Path(spec.origin) if spec is not None and spec.origin else None


def _modules(module: str, folder: str) -> set[Path]:
    """Return the file of a module and, of those it imports, the ones inside the folder."""
    root = Path(os.path.abspath(folder))
    found: set[Path] = set()
    pending = [module]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        file = _module_file(name, folder)
        if file is None or (name != module and not file.is_relative_to(root)):
            continue
        # Relative to the working directory, so that a moved project keeps its hash.
        found.add(Path(os.path.relpath(file)))
        if file.suffix == ".py":
            pending += _imports(file, name)
            if "." in name:
                pending.append(name.rpartition(".")[0])
    return found


def _imports(file: Path, module: str) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(base if node.level else ()), *([node.module] if node.module else ())]
            source = ".".join(part for part in parts if part)
            yield source
            # An imported name may itself be a module.
            yield from (f"{source}.{alias.name}" for alias in node.names if alias.name != "*")


def _nearest_file(path: str) -> str:
    folder = Path(path).parent
    there = [str(file) for file in folder.iterdir()] if folder.is_dir() else []
    return nearest(str(Path(path)), there)
