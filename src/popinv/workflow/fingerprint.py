"""Fingerprints of the code on which a stage of the workflow depends.

Snakemake does not see the modules that a script imports. Each rule therefore carries, as a
parameter, a hash of its script and of the package modules that this imports, directly or through
other modules. The imports are read from the source, so that nothing heavy is imported to learn
them.

Only imports at the top of a module count. The imports of a function depend on the configuration
(forward model, noise): :mod:`popinv.workflow.selection` lists the modules that a study selects, and
the rule names them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from popinv.workflow.parsed_code import code_and_imports, remember

_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT.name
# Modules that write messages, and that search for kinds and methods. No result depends on them.
_WORDING = tuple(
    f"{_PACKAGE}.{name}"
    for name in (
        "methods.registry",
        "methods.sections",
        "sections.messages",
        "sections.outside",
        "sections.sources",
    )
)


@cache
def _root_of(package: str) -> Path | None:
    """Return the folder of this package, or of one that holds methods; None for any other."""
    if package == _PACKAGE:
        return _ROOT
    from popinv.methods.registry import PACKAGES  # it loads the records of all methods

    if package not in PACKAGES:
        return None
    found = find_spec(package)
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None


@cache
def _source_of(module: str) -> Path | None:
    parts = module.split(".")
    root = _root_of(parts[0])
    if root is None:
        return None
    path = root.joinpath(*parts[1:])
    if path.is_dir():
        return path / "__init__.py"
    file = path.with_suffix(".py")
    return file if file.is_file() else None


def _packages_of(module: str) -> list[str]:
    """Return the packages around a module, whose ``__init__`` Python runs before it."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def imported_modules(*roots: str) -> dict[str, Path]:
    """Return the modules that Python runs when it imports the roots, themselves included.

    Parameters
    ----------
    *roots : str
        Module names (``"popinv.forward.porous_flow.model"``), or paths of scripts and of the
        user's own modules.

    Returns
    -------
    dict
        Module name to source file, sorted by name.

    Raises
    ------
    ValueError
        If a root is neither a module of the package nor a file.
    """
    modules: dict[str, Path] = {}
    pending: list[str] = []
    for root in roots:
        if Path(root).is_file():
            pending.extend(code_and_imports(Path(root).resolve()).imports)
        elif _source_of(root) is None:
            raise ValueError(
                f"'{root}' is neither a module of {_PACKAGE} or of its methods nor a script"
            )
        else:
            pending.append(root)
    while pending:
        name = pending.pop()
        path = _source_of(name)
        if path is None or name in modules or name in _WORDING:
            continue
        modules[name] = path
        pending.extend(_packages_of(name))
        pending.extend(code_and_imports(path).imports)
    return dict(sorted(modules.items()))


@cache
def fingerprint(*roots: str) -> str:
    """Return a hash of the code of the roots and of every module that they import.

    Comments, layout and words (docstrings, descriptions of keys, generators of problems) do not
    count, as they cannot change a result. A hash is computed once in a process, for any number of
    jobs.

    Parameters
    ----------
    *roots : str
        As in :func:`imported_modules`.
    """
    # A script is identified by its name, wherever the workflow lies. A user's file is identified by
    # its path relative to the configuration.
    paths = [Path(root) for root in roots if Path(root).is_file()]
    files = {path.name if path.is_absolute() else str(path): path.resolve() for path in paths}
    digest = hashlib.sha256()
    for name, path in {**files, **imported_modules(*roots)}.items():
        digest.update(name.encode())
        digest.update(code_and_imports(path).code.encode())
    remember()
    return digest.hexdigest()[:16]
