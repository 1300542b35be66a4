"""Files of numbers: the record of an answer, and all other JSON files of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from popinv.errors import DataError
from popinv.judgement.answer import StudyAnswer
from popinv.regular_files import read_bytes

ANSWER_FILE, METRICS_FILE = "answer.json", "metrics.json"
_ANSWERS = TypeAdapter(StudyAnswer)


def is_answer(path: Path, numbers: Mapping[str, Any]) -> bool:
    """Return whether a file of numbers is the record of a study's answer."""
    if path.name == ANSWER_FILE:
        return True
    return path.name == METRICS_FILE and (
        path.with_name(ANSWER_FILE).exists() or "estimator_reason" in numbers
    )


def read_answer(folder: str | Path) -> StudyAnswer:
    """Return the answer in the folder of a study.

    Raises
    ------
    DataError
        If there is none, or it cannot be understood.
    """
    path = Path(folder) / ANSWER_FILE
    if not path.exists() and path.with_name(METRICS_FILE).exists():
        raise DataError(
            f"{path}: there is no such file, though there is {METRICS_FILE}. It was taken away, or "
            "the results are of popinv 0.1. Run the study again, which writes it again."
        )
    numbers = read_metrics(path)
    try:
        return _ANSWERS.validate_python(numbers)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _not_understood(path, f"{where}: {first['msg']}") from error


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Return the content of a JSON file of numbers by name.

    Raises
    ------
    DataError
        If there is no such file, or it does not hold a JSON object.
    """
    try:
        numbers = json.loads(read_bytes(path))
    except FileNotFoundError:
        raise DataError(
            f"{path}: there is no such file. A study writes {Path(path).name} when it is finished."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: is not valid JSON ({error})") from None
    if not isinstance(numbers, dict):
        raise DataError(f"{path}: must hold names and numbers, not a {type(numbers).__name__}")
    return numbers


@contextmanager
def understood(path: str | Path) -> Iterator[None]:
    """Raise errors from damaged numbers as an error that names their file.

    Missing numbers, or numbers of another type or size, are noticed where they are used.

    Raises
    ------
    DataError
        For any error of numbers, keys and types within the context.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _not_understood(path, f"{type(error).__name__}: {error}") from error


def _not_understood(path: str | Path, why: str) -> DataError:
    return DataError(f"{path}: cannot be understood ({why}). Run the study again to rewrite it.")
