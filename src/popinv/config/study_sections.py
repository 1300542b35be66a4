"""The sections of a study for the checks between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from popinv.config.evidence import Evidence
from popinv.config.numerics import ActiveLearning, Assessment
from popinv.config.observations import FileObservations, Observations, SyntheticObservations
from popinv.config.study import default_section
from popinv.forward.kinds import Forward
from popinv.forward.section import ForwardSection
from popinv.inference.estimators.settings import DescentSettings, Estimator, PolishSettings
from popinv.methods.sections import StudyDownstream
from popinv.population.kinds import Law, Noise
from popinv.population.laws.section import LawSection
from popinv.population.noise.section import NoiseSection
from popinv.surrogate.section import SurrogateSettings

# The forward model comes first: the default law and noise depend on it.
_SECTIONS: dict[str, Any] = {
    "forward": Forward,
    "law": Law,
    "noise": Noise,
    "observations": Observations,
    "active_learning": ActiveLearning,
    "surrogate": SurrogateSettings,
    "descent": DescentSettings,
    "estimator": Estimator,
    "polish": PolishSettings,
    "assessment": Assessment,
    "evidence": Evidence,
    "downstream": StudyDownstream,
}


@cache
def _adapter(section: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SECTIONS[section])


@dataclass
class Sections:
    """The sections of a study; None for one that is at fault."""

    forward: ForwardSection | None = None
    law: LawSection | None = None
    noise: NoiseSection | None = None
    observations: SyntheticObservations | FileObservations | None = None
    active_learning: ActiveLearning | None = None
    surrogate: SurrogateSettings | None = None
    descent: DescentSettings | None = None
    estimator: Estimator | None = None
    polish: PolishSettings | None = None
    assessment: Assessment | None = None
    evidence: Evidence | None = None
    downstream: StudyDownstream | None = None

    @classmethod
    def of_study(cls, study: Mapping[str, Any]) -> Sections:
        """Return the sections as they stand in the file, completed by their defaults."""
        sections: dict[str, Any] = {}
        for name in _SECTIONS:
            try:
                if name in study:
                    sections[name] = _adapter(name).validate_python(study[name])
                else:
                    sections[name] = default_section(name, sections)
            except ValidationError:
                sections[name] = None
        return cls(**sections)

    @property
    def noises(self) -> list[NoiseSection]:
        """The fitted noise, and the noise of a synthetic truth if it is another one."""
        noises = [self.noise]
        if isinstance(self.observations, SyntheticObservations):
            noises.append(self.observations.truth.noise_model)
        return [noise for noise in noises if noise]
