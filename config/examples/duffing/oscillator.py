"""Free oscillations of Duffing's oscillator: a program that reads and writes CSV files.

    python oscillator.py INPUT OUTPUT

    x'' + damping x' + stiffness x + cubic x^3 = 0,    x(0) = 1.5,  x'(0) = 0

INPUT has a line of names, then the parameters of a system in each line. OUTPUT gets the positions
at the times 0.25, 0.5, ..., 10 of a system in each line. The fourth-order Runge-Kutta method has
ten steps between two times.
"""

import csv
import sys

TIMES, BETWEEN, STEPS = 40, 0.25, 10


def solve(damping, stiffness, cubic):
    """Return the positions of one system."""

    def force(x, v):
        return -damping * v - (stiffness + cubic * x * x) * x

    h, x, v, positions = BETWEEN / STEPS, 1.5, 0.0, []
    for _ in range(TIMES):
        for _ in range(STEPS):
            a1 = force(x, v)
            v2 = v + h / 2 * a1
            a2 = force(x + h / 2 * v, v2)
            v3 = v + h / 2 * a2
            a3 = force(x + h / 2 * v2, v3)
            v4 = v + h * a3
            a4 = force(x + h * v3, v4)
            x += h / 6 * (v + 2 * v2 + 2 * v3 + v4)
            v += h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        positions.append(x)
    return positions


if __name__ == "__main__":
    given, output = sys.argv[1:]
    with open(given, newline="") as file:
        rows = list(csv.reader(file))[1:]
    with open(output, "w", newline="") as file:
        csv.writer(file).writerows(solve(*map(float, row)) for row in rows)
