"""What one section of a study demands of another.

Each check takes validated sections and yields problems whose paths begin at the study. A section
that is itself at fault is None, and the checks that need it are left out: the message still holds
everything that can be said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from popinv.config.downstream import StudyDownstream
from popinv.config.evidence import Evidence, evidence_problems
from popinv.config.forward import Forward, ForwardSection
from popinv.config.forward.external import ExternalSection
from popinv.config.forward.porous_flow import PorousFlow
from popinv.config.law import Law, MaternFieldLaw, MeanAndStandardDeviation
from popinv.config.messages import Problem, explain, listed, shown
from popinv.config.method_checks import method_problems
from popinv.config.noise import KernelNoise, Noise
from popinv.config.numerics import ActiveLearning, Assessment, Descent, Surrogate
from popinv.config.observations import FileObservations, Observations, SyntheticObservations
from popinv.config.study import default_section
from popinv.errors import nearest

__all__ = ["study_problems"]

# A forward model's section comes first: the default law and noise depend on it.
_SECTIONS: dict[str, Any] = {
    "forward": Forward,
    "law": Law,
    "noise": Noise,
    "observations": Observations,
    "active_learning": ActiveLearning,
    "surrogate": Surrogate,
    "descent": Descent,
    "assessment": Assessment,
    "evidence": Evidence,
    "downstream": StudyDownstream,
}

_FIELD_LAWS = ("matern_field", "level_set_field")


@cache
def _adapter(section: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SECTIONS[section])


def study_problems(study: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between the sections of a study.

    Parameters
    ----------
    study : mapping
        The study as it stands in the file. What is wrong within a section is not repeated.
    """
    sections: dict[str, Any] = {}
    for name in _SECTIONS:
        try:
            if name in study:
                sections[name] = _adapter(name).validate_python(study[name])
            else:
                sections[name] = default_section(name, sections)
        except ValidationError:
            sections[name] = None
    forward, law, noise = sections["forward"], sections["law"], sections["noise"]
    observations, descent = sections["observations"], sections["descent"]
    if forward:
        for problem in forward.problems():
            yield problem.under("forward")
    if law:
        yield from _law(forward, law)
    elif forward and isinstance(study.get("law"), Mapping):
        # Then the names in its start are a consequence.
        yield from _law_kind(forward, study["law"].get("kind"))
    if forward and noise:
        yield from _noise(forward, noise)
    if isinstance(observations, SyntheticObservations):
        yield from _truth(forward, law, noise, observations)
        if descent and (descent.batch_size or 0) > observations.count:
            yield Problem(
                ("descent", "batch_size"),
                f"got {descent.batch_size}, but there are {observations.count} observations "
                "(observations.count); null uses all of them.",
            )
    if isinstance(observations, FileObservations) and forward:
        yield from _file_sensors(forward)
    if descent:
        yield from _descent(descent)
    if descent and noise:
        yield from _full_noise(descent, noise)
    if forward and sections["surrogate"]:
        yield from _surrogate(forward, sections["surrogate"])
    if sections["evidence"]:
        yield from evidence_problems(sections["evidence"], observations)
    if sections["assessment"]:
        yield from _baselines(sections["assessment"], law, descent)
    if sections["downstream"]:
        for problem in method_problems(sections["downstream"], sections):
            yield problem.under("downstream")
    if sections["assessment"] and sections["assessment"].bootstrap == 1:
        yield Problem(
            ("assessment", "bootstrap"),
            "got 1, but it must be 0 (no intervals) or at least 2: one resample has no spread.",
        )
    if sections["assessment"] and sections["assessment"].repeats == 1:
        yield Problem(
            ("assessment", "repeats"),
            "got 1, but it must be 0 (no sampling error) or at least 2: one solve has no spread.",
        )


