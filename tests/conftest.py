"""What every test shares."""

from __future__ import annotations

import os

from hypothesis import settings

# Before NumPy, torch and Firedrake read them: results are compared bit for bit in places.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

# The same examples in every run: a test fails for what was changed, not by the luck of a draw.
settings.register_profile("popinv", derandomize=True, deadline=None, database=None)
settings.load_profile("popinv")
