"""Write observations.csv: 400 oscillators, each observed once through noise that is correlated.

    python make_observations.py [SEED [FILE]]

Their parameters are lognormal about TRUTH. The noise is a stationary autoregression of order 1. The
equation is solved by SciPy's method of order 8, which shares no code with oscillator.py.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp

OSCILLATORS = 400
TIMES = np.arange(1, 41) * 0.25
# Mean and standard deviation of the logarithm.
TRUTH = {"damping": (-2.0, 0.3), "stiffness": (0.0, 0.15), "cubic": (-0.3, 0.25)}
NOISE, CORRELATION = 0.1, 0.6


def position(damping, stiffness, cubic):
    """Return the positions of one system at all times."""

    def slope(_, state):
        x, v = state
        return [v, -damping * v - stiffness * x - cubic * x**3]

    solved = solve_ivp(
        slope, (0, TIMES[-1]), [1.5, 0.0], "DOP853", t_eval=TIMES, rtol=1e-10, atol=1e-12
    )
    return solved.y[0]


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 2026
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("observations.csv")
    rng = np.random.default_rng(seed)
    mean, deviation = np.array(list(TRUTH.values())).T
    z = np.exp(mean + deviation * rng.standard_normal((OSCILLATORS, len(TRUTH))))
    e = rng.standard_normal((OSCILLATORS, len(TIMES)))
    for k in range(1, len(TIMES)):
        e[:, k] = CORRELATION * e[:, k - 1] + np.sqrt(1 - CORRELATION**2) * e[:, k]
    y = np.array([position(*row) for row in z]) + NOISE * e
    header = ",".join(f"at {t:g}" for t in TIMES)
    np.savetxt(file, y, fmt="%.4f", delimiter=",", header=header, comments="")
