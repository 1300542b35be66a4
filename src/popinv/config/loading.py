"""Reading the configuration: every problem in one message, every default filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

from pydantic import ValidationError

from popinv.config.budget import with_few_solves
from popinv.config.checks import study_problems
from popinv.config.comparisons import comparison_problems
from popinv.config.observations import with_observed_times
from popinv.config.reruns import with_reruns
from popinv.config.study import Config, Study
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError
from popinv.sections.messages import (
    ConfigProblem,
    control_characters,
    explain,
    is_subnormal,
    report,
)

__all__ = ["Config", "as_mapping", "json_schema", "load", "load_file"]


def load(mapping: Mapping[str, Any], source: str = "config/config.yaml") -> Config:
    """Check a configuration and fill in its defaults.

    Parameters
    ----------
    mapping : mapping
        The configuration as read from YAML. A section that is empty there counts as left out.
    source : str
        The name of the file, for the message.

    Returns
    -------
    Config
        With a seed in every study, and with the studies that a withdrawal runs again.

    Raises
    ------
    ConfigError
        With all problems: the file, the keys, the values given, and what is allowed.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{source}: the file must hold lines of 'key: value', with 'studies'")
    try:
        data = _tidy(mapping)
    except RecursionError:
        raise ConfigError(
            f"{source}: a part of the file contains itself (through & and *), without end"
        ) from None
    problems: list[ConfigProblem] = []
    config: Config | None = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += explain(error, Config)
    if not problems:
        problems += _odd_scalars(data)
    studies = data.get("studies")
    for name, study in (studies if isinstance(studies, dict) else {}).items():
        if isinstance(study, dict):
            problems += [problem.under("studies", name) for problem in study_problems(study)]
    if config is not None:
        problems += comparison_problems(config)
    if config is None or problems:
        raise ConfigError(report(source, problems, data))
    seeded = {
        name: study.model_copy(update={"seed": config.seed}) if study.seed is None else study
        for name, study in config.studies.items()
    }
    return with_reruns(config.model_copy(update={"studies": seeded}), source)


def load_file(path: str | PathLike[str]) -> Config:
    """Read, check and complete a configuration file.

    Raises
    ------
    ConfigError
        If there is no such file, if it is not YAML or holds a key twice, or as in :func:`load`.
    """
    return load(read_yaml(path), str(path))


def as_mapping(config: Config) -> dict[str, Any]:
    """Return the configuration as nested dicts of JSON types, all defaults filled in.

    ``load(as_mapping(config))`` is ``config`` again.
    """
    return config.model_dump(mode="json")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _tidy(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """Copy into plain dicts with text keys, without empty sections, and with numbers of solves."""
    data = {str(key): _plain(value) for key, value in mapping.items()}
    studies = data.get("studies")
    if isinstance(studies, dict):
        for name, study in studies.items():
            if isinstance(study, dict):
                # An unknown key is an error even if it has no value.
                stated = {
                    key: value
                    for key, value in study.items()
                    if value is not None or key not in Study.model_fields
                }
                studies[name] = with_observed_times(with_few_solves(stated))
    return data


def _odd_scalars(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[ConfigProblem]:
    """Yield numbers too small for full precision, and text that would change a terminal."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _odd_scalars(entry, (*path, str(key)))
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from _odd_scalars(entry, (*path, place))
    elif isinstance(value, str) and (signs := control_characters(value)):
        told = f"got {json.dumps(value)}, which holds the control character {signs[0]!r}; leave it "
        yield ConfigProblem(path, f"{told}out.")
    elif isinstance(value, str | float) and is_subnormal(value):
        text = f"got {value}, which is too small for full precision; write 0, or change the unit."
        yield ConfigProblem(path, text)


def _plain(value: Any) -> Any:
    # A study may be called 2024, which YAML reads as a number.
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
