"""Make the small problems of the inference's tests importable by these."""

from __future__ import annotations

import sys
from pathlib import Path

from few_draws import few_draws

__all__ = ["few_draws"]

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
