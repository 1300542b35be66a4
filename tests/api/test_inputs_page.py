"""The example of docs/inputs.md runs, and its maximum is that of a program of its own.

The exact values are of adaptive Gauss-Hermite quadrature with 31 nodes in each of two dimensions,
maximised in R.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "inputs.md").read_text()
# Medians of CL and V, their standard deviations, the noise, and the log likelihood.
QUADRATURE = [0.005663049, 1.441822980, 0.466131628, 0.447540680, 2.791928863]
LARGEST = -504.1262


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> None:
    """Leave the numbers of draws as users have them, in place of the fixture of this folder."""


@pytest.mark.full
def test_the_example_of_the_page(monkeypatch):
    monkeypatch.chdir(ROOT)
    space: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/inputs.md", "exec"), space)
    result = space["result"]
    assert result.metrics["log_likelihood"] == pytest.approx(LARGEST, abs=0.02)
    summary = result.summary()
    gaps = (summary["estimate"].to_numpy() - QUADRATURE) / summary["standard_error"].to_numpy()
    assert np.abs(gaps).max() < 0.12
