"""Populational inverse problems: the law of the parameters and of the noise.

The package recovers the law of the parameters over a population and the law of the observation
noise together, from one noisy observation of each member. In a Python session, `fit` does so in one
call, and `load` opens a study that the workflow has finished. Import the subpackages by name.
Nothing is imported here before its use, so a job imports only the modules that it uses.
"""

from importlib import import_module
from typing import Any

__all__ = ["Result", "__version__", "design", "fit", "load"]

_MODULES = {
    "Result": "popinv.api.result",
    "design": "popinv.api.design",
    "fit": "popinv.api.fit",
    "load": "popinv.api.fit",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Reading it takes as long as half of NumPy, and most processes do not ask.
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("popinv")
        except PackageNotFoundError:  # run from a source tree that was never installed
            found = "0+unknown"
        return globals().setdefault(name, found)
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'popinv' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
