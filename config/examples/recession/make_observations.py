"""Write recessions.csv: discharge of 80 imaginary catchments on twelve days after rain.

The discharge is q0 / (1 + a t)^2, with q0 lognormal of median 7.4 m3/s and spread 0.35, and a of
median 0.2 per day and spread 0.3. The errors of the gauge have standard deviation 0.15 m3/s and a
correlation of exp(-d / 2) over d days.
"""

import csv
from pathlib import Path

import numpy as np

rng = np.random.default_rng(3)
days = np.arange(1, 13)
q0, a = np.exp(2.0 + 0.35 * rng.standard_normal(80)), np.exp(-1.6 + 0.3 * rng.standard_normal(80))
discharge = q0[:, None] / (1 + a[:, None] * days) ** 2
covariance = 0.15**2 * np.exp(-np.abs(np.subtract.outer(days, days)) / 2)
discharge += rng.multivariate_normal(np.zeros(12), covariance, size=80)

with (Path(__file__).parent / "recessions.csv").open("w", newline="") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["catchment", *(f"day {day}" for day in days)])
    for number, row in enumerate(discharge, 1):
        table.writerow([f"C{number:02d}", *(f"{value:.3f}" for value in row)])
