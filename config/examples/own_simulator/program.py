"""The same simulator as a program: python program.py INPUT OUTPUT, two CSV files."""

import sys

import numpy as np
from simulator import solve

given, output = sys.argv[1:]
z = np.loadtxt(given, delimiter=",", skiprows=1, ndmin=2)
np.savetxt(output, solve(z), delimiter=",")
