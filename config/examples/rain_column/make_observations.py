"""Write heads.csv and rain.csv: 60 imaginary columns, each under rain of its own.

    python config/examples/rain_column/make_observations.py

log K ~ N(log 0.05, 0.4^2), log S ~ N(log 0.2, 0.3^2), noise of 5 mm. The equation is solved by a
Fourier series in space, not by the cells of the study's own solver.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
LENGTH, HEIGHT, TERMS = 1.0, 0.875, 300


def head(conductivity, storage, begin, rain, times):
    """Return the head (T,) at the sensor under rain in m/day."""
    number = (np.arange(TERMS) + 0.5) * np.pi / LENGTH
    decay = conductivity / storage * number**2
    end = np.append(begin[1:], np.inf)
    found = np.zeros(len(times))
    for r, a, b in zip(rain, begin, end, strict=True):
        for j, t in enumerate(times):
            if t > a:
                weight = np.exp(-decay * max(t - b, 0.0)) - np.exp(-decay * (t - a))
                shape = np.sin(number * LENGTH) * np.sin(number * HEIGHT)
                found[j] += 2 * r / (storage * LENGTH) * np.sum(shape * weight / decay)
    return found


def main():
    """Draw the columns, their rain and their heads."""
    rng = np.random.default_rng(1)
    heads, series = ["site,day,head"], ["site,day,rain"]
    for site in range(1, 61):
        conductivity, storage = np.exp(
            np.log([0.05, 0.2]) + np.array([0.4, 0.3]) * rng.standard_normal(2)
        )
        days = np.arange(float(rng.integers(12, 25)))
        # Wet and dry spells.
        rain = np.where(rng.random(len(days)) < 0.4, rng.gamma(1.0, 8.0, len(days)), 0.0).round(1)
        series += [f"{site},{day:g},{value:g}" for day, value in zip(days, rain, strict=True)]
        times = np.sort(rng.choice(np.arange(1.0, days[-1] + 1), 8, replace=False))
        y = head(conductivity, storage, days, rain / 1000, times)
        y += 0.005 * rng.standard_normal(len(y))
        heads += [f"{site},{time:g},{value:.4f}" for time, value in zip(times, y, strict=True)]
    (FOLDER / "heads.csv").write_text("\n".join(heads) + "\n")
    (FOLDER / "rain.csv").write_text("\n".join(series) + "\n")


if __name__ == "__main__":
    main()
