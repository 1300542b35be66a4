"""A drug in the blood after a tablet: a model that popinv knows nothing about.

The tablet dissolves in the gut and reaches the blood at rate ka; from there the drug is cleared,
and goes back and forth between the blood and the tissue:

    gut'    = -ka gut
    blood'  =  ka gut - (clearance + EXCHANGE) blood / volume + EXCHANGE tissue / TISSUE_VOLUME
    tissue' =  EXCHANGE (blood / volume - tissue / TISSUE_VOLUME)

in mg and hours, with gut = DOSE at first. What is measured is the concentration blood / volume.
"""

import numpy as np

DOSE = 320.0  # mg
EXCHANGE = 2.0  # L/h
TISSUE_VOLUME = 30.0  # L
TIMES = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0])  # h
STEP = 0.05  # h


def solve(z):
    """Return the concentrations in mg/L at TIMES, shape (n, 10).

    z has shape (n, 3): ka in 1/h, clearance in L/h, volume in L; one person a row.
    """
    ka, clearance, volume = z.T
    if np.any(z <= 0):
        raise ValueError("rates and volumes must be positive")
    if np.any(ka * STEP > 2):  # popinv finds out which person it is, and keeps the others
        raise ValueError("absorption is too fast for the time step")

    def derivative(gut, blood, tissue):
        exchanged = EXCHANGE * (blood / volume - tissue / TISSUE_VOLUME)
        absorbed = ka * gut
        return np.array([-absorbed, absorbed - clearance * blood / volume - exchanged, exchanged])

    state = np.zeros((3, len(z)))
    state[0] = DOSE
    concentrations = np.empty((len(z), len(TIMES)))
    steps = np.round(np.diff(TIMES, prepend=0.0) / STEP).astype(int)
    for i, count in enumerate(steps):
        for _ in range(count):  # the classical Runge-Kutta method
            k1 = derivative(*state)
            k2 = derivative(*(state + STEP / 2 * k1))
            k3 = derivative(*(state + STEP / 2 * k2))
            k4 = derivative(*(state + STEP * k3))
            state = state + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        concentrations[:, i] = state[1] / volume
    return concentrations
