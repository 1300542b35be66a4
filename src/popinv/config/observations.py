"""Where the observations come from: a synthetic population, or the user's file."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from popinv.config.base import Fraction, Number, Section, Several

__all__ = ["FILE_TYPES", "FileObservations", "Observations", "SyntheticObservations", "Truth"]

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
        description="The true parameters of the noise, with the names of `noise.start`; "
        "`diagonal` noise takes one number for all sensors or a list with one for each."
    )


class SyntheticObservations(Section):
    """A synthetic population, drawn from a known truth."""

    count: Several = Field(default=1000, description="Number of systems observed.")
    heldout: Several = Field(
        default=1000, description="Number of further systems, kept for the assessment."
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
    return file


class FileObservations(Section):
    """Your own observations, from a file."""

    file: Annotated[str, AfterValidator(_known_type)] = Field(
        description="A CSV (.csv), NetCDF (.nc) or zarr (.zarr) file, relative to the working "
        "directory; rows are systems, columns are sensors."
    )
    heldout_fraction: Fraction = Field(
        default=0.2, description="Share of the systems kept for the assessment, drawn at random."
    )


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
