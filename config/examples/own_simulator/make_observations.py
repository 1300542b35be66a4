"""Write observations.csv: 400 imaginary people, each measured once.

Their parameters are lognormal about TRUTH, and the noise is normal and independent. The true
values stand here, so that what the study finds can be compared with them.
"""

from pathlib import Path

import numpy as np
from simulator import TIMES, solve

PEOPLE = 400
# Mean and standard deviation of the logarithm.
TRUTH = {"ka": (0.4, 0.35), "clearance": (1.4, 0.3), "volume": (3.6, 0.2)}
NOISE = 0.3  # mg/L, standard deviation

if __name__ == "__main__":
    rng = np.random.default_rng(2026)
    mean, deviation = np.array(list(TRUTH.values())).T
    z = np.exp(mean + deviation * rng.standard_normal((PEOPLE, len(TRUTH))))
    y = solve(z) + NOISE * rng.standard_normal((PEOPLE, len(TIMES)))
    header = ",".join(f"at {t:g} h" for t in TIMES)
    file = Path(__file__).with_name("observations.csv")
    np.savetxt(file, y, fmt="%.3f", delimiter=",", header=header, comments="")
