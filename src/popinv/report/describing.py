"""Description of a study in sentences, from its configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from popinv.charts.style import axis_label, readable
from popinv.config.observations import FileObservations, SyntheticObservations
from popinv.config.study import Study
from popinv.forward.base import Parameter
from popinv.methods.registry import METHODS
from popinv.population.laws.section import LawSection
from popinv.population.noise.section import NoiseSection
from popinv.report.formats import rounded
from popinv.sections.outside import Kind, is_outside

# This part of a key's description only states how to write several numbers.
_HOW_GIVEN = re.compile(r"(: one number|, or a list|\. ).*|\.$")
# Further names are counted, not listed; a single sentence has room for fewer.
_NAMES, _FEW = 8, 4
# Kinds of noise whose names are no adjectives.
_NOISES = {"blocks": "block noise", "channels": "noise by channel", "full": "unstructured noise"}


def in_short(study: Study) -> str:
    """Return law, noise and simulator of a study in a few words of Markdown.

    Examples
    --------
    "a lognormal law of size and rate; isotropic noise; the simulator is `simulator:solve`"
    """
    names = [readable(name) for name in study.forward.parameter_names()]
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    if len(names) > _FEW:
        listed = f"{len(names)} parameters"
    law, noise = study.law.kind, study.noise.kind
    of_law = f"the law `{law}`" if is_outside(law) else f"a {readable(law)} law"
    of_noise = f"the noise `{noise}`" if is_outside(noise) else f"{readable(noise)} noise"
    simulator = study.forward.called()
    return f"{of_law} of {listed}; {_NOISES.get(noise, of_noise)}; the simulator is {simulator}"


def described(study: Study) -> list[tuple[str, str]]:
    """Return terms and sentences about a study."""
    names = study.forward.parameter_names()
    listed = ", ".join(_with_units(parameter) for parameter in study.forward.parameters()[:_NAMES])
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return [
        ("Forward model", _sentence("Forward model", study.forward)),
        ("Parameters of a system", f"{len(names)}: {listed}{more}."),
        ("Law of the parameters", _sentence("Law of the parameters", study.law)),
        ("Unknowns of the law", _unknowns(study.law)),
        ("Noise", _sentence("Noise", study.noise)),
        ("Unknowns of the noise", _unknowns(study.noise)),
        ("Observations", _observations(study.observations) + _levels(study.law)),
    ]


def _sentence(term: str, section: Kind) -> str:
    settings = [f"`{section.kind}`"] + [
        f"{readable(key)} {_value(value)}"
        for key, value in section.model_dump(mode="json").items()
        if key not in ("kind", "start") and _is_plain(value)
    ]
    words = type(section).__doc__ or f"{term} of the user's own."
    # A hyphen before a word would look like a minus, and would allow a line break after it.
    sentence = " ".join(inspect.cleandoc(words).split()).replace(" -", " −")
    return f"{sentence} Settings: {', '.join(settings)}."


def _unknowns(section: LawSection | NoiseSection) -> str:
    """Return the unknowns with their meanings, as the configuration describes them."""
    start = section.start
    if isinstance(start, Mapping):
        names = ", ".join(readable(name) for name in list(start)[:_NAMES])
        more = f" and {len(start) - _NAMES} more" if len(start) > _NAMES else ""
        first, *others = next(iter(start.values())).model_dump()
        unknowns = " and ".join(f"*{readable(key)}*" for key in (first.capitalize(), *others))
        scale = "logarithms" if section.kind == "lognormal" else "values"
        return f"{unknowns} of the {scale} of {names}{more}."
    fields = [name for name, value in start if value is not None and value != {}]
    meanings = ((name, type(start).model_fields[name].description or "") for name in fields)
    told = ((readable(name), _HOW_GIVEN.sub("", text)) for name, text in meanings)
    return " ".join(f"*{name}*: {meaning}." if meaning else f"*{name}*." for name, meaning in told)


def _observations(section: SyntheticObservations | FileObservations) -> str:
    if isinstance(section, FileObservations):
        masked = " Missing values were skipped." if section.missing == "mask" else ""
        share = f"{100 * section.heldout_fraction:g} %"
        return (
            f"From `{section.file}`. The answer is learned from all of its systems; {share} of "
            "them, or every fold of fewer than 200, are compared with a refit without them."
            f"{masked}"
        )
    truth = section.truth.model_dump(mode="json")
    return (
        f"Synthetic: {section.count} systems drawn from the truth, and {section.heldout} "
        f"more to test on. Truth of the law: {_listed(truth['law'])}; of the noise: "
        f"{_listed(truth['noise'])}."
    )


def _levels(law: LawSection) -> str:
    """Return how the labels of levels count, in a sentence."""
    columns = law.level_columns()
    told = []
    for k, level in enumerate(columns.names):
        if around := columns.around(k):
            told.append(f"of *{level}* within *{columns.names[around[-1]]}*")
    if columns.crossed:
        told.append("of " + " and ".join(f"*{name}*" for name in columns.crossed) + " crosswise")
    return f" Labels count {', '.join(told)}." if told else ""


def _with_units(parameter: Parameter) -> str:
    return axis_label(readable(parameter.name), parameter.units)


def _listed(values: Mapping[str, Any]) -> str:
    parts = []
    for name, value in list(values.items())[:_NAMES]:
        inner = f"({_listed(value)})" if isinstance(value, Mapping) else _value(value)
        parts.append(f"{readable(str(name))} {inner}")
    if len(values) > _NAMES:
        parts.append(f"and {len(values) - _NAMES} more")
    return ", ".join(parts)


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _value(value: Any) -> str:
    return rounded(value) if _is_plain(value) else str(value)


def question_of(method: str) -> str:
    """Return the question about a study that a method answers; empty for an unknown method."""
    return f"{METHODS[method].question}." if method in METHODS else ""
