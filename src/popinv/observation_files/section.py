"""The section ``observations`` of the user's own data: the file, and how it is read."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from popinv.sections.base import Fraction, Section, plain_path

__all__ = ["FILE_TYPES", "FileObservations"]

FILE_TYPES = (".csv", ".nc", ".zarr")


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
        default=0.2,
        description="Share of the systems held out for the assessment, drawn at random.",
    )
    missing: Literal["refuse", "mask"] = Field(
        default="refuse",
        description=(
            "Treatment of missing values. `refuse` stops with the row and the column. `mask` "
            "learns from the observed values, which is right if absence does not depend on the "
            "value."
        ),
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
        description=(
            "`true`: the first line of a CSV file is a header. `false`: it is a system. null: a "
            "line without a number is a header, and a line of numbers is a system. A first line of "
            "numbers that looks like places or times stops the run until this key is set: its "
            "numbers are sorted, evenly spaced, repeated or have few digits, and fewer than one in "
            "fifty lines below have this trait."
        ),
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
