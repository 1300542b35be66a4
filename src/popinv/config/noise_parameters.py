"""The parameters of each family of noise, as they are given for the start and for the truth."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer

from popinv.config.base import NotBoolean, Positive, Section

__all__ = [
    "LENGTH",
    "NUGGET",
    "PLACE_CORRELATION",
    "AutoregressiveParameters",
    "BlockParameters",
    "FullParameters",
    "KernelParameters",
    "StandardDeviation",
    "StandardDeviations",
]

# Where these start when there is one and nothing is said.
NUGGET = 0.1
LENGTH = 0.3
PLACE_CORRELATION = 0.0


def _one_or_several(value: Any) -> str:
    return "<several>" if isinstance(value, list | tuple) else "<one>"


Correlation = Annotated[float, Field(gt=-1, lt=1), NotBoolean]
Positives = Annotated[
    Annotated[Positive, Tag("<one>")] | Annotated[list[Positive], Tag("<several>")],
    Discriminator(_one_or_several),
]
Correlations = Annotated[
    Annotated[Correlation, Tag("<one>")] | Annotated[list[Correlation], Tag("<several>")],
    Discriminator(_one_or_several),
]


class StandardDeviation(Section):
    """The unknown of uncorrelated noise of one size."""

    standard_deviation: Positive = Field(
        default=0.3,
        description="Standard deviation at every sensor, in the unit of the observations.",
    )


class StandardDeviations(Section):
    """The unknowns of uncorrelated noise."""

    standard_deviation: Positives = Field(
        default=0.3,
        description="Standard deviation in the unit of the observations: one number for all, or a "
        "list with one for each observation.",
    )


class KernelParameters(Section):
    """The unknowns of noise that is correlated from sensor to sensor."""

    amplitude: Positive = Field(
        default=0.3,
        description="Standard deviation of the correlated part, in the unit of the observations.",
    )
    length: Positive = Field(
        default=LENGTH, description="Correlation length; the side of the domain is 1."
    )
    nugget: Positive | None = Field(
        default=None,
        description="Standard deviation of the uncorrelated part, where there is one.",
        json_schema_extra={"x-default": f"{NUGGET} where `nugget: true`"},
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _present(dump(self))


class AutoregressiveParameters(Section):
    """The unknowns of noise that is correlated in time."""

    standard_deviation: Positive = Field(
        default=0.3, description="Standard deviation, in the unit of the observations."
    )
    correlation: Correlations = Field(
        default=0.3,
        description="Correlation from each time to the next. Of a higher order, a list of the "
        "partial autocorrelations at lags 1, 2, ...; one number is that at lag 1, the others 0.",
    )


class BlockParameters(Section):
    """The unknowns of noise that is correlated in place and in time."""

    standard_deviation: Positives = Field(
        default=0.3,
        description="Standard deviation in the unit of the observations: one number for all, or, "
        "with places `diagonal` or `full`, a list with one for each place.",
    )
    length: Positive | None = Field(
        default=None,
        description="Correlation length, where places have a kernel.",
        json_schema_extra={"x-default": f"{LENGTH} where places have a kernel"},
    )
    place_correlation: Correlations | None = Field(
        default=None,
        description="Correlations between places, with places `full`: one number for all pairs, "
        "or a list of (1, 2), (1, 3), (2, 3), (1, 4), ...",
        json_schema_extra={"x-default": f"{PLACE_CORRELATION:g} with places `full`"},
    )
    time_correlation: Correlations = Field(
        default=0.3,
        description="Correlation from each time to the next, or a list as that of "
        "`autoregressive` noise.",
    )

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _present(dump(self))


class FullParameters(StandardDeviations):
    """The unknowns of noise of unrestricted covariance."""

    correlation: Correlations = Field(
        default=0.0,
        description="Correlations: one number for all pairs of observations, or a list of "
        "(1, 2), (1, 3), (2, 3), (1, 4), ...",
    )


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
