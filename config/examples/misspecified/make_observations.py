"""Observations of populations that the model of misspecified.yaml does not describe.

    python config/examples/misspecified/make_observations.py

Every file has 1000 curves ``size exp(-rate t)`` at ten times, a row a curve. In ``right`` the model
is right: log size and log rate are independent normals of means 0.5 and -0.5 and deviations 0.3 and
0.4, and the noise is independent from time to time with a deviation of 0.1. The others differ from
it in one thing each.
"""

import argparse
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
TIMES = np.linspace(0, 4, 10)
MEAN, DEVIATION, NOISE = np.array([0.5, -0.5]), np.array([0.3, 0.4]), 0.1
SYSTEMS = 1500


def curves(logarithms: np.ndarray) -> np.ndarray:
    """Return the curves (n, 10) of (log size, log rate) (n, 2)."""
    size, rate = np.exp(logarithms).T
    return size[:, None] * np.exp(-rate[:, None] * TIMES)


def cases() -> dict[str, np.ndarray]:
    """Return the observations of every case, by name."""
    rng = np.random.default_rng(1)
    standard = rng.standard_normal((SYSTEMS, 2))
    e = rng.standard_normal((SYSTEMS, len(TIMES)))
    clean = curves(MEAN + DEVIATION * standard)
    noise = NOISE * e
    # Correlation 0.7 of log size and log rate.
    factor = np.linalg.cholesky([[1, 0.7], [0.7, 1]])
    correlated = curves(MEAN + DEVIATION * (standard @ factor.T))
    # Two kinds of systems, of which the rarer decays three times as fast.
    fast = rng.uniform(size=SYSTEMS) < 0.25
    two = np.column_stack([0.5 + 0.3 * standard[:, 0], -0.8 + 0.15 * standard[:, 1] + 1.1 * fast])
    # Student's t with four degrees of freedom, of the same variance.
    heavy = NOISE * rng.standard_t(4, e.shape) / np.sqrt(2)
    proportional = 0.15 * clean * e
    squared = np.exp(-(((TIMES[:, None] - TIMES) / 0.8) ** 2) / 2) + 1e-9 * np.eye(len(TIMES))
    smooth = NOISE * e @ np.linalg.cholesky(squared).T
    return {
        "right": clean + noise,
        "correlated_parameters": correlated + noise,
        "two_kinds": curves(two) + noise,
        "heavy_tailed_noise": clean + heavy,
        "proportional_noise": clean + proportional,
        "smooth_noise": clean + smooth,
    }


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, rows in cases().items():
        np.savetxt(
            FOLDER / f"{name}.csv",
            rows,
            fmt="%.3f",
            delimiter=",",
            header=",".join(f"t{i}" for i in range(len(TIMES))),
            comments="",
        )
