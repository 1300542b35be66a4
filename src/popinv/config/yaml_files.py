"""Reading of YAML files, with a message where YAML says something else than it seems to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from popinv.errors import ConfigError, nearest
from popinv.regular_files import read_bytes

# Entries of a file, each counted as often as it is referred to.
_MOST_ENTRIES = 1_000_000
# Whole numbers of YAML 1.1 that are not the decimal numbers that they look like.
_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
# PyYAML also raises the errors of int(), of dates, of unknown words and of deep nesting.
_NOT_YAML = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError),
    *(AttributeError, RecursionError),
)


def read_yaml(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Refused are a key given twice, numbers in base 8 or 60, and references (``*name``) that make the
    file very large.

    Raises
    ------
    ConfigError
        With the file and the line.
    """
    path = Path(path)
    try:
        text = read_bytes(path).decode("utf-8")
    except FileNotFoundError:
        folder = path.parent
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        hint = nearest(path.name, names) or " 'popinv new-study NAME' writes one."
        raise ConfigError(f"{path}: there is no such configuration file.{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: {error.problem or 'this is not YAML'}") from None
    except _NOT_YAML as error:
        raise ConfigError(f"{path}: this is not YAML ({error})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the file must hold lines of 'key: value', with 'studies'")
    if _entries(content, {}) > _MOST_ENTRIES:
        raise ConfigError(
            f"{path}: references (*name) to parts of the file that hold references themselves "
            f"make more than {_MOST_ENTRIES:,} entries of it; write out what is meant"
        )
    return content


def _entries(value: Any, counted: dict[int, float]) -> float:
    """Return the number of entries below a value, each part of the file being counted once.

    A part that contains itself has infinitely many.
    """
    if not isinstance(value, Mapping | list):
        return 1
    if id(value) not in counted:
        counted[id(value)] = float("inf")
        below = value.values() if isinstance(value, Mapping) else value
        counted[id(value)] = 1 + sum(_entries(each, counted) for each in below)
    return counted[id(value)]


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, changed to refuse what is hardly meant."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, tuple[Any, int]] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                continue
            if str(key) in seen:
                other, line = seen[str(key)]
                what = f"the key '{key}' is given twice, first in line {line}"
                if type(other) is not type(key):
                    what = f"the keys {other!r} and {key!r} are the same name, first in line {line}"
                raise yaml.constructor.ConstructorError(
                    problem=what, problem_mark=key_node.start_mark
                )
            seen[str(key)] = key, key_node.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """Return a number, unless it is written in a base that few know of."""
        integer = node.tag.endswith(":int")
        number = self.construct_yaml_int(node) if integer else self.construct_yaml_float(node)
        text = node.value
        base = 60 if _SEXAGESIMAL.fullmatch(text) else 8 if _OCTAL.fullmatch(text) else 10
        if base != 10:
            mark = node.start_mark
            what = (
                f"YAML reads {text} as a number in base {base}, {number}; write that number, or "
                f"'{text}' in quotes for a text"
            )
            if re.search(r"\d,$", (mark.buffer or "")[: mark.pointer]):
                what = (
                    f"a comma before {text} separates two entries; write numbers with a decimal "
                    f"point, such as 0.{text}"
                )
            raise yaml.constructor.ConstructorError(problem=what, problem_mark=mark)
        return number


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)
