"""Ultrafiltration of dialysers, each observed at pressures of its own, against nlme (R).

The data are those of the R package nlme 3.1 (GPL 2 or later; Vonesh and Carter, Biometrics 48,
1992; Pinheiro and Bates, Mixed-Effects Models in S and S-PLUS, Springer, 2000, sections 5.2.2 and
8.3.3). ``qb`` is 1 for a blood flow of 300 dl/min and 0 for 200; nlme has it minus its mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import popinv

pytestmark = pytest.mark.full

TABLE = pd.read_csv(Path(__file__).parent / "data" / "Dialyzer.csv")
TABLE["qb"] = (TABLE["QB"] == 300) * 1.0


def quartic(z: torch.Tensor, times: Any) -> torch.Tensor:
    """Return a polynomial of the fourth degree in the pressure."""
    t = torch.as_tensor(times)
    return sum(z[:, k : k + 1] * t**k for k in range(5))


def saturating(z: torch.Tensor, times: Any) -> torch.Tensor:
    """Return rates that rise from zero at an offset to an asymptote (R's SSasympOff)."""
    t = torch.as_tensor(times)
    return z[:, :1] * (1 - torch.exp(-torch.exp(z[:, 1:2]) * (t - z[:, 2:3])))


def fit(simulator: Any, start: dict[str, tuple[float, float]], **law: Any):
    moments = {name: {"mean": m, "standard_deviation": s} for name, (m, s) in start.items()}
    return popinv.fit(
        TABLE[["Subject", "pressure", "rate", "qb"]],
        simulator,
        law={"kind": "normal", "start": moments, **law},
        noise="isotropic",
        system_column="Subject",
        time_column="pressure",
        value_column="rate",
        tests=False,
        progress=False,
    )


def test_the_polynomial_is_that_of_nlme():
    start = {"a": (-16, 2), "b": (88, 5), "c": (-43, 2), "d": (9, 0), "e": (-0.7, 0)}
    result = fit(quartic, start, correlations=True, covariates={name: ["qb"] for name in start})
    # lme(rate ~ (pressure + I(pressure^2) + I(pressure^3) + I(pressure^4)) * qc, Dialyzer,
    #     random = ~ pressure + I(pressure^2), method = "ML"): estimates and standard errors, those
    # of variances by the Hessian of the log likelihood in closed form, which nlme does not state.
    assert result.metrics["log_likelihood"] == pytest.approx(-325.8754807, abs=0.02)
    figures = {
        "a_mean": (-16.6072, 1.3634),
        "b_mean": (88.7120, 5.5887),
        "c_mean": (-42.7774, 6.5793),
        "d_mean": (9.2365, 2.9746),
        "e_mean": (-0.77857, 0.45086),
        "a_qb_coefficient": (-1.2357, 2.7267),
        "b_qb_coefficient": (0.5123, 11.1773),
        "c_qb_coefficient": (3.2677, 13.1586),
        "a_standard_deviation": (1.338497, 0.734),
        "b_standard_deviation": (4.601809, 1.066),
        "c_standard_deviation": (1.382237, 0.321),
        "b_c_correlation": (-0.944, 0.0330),
        "noise_standard_deviation": (1.775638, 0.139),
    }
    for name, (estimate, error) in figures.items():
        found = result.summary().loc[name]
        assert found["estimate"] == pytest.approx(estimate, abs=0.1 * error), name
        assert found["standard_error"] == pytest.approx(error, rel=0.1), name


def quadrature(values: pd.Series, points: int = 40) -> float:
    """Return the log likelihood by Gauss and Hermite's rule in both effects of each dialyser."""
    x, w = np.polynomial.hermite_e.hermegauss(points)
    one, two = (each.ravel()[:, None] for each in np.meshgrid(x, x, indexing="ij"))
    weight = np.outer(w, w).ravel() / (2 * np.pi)
    sigma, total = values["noise_standard_deviation"], 0.0
    for _, own in TABLE.groupby("Subject"):
        qb = own["qb"].iloc[0] - 0.5
        top, rate = (
            values[f"{n}_mean"]
            + values[f"{n}_qb_coefficient"] * qb
            + values[f"{n}_standard_deviation"] * omega
            for n, omega in (("Asym", one), ("lrc", two))
        )
        t, y = own["pressure"].to_numpy(), own["rate"].to_numpy()
        r = (y - top * (1 - np.exp(-np.exp(rate) * (t - values["c0_mean"])))) / sigma
        density = np.exp(-0.5 * (r**2).sum(axis=1)) / (sigma * np.sqrt(2 * np.pi)) ** len(y)
        total += np.log(weight @ density)
    return float(total)


def test_the_asymptotic_curve_is_the_exact_likelihood_near_nlme():
    start = {"Asym": (50, 4), "lrc": (0.5, 0.2), "c0": (0.2, 0)}
    result = fit(saturating, start, covariates={"Asym": ["qb"], "lrc": ["qb"]})
    table = result.summary()
    assert result.metrics["log_likelihood"] == pytest.approx(
        quadrature(table["estimate"]), abs=0.01
    )
    # nlme(rate ~ SSasympOff(pressure, Asym, lrc, c0), Dialyzer, method = "ML",
    #      fixed = list(Asym + lrc ~ qc, c0 ~ 1), random = pdDiag(Asym + lrc ~ 1)).
    # It linearises the model, whose log likelihood it finds to be -354.92.
    nlme = {
        "Asym_mean": 53.68652,
        "lrc_mean": 0.50423,
        "c0_mean": 0.224636,
        "Asym_qb_coefficient": 17.18950,
        "lrc_qb_coefficient": -0.50612,
        "Asym_standard_deviation": 3.18180,
        "noise_standard_deviation": 2.51294,
    }
    for name, estimate in nlme.items():
        error = table["standard_error"][name]
        assert table["estimate"][name] == pytest.approx(estimate, abs=0.1 * error), name
    assert table["estimate"]["lrc_standard_deviation"] == pytest.approx(0.11664, abs=0.0055)
