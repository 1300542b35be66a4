"""The priors that a study states, from the key ``prior`` of its law and of its noise.

The word `weak` asks for a density whose scale comes from the start of the search, which the study
states as a guess. A size or a length of the noise whose start is not stated has its scale from the
data instead, so that the answer does not depend on units: a size starts at the standard deviation
of all observations, and a length at 0.3 of the extent of their places.

- a mean: normal about the start, with ten times the larger one of the standard deviation at the
  start, of all levels together, and the size of the start;
- a positive number: half-Student-t with 4 degrees of freedom and 2.5 times the start as its scale
  (Gelman, Bayesian Analysis 1, 2006, on standard deviations in hierarchical models);
- degrees of freedom: lognormal about the start, with the deviation 1 of the logarithm;
- a correlation matrix: LKJ of shape 2; another correlation, or a share: beta with both exponents 2.

A coefficient of a covariate gets none, as the start does not state its scale.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from popinv.errors import ConfigError, nearest
from popinv.late import torch
from popinv.population.constraints import POSITIVE, REAL, Above, Constraint
from popinv.population.laws.base import Law
from popinv.population.noise.base import NoiseModel
from popinv.population.noise.kernel_section import LENGTH
from popinv.population.priors.prior import (
    CorrelationPriors,
    EntryPriors,
    LkjPrior,
    LogDensity,
    Prior,
    PriorPart,
    StatedPrior,
    beta,
    half_student,
    lognormal,
    normal,
)
from popinv.population.priors.section import (
    CORRELATIONS,
    WEAK,
    BetaPrior,
    HalfStudentPrior,
    LognormalPrior,
    NormalPrior,
    PriorDensity,
    densities,
)
from popinv.sections.messages import ConfigProblem, listed

if TYPE_CHECKING:
    from popinv.forward.base import Observations
    from popinv.forward.section import ForwardSection
    from popinv.population.laws.section import LawSection
    from popinv.population.noise.section import NoiseSection
    from popinv.population.noise.terms import Noise

# Scales of weak priors: of a mean, in standard deviations or in means at the start, whichever is
# larger; of a positive number, in starts.
_MEAN_SCALE, _SCALE, _FREEDOM, _EXPONENT = 10.0, 2.5, 4.0, 2.0
# The scale of a mean whose first design has no spread.
_NO_SPREAD = 1.0
_TOLERANCE = 1e-8
_MEAN, _DEVIATION = "mean", "standard_deviation"
_READ = {
    "normal": "normal",
    "lognormal": "lognormal",
    "half_normal": "half-normal",
    "half_student_t": "half-Student-t",
    "beta": "beta",
    "lkj": "LKJ",
}


@dataclass(frozen=True)
class ObservedScales:
    """Scales of what was observed.

    Attributes
    ----------
    size : float
        Standard deviation of all observations.
    extent : float
        Diagonal of the box around the places, or 0 if each system has places of its own.
    """

    size: float
    extent: float

    @classmethod
    def of(cls, y: np.ndarray, observations: Observations) -> ObservedScales:
        """Return the scales of observations y, in which a missing value is NaN."""
        places = np.asarray(observations.coordinates, dtype=float)
        extent = 0.0 if observations.own_sensors else np.linalg.norm(np.ptp(places, axis=0))
        return cls(float(np.nanstd(y)), float(extent))


@dataclass(frozen=True)
class Prioritised:
    """A law, or a model of the noise, whose parameters get priors.

    Attributes
    ----------
    part : {"law", "noise"}
    model : Law or Noise
    start : mapping of str to float
        Natural values at the start, by name.
    spread : mapping of str to float
        Standard deviations of the first design, by name.
    held : mapping of str to str
        Parameters that the study holds, with the key that does so.
    """

    part: str
    model: Law | Noise
    start: Mapping[str, float]
    spread: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_law(cls, section: LawSection, law: Law) -> Prioritised:
        """Return the law of a section."""
        spread = dict(zip(law.names, section.spreads(law.names), strict=True))
        start = section.values(section.start)
        return cls("law", law, start, spread, section.held_names())

    @classmethod
    def of_noise(
        cls, section: NoiseSection, noise: Noise, seen: ObservedScales | None = None
    ) -> Prioritised:
        """Return the noise of a section, with the scales of what was observed, if it was."""
        natural = noise.to_natural(noise.from_natural(section.start_values()))
        start = dict(zip(noise.names, natural.tolist(), strict=True))
        if seen is not None:
            for name in filter(section.starts_at_default, noise.names):
                if section.has_size(name):
                    start[name] = seen.size or start[name]
                elif name == "length":
                    start[name] = LENGTH * seen.extent or start[name]
        return cls("noise", noise, start)


def stated_prior(
    law: LawSection,
    noise: NoiseSection,
    law_model: Law,
    noise_model: Noise,
    seen: ObservedScales | None = None,
) -> StatedPrior:
    """Return the priors of a study's sections, for the models of law and noise.

    ``seen`` has the scales of the observations, once there are any.

    Raises
    ------
    ConfigError
        If a prior does not fit its parameter; the message names all that do not.
    """
    if law.prior is None and noise.prior is None:
        return StatedPrior()
    return _together(*_of_sections(law, noise, law_model, noise_model, seen))


def posterior_prior(
    law: LawSection,
    noise: NoiseSection,
    law_model: Law,
    noise_model: Noise,
    seen: ObservedScales | None = None,
) -> Prior:
    """Return the prior of a posterior of law and noise.

    It has the stated priors, and the weak ones of the positive parameters that have none. What
    remains is flat: means and coefficients, correlations, shares.

    Raises
    ------
    ConfigError
        If a prior does not fit its parameter, or the parameters are not known functions of p.
    """
    found = _of_sections(law, noise, law_model, noise_model, seen)
    for each in found:
        each.add_positive()
    return Prior.of(law_model, noise_model, _together(*found)).stated


def _of_sections(
    law: LawSection,
    noise: NoiseSection,
    law_model: Law,
    noise_model: Noise,
    seen: ObservedScales | None,
) -> list[_Stated]:
    of_noise = Prioritised.of_noise(noise, noise_model, seen)
    return [
        _stated(Prioritised.of_law(law, law_model), law.prior, 0),
        _stated(of_noise, noise.prior, len(law_model.names)),
    ]


def _together(*found: _Stated) -> StatedPrior:
    """Return the priors of all parts of the model, or raise ConfigError with their problems."""
    if problems := [problem for each in found for problem in each.problems]:
        told = "; ".join(f"{'.'.join(map(str, p.path))}: {p.text}" for p in problems)
        raise ConfigError(f"the priors do not fit the model: {told}")
    parts = tuple(part for each in found for part in each.parts())
    return StatedPrior(parts, tuple(word for each in found for word in each.words))


def prior_problems(
    forward: ForwardSection, law: LawSection | None, noise: NoiseSection | None
) -> Iterator[ConfigProblem]:
    """Yield priors that do not fit law and noise, with paths that begin at the study."""
    if law is not None and law.prior is not None:
        stated = _stated(Prioritised.of_law(law, law.law(forward)), law.prior, 0)
        yield from stated.problems
    if noise is not None and noise.prior is not None:
        # Places do not change the parameters, so that any seed serves.
        model = noise.model(forward.observed(0), noise.covariate_names())
        yield from _stated(Prioritised.of_noise(noise, model), noise.prior, 0).problems


@dataclass
class _Stated:
    """The priors of one part of the model, while they are gathered."""

    of: Prioritised
    first: int
    problems: list[ConfigProblem] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    entries: dict[int, LogDensity] = field(default_factory=dict)
    matrices: dict[int, float] = field(default_factory=dict)

    def parts(self) -> Iterator[PriorPart]:
        """Yield the densities of single entries, and of each correlation matrix."""
        model, inside = self.of.model, set()
        for k, matrix in enumerate(model.matrices):
            inside |= set(matrix.entries)
            places = np.array(matrix.entries) + self.first
            if k in self.matrices:
                yield LkjPrior(places, matrix, self.matrices[k])
            own = {j: self.entries[i] for j, i in enumerate(matrix.entries) if i in self.entries}
            if own:
                yield CorrelationPriors(places, matrix, own)
        single = [i for i in sorted(self.entries) if i not in inside]
        if single:
            yield EntryPriors(
                np.array(single) + self.first,
                tuple(model.constraints[i] for i in single),
                tuple(self.entries[i] for i in single),
            )

    def refuse(self, path: tuple[str, ...], text: str) -> None:
        """Note what is wrong."""
        self.problems.append(ConfigProblem((self.of.part, "prior", *path), text))

    def add(self, path: tuple[str, ...], key: str, density: PriorDensity | str) -> None:
        """Add a density to every parameter that a name or key stands for."""
        if density == WEAK:
            of_parameter = [f"{key}_{_MEAN}", f"{key}_{_DEVIATION}"]
            own = [name for name in self.of.model.names if name in of_parameter]
            for name in own or self.named(path, key):
                if self.has_weak(name):
                    self.add_weak(name)
                else:
                    self.refuse(
                        path,
                        f"'{name}' has no weak prior, as the start does not state its scale; state "
                        "one, such as 'normal: {mean: 0, standard_deviation: 1}'.",
                    )
            return
        assert isinstance(density, PriorDensity)
        if density.family == "lkj":
            self.add_lkj(path, key, density.settings)
            return
        for name in self.named(path, key):
            self.add_one(path, name, density)

    def add_all(self) -> None:
        """Add a weak prior to every parameter that has none yet."""
        for name in self.of.model.names:
            self.add_weak(name)

    def add_positive(self) -> None:
        """Add a weak prior to every positive parameter that has none yet."""
        if wrong := _other_map(self.of):
            self.refuse((), wrong)
            return
        for name, constraint in zip(self.of.model.names, self.of.model.constraints, strict=True):
            if constraint == POSITIVE or isinstance(constraint, Above):
                self.add_weak(name)

    def named(self, path: tuple[str, ...], key: str) -> list[str]:
        """Return the parameters that a name or key stands for; refuse other names."""
        names, held = self.of.model.names, self.of.held
        if key in names:
            return [key]
        correlations = self.of.model.correlations
        several = [
            name
            for name, inside in zip(names, correlations, strict=True)
            if (key == CORRELATIONS and inside) or re.fullmatch(rf"{re.escape(key)}(_\d+)+", name)
        ]
        if several:
            return several
        if key in held:
            self.refuse(path, f"{held[key]}, so that it has no prior; leave it out.")
        elif key == CORRELATIONS:
            self.refuse(path, f"the {self.of.part} has no correlations.")
        else:
            self.refuse(
                path,
                f"the {self.of.part} has no parameter '{key}'.{nearest(key, names)} It has "
                f"{listed(names)}.",
            )
        return []

    def has_weak(self, name: str) -> bool:
        """Return whether a parameter has a weak prior, which coefficients do not have."""
        i = self.of.model.names.index(name)
        return self.shaped(i) or self.weak(name, self.of.model.constraints[i]) is not None

    def shaped(self, i: int) -> bool:
        """Return whether the model itself gives a parameter its prior."""
        model = self.of.model
        return bool(model.of_shape[i]) or i in getattr(model, "sizes_of_discrepancy", ())

    def add_weak(self, name: str) -> None:
        """Add the weak prior of a parameter, if it has one and no other is stated."""
        model, i = self.of.model, self.of.model.names.index(name)
        for k, matrix in enumerate(model.matrices):
            if i in matrix.entries:
                if k not in self.matrices and not set(matrix.entries) & set(self.entries):
                    self.matrices[k] = _EXPONENT
                    self.words.append(self.of_matrix(k))
                return
        taken = self.shaped(i) or i in self.entries
        density = None if taken else self.weak(name, model.constraints[i])
        if density is not None:
            self.add_one((), name, density)

    def weak(self, name: str, constraint: Constraint) -> PriorDensity | None:
        """Return the weak prior of a parameter."""
        at = self.of.start[name]
        if constraint == REAL:
            if name != _MEAN and not name.endswith(f"_{_MEAN}"):
                return None
            # Where the search starts is a guess, and perhaps no better than its size. A law with
            # levels has several standard deviations of a parameter.
            own = name.removesuffix(_MEAN)
            deviations = (
                value
                for each, value in self.of.start.items()
                if each.startswith(own) and each.endswith(_DEVIATION)
            )
            spread = math.hypot(*deviations)
            scale = max(spread, abs(at), self.of.spread.get(name, 0.0)) or _NO_SPREAD
            settings = NormalPrior(mean=at, standard_deviation=_MEAN_SCALE * scale)
            return PriorDensity(normal=settings)
        if constraint == POSITIVE:
            half = HalfStudentPrior(degrees_of_freedom=_FREEDOM, scale=_SCALE * at)
            return PriorDensity(half_student_t=half)
        if isinstance(constraint, Above):
            return PriorDensity(lognormal=LognormalPrior(mean=math.log(at), standard_deviation=1.0))
        return PriorDensity(beta=BetaPrior(a=_EXPONENT, b=_EXPONENT))

    def add_lkj(self, path: tuple[str, ...], key: str, shape: float) -> None:
        """Add a prior of the correlation matrices."""
        matrices = self.of.model.matrices
        if key != CORRELATIONS:
            self.refuse(
                path,
                "lkj is a prior of a whole correlation matrix; state it as "
                f"'{CORRELATIONS}: {{lkj: {shape:g}}}', or take beta for one correlation.",
            )
        elif not matrices:
            hint = " ('law.correlations' states them)" if self.of.part == "law" else ""
            self.refuse(path, f"the {self.of.part} has no correlation matrix{hint}.")
        for k in range(len(matrices) if key == CORRELATIONS else 0):
            self.matrices[k] = shape
            self.words.append(self.of_matrix(k))
            if set(matrices[k].entries) & set(self.entries):
                self.refuse(path, "one of these correlations has a prior of its own; state one.")

    def of_matrix(self, k: int) -> str:
        """Return the prior of a matrix in words."""
        names = [self.of.model.names[i] for i in self.of.model.matrices[k].entries]
        told = f"{self.of.part} {listed(names).replace('_', ' ')}"
        return f"{told}: LKJ of shape {self.matrices[k]:g}"

    def add_one(self, path: tuple[str, ...], name: str, density: PriorDensity) -> None:
        """Add the prior of one parameter."""
        model, i = self.of.model, self.of.model.names.index(name)
        constraint = model.constraints[i]
        if isinstance(model, NoiseModel) and self.shaped(i):
            text = "the evidence of the observations determines the size of the discrepancy"
            self.refuse(path, f"{text}, which has a prior of its own; leave it out.")
        elif model.of_shape[i]:
            text = "it is a coefficient of the shape, to which the law gives a normal prior of its "
            self.refuse(path, f"{text}own ('law.roughness' scales it); leave it out.")
        elif i in self.entries or any(i in model.matrices[k].entries for k in self.matrices):
            self.refuse(path, f"'{name}' has another prior; state one.")
        elif wrong := _unfit(density.family, constraint):
            self.refuse(path, f"{wrong}, but '{name}' must {constraint.domain}.")
        else:
            self.entries[i] = _density(density, constraint.ends)
            told = f"{self.of.part} {name.replace('_', ' ')}"
            self.words.append(f"{told}: {_in_words(density)}")


def _stated(of: Prioritised, prior: Any, first: int) -> _Stated:
    """Return the priors of one part; their entries of p begin at ``first``."""
    stated = _Stated(of, first)
    if prior is None:
        return stated
    if wrong := _other_map(of):
        stated.refuse((), wrong)
        return stated
    if prior == WEAK:
        stated.add_all()
    # A weak prior gives way to another one, whatever their order.
    for path, key, density in sorted(densities(prior), key=lambda each: each[2] == WEAK):
        stated.add(path, key, density)
    return stated


def _other_map(of: Prioritised) -> str:
    """Return why the natural values of a user's own model are not known as functions of p."""
    model = of.model
    p = model.from_natural([of.start[name] for name in model.names])
    natural = model.to_natural(p)
    expected = np.array(
        [float(t.bounded(np.array([u]))[0]) for t, u in zip(model.constraints, p, strict=True)]
    )
    for matrix in model.matrices:
        rows = list(matrix.entries)
        expected[rows] = matrix.correlations(torch.from_numpy(p[rows])).numpy()
    if np.allclose(natural, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        return ""
    return (
        f"the {of.part} has a 'to_natural' of its own, which priors do not know; state "
        "'constraints' of its parameters, without 'to_natural'."
    )


def _unfit(family: str, constraint: Constraint) -> str:
    """Return why a family is no density of a parameter, or nothing."""
    low, high = constraint.ends
    if family == "beta" and not math.isfinite(high - low):
        return "beta is a prior of a correlation or a share"
    positive = low >= 0 and math.isinf(high)
    if family in ("lognormal", "half_normal", "half_student_t") and not positive:
        return f"{family} is a prior of a positive parameter"
    return ""


def _density(density: PriorDensity, ends: tuple[float, float]) -> LogDensity:
    """Return the log density of a parameter on the interval of its values."""
    family, settings = density.family, density.settings
    if family == "normal":
        return normal(settings.mean, settings.standard_deviation, ends)
    if family == "lognormal":
        return lognormal(settings.mean, settings.standard_deviation, ends)
    if family == "half_normal":
        return normal(0.0, settings, ends)
    if family == "half_student_t":
        return half_student(settings.degrees_of_freedom, settings.scale, ends)
    return beta(settings.a, settings.b, ends)


def _in_words(density: PriorDensity) -> str:
    family, settings = density.family, density.settings
    if isinstance(settings, float):
        return f"{_READ[family]} of scale {settings:g}"
    numbers = ", ".join(
        f"{key.replace('_', ' ')} {value:.4g}" for key, value in dict(settings).items()
    )
    return f"{_READ[family]} ({numbers})"
