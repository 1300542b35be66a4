"""Write levels.csv: concentrations of 60 imaginary patients after one dose of a drug.

A dose spreads in a volume V and is cleared at a rate C/V: c(t) = dose / V exp(-C t / V). V is
lognormal with median 40 L and spread 0.25, C with median 4 L/h and spread 0.35. The assay errs by
10 %, and reports concentrations below 0.4 mg/L as <0.4.
"""

import csv
from pathlib import Path

import numpy as np

rng = np.random.default_rng(7)
TIMES = np.array([1, 2, 4, 6, 8, 12, 16, 24, 36])

with (Path(__file__).parent / "levels.csv").open("w", newline="") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["ID", "TIME", "AMT", "EVID", "WT", "DV"])
    for patient in range(1, 61):
        dose, weight = int(rng.choice([100, 200, 400])), round(float(rng.normal(72, 11)), 1)
        volume = 40 * np.exp(0.25 * rng.standard_normal())
        clearance = 4 * np.exp(0.35 * rng.standard_normal())
        table.writerow([f"P{patient:02d}", 0, dose, 1, weight, ""])
        for time in np.sort(rng.choice(TIMES, rng.integers(4, 8), replace=False)):
            level = dose / volume * np.exp(-clearance / volume * time)
            level *= 1 + 0.1 * rng.standard_normal()
            told = "<0.4" if level < 0.4 else f"{level:.3g}"
            table.writerow([f"P{patient:02d}", time, "", 0, weight, told])
