"""A first study of a forward model, from the file ``example.yaml`` in the folder of its kind.

The file holds two documents. The first is a study's forward model, law and noise; the second is
the truth from which observations are drawn until there are real ones. ``$name``, ``$folder``,
``$entries``, ``$observed``, ``$noise`` and ``$size`` stand for the name of the study, its folder as
YAML has it, the number of entries of an observation, the key ``observations`` of an own simulator,
the standard deviation of the noise where its search starts, and the logarithm of the size of the
observations.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from popinv.forward.registry import PACKAGES

_FILE = "example.yaml"


@dataclass(frozen=True)
class Example:
    """The text of a first study: its model with names to be replaced, and a truth."""

    study: str
    truth: str


def example_kinds() -> tuple[str, ...]:
    """Return the kinds of forward models that have an example."""
    return tuple(kind for kind in PACKAGES if _file(kind).is_file())


def _file(kind: str) -> Traversable:
    return files(PACKAGES[kind]) / _FILE


def example(kind: str) -> Example:
    """Return the example of a kind of forward model."""
    study, _, truth = _file(kind).read_text(encoding="utf-8").partition("---\n")
    lines = [line for line in truth.splitlines() if not line.startswith("#")]
    return Example(study, "".join(f"{line}\n" for line in lines))
