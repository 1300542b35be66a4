"""The keys that state limits of observations, in a study's section and in its table.

A limit is a number, a list with one for each observation, or in columns
(:mod:`popinv.observation_files.limits`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from popinv.sections.base import Number, Section

VARIABLES = {
    "censored_below": "lower limit of quantification",
    "censored_above": "upper limit of quantification",
    "not_below": "what a value that is censored below is known not to lie below",
    "not_above": "what a value that is censored above is known not to lie above",
}
"""The keys of the limits l, u, a and b, and what they are."""

ORDER = (
    ("not_below", "censored_below"),
    ("censored_below", "censored_above"),
    ("censored_above", "not_above"),
)


class LimitColumns(Section):
    """Columns of a table that hold limits."""

    column: Annotated[
        list[str],
        Field(min_length=1),
        BeforeValidator(lambda name: [name] if isinstance(name, str) else name),
    ] = Field(
        description="Name of the column of a table with the limits, or, for a wide table, a list "
        "with one for each observation; of a NetCDF or zarr file the name of a variable of the "
        "dimensions of the observations."
    )


def _form(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "<several>"
    return "<column>" if isinstance(value, dict | LimitColumns) else "<one>"


_One = Annotated[Number, Tag("<one>")]
_Several = Annotated[list[Number], Field(min_length=1), Tag("<several>")]
StatedLimit = Annotated[_One | _Several, Discriminator(_form)]
LimitOfTable = Annotated[
    _One | _Several | Annotated[LimitColumns, Tag("<column>")], Discriminator(_form)
]

DESCRIPTIONS = {
    "censored_below": "Limit of quantification, in the unit of the observations: one number, or "
    "one for each observation. Of a value at or below it, only this fact is used.",
    "censored_above": "Upper limit of quantification, for values at the limit or above. It is "
    "stated as `censored_below`.",
    "not_below": "Lower bound of the values that are censored below, such as 0 for a "
    "concentration. It is stated as `censored_below`.",
    "not_above": "Upper bound of the values that are censored above. It is stated as "
    "`censored_below`.",
}


def limit_field(name: str, columns: str = "") -> Any:
    """Return the field of a limit in a section, with a sentence on limits in columns."""
    described = DESCRIPTIONS[name] + columns
    return Field(default=None, description=described, json_schema_extra={"x-default": "none"})


def states_limits(section: Section) -> bool:
    """Return whether a section states limits of the observations."""
    named = (*VARIABLES, "censoring_column")
    return any(getattr(section, name, None) is not None for name in named)
