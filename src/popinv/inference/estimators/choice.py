"""Choice of the estimator whose answer is the study's."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

ESTIMATORS = ("likelihood", "pseudo_likelihood", "distance")
"""Best estimator first: it has the smallest standard errors if the model is right."""


def words(name: str) -> str:
    """Return an estimator's name in words."""
    return name.replace("_", "-")


def choose(estimates: Mapping[str, xr.Dataset], wanted: str) -> tuple[str, str]:
    """Return the chosen estimator and the reason in words.

    Parameters
    ----------
    estimates : mapping of str to Dataset
        By name. The attributes ``passes`` and ``reason`` say whether each can be used.
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
            return wanted, f"requested{f', though it does not pass: {doubt}' if doubt else ''}"
        # The requested estimator has no answer, so the best of the others is chosen.
        failed.insert(0, f"the {words(wanted)} was requested")
    passing = [n for n in ESTIMATORS if n in estimates and estimates[n].attrs["passes"]]
    if passing:
        return passing[0], "; ".join(["the best that passes", *failed])
    return "distance", "; ".join(["none passes", *failed])


def choose_estimate(wanted: str, **estimates: xr.Dataset) -> tuple[str, xr.Dataset]:
    """Return the estimator whose answer counts, and its estimate; see :func:`choose`.

    Parameters
    ----------
    **estimates : Dataset
        The estimates by the name of their estimator.
    """
    name, _ = choose(estimates, wanted)
    return name, estimates[name]