def _law(forward: ForwardSection | None, law: Any) -> Iterator[Problem]:
    wrong = list(_law_kind(forward, law.kind)) if forward else []
    yield from wrong
    if not wrong and forward and isinstance(law, MaternFieldLaw):
        yield from _names(
            law.start.beside,
            forward.beside_field(),
            ("law", "start", "beside"),
            "the parameters beside the field",
        )
    if forward and isinstance(law.start, dict):
        names = forward.parameter_names()
        yield from _names(
            law.start, names, ("law", "start"), f"the forward model's {len(names)} parameters"
        )
    if isinstance(law.spread, dict):
        names = _law_names(law)
        if isinstance(law, MaternFieldLaw) and law.start.beside:
            names = (*names[:-1], *law.start.beside)
        yield from _names(law.spread, names, ("law", "spread"), "the law's parameters")


def _law_kind(forward: ForwardSection, kind: Any) -> Iterator[Problem]:
    right = forward.field_law()
    if kind not in _FIELD_LAWS or kind == right:
        return
    field = getattr(forward, "field", "none")
    yield Problem(
        ("law", "kind"),
        f"got '{kind}', but the field of the forward model is '{field}'; the "
        + (
            f"law that goes with it is '{right}' (or normal, or lognormal)."
            if right
            else "laws that go with that are 'normal' and 'lognormal'."
        ),
    )


def _law_names(law: Any) -> tuple[str, ...]:
    # As the section is written out: without the keys that do not apply.
    return tuple(law.start if isinstance(law.start, dict) else law.start.model_dump())


def _names(
    given: Mapping[str, Any], names: tuple[str, ...], at: tuple[str, ...], what: str
) -> Iterator[Problem]:
    for name in given:
        if name not in names:
            yield Problem(
                (*at, name),
                f"unknown parameter (given {shown(_plain(given[name]))}).{nearest(name, names)} "
                f"Allowed here: {what}, {listed(names)}.",
            )
    missing = [name for name in names if name not in given]
    if missing:
        yield Problem(at, f"needs all of {what}; missing: {listed(missing)}.")


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, MeanAndStandardDeviation) else value


def _noise(forward: ForwardSection, noise: Any) -> Iterator[Problem]:
    for problem in noise.problems(forward):
        yield problem.under("noise")
    for problem in noise.value_problems(noise.start, forward):
        yield problem.under("noise", "start")
    if not isinstance(noise, KernelNoise) or noise.nugget:
        return
    if isinstance(forward, ExternalSection):
        for problem in forward.repeated_places():
            yield problem.under("forward")
    sensors = getattr(forward, "sensors", None)
    places = Counter(tuple(position) for position in (sensors and sensors.positions) or [])
    for place, times in places.items():
        if times > 1:
            yield Problem(
                ("forward", "sensors", "positions"),
                f"{times} sensors are at {shown(list(place))}, where correlated noise without a "
                "nugget would be the same number; set 'noise.nugget: true', or merge them.",
            )


def _truth(
    forward: ForwardSection | None, law: Any, noise: Any, observations: SyntheticObservations
) -> Iterator[Problem]:
    at = ("observations", "truth")
    truth = observations.truth
    if law and isinstance(law.start, dict):
        names = forward.parameter_names() if forward else _law_names(law)
        yield from _names(truth.law, names, (*at, "law"), "the law's parameters")
        known = {name: value for name, value in truth.law.items() if name in names}
        yield from _values(known, dict[str, MeanAndStandardDeviation], (*at, "law"))
    elif law:
        yield from _names(truth.law, _law_names(law), (*at, "law"), "the law's parameters")
        known = {name: truth.law[name] for name in _law_names(law) if name in truth.law}
        yield from _values(known, type(law.start), (*at, "law"))
        if isinstance(beside := known.get("beside"), dict):
            names = tuple(law.start.beside)
            what = "the parameters beside the field"
            yield from _names(beside, names, (*at, "law", "beside"), what)
    if forward and truth.noise_model:
        for problem in truth.noise_model.problems(forward):
            yield problem.under(*at, "noise_model")
    if true_noise := truth.noise_model or noise:
        yield from _true_noise(forward, true_noise, truth.noise, (*at, "noise"))


