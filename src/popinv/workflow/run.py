"""A run of a study: what its stages take, by the names of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from popinv.population.model import Model
from popinv.workflow.places import at_places_of

# The sections of a model.
_OF_MODEL = ("forward", "law", "noise")


class StudyRun:
    """The sections of a study, its artefacts so far, its seed and its device.

    A stage is a function whose parameters name what it takes: ``model``, ``seed``, ``device``, an
    artefact, a section of the study, or an option. A section that has the name of an artefact is
    called ``NAME_section``.

    Parameters
    ----------
    study : mapping
        Sections by name.
    artefacts : mapping of str to Dataset
        What other stages have made. A list of Datasets where there are several of a name.
    seed : int
        The study's seed.
    device : {"cpu", "auto", "cuda"}
        Where surrogates are trained and evaluated.
    """

    def __init__(
        self,
        study: Mapping[str, Any],
        artefacts: Mapping[str, Any],
        seed: int,
        device: str = "cpu",
    ) -> None:
        self.study, self.artefacts, self.seed, self.device = study, artefacts, seed, device

    def call(self, stage: Callable[..., Any], **options: Any) -> Any:
        """Return what a stage returns. Of the options it takes those that it names.

        A stage with ``**artefacts`` is given all artefacts that it does not name.
        """
        artefacts = dict(self.artefacts)
        if "surrogate" in artefacts and "forward" in self.study:
            artefacts["surrogate"] = at_places_of(artefacts["surrogate"], self.study["forward"])
        given = {
            "seed": self.seed,
            "device": self.device,
            **{f"{name}_section": section for name, section in self.study.items()},
            **self.study,
            **artefacts,
            **options,
        }
        if all(name in self.study for name in _OF_MODEL):
            given["model"] = Model.of(self.study)
        taken: dict[str, Any] = {}
        for name, parameter in inspect.signature(stage).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                taken = {**artefacts, **taken}
            elif name in given:
                taken[name] = given[name]
        return stage(**taken)


def function_of(name: str) -> Callable[..., Any]:
    """Return the function ``module.function``."""
    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
