"""How often the 95 % intervals hold the truth, over data sets like the study's own.

Each replication draws a data set from the truth, fits it and resamples its systems exactly as the
study does. Of R replications, a number with the binomial law of the intervals' true coverage hold
the truth; its share is given with a Wilson interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from popinv.artefacts import law_and_noise_coordinates, variable
from popinv.inference.descent import run
from popinv.inference.problem import DescentSettings, Problem, begin
from popinv.inference.resampling import bootstrap, noise_interval, normal_interval

__all__ = ["coverage", "coverage_metrics", "replicate"]

_ENDS = ("lower", "upper")
_PARTS = (("law", "alpha"), ("noise", "noise"))


def replicate(
    problem: Problem,
    settings: DescentSettings,
    start: tuple[np.ndarray, np.ndarray],
    resamples: int,
    iterations: int | None = None,
) -> xr.Dataset:
    """Fit one data set, and find its intervals from resampled systems.

    Parameters
    ----------
    problem : Problem
        The data set, drawn from the truth. Its stage is the address of all random draws.
    settings : DescentSettings
        Those of the study.
    start : (alpha, gamma)
        Where the descent starts.
    resamples : int
        Resamples for the intervals.
    iterations : int, optional
        Steps of a resample's descent.

    Returns
    -------
    Dataset
        ``law``, ``law_lower`` and ``law_upper`` along ``law_parameter``, natural values, and the
        same for ``noise``.
    """
    found = run(begin(*start, settings), problem, settings, progress=False)
    resampled = replace(problem, stage=f"{problem.stage}/bootstrap")
    answers = bootstrap(
        resampled, settings, found.alpha, found.gamma, resamples, iterations, progress=False
    )
    intervals = _intervals(problem, found.alpha, found.gamma, answers)
    return xr.Dataset(
        {
            name: variable(f"{name.split('_')[0]}_parameter", values, name.replace("_", ", "))
            for name, values in intervals.items()
        },
        coords=law_and_noise_coordinates(problem.law.names, problem.noise.names),
    )


def _intervals(
    problem: Problem, alpha: np.ndarray, gamma: np.ndarray, answers: np.ndarray
) -> dict[str, np.ndarray]:
    """Return estimates and the ends of their intervals, natural values."""
    law, noise, d_alpha = problem.law, problem.noise, problem.d_alpha
    law_ends = [law.to_natural(end) for end in normal_interval(alpha, answers[:, :d_alpha])]
    noise_ends = noise_interval(noise, gamma, answers[:, d_alpha:])
    return {
        "law": law.to_natural(alpha),
        **{f"law_{end}": values for end, values in zip(_ENDS, law_ends, strict=True)},
        "noise": noise.to_natural(gamma),
        **{f"noise_{end}": values for end, values in zip(_ENDS, noise_ends, strict=True)},
    }


def coverage(blocks: Sequence[xr.Dataset], truth: xr.Dataset) -> xr.Dataset:
    """Count how often the intervals hold the truth.

    Parameters
    ----------
    blocks : sequence of Dataset
        Results of :func:`replicate`, joined along ``replication``.
    truth : Dataset
        ``law`` along ``law_parameter`` and ``noise`` along ``noise_parameter``, natural values.
        Noise of another family, which has other parameters or is left out, has no coverage.

    Returns
    -------
    Dataset
        What the blocks hold, joined; and for law and noise ``*_coverage``, the share of the
        replications whose interval holds the truth, with ``*_coverage_lower`` and
        ``*_coverage_upper``, its 95 % Wilson interval.
    """
    joined = xr.concat(blocks, "replication", combine_attrs="override")
    for name, _ in _PARTS:
        dim = f"{name}_parameter"
        if name not in truth or list(truth[dim].values) != list(joined[dim].values):
            continue
        true = truth[name].values
        low, high = (joined[f"{name}_{end}"].values for end in _ENDS)
        held = ((low <= true) & (true <= high)).sum(axis=0)
        shares = [binomtest(int(k), len(low)).proportion_ci(method="wilson") for k in held]
        joined[f"{name}_true"] = variable(dim, true, f"true {name}")
        joined[f"{name}_coverage"] = variable(
            dim, held / len(low), f"share of the intervals of the {name} that hold the truth"
        )
        for end, values in zip(_ENDS, zip(*shares, strict=True), strict=True):
            joined[f"{name}_coverage_{end}"] = variable(
                dim, np.array(values), f"{end} end of the share's 95 % interval"
            )
    return joined


def coverage_metrics(found: xr.Dataset) -> dict[str, float | int]:
    """Return each parameter's coverage with its binomial interval, and the mean over parameters."""
    metrics: dict[str, float | int] = {"coverage_replications": found.sizes["replication"]}
    shares = []
    for name, label in _PARTS:
        if f"{name}_coverage" not in found:
            continue
        for i, parameter in enumerate(found[f"{name}_parameter"].values):
            for ending in ("", "_lower", "_upper"):
                value = float(found[f"{name}_coverage{ending}"].values[i])
                metrics[f"coverage_{label}_{parameter}{ending}"] = value
        shares += found[f"{name}_coverage"].values.tolist()
    return metrics | {"coverage_mean": float(np.mean(shares))}
