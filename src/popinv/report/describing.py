"""What a study asked, in sentences, from its configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from popinv.config.base import Section
from popinv.config.downstream import StudyDownstream
from popinv.config.forward import Forward
from popinv.config.law import Law
from popinv.config.noise import Noise
from popinv.figures.style import axis_label
from popinv.report.words import readable, rounded

__all__ = ["described", "question_of"]

_SECTIONS: tuple[tuple[str, str, Any], ...] = (
    ("forward", "Forward model", Forward),
    ("law", "Law of the parameters", Law),
    ("noise", "Noise", Noise),
)
# How several numbers are to be written in a configuration does not say what they mean.
_HOW_GIVEN = re.compile(r"(: one number|, or a list|\. ).*|\.$")
# More names than this are counted, not listed.
_NAMES = 8


def described(study: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return terms and sentences about a study.

    Parameters
    ----------
    study : mapping
        The study's section of a checked configuration.
    """
    found = []
    for name, term, section in _SECTIONS:
        model = TypeAdapter(section).validate_python(study[name])
        settings = [f"`{study[name]['kind']}`"] + [
            f"{readable(key)} {_value(value)}"
            for key, value in study[name].items()
            if key not in ("kind", "start") and _is_plain(value)
        ]
        # A hyphen before a word would stand for a minus, and let the line break behind it.
        sentence = " ".join((inspect.getdoc(type(model)) or "").split()).replace(" -", " −")
        found.append((term, f"{sentence} Settings: {', '.join(settings)}."))
        if name in ("law", "noise"):
            found.append((f"Unknowns of the {name}", _unknowns(study[name]["kind"], model.start)))
        if name == "forward":
            names = model.parameter_names()
            listed = ", ".join(_with_units(n, study["forward"]) for n in names[:_NAMES])
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            found.append(("Parameters of a system", f"{len(names)}: {listed}{more}."))
    found.append(("Observations", _observations(study)))
    return found


def _unknowns(kind: str, start: Section | Mapping[str, Section]) -> str:
    """Return what is unknown, each with its meaning, as the configuration explains it."""
    if isinstance(start, Mapping):
        names = ", ".join(readable(name) for name in list(start)[:_NAMES])
        more = f" and {len(start) - _NAMES} more" if len(start) > _NAMES else ""
        of = "logarithms" if kind == "lognormal" else "values"
        return f"*Mean* and *standard deviation* of the {of} of {names}{more}."
    fields = [name for name, value in start if value is not None and value != {}]
    meanings = ((name, type(start).model_fields[name].description or "") for name in fields)
    return " ".join(f"*{readable(name)}*: {_HOW_GIVEN.sub('', text)}." for name, text in meanings)


def _observations(study: Mapping[str, Any]) -> str:
    section = study["observations"]
    if "truth" not in section:
        return f"From `{section['file']}`; {_aside(section)}"
    truth = section["truth"]
    return (
        f"Synthetic: {section['count']} systems drawn from the truth, and {section['heldout']} "
        f"more to test on. Truth of the law: {_listed(truth['law'])}; of the noise: "
        f"{_listed(truth['noise'])}."
    )


def _aside(section: Mapping[str, Any]) -> str:
    masked = " Values that are missing were passed over." if section["missing"] == "mask" else ""
    share = f"{100 * section['heldout_fraction']:g} %"
    return f"{share} of its systems were kept aside to test on.{masked}"


def _with_units(name: str, forward: Mapping[str, Any]) -> str:
    """Return a parameter's name, with the units that the user's own simulator gives it."""
    own = {p["name"]: p for p in forward.get("parameters", ()) if isinstance(p, Mapping)}
    return axis_label(readable(name), own.get(name, {}).get("units") or "1")


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
    """Return what a downstream method answers about a study, as the configuration explains it."""
    field = StudyDownstream.model_fields.get(method)
    if field is None or field.description is None:
        return ""
    return field.description.split(";")[0].rstrip(".") + "."
