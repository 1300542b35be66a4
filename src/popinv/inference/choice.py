"""Which estimator's answer is the study's, and what they say of each other."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

__all__ = ["ESTIMATORS", "choose", "words"]

ESTIMATORS = ("likelihood", "pseudo_likelihood", "distance")
"""Best first: the smaller the standard errors under a right model, the earlier."""


def words(name: str) -> str:
    """Return an estimator's name as people say it."""
    return name.replace("_", "-")


def choose(estimates: Mapping[str, xr.Dataset], wanted: str) -> tuple[str, str]:
    """Return the estimator whose answer counts, and why in words.

    Parameters
    ----------
    estimates : mapping of str to Dataset
        By name; the attributes ``passes`` and ``reason`` say whether each can be used.
    wanted : str
        One of :data:`ESTIMATORS`, or "auto" for the best that passes.
    """
    failed = [
        f"the {words(name)} does not pass: {estimates[name].attrs['reason']}"
        for name in ESTIMATORS
        if name in estimates and not estimates[name].attrs["passes"]
    ]
    if wanted != "auto":
        doubt = estimates[wanted].attrs["reason"]
        if "alpha" in estimates[wanted]:
            return wanted, f"asked for{f', though it does not pass: {doubt}' if doubt else ''}"
        # Without an answer of the one asked for, the best of the others has to do.
        failed.insert(0, f"the {words(wanted)} was asked for")
    passing = [n for n in ESTIMATORS if n in estimates and estimates[n].attrs["passes"]]
    if passing:
        return passing[0], "; ".join(["the best that passes", *failed])
    return "distance", "; ".join(["none passes", *failed])
