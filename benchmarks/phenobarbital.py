"""Phenobarbital in infants: popinv beside quadrature and nlme, both in R.

    python -m benchmarks.phenobarbital            # writes docs/tables/data/phenobarbital.csv

R runs docs/tables/phenobarbital.R.
"""

from __future__ import annotations

from benchmarks.machine import ROOT, by_rscript, confine

if __name__ == "__main__":
    confine()

import re
import sys
from typing import Any

import numpy as np
import pandas as pd

import popinv
from benchmarks.measured_rows import write_rows
from popinv.inference.answer.result import estimate_of

REAL = ROOT / "config/examples/real_data"
COLUMNS = (
    "CL (L/h)",
    "V (L)",
    "deviation of log CL",
    "deviation of log V",
    "noise (mg/L)",
    "log likelihood",
)
# Digits of the columns.
_DIGITS = (5, 3, 3, 3, 3, 3)


def fitted() -> tuple[np.ndarray, np.ndarray]:
    """Return popinv's six numbers, and the standard errors of the first five."""
    sys.path.insert(0, str(REAL))
    from models import boluses

    one: dict[str, Any] = {"standard_deviation": 0.5}
    result = popinv.fit(
        pd.read_csv(REAL / "Phenobarb.csv"),
        boluses,
        law={"kind": "lognormal", "start": {"CL": {"mean": -5, **one}, "V": {"mean": 0.3, **one}}},
        noise="isotropic",
        system_column="Subject",
        time_column="time",
        value_column="conc",
        inputs={"time_column": "time", "amount_column": "dose"},
        tests=False,
        progress=False,
    )
    likelihood = result.artefacts["likelihood"]
    # Means of logarithms, and logarithms of the deviations and of that of the noise.
    values = np.exp(estimate_of(likelihood))
    errors = values * np.sqrt(np.diag(likelihood["covariance"].values))
    return np.append(values, result.metrics["log_likelihood"]), errors


def by_r(stated: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the six numbers of each program in R, and the likelihoods by quadrature.

    These are at the five stated parameters (``popinv``) and at those of nlme.
    """
    said = by_rscript(
        str(ROOT / "docs/tables/phenobarbital.R"), *(repr(each) for each in stated.tolist())
    )
    found = {}
    for name in ("quadrature", "nlme"):
        line = re.search(rf"^{name} (.*)$", said, re.MULTILINE)
        assert line is not None, said
        found[name] = np.array([float(cell) for cell in line[1].split()[:6]])
    exact = {}
    for name, before in {"popinv": "^stated", "nlme": "exact log likelihood"}.items():
        line = re.search(rf"{before} (\S+)", said, re.MULTILINE)
        assert line is not None, said
        exact[name] = float(line[1])
    return found, exact


def main() -> None:
    """Write the table."""
    popinv_, errors = fitted()
    others, exact = by_r(popinv_[:5])
    rows = []
    for name, values in {"popinv": popinv_, **others}.items():
        cells = {
            column: f"{value:.{digits}f}"
            for column, value, digits in zip(COLUMNS, values, _DIGITS, strict=True)
        }
        apart = np.abs(values[:5] - popinv_[:5]) / errors
        rows.append(
            {
                "program": name,
                **cells,
                "the same by quadrature": f"{exact.get(name, values[5]):.3f}",
                "largest difference from popinv, standard errors": f"{apart.max():.2f}",
            }
        )
    print(pd.DataFrame(rows).T.to_string())
    write_rows("phenobarbital", rows)


if __name__ == "__main__":
    main()
