"""Where the workflow is: at the top of a checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

import popinv

_PACKAGE = Path(popinv.__file__).resolve().parent


def project_folder() -> Path:
    """Return the folder of the Snakefile, beside which are ``workflow`` and ``config``."""
    checkout, installed = _PACKAGE.parents[1], _PACKAGE / "project"
    return installed if (installed / "Snakefile").is_file() else checkout


def default_configuration() -> str:
    """Return the configuration that runs if none is named: the folder's own, or popinv's."""
    own = Path("config", "config.yaml")
    return str(own if own.is_file() else project_folder() / own)


def snakefile() -> Path:
    """Return the Snakefile.

    Examples
    --------
    It is used as a module of another workflow by its path:

    >>> snakefile().name
    'Snakefile'
    """
    return project_folder() / "Snakefile"
