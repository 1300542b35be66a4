"""Where the observations come from: a synthetic population, or the user's file."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from popinv.config.base import Fraction, Number, Positive, Section, Several, plain_path
from popinv.config.noise import Noise

__all__ = [
    "FILE_TYPES",
    "FileObservations",
    "NoiseScale",
    "Observations",
    "SyntheticObservations",
    "Truth",
]

FILE_TYPES = (".csv", ".nc", ".zarr")


def _law_value_kind(value: Any) -> str:
    return "<several>" if isinstance(value, dict) else "<one>"


def _noise_value_kind(value: Any) -> str:
    return "<several>" if isinstance(value, list | tuple) else "<one>"


NamedValue = Annotated[
    Annotated[Number, Tag("<one>")] | Annotated[dict[str, Number], Tag("<several>")],
    Discriminator(_law_value_kind),
]
LawValue = Annotated[
    Annotated[Number, Tag("<one>")] | Annotated[dict[str, NamedValue], Tag("<several>")],
    Discriminator(_law_value_kind),
]
NoiseValue = Annotated[
    Annotated[Number, Tag("<one>")] | Annotated[list[Number], Tag("<several>")],
    Discriminator(_noise_value_kind),
]


class Truth(Section):
    """What a synthetic population is drawn from."""

    law: dict[str, LawValue] = Field(
        description="The true parameters of the law, with the names of `law.start`."
    )
    noise: dict[str, NoiseValue] = Field(
        description="The true parameters of the noise, with the names and forms of `noise.start`."
    )
    noise_model: Noise | None = Field(
        default=None,
        description="The family that the true noise comes from, as a section like `noise`, where "
        "it is another: to see what a wrong family does. `truth.noise` then has the names of its "
        "`start`, whose values do not matter.",
        json_schema_extra={"x-default": "the study's `noise`"},
    )


class NoiseScale(Section):
    """The range of the systems' known noise scales, drawn log-uniformly."""

    low: Positive = Field(description="The smallest noise scale.")
    high: Positive = Field(description="The largest noise scale.")

    @model_validator(mode="after")
    def _ordered(self) -> NoiseScale:
        if self.low > self.high:
            raise PydanticCustomError(
                "noise_scale",
                "'low' is {low}, but it must be at most 'high' ({high})",
                {"low": self.low, "high": self.high},
            )
        return self


class SyntheticObservations(Section):
    """A synthetic population, drawn from a known truth."""

    count: Several = Field(default=1000, description="Number of systems observed.")
    heldout: Several = Field(
        default=1000, description="Number of further systems, kept for the assessment."
    )
    noise_scale: NoiseScale | None = Field(
        default=None,
        description="`{low: 0.5, high: 2}` gives each system a known noise scale s, drawn "
        "log-uniformly: its noise is s xi, with xi of the covariance Gamma. null: 1 for all.",
    )
    truth: Truth = Field(description="What the population is drawn from.")


def _known_type(file: str) -> str:
    suffix = PurePath(file).suffix.lower()
    if suffix not in FILE_TYPES:
        raise PydanticCustomError(
            "file_type",
            "the name of an observation file ends in {types}",
            {"types": ", ".join(FILE_TYPES[:-1]) + " or " + FILE_TYPES[-1]},
        )
    return plain_path(file)


class FileObservations(Section):
    """Your own observations, from a file."""

    file: Annotated[str, AfterValidator(_known_type)] = Field(
        description="A CSV (.csv), NetCDF (.nc) or zarr (.zarr) file, relative to the working "
        "directory or absolute; rows are systems, columns are sensors."
    )
    heldout_fraction: Fraction = Field(
        default=0.2, description="Share of the systems kept for the assessment, drawn at random."
    )
    missing: Literal["refuse", "mask"] = Field(
        default="refuse",
        description="What becomes of missing values: `refuse` stops with the row and the column, "
        "`mask` learns from what was observed, which is right where absence does not depend on "
        "the value.",
    )
    system_column: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the column of a CSV file with the systems' names; they are kept "
        "beside the observations.",
    )
    noise_scale_column: str | None = Field(
        default=None,
        min_length=1,
        description="Name of the column of a CSV file with the systems' known noise scales.",
    )

    header: bool | None = Field(
        default=None,
        strict=True,
        description="Whether the first line of a CSV file is a header and left out, or a system. "
        "null: a header is a line without a number; a line of numbers is a system, but one that "
        "looks like places or times (sorted, evenly spaced, repeated or with few digits, as fewer "
        "than one in fifty lines below are) stops the run until this says what it is.",
    )

    @model_validator(mode="after")
    def _columns_of_csv(self) -> FileObservations:
        columns = [self.system_column, self.noise_scale_column]
        named = [name for name in columns if name is not None]
        if named and PurePath(self.file).suffix.lower() != ".csv":
            raise PydanticCustomError(
                "columns",
                "only a CSV file has named columns; NetCDF and zarr files have a variable "
                "'noise_scale' and a coordinate of the systems instead",
            )
        if self.header is not None and PurePath(self.file).suffix.lower() != ".csv":
            raise PydanticCustomError("header", "only a CSV file has a 'header'")
        if self.header is False and named:
            raise PydanticCustomError(
                "header",
                "'header' is false, but the column '{name}' is named in the first line",
                {"name": named[0]},
            )
        if len(named) != len(set(named)):
            raise PydanticCustomError(
                "columns", "'system_column' and 'noise_scale_column' must be different columns"
            )
        return self


def _source(value: Any) -> str | None:
    if isinstance(value, SyntheticObservations):
        return "<synthetic>"
    if isinstance(value, FileObservations):
        return "<file>"
    if not isinstance(value, dict) or ("file" in value) == ("truth" in value):
        return None
    return "<file>" if "file" in value else "<synthetic>"


Observations = Annotated[
    Annotated[SyntheticObservations, Tag("<synthetic>")]
    | Annotated[FileObservations, Tag("<file>")],
    Discriminator(
        _source,
        custom_error_type="observations_source",
        custom_error_message="it needs either 'truth' (a synthetic population drawn from known "
        "parameters) or 'file' (your own observations), and not both",
    ),
]
