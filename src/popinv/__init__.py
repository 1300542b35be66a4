"""Populational inverse problems: the law of the parameters and of the noise.

The package recovers the law of the parameters over a population and the law of the observation
noise together, from one noisy observation of each member. In a Python session, `fit` does so in one
call, and `load` opens a study that the workflow has finished. Import the subpackages by name.
Nothing is imported here before its use, so a job imports only the modules that it uses.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("popinv")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["Result", "__version__", "design", "fit", "load"]

_MODULES = {
    "Result": "popinv.api.result",
    "design": "popinv.api.design",
    "fit": "popinv.api.fit",
    "load": "popinv.api.fit",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'popinv' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
