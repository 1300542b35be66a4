"""Laws with levels: popinv beside nlme and lme4 (R), by maximum likelihood and by REML.

    python -m benchmarks.levels            # docs/tables/data/levels.csv

R runs docs/tables/levels.R, which also writes the data: those of the packages nlme (Pinheiro and
Bates, Mixed-Effects Models in S and S-PLUS, Springer, 2000) and lme4.
"""

from __future__ import annotations

from benchmarks.machine import ROOT, by_rscript, confine

if __name__ == "__main__":
    confine()

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import popinv
from benchmarks.measured_rows import write_rows

# Share of the largest deviation below which a deviation counts as zero.
_ZERO = 0.01
METHODS = {"ML": "likelihood", "REML": "reml"}


def polynomial(z: torch.Tensor, times: Any) -> torch.Tensor:
    """Return z_0 + z_1 t + z_2 t^2 + ..."""
    t = torch.as_tensor(times)
    return sum((z[:, k : k + 1] * t**k for k in range(z.shape[1])), torch.zeros(()))


def constant(z: torch.Tensor) -> torch.Tensor:
    """Return z itself, a single observation."""
    return 1.0 * z


@dataclass(frozen=True)
class Case:
    """A data set and its law.

    Attributes
    ----------
    value
        Column of the observations.
    start
        Mean and standard deviation of each parameter; one with deviation 0 does not vary.
    fixed
        popinv's names of the fixed effects, in R's order.
    deviations
        popinv's names of the standard deviations from the outermost level inwards.
    correlations
        popinv's names of the correlations.
    law, columns
        Further keys of the law, and of the table.
    """

    value: str
    start: Mapping[str, tuple[float, float]]
    fixed: Sequence[str]
    deviations: Sequence[str]
    correlations: Sequence[str]
    law: Mapping[str, Any]
    columns: Mapping[str, Any]

    def fit(self, table: pd.DataFrame, estimator: str) -> popinv.Result:
        """Return popinv's answer."""
        start = {k: {"mean": m, "standard_deviation": s} for k, (m, s) in self.start.items()}
        return popinv.fit(
            table,
            polynomial if "time_column" in self.columns else constant,
            law={"kind": "normal", "start": start, **self.law},
            noise="isotropic",
            value_column=self.value,
            estimator=estimator,
            tests=False,
            progress=False,
            **self.columns,
        )


def _spread(parameters: str, *levels: str) -> list[str]:
    names = parameters.split()
    return [f"{name}{level}_standard_deviation" for level in levels for name in names]


def _means(parameters: str) -> list[str]:
    return [f"{name}_mean" for name in parameters.split()]


_QUARTIC = "a b c d e"
_BY_VOLTAGE = ["level", "slope", "curve"]

