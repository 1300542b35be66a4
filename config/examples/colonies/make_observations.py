"""Write counts.csv: the cells of 200 imaginary colonies, counted four times.

The logarithm of the rate of division is normal with mean -0.22 and standard deviation 0.2. A count
has a normal error of standard deviation 3.
"""

from pathlib import Path

import numpy as np
from simulator import TIMES, solve

COLONIES, MEAN, DEVIATION, NOISE = 200, -0.22, 0.2, 3.0

if __name__ == "__main__":
    rng = np.random.default_rng(46)
    z = MEAN + DEVIATION * rng.standard_normal((COLONIES, 1))
    y = solve(z, rng.integers(2**31, size=COLONIES))
    y = y + NOISE * rng.standard_normal(y.shape)
    header = ",".join(f"day {t:g}" for t in TIMES)
    file = Path(__file__).with_name("counts.csv")
    np.savetxt(file, y, fmt="%.1f", delimiter=",", header=header, comments="")
