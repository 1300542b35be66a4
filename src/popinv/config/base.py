"""What the sections of the configuration share: the base class and the kinds of numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, PydanticKnownError

__all__ = [
    "Count",
    "CountOrZero",
    "Fraction",
    "Given",
    "NonNegative",
    "NotBoolean",
    "Number",
    "Positive",
    "Section",
    "Several",
    "plain_path",
]


class Section(BaseModel):
    """A part of the configuration: fixed once read, and without keys it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )


def _number_only(value: Any) -> Any:
    # Python counts true as 1. Text such as "1e-3" stays welcome: YAML reads 1e-3 as text.
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "it must be a number")
    return value


# Of the name of a file or a folder, in bytes, on common file systems.
_LONGEST_PART = 255


def plain_path(path: str) -> str:
    """Refuse what no path has, or what Snakemake reads as a pattern."""
    if any(not sign.isprintable() or sign in "{}<>*?" for sign in path):
        raise PydanticCustomError(
            "path", "a path here has none of the signs { } < > * ?, and no line breaks"
        )
    if any(len(part.encode()) > _LONGEST_PART for part in path.split("/")):
        raise PydanticCustomError(
            "path", "each part of a path has at most {most} bytes", {"most": _LONGEST_PART}
        )
    return path


# Stands last in an annotation, so that bounds before it reach the JSON schema.
NotBoolean = BeforeValidator(_number_only)

Number = Annotated[float, NotBoolean]
Positive = Annotated[float, Field(gt=0), NotBoolean]
NonNegative = Annotated[float, Field(ge=0), NotBoolean]
Fraction = Annotated[float, Field(gt=0, lt=1), NotBoolean]
Count = Annotated[int, Field(ge=1), NotBoolean]
Several = Annotated[int, Field(ge=2), NotBoolean]
CountOrZero = Annotated[int, Field(ge=0), NotBoolean]


def _given(value: Any) -> Any:
    if value is None or value == {}:
        raise PydanticKnownError("missing")
    return value


# For a key whose default can be computed in some cases only: null or {} then says that it cannot.
Given = BeforeValidator(_given)
