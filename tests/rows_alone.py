"""The answer of a row does not depend on the other rows of its batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def assert_rows_are_alone(
    solve: Callable[[np.ndarray], np.ndarray], z: np.ndarray, *sizes: int
) -> None:
    """Check that an answer does not depend on its batch, whose size and order vary."""
    whole = solve(z)
    assert np.isfinite(whole).all()
    for size in sizes:
        parts = [solve(z[i : i + size]) for i in range(0, len(z), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(solve(np.asfortranarray(z[::-1]))[::-1], whole)
