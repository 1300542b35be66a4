"""The model of a study: forward model, law of the parameters, and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection
    from popinv.population.noise.section import NoiseSection


def covariate_names(law: LawSection, *noises: NoiseSection | None) -> tuple[str, ...]:
    """Return the covariates of each system: the law's, then the covariates of the noises alone."""
    names = [*law.covariate_names()]
    for noise in noises:
        names += noise.covariate_names() if noise is not None else ()
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Model:
    """The sections that state a study's model."""

    forward: ForwardSection
    law: LawSection
    noise: NoiseSection

    @classmethod
    def of(cls, sections: Mapping[str, Any]) -> Model:
        """Return the model of a study's sections by name; others among them are left out."""
        return cls(*(sections[name] for name in ("forward", "law", "noise")))
