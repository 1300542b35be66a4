"""Write pressures.csv: pressures of 120 imaginary tanks that empty through a valve.

A tank has a first pressure, lognormal with median 3 bar and spread 0.2, and a rate, lognormal with
median 0.5 / s and spread 0.3. The valve opens late, and a wave runs through the pipe: the sensors
read 0.15 exp(-t / 4 s) sin(2 pi t / 3 s) bar too much in all tanks. The noise has a standard
deviation of 0.05 bar.
"""

import csv
from pathlib import Path

import numpy as np

rng = np.random.default_rng(11)
TIMES = np.round(np.linspace(0.25, 6.0, 12), 3)

with (Path(__file__).parent / "pressures.csv").open("w", newline="") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["tank", *(f"{time:g}" for time in TIMES)])
    for tank in range(1, 121):
        first = 3.0 * np.exp(0.2 * rng.standard_normal())
        rate = 0.5 * np.exp(0.3 * rng.standard_normal())
        wave = 0.15 * np.exp(-TIMES / 4) * np.sin(2 * np.pi * TIMES / 3)
        pressure = first * np.exp(-rate * TIMES) + wave
        pressure += 0.05 * rng.standard_normal(len(TIMES))
        table.writerow([f"T{tank:03d}", *(f"{value:.4g}" for value in pressure)])
