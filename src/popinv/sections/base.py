"""The base class of all sections of the configuration, and their types of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

# No study has come near. What is counted is allocated, or is a number of steps.
_MOST = 100_000_000
MOST_ENTRIES = 100_000
"""Most observations of a system; their covariance alone would take 80 GB."""


def not_too_many(value: Any) -> Any:
    """Refuse a count whose numbers no machine holds, before anything is made of it."""
    if type(value) is int and value > _MOST:
        raise PydanticCustomError(
            "count", "a number here is at most {most}", {"most": f"{_MOST:,}"}
        )
    return value


def checked_entries(count: int) -> int:
    """Refuse more observations of a system than a covariance can be of, before they are made."""
    if count > MOST_ENTRIES:
        raise PydanticCustomError(
            "entries",
            "these are {count} observations of each system, and at most {most} can be used; "
            "take fewer times or places",
            {"count": f"{count:,}", "most": f"{MOST_ENTRIES:,}"},
        )
    return count


class Section(BaseModel):
    """A part of the configuration; it is frozen, and refuses unknown keys."""

    model_config = ConfigDict(
        # Most kinds are imported, and not used, in most processes.
        defer_build=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        # A key may have another name in Python, if its own name is taken.
        serialize_by_alias=True,
    )

    @field_validator("*", mode="after")
    @classmethod
    def _countable(cls, value: Any, info: ValidationInfo) -> Any:
        # A seed counts nothing.
        return value if info.field_name == "seed" else not_too_many(value)

    def replace(self, **changes: Any) -> Self:
        """Return the section with other values for some keys; they are checked like all values."""
        return type(self).model_validate({**dict(self), **changes})


def plain(value: Any) -> Any:
    """Return a value with its sections replaced by JSON types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value


def _number_only(value: Any) -> Any:
    # Python counts true as 1. Text such as "1e-3" is allowed, as YAML reads 1e-3 as text.
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "it must be a number")
    return value


# The longest name of a file or a folder on common file systems, in bytes.
_LONGEST_PART = 255


def plain_path(path: str) -> str:
    """Refuse text that cannot be a path, or that Snakemake reads as a pattern."""
    if any(not sign.isprintable() or sign in "{}<>*?" for sign in path):
        raise PydanticCustomError(
            "path", "a path here has none of the signs { } < > * ?, and no line breaks"
        )
    if any(len(part.encode()) > _LONGEST_PART for part in path.split("/")):
        raise PydanticCustomError(
            "path", "each part of a path has at most {most} bytes", {"most": _LONGEST_PART}
        )
    return path


# This is the last part of an annotation, so that the bounds before it reach the JSON schema.
NotBoolean = BeforeValidator(_number_only)

Number = Annotated[float, NotBoolean]
Positive = Annotated[float, Field(gt=0), NotBoolean]
NonNegative = Annotated[float, Field(ge=0), NotBoolean]
Fraction = Annotated[float, Field(gt=0, lt=1), NotBoolean]
Count = Annotated[int, Field(ge=1), NotBoolean]
Entries = Annotated[int, Field(ge=1), AfterValidator(checked_entries), NotBoolean]
Several = Annotated[int, Field(ge=2), NotBoolean]
CountOrZero = Annotated[int, Field(ge=0), NotBoolean]


# Where a value is one number (or word), or a mapping or a list of more, its form decides what it is
# checked against: a message then tells of that form alone.
ONE, NAMED, SEVERAL = Tag("<one>"), Tag("<named>"), Tag("<several>")
ONE_OR_NAMED = Discriminator(
    lambda value: "<named>" if isinstance(value, dict | Section) else "<one>"
)
ONE_OR_SEVERAL = Discriminator(
    lambda value: "<several>" if isinstance(value, list | tuple) else "<one>"
)


def _given(value: Any) -> Any:
    if value is None or value == {}:
        raise PydanticKnownError("missing")
    return value


# The type of a key whose default can only be computed in some cases. null or {} means that it
# cannot.
Given = BeforeValidator(_given)
