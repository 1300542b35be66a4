"""Systems whose response is linear in doses over time, and the maximum of their exact likelihood.

The response is ``y(t) = z sum of the doses up to t``, so that with z ~ N(m, s^2) and noise of
variance v the observations of a system are N(m u, s^2 u u^T + v I).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

LAW = {"kind": "normal", "start": {"z": {"mean": 1.0, "standard_deviation": 1.0}}}


@lru_cache
def table() -> pd.DataFrame:
    """Return doses, with further ones by ADDL and II, and observations of 12 systems."""
    rng, rows = np.random.default_rng(3), []
    for system in range(12):
        z, given = 2 + 0.5 * rng.standard_normal(), []
        doses = [(0.0, rng.uniform(0.5, 1.5), system % 3, 1.5)]
        doses += [(5.0, 1.0, 0, 0.0)] if system % 2 else []
        for time, amount, further, interval in doses:
            rows.append((system, time, 1, amount, further, interval, np.nan))
            given += [(time + i * interval, amount) for i in range(further + 1)]
        for time in (1.0, 2.0, 4.0, 6.0):
            u = sum(amount for at, amount in given if at <= time)
            rows.append((system, time, 0, 0.0, 0, 0.0, z * u + 0.2 * rng.standard_normal()))
    frame = pd.DataFrame(rows, columns=["ID", "TIME", "EVID", "AMT", "ADDL", "II", "DV"])
    return frame.sort_values(["ID", "TIME"], kind="stable")


@lru_cache
def exact() -> tuple[float, np.ndarray]:
    """Return the largest log likelihood, and m, s and the noise there."""
    return maximum(table())


def maximum(doses_and_observations: pd.DataFrame) -> tuple[float, np.ndarray]:
    """Return what :func:`exact` returns for some rows of the table."""
    systems = []
    for _, of in doses_and_observations.groupby("ID"):
        doses, seen = of[of.EVID == 1], of[of.EVID == 0]
        u = np.zeros(len(seen))
        for dose in doses.itertuples():
            for i in range(dose.ADDL + 1):
                u += dose.AMT * (dose.TIME + i * dose.II <= seen.TIME)
        systems.append((u, seen.DV.to_numpy()))

    def lost(p: np.ndarray) -> float:
        m, s, noise = p[0], np.exp(p[1]), np.exp(p[2])
        return -sum(
            multivariate_normal(m * u, s**2 * np.outer(u, u) + noise**2 * np.eye(len(u))).logpdf(y)
            for u, y in systems
        )

    best = minimize(lost, [2.0, -0.7, -1.6], method="Nelder-Mead", options={"fatol": 1e-9})
    return -best.fun, np.array([best.x[0], *np.exp(best.x[1:])])
