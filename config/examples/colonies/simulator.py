"""The number of cells of a colony over time: a birth-death process, drawn exactly.

A colony starts with 20 cells. Each cell divides at the rate exp(log_rate) and dies at the rate 0.2,
per day. Two colonies with the same rate have different numbers of cells.
"""

import numpy as np

CELLS, DEATH = 20, 0.2
TIMES = (0.5, 1.0, 1.5, 2.0)


def after(cells, rate, step, rng):
    """Return the number of cells after a step of time."""
    growth = np.exp((rate - DEATH) * step)
    share = (growth - 1) / (rate * growth - DEATH)
    # A cell leaves none with probability DEATH share, and otherwise a geometric number.
    kept = rng.binomial(cells, 1 - DEATH * share)
    return kept + (rng.negative_binomial(kept, 1 - rate * share) if kept else 0)


def solve(z, seeds):
    """Return the cells (n, 4) of colonies with log rates z (n, 1), drawn from their seeds."""
    y = np.empty((len(z), len(TIMES)))
    for i, (log_rate, seed) in enumerate(zip(z[:, 0], seeds, strict=True)):
        rng, cells = np.random.default_rng(seed), CELLS
        for j, step in enumerate(np.diff(TIMES, prepend=0.0)):
            y[i, j] = cells = after(cells, np.exp(log_rate), step, rng)
    return y
