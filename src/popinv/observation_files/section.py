"""The section ``observations`` of the user's own data: the file, and how it is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from popinv.observation_files.files import has_named_columns, wrong_type
from popinv.observation_files.limit_keys import VARIABLES, LimitColumns, LimitOfTable, limit_field
from popinv.sections.base import Fraction, Number, Positive, Section, plain_path
from popinv.sections.systems import WITHOUT, SystemName
from popinv.sections.text_files import kind_of


def _known_type(file: str) -> str:
    if told := wrong_type(file):
        raise PydanticCustomError("file_type", "{told}", {"told": told})
    return plain_path(file)


class AddedTables(Section):
    """Systems that have joined a study, with their inputs over time in a table of their own."""

    file: Annotated[str, AfterValidator(_known_type)] = Field(
        description="File of the added systems."
    )
    inputs: Annotated[str, AfterValidator(plain_path)] | None = Field(
        default=None, description="Table of their inputs over time. null: `file` holds them."
    )


def _form_of_addition(value: Any) -> str:
    return "<file>" if isinstance(value, str) else "<tables>"


class FileObservations(Section):
    """Your own observations, from a file."""

    file: Annotated[str, AfterValidator(_known_type)] = Field(
        description=(
            "CSV (.csv, .csv.gz, .csv.bz2, .csv.xz), Parquet (.parquet), NetCDF (.nc) or zarr "
            "(.zarr) file. The path is absolute, or relative to the working directory."
        )
    )
    heldout_fraction: Fraction = Field(
        default=0.2,
        description=(
            "Share of the systems by which models are compared, drawn at random. Fewer than 200 "
            "systems are all scored, in a cross-validation of five folds.\n\n"
            "The answer is learned from all systems. A comparison scores these systems by a refit "
            "without them."
        ),
    )
    missing: Literal["refuse", "mask"] = Field(
        default="refuse",
        description=(
            "`refuse` stops with the row and the column of a missing value. `mask` learns from the "
            "observed values; absence must not depend on the value."
        ),
    )
    system_column: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of a CSV file with the systems' names. The names are kept with the "
            "observations."
        ),
    )
    layout: Literal["wide", "long"] = Field(
        default="wide",
        description=(
            "`wide`: each row is a system, and each column a sensor. `long`: each row is one "
            "observation, with columns for the system, the time and the value.\n\n"
            "Systems of a long table may have their own observation times. In a NetCDF or zarr "
            "file each column is a variable, all along one dimension."
        ),
    )
    value_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of a long table with the observed values.",
    )
    time_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of a long table with the observation times.",
    )
    time_tolerance: Positive | None = Field(
        default=None,
        description=(
            "Largest difference between an observation time of a long table and the nearest time "
            "of the forward model. null: only rounding of the last digits.\n\n"
            "The difference acts as noise. It should move the observations by much less than the "
            "noise does; `popinv try` measures the effect."
        ),
    )
    label_column: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of a long table with the observed quantities, which are the forward model's "
            "`labels`."
        ),
    )
    place_columns: Annotated[list[str], Field(max_length=2)] = Field(
        default_factory=list,
        description=(
            "Columns of a long table with the places of the observations, such as `[x]` or `[x, "
            "y]`, for `forward.design: [sensors]`.\n\n"
            "The rows of a system are its sensors 1, 2, ...; a system may have fewer than "
            "`forward.sensors.count`. For a system with replicates, the different places are its "
            "sensors."
        ),
        json_schema_extra={"x-default": "none"},
    )
    replicate_column: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of a CSV file that distinguishes the replicates of a system: occasions, "
            "repeats, runs.\n\n"
            "All replicates of a system have the same parameters, and each has its own noise. "
            "Systems may have different numbers of replicates."
        ),
    )
    replicates: Literal["refuse", "rows"] = Field(
        default="refuse",
        description=(
            "Treatment of a system that occurs again without a `replicate_column`. `refuse` stops "
            "with the lines. `rows`: its rows are replicates.\n\n"
            "In a long table, the rows of one system, time and quantity are replicates."
        ),
    )
    noise_scale_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of a CSV file with the systems' known noise scales.",
    )
    ignored_columns: list[str] = Field(
        default_factory=list,
        description=(
            "Columns of a wide CSV file that hold no observations. Columns of the design and of "
            "covariates need not be named.\n\n"
            "A long table reads only the columns that are named."
        ),
        json_schema_extra={"x-default": "none"},
    )
    missing_values: list[Number] | None = Field(
        default=None,
        description=(
            "Numbers that stand for a missing value, such as `[-999]`. `[]`: none. null: none, but "
            "suspicious numbers stop the run until this key is set.\n\n"
            "Numbers such as -99, -999, -8888 or 1e30 are suspicious if they occur several times "
            "in a column, far from its other values."
        ),
    )
    censored_below: LimitOfTable | None = limit_field(
        "censored_below",
        "\n\n`{column: lloq}` takes the limits from a column of a table, or from a variable of a "
        "NetCDF or zarr file. `{column: [a, b]}` takes the limits of each observation of a wide "
        "table from its own column. The other keys of limits have the same forms.",
    )
    censored_above: LimitOfTable | None = limit_field("censored_above")
    not_below: LimitOfTable | None = limit_field("not_below")
    not_above: LimitOfTable | None = limit_field("not_above")
    censoring_column: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of a long table that marks censored values, as CENS of Monolix and NONMEM.\n\n"
            "1 marks a value at or below the stated one, -1 a value at or above it, and 0 all "
            "others. If the column is the column of values itself, cells such as `<0.4` and `>7` "
            "are marked values."
        ),
    )
    limit_column: str | None = Field(
        default=None,
        min_length=1,
        description=(
            "Column of a long table with the other bound of a censored value, as LIMIT of Monolix "
            "and NONMEM.\n\n"
            "A value with CENS 1 lies between LIMIT and the stated value."
        ),
    )
    without: list[SystemName] = Field(
        default_factory=list, description=WITHOUT, json_schema_extra={"x-default": "none"}
    )
    additions: list[
        Annotated[
            Annotated[str, AfterValidator(_known_type), Tag("<file>")]
            | Annotated[AddedTables, Tag("<tables>")],
            Discriminator(_form_of_addition),
        ]
    ] = Field(
        default_factory=list,
        description=(
            "Files of systems that have joined the study since, of the same form; `popinv add` "
            "writes them here. `{file: ..., inputs: ...}` names a table of their inputs over time."
        ),
        json_schema_extra={"x-default": "none"},
    )
    header: bool | None = Field(
        default=None,
        strict=True,
        description=(
            "`true`: the first line of a CSV file is a header. `false`: it is a system. null: a "
            "line without a number is a header.\n\n"
            "With null, a first line of numbers is a system, unless it looks like places or times. "
            "It does if its numbers are sorted, evenly spaced, repeated or have few digits, and "
            "fewer than one in fifty lines below have this trait. The run then stops until this "
            "key is set."
        ),
    )

    @model_validator(mode="after")
    def _columns_of_csv(self) -> FileObservations:
        of_long = [self.value_column, self.time_column, self.label_column, *self.place_columns]
        # Among the values, cells such as <0.4 are the marks.
        marks = self.censoring_column if self.censoring_column != self.value_column else None
        of_long += [marks, self.limit_column]
        if self.layout == "wide" and any(of_long):
            raise PydanticCustomError(
                "columns",
                "only a table of 'layout: long' has columns of values, times, labels and places, "
                "or of marks of censoring",
            )
        if self.time_tolerance is not None and self.time_column is None:
            raise PydanticCustomError(
                "columns",
                "'time_tolerance' needs the times of a long table; name its 'time_column'",
            )
        if self.layout == "long" and None in (self.system_column, self.value_column):
            raise PydanticCustomError(
                "columns",
                "a table of 'layout: long' needs 'system_column' and 'value_column', and a "
                "'time_column' if there are times",
            )
        if self.replicate_column and not self.system_column:
            raise PydanticCustomError(
                "columns",
                "'replicate_column' tells the rows of a system apart, so 'system_column' must name "
                "the systems",
            )
        if self.limit_column and not self.censoring_column:
            raise PydanticCustomError("columns", "'limit_column' goes with a 'censoring_column'")
        stated = [name for name in VARIABLES if getattr(self, name) is not None]
        if self.censoring_column and stated:
            raise PydanticCustomError(
                "columns",
                "'censoring_column' and '{name}' both state limits; leave one of them out",
                {"name": stated[0]},
            )
        columns = [self.system_column, self.replicate_column, self.noise_scale_column, *of_long]
        named = [name for name in columns if name is not None] + self.ignored_columns
        if has_named_columns(self.file):
            # Limits of several kinds may be in one column.
            named += dict.fromkeys(name for names in self.limit_columns.values() for name in names)
        if named and not (has_named_columns(self.file) or self.layout == "long"):
            raise PydanticCustomError(
                "columns",
                "only CSV and Parquet files, and long tables, have named columns; other NetCDF and "
                "zarr files have a variable 'noise_scale' and a coordinate of the systems instead",
            )
        if self.header is not None and kind_of(self.file) != ".csv":
            raise PydanticCustomError("header", "only a CSV file has a 'header'")
        if self.header is False and named:
            raise PydanticCustomError(
                "header",
                "'header' is false, but the column '{name}' is named in the first line",
                {"name": named[0]},
            )
        if self.ignored_columns and self.layout == "long":
            raise PydanticCustomError(
                "columns", "a table of 'layout: long' has no 'ignored_columns'; leave the key out"
            )
        files = [self.file, *(each.file for each in self.added())]
        if twice := [file for i, file in enumerate(files) if file in files[:i]]:
            raise PydanticCustomError(
                "additions",
                "'additions' names '{file}', which is in the study already",
                {"file": twice[0]},
            )
        if len(named) != len(set(named)):
            raise PydanticCustomError(
                "columns", "the keys that end in '_column' must be different columns"
            )
        return self

    def added(self) -> list[AddedTables]:
        """Return the files of each addition."""
        return [
            AddedTables(file=each) if isinstance(each, str) else each for each in self.additions
        ]

    @property
    def named_columns(self) -> list[str]:
        """The columns that keys of the section name."""
        single = [
            self.system_column,
            self.value_column,
            self.time_column,
            self.label_column,
            self.replicate_column,
            self.noise_scale_column,
            self.censoring_column,
            self.limit_column,
        ]
        of_limits = [name for names in self.limit_columns.values() for name in names]
        return [*(name for name in single if name is not None), *self.place_columns, *of_limits]

    @property
    def limit_columns(self) -> dict[str, list[str]]:
        """The columns of limits, by the keys that name them."""
        given = {name: getattr(self, name) for name in VARIABLES}
        return {k: each.column for k, each in given.items() if isinstance(each, LimitColumns)}

    @property
    def replicated(self) -> bool:
        """Whether a system may have several observation vectors."""
        return self.replicate_column is not None or self.replicates == "rows"


def of_same_form(observations: object, file: str) -> FileObservations:
    """Return the section of another file of the form of a study's own file.

    A file beside observations that are not in a file is read by the defaults.
    """
    if isinstance(observations, FileObservations):
        return observations.replace(file=file, without=[], additions=[])
    return FileObservations(file=file)
