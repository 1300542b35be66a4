"""Messages about a wrong configuration: the place, the given value, and the allowed values."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from popinv.errors import nearest
from popinv.sections.outside import Kind, is_outside, named_class
from popinv.sections.secrets import masked

Path = tuple[str | int, ...]

_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping (lines of 'key: value')",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a mapping (lines of 'key: value')",
    "number": "a number",
    "string": "text",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True)
class ConfigProblem:
    """One error in a configuration.

    Parameters
    ----------
    path : tuple of str and int
        Keys and list indices from the top of the file to the place.
    text : str
        What is wrong there, in one or more sentences.
    """

    path: Path
    text: str

    def under(self, *prefix: str | int) -> ConfigProblem:
        """Return the same problem with a longer path, seen from further up."""
        return ConfigProblem((*prefix, *self.path), self.text)


def control_characters(text: str) -> list[str]:
    """Return the characters of a text that a terminal takes for commands.

    Examples
    --------
    >>> control_characters("m/s"), len(control_characters("m" + chr(27) + "[2J"))
    ([], 1)
    """
    return [sign for sign in text if unicodedata.category(sign) == "Cc" and sign not in "\n\r\t"]


def is_subnormal(value: str | float) -> bool:
    """Return whether a number, also one in a text, has fewer digits than others by its size.

    Examples
    --------
    >>> is_subnormal(1e-320), is_subnormal("1e-310"), is_subnormal(0.0), is_subnormal("a")
    (True, True, False, False)
    """
    try:
        number = float(value)
    except ValueError:
        return False
    return 0.0 < abs(number) < sys.float_info.min


def dotted(path: Sequence[str | int]) -> str:
    """Write a path in dotted form, such as ``studies.flow.forward.sensors.positions[3]``.

    Examples
    --------
    >>> dotted(("sensors", "positions", 3))
    'sensors.positions[3]'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """Write a value as in the file, shortened if it is long, and without passwords."""
    text = json.dumps(masked(value), default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Iterable[object]) -> str:
    """Join names with commas; of many names, count those left out."""
    words = [str(name) for name in names]
    if len(words) <= 12:
        return ", ".join(words)
    return ", ".join(words[:10]) + f", ... ({len(words)} in all)"


def report(source: str, problems: Sequence[ConfigProblem], data: Any = None) -> str:
    """Write all problems of one file as a message, in the order of the file."""
    problems = sorted(problems, key=lambda problem: _place(data, problem.path))
    many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{source}: {many}"]
    for problem in problems:
        lines += ["", f"  {dotted(problem.path) or '(top level)'}", f"      {problem.text}"]
    return "\n".join(lines)


def _place(data: Any, path: Path) -> list[int]:
    place = []
    for step in path:
        if isinstance(data, dict) and step in data:
            place.append(list(data).index(str(step)))
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int):
            place.append(step)
            data = data[step] if step < len(data) else None
        else:
            data = None
    return place


def explain(error: ValidationError, annotation: Any) -> list[ConfigProblem]:
    """Turn the errors of pydantic into problems.

    Parameters
    ----------
    error : pydantic.ValidationError
        Raised on validating a mapping.
    annotation : type
        The model, or annotated type, that it was validated against.
    """
    problems = [_problem(details, annotation) for details in error.errors(include_url=False)]
    return [problem for problem in problems if problem is not None]


def name_problems(
    given: Mapping[str, Any], names: Sequence[str], described: str
) -> Iterator[ConfigProblem]:
    """Yield names that are unknown, and then those that are missing.

    Parameters
    ----------
    given : mapping
        Values by name.
    names : sequence of str
        The names that there must be.
    described : str
        What the names are, for the message.
    """
    for name, value in given.items():
        if name not in names:
            plain = value.model_dump() if isinstance(value, BaseModel) else value
            yield ConfigProblem(
                (name,),
                f"unknown parameter (given {shown(plain)}).{nearest(name, names)} "
                f"Allowed here: {described}, {listed(names)}.",
            )
    if missing := [name for name in names if name not in given]:
        yield ConfigProblem((), f"needs all of {described}; missing: {listed(missing)}.")


def value_problems(given: Mapping[str, Any], annotation: Any) -> Iterator[ConfigProblem]:
    """Yield the problems that pydantic finds in values for a model, or another annotated type."""
    try:
        TypeAdapter(annotation).validate_python(given)
    except ValidationError as error:
        yield from explain(error, annotation)


