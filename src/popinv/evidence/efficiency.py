"""How near the answers of several studies come to the bound, as a page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from popinv.inference.choice import ESTIMATORS

__all__ = ["efficiency_page", "efficiency_table"]

_TITLE = """\
# Efficiency

How near does an answer come to what its data allow, and how often do its intervals hold the
truth? Each study was repeated on new data sets of its own size, each estimated as the study is,
from its start. `snakemake efficiency` makes this page from the calibration
(`evidence.calibration`) of every study of a configuration:

```console
.venv/bin/snakemake efficiency --cores 2 --configfile config/examples/efficiency.yaml
```

*Error over bound* is the root mean square error of a parameter, in logarithms where it is
positive, over the standard error that the likelihood allows (Cramér and Rao); where the pseudo-
likelihood or the distance answers, the bound is that estimator's own standard error. After the
sign ± stands the standard error of the ratio, which so many data sets leave. *Coverage* is the
share of the 95 % intervals that hold the truth, with the 95 % interval of that share.
"""
_ENDS = ("", "_lower", "_upper")
_HEAD = ("parameter", "error over bound", "coverage, %", "truth", "mean estimate")


def efficiency_table(found: xr.Dataset) -> str:
    """Return a table in Markdown, a row for each parameter of a study.

    Parameters
    ----------
    found : Dataset
        Of :func:`popinv.evidence.calibration.calibration`.
    """
    rows = [_HEAD, tuple("---" for _ in _HEAD)]
    efficiency = found["efficiency"].values
    first, count = 0, found.sizes["replication"]
    for part in ("law", "noise"):
        names = found[f"{part}_parameter"].values
        true, estimates = found[f"{part}_true"].values, found[part].values
        for i, name in enumerate(names):
            ratio = efficiency[first + i]
            covered = "not known"
            if f"{part}_coverage" in found:
                shares = [100 * found[f"{part}_coverage{end}"].values[i] for end in _ENDS]
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


def efficiency_page(found: Mapping[str, xr.Dataset], through: Mapping[str, str]) -> str:
    """Return the page: a section with a table for each study.

    Parameters
    ----------
    found : mapping of str to Dataset
        Calibrations, by study.
    through : mapping of str to {"surrogate", "solver"}
        What the new data sets were observed through, by study.
    """
    parts = [_TITLE]
    for name, dataset in found.items():
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
