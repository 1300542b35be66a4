"""Names of the values of a free-form law, in the order of alpha."""

from __future__ import annotations

from collections.abc import Sequence

FORMS = ("linear", "quadratic", "cubic", "scale")


def coefficient_names(
    ordered: Sequence[str], each: int, pairs: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the names of the coefficients of shapes and of dependence.

    Parameters
    ----------
    ordered : sequence of str
        The parameters in the order of the map.
    each : int
        Number of coefficients of each shape.
    pairs : sequence of (str, str)
        A parameter, and one before it that it depends on.

    Examples
    --------
    >>> coefficient_names("ab", 1, ["ba"])[:3]
    ('a_shape_1', 'b_shape_1', 'b_on_a_linear')
    """
    shapes = [f"{name}_shape_{i + 1}" for name in ordered for i in range(each)]
    on = [f"{one}_on_{other}_{form}" for one, other in pairs for form in FORMS]
    return (*shapes, *on)


def value_names(
    parameters: Sequence[str],
    ordered: Sequence[str],
    each: int,
    pairs: Sequence[tuple[str, str]],
) -> tuple[str, ...]:
    """Return the names of all values: moments, then :func:`coefficient_names`."""
    return (
        *(f"{name}_mean" for name in parameters),
        *(f"{name}_standard_deviation" for name in parameters),
        *coefficient_names(ordered, each, pairs),
    )
