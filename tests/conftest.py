"""What every test shares."""

from __future__ import annotations

import os

# Before NumPy, torch and Firedrake read them: results are compared bit for bit in places.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