def _true_noise(
    forward: ForwardSection | None, noise: Any, given: Mapping[str, Any], at: tuple[str, ...]
) -> Iterator[Problem]:
    names = tuple(noise.start.model_dump())
    yield from _names(given, names, at, "the noise's parameters")
    known = {name: given[name] for name in names if name in given}
    wrong = list(_values(known, type(noise.start), at))
    yield from wrong
    if forward and not wrong:
        values = type(noise.start).model_validate(known)
        for problem in noise.value_problems(values, forward):
            yield problem.under(*at)


def _values(given: dict[str, Any], annotation: Any, at: tuple[str, ...]) -> Iterator[Problem]:
    try:
        TypeAdapter(annotation).validate_python(given)
    except ValidationError as error:
        for problem in explain(error, annotation):
            yield problem.under(*at)


def _file_sensors(forward: ForwardSection) -> Iterator[Problem]:
    sensors = getattr(forward, "sensors", None)
    if sensors and sensors.placement == "random":
        yield Problem(
            ("forward", "sensors"),
            "observations from a file were taken at known places; give them as "
            "'sensors: {positions: [...]}', in the order of the file's columns (or "
            "'placement: regular').",
        )


def _descent(descent: Descent) -> Iterator[Problem]:
    if descent.final_learning_rate > descent.learning_rate:
        yield Problem(
            ("descent", "final_learning_rate"),
            f"got {descent.final_learning_rate:g}, but it must be at most descent.learning_rate "
            f"({descent.learning_rate:g}): the rate decays.",
        )
    if 0 < descent.pooled_directions < descent.directions:
        yield Problem(
            ("descent", "pooled_directions"),
            f"got {descent.pooled_directions}, but each step takes {descent.directions} "
            "(descent.directions) from the pool; 0 draws fresh ones.",
        )


def _full_noise(descent: Descent, noise: Any) -> Iterator[Problem]:
    if noise.kind != "full":
        return
    for key, needed in (("optimiser", "gauss_newton"), ("policy", "cut")):
        if getattr(descent, key) != needed:
            yield Problem(
                ("descent", key),
                f"got '{getattr(descent, key)}', but noise of kind 'full' moves by a step of its "
                f"own that needs '{needed}'; leave it out, or choose another noise.",
            )


def _baselines(assessment: Assessment, law: Any, descent: Descent | None) -> Iterator[Problem]:
    for i, name in enumerate(assessment.baselines):
        at = ("assessment", "baselines", i)
        if name in assessment.baselines[:i]:
            yield Problem(at, f"'{name}' is asked for twice; leave one out.")
        elif descent and name == descent.policy:
            yield Problem(
                at, f"got '{name}', which is the study's own descent.policy already; leave it out."
            )
        elif law and name == "two_stage" and law.kind == "level_set_field":
            yield Problem(
                at,
                "got 'two_stage', which needs the density of the law, and that of a "
                "'level_set_field' has no closed form; leave it out (full, plain and nuts do "
                "without).",
            )


def _surrogate(forward: ForwardSection, surrogate: Surrogate) -> Iterator[Problem]:
    if surrogate.network != "fno":
        return
    if not isinstance(forward, PorousFlow) or forward.field != "cosine":
        yield Problem(
            ("surrogate", "network"),
            "got 'fno', which reads the fields of porous flow that are linear in the parameters "
            "(forward.kind: porous_flow, forward.field: cosine); use 'mlp'.",
        )
    elif surrogate.fourier_modes > forward.elements // 2:
        yield Problem(
            ("surrogate", "fourier_modes"),
            f"got {surrogate.fourier_modes}, but a mesh of {forward.elements} elements a side "
            f"carries at most {forward.elements // 2}.",
        )
