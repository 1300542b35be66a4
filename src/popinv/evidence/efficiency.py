"""Page of the efficiency of the answers of several studies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from popinv.inference.estimators.choice import ESTIMATORS

_TITLE = """\
# Efficiency

How close is an answer to the best that its data allow, and how often do its intervals hold the
truth? Each study was repeated on new data sets of its own size. Each data set was estimated as in
the study, from the study's start. `snakemake efficiency` makes this page from the calibration
(`evidence.calibration`) of every study of a configuration:

```console
.venv/bin/snakemake efficiency --cores 2 --configfile config/examples/efficiency.yaml
```

*Error over bound* is the root mean square error of a parameter (of its logarithm, if the parameter
is positive) over the standard error that the likelihood allows (the Cramér-Rao bound). If the
pseudo-likelihood or the distance gives the answer, the bound is that estimator's own standard
error. The number after ± is the standard error of the ratio, due to the number of data sets.
*Coverage* is the share of the 95 % intervals that hold the truth, with its own 95 % interval.
"""
_ENDS = ("", "_lower", "_upper")
_HEAD = ("parameter", "error over bound", "coverage, %", "truth", "mean estimate")


def efficiency_table(replications: xr.Dataset) -> str:
    """Return a table in Markdown with a row for each parameter of a study.

    Parameters
    ----------
    replications : Dataset
        From :func:`popinv.evidence.calibration.calibration`.
    """
    rows = [_HEAD, tuple("---" for _ in _HEAD)]
    efficiency = replications["efficiency"].values
    first, count = 0, replications.sizes["replication"]
    for part in ("law", "noise"):
        names = replications[f"{part}_parameter"].values
        true, estimates = replications[f"{part}_true"].values, replications[part].values
        for i, name in enumerate(names):
            ratio = efficiency[first + i]
            covered = "not known"
            if f"{part}_coverage" in replications:
                shares = [100 * replications[f"{part}_coverage{end}"].values[i] for end in _ENDS]
                covered = "{:.1f} ({:.0f} to {:.0f})".format(*shares)
            rows.append(
                (
                    f"{part}: {str(name).replace('_', ' ')}",
                    f"{ratio:.2f} ± {ratio / np.sqrt(2 * count):.2f}",
                    covered,
                    f"{true[:, i].mean():.4g}",
                    f"{estimates[:, i].mean():.4g}",
                )
            )
        first += len(names)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def efficiency_page(calibrations: Mapping[str, xr.Dataset], through: Mapping[str, str]) -> str:
    """Return the page, with a section and a table for each study.

    Parameters
    ----------
    calibrations : mapping of str to Dataset
        Calibrations, by study.
    through : mapping of str to {"surrogate", "solver"}
        The model that made the new data sets, by study.
    """
    parts = [_TITLE]
    for name, dataset in calibrations.items():
        numbers = dataset["estimator"].values
        by = ", ".join(
            f"{estimator.replace('_', '-')} {np.mean(numbers == i):.0%}"
            for i, estimator in enumerate(ESTIMATORS)
            if np.any(numbers == i)
        )
        parts.append(
            f"## {name}\n\n{dataset.sizes['replication']} data sets, observed through the "
            f"{through[name]}; answered by {by}.\n\n{efficiency_table(dataset)}\n"
        )
    return "\n".join(parts)
