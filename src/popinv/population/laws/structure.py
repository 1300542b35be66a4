"""Names of the coefficients and correlations of a Gaussian law, in the order of its parameters."""

from __future__ import annotations

from collections.abc import Sequence


def coefficient_names(
    effects: Sequence[tuple[str, str]], scale_effects: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the names of the coefficients of covariates.

    Parameters
    ----------
    effects, scale_effects : sequence of (str, str)
        Pairs of a parameter and a covariate that its mean, or its deviation, depends on.

    Examples
    --------
    >>> coefficient_names([("volume", "weight")], [("volume", "age")])
    ('volume_weight_coefficient', 'volume_age_scale_coefficient')
    """
    return (
        *(f"{name}_{covariate}_coefficient" for name, covariate in effects),
        *(f"{name}_{covariate}_scale_coefficient" for name, covariate in scale_effects),
    )


def correlation_names(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the names of the correlations within groups of parameters.

    In each group they have the order of the entries below the diagonal of its matrix, row by row.

    Examples
    --------
    >>> correlation_names(["abc"])
    ('a_b_correlation', 'a_c_correlation', 'b_c_correlation')
    """
    return tuple(
        f"{group[j]}_{group[i]}_correlation"
        for group in groups
        for i in range(1, len(group))
        for j in range(i)
    )
