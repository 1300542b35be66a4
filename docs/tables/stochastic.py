"""Tables of studies of random simulators, which ``benchmarks.stochastic`` measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tables.cells import measured_table

__all__ = ["TABLES"]

# The columns of each file, each with its head in the table: answers to counts of colonies beside
# exact maximum likelihood; coverage with the key and without it; the variance of averages times the
# length of their window; the error of what is learned by the number of solves of each parameter.
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "birth_death": {
        "cells": "cells",
        "corrected": "corrected",
        "parameter": "parameter (of logarithms)",
        "coverage, %": "coverage, %",
        "mean error": "mean error",
        "root mean square error": "root mean square error",
        "root mean square error, exact": "of exact likelihood",
        "mean standard error": "mean standard error",
        "log likelihood lost, mean": "log likelihood lost, mean",
        "log likelihood lost, most": "most",
    },
    "lorenz96": {
        "stochastic": "`stochastic`",
        "parameter": "parameter",
        "coverage, %": "coverage, %",
        "mean error": "mean error",
        "mean standard error": "mean standard error",
    },
    "window": {
        "window": "window",
        "variance of x, times the window": "`x`",
        "variance of x_squared, times the window": "`x_squared`",
        "variance of x_lag_1, times the window": "`x_lag_1`",
    },
    "repeats": {
        "solves": "solves",
        "solves of each parameter": "of each parameter",
        "error of the mean": "error of the mean, standard deviations",
        "relative error of the covariance": "relative error of the covariance",
    },
}

TABLES: Mapping[str, Callable[[], Iterator[str]]] = {
    name: partial(measured_table, f"stochastic_{name}", columns)
    for name, columns in _COLUMNS.items()
}
