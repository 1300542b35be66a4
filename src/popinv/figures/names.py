"""Names of a study's figures, without importing the library that draws them."""

from __future__ import annotations

FIGURES = (
    "observations",
    "examples",
    "individual_fits",
    "law",
    "noise_covariance",
    "descent",
    "surrogate_error",
    "solver_calls",
)