CASES = {
    "Pixel": Case(
        value="pixel",
        start={"intercept": (1080, 30), "slope": (5, 2), "curve": (-0.3, 0)},
        fixed=_means("intercept slope curve"),
        deviations=[*_spread("intercept slope", "_Dog"), *_spread("intercept", "_Side")],
        correlations=["intercept_slope_Dog_correlation"],
        law={
            "correlations": True,
            "levels": {"Dog": ["intercept", "slope"], "Side": ["intercept"]},
        },
        columns={"time_column": "day"},
    ),
    "Machines": Case(
        value="score",
        start={"intercept": (60, 5)},
        fixed=[
            "intercept_mean",
            "intercept_Machine_B_coefficient",
            "intercept_Machine_C_coefficient",
        ],
        deviations=_spread("intercept", "_Worker", "_Machine"),
        correlations=[],
        law={
            "covariates": {"intercept": ["Machine_B", "Machine_C"]},
            "levels": {"Worker": ["intercept"], "Machine": ["intercept"]},
        },
        columns={"replicates": "rows"},
    ),
    "Oats": Case(
        value="yield",
        start={"intercept": (80, 20), "nitro": (60, 0)},
        fixed=_means("intercept nitro"),
        deviations=_spread("intercept", "_Block", "_Variety"),
        correlations=[],
        law={"levels": {"Block": ["intercept"], "Variety": ["intercept"]}},
        columns={"time_column": "nitro"},
    ),
    "Wafer": Case(
        value="current",
        start={"level": (-4, 0.2), "slope": (5, 0.3), "curve": (1.2, 0.1)},
        fixed=_means("level slope curve"),
        deviations=_spread("level slope curve", "_Wafer", "_Site"),
        correlations=[],
        law={"levels": {"Wafer": _BY_VOLTAGE, "Site": _BY_VOLTAGE}},
        columns={"time_column": "voltage"},
    ),
    "Dialyzer": Case(
        value="rate",
        start={"a": (-16, 2), "b": (88, 5), "c": (-43, 2), "d": (9, 0), "e": (-0.7, 0)},
        fixed=[*_means(_QUARTIC), *(f"{each}_qb_coefficient" for each in _QUARTIC.split())],
        deviations=_spread("a b c", ""),
        correlations=["a_b_correlation", "a_c_correlation", "b_c_correlation"],
        law={"correlations": True, "covariates": {name: ["qb"] for name in _QUARTIC.split()}},
        columns={"system_column": "Subject", "time_column": "pressure"},
    ),
    "IGF": Case(
        value="conc",
        start={"level": (5, 0.3), "slope": (0, 0.01)},
        fixed=_means("level slope"),
        deviations=_spread("level slope", ""),
        correlations=[],
        law={},
        columns={"system_column": "Lot", "time_column": "age", "replicates": "rows"},
    ),
    "Pastes": Case(
        value="strength",
        start={"strength": (60, 3)},
        fixed=_means("strength"),
        deviations=_spread("strength", "_batch", "_cask"),
        correlations=[],
        law={"levels": {"batch": ["strength"], "cask": ["strength"]}},
        columns={"replicates": "rows"},
    ),
    "sleepstudy": Case(
        value="Reaction",
        start={"intercept": (250, 30), "slope": (10, 5)},
        fixed=_means("intercept slope"),
        deviations=_spread("intercept slope", ""),
        correlations=["intercept_slope_correlation"],
        law={"correlations": True},
        columns={"system_column": "Subject", "time_column": "Days"},
    ),
    "Penicillin": Case(
        value="diameter",
        start={"diameter": (20, 3)},
        fixed=_means("diameter"),
        deviations=_spread("diameter", "_plate", "_sample"),
        correlations=[],
        law={
            "levels": {"plate": ["diameter"], "sample": ["diameter"]},
            "crossed": ["plate", "sample"],
        },
        columns={},
    ),
}


def by_r(folder: Path) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """Return the numbers of each case and method by R, and write the data into a folder."""
    found = {}
    for line in by_rscript(str(ROOT / "docs/tables/levels.R"), str(folder)).splitlines():
        name, method, value, *words = line.split()
        numbers: dict[str, list[float]] = {"value": [float(value)]}
        for word in words:
            if word.isalpha():
                kind = word
                numbers[kind] = []
            else:
                numbers[kind].append(float(word))
        found[name, method] = {kind: np.array(each) for kind, each in numbers.items()}
    return found


def row(name: str, method: str, table: pd.DataFrame, theirs: Mapping[str, np.ndarray]) -> Any:
    """Return the comparison of a case by a method."""
    case = CASES[name]
    result = case.fit(table, METHODS[method])
    own = result.summary()
    apart: dict[str, float] = {}
    names = (
        ("fixed", case.fixed),
        ("deviations", [*case.deviations, "noise_standard_deviation"]),
        ("correlations", case.correlations),
    )
    for kind, parameters in names:
        for parameter, value in zip(parameters, theirs[kind], strict=True):
            ours, error = own.loc[parameter, ["estimate", "standard_error"]]
            if kind == "deviations" and max(ours, value) < _ZERO * theirs[kind].max():
                continue
            apart[parameter] = abs(ours - value) / error
    worst = max(apart, key=lambda key: apart[key])
    value = float(result.metrics["log_likelihood"])
    return {
        "data": name,
        "levels": ", ".join(case.law.get("levels", [case.columns.get("system_column")])),
        "method": method,
        "parameters": f"{len(apart)}",
        "log likelihood": f"{value:.4f}",
        "by R": f"{theirs['value'][0]:.4f}",
        "largest difference, standard errors": f"{apart[worst]:.3f}",
        "of": worst,
    }


def main() -> None:
    """Write the table."""
    with tempfile.TemporaryDirectory() as folder:
        found = by_r(Path(folder))
        rows = [
            row(name, method, pd.read_csv(Path(folder) / f"{name}.csv"), theirs)
            for (name, method), theirs in found.items()
        ]
    print(pd.DataFrame(rows).to_string())
    write_rows("levels", rows)


if __name__ == "__main__":
    main()