def _problem(details: ErrorDetails, root: Any) -> ConfigProblem | None:
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "default_factory_not_called":
        return None  # the key on which the default depends has its own problem
    path, annotation = _locate(root, details["loc"])
    if path and isinstance(path[-1], str):
        given = masked({path[-1]: given})[path[-1]]
    if kind == "extra_forbidden":
        _, parent = _locate(root, details["loc"][:-1])
        allowed = list(_fields(parent))
        hint = _inside(parent, str(path[-1])) or nearest(str(path[-1]), allowed)
        return ConfigProblem(
            path, f"unknown key (given {shown(given)}).{hint} Allowed here: {listed(allowed)}."
        )
    if kind == "missing":
        return ConfigProblem(path, f"is missing. {_description(root, details['loc'])}".rstrip())
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        members = _members(annotation)
        allowed = [tag for member in members for tag in _tags(member)]
        named = str(given.get("kind")) if isinstance(given, dict) else str(given)
        hint = next(filter(None, (_inside(member, named) for member in members)), "")
        return _wrong_kind((*path, "kind"), given, [*allowed, "module:Class"], hint)
    if kind == "outside":
        return ConfigProblem(path, f"got {shown(given)}, but {details['msg']}.")
    if kind == "literal_error":
        allowed = [str(choice) for choice in get_args(annotation)]
        return ConfigProblem(path, _not_allowed(given, allowed))
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return ConfigProblem(path, f"got {shown(given)}, but it must be {words} {context[key]:g}.")
    expected = _EXPECTED.get("int" if annotation is int else kind.split("_")[0])
    if expected and kind.endswith(("_type", "_parsing", "_number", "_from_float")):
        return ConfigProblem(path, f"got {shown(given)}, but it must be {expected}.")
    if kind == "too_short":
        return ConfigProblem(path, f"got {shown(given)}, but at least one is needed.")
    return ConfigProblem(path, f"got {shown(given)}; {details['msg']}.")


def _wrong_kind(path: Path, given: Any, allowed: list[str], hint: str) -> ConfigProblem:
    if isinstance(given, dict) and "kind" in given:
        return ConfigProblem(path, _not_allowed(given["kind"], allowed, hint))
    if isinstance(given, dict):
        return ConfigProblem(path, f"is missing. Allowed: {listed(allowed)}.")
    return ConfigProblem(path[:-1], f"got {shown(given)}, but it must be {_EXPECTED['dict']}.")


def _not_allowed(given: Any, allowed: list[str], hint: str = "") -> str:
    hint = hint or (nearest(given, allowed) if isinstance(given, str) else "")
    return f"got {shown(given)}, but it must be one of: {listed(allowed)}.{hint}"


def _inside(model: Any, name: str) -> str:
    """Return a sentence if a section of this model has a key, or a choice, of this name."""
    for key, field in _fields(_bare(model)).items():
        section = _fields(_bare(field.annotation))
        chosen = [inner for inner, own in section.items() if name in _choices(own.annotation)]
        if chosen or name in section:
            stated = f"{chosen[0]}: {name}" if chosen else f"{name}: ..."
            return f" Did you mean '{key}: {{{stated}}}'?"
    return ""


def _choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _description(root: Any, location: tuple[str | int, ...]) -> str:
    _, parent = _locate(root, location[:-1])
    field = _fields(parent).get(str(location[-1]))
    # Further paragraphs are for the tables of the keys.
    return (field.description or "").split("\n\n")[0] if field else ""


def _locate(annotation: Any, location: tuple[str | int, ...]) -> tuple[Path, Any]:
    """Follow an error's location through the models.

    The location names the members of unions beside the keys. The path holds the keys alone.
    """
    path: list[str | int] = []
    for step in location:
        annotation, is_key = _follow(annotation, step)
        if is_key:
            path.append(step)
    return tuple(path), _bare(annotation)


def _follow(annotation: Any, step: str | int) -> tuple[Any, bool]:
    annotation = _bare(annotation)
    members = _members(annotation)
    if members:
        for member in members:
            if step in _tags(member):
                return member, False
        if is_outside(step):
            return named_class(str(step), Kind), False
        return _follow(members[0], step)
    if step == "[key]":
        return annotation, False
    if get_origin(annotation) is dict:
        return get_args(annotation)[1], True
    if get_origin(annotation) is list:
        return get_args(annotation)[0], True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = _fields(annotation).get(str(step))
        return (field.annotation if field else None), True
    return None, True


def _fields(model: Any) -> dict[str, FieldInfo]:
    """Return the fields of a model by their keys in the file, or nothing if it is not a model."""
    fields = getattr(model, "model_fields", {})
    return {field.alias or name: field for name, field in fields.items()}


def _bare(annotation: Any) -> Any:
    """Return the type without its metadata, and without None beside it."""
    while True:
        members = _members(annotation)
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif len(members) == 1:
            annotation = members[0]
        else:
            return annotation


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union other than None, or nothing for another type."""
    if get_origin(annotation) not in (Union, UnionType):
        return []
    return [member for member in get_args(annotation) if member is not type(None)]


def _tags(member: Any) -> tuple[str, ...]:
    if get_origin(member) is Annotated:
        return tuple(part.tag for part in member.__metadata__ if isinstance(part, Tag))
    kind = getattr(member, "model_fields", {}).get("kind")
    return _choices(kind.annotation) if kind else ()
