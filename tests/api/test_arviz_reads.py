"""ArviZ, where it is installed, reads the DataTree of a result."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pytest


def read(arviz: Any, tree: Any) -> Any:
    """Return the tree as this version of ArviZ takes it: as it is from version 1 on."""
    older = getattr(arviz, "InferenceData", None)
    return older.from_datatree(tree) if hasattr(older, "from_datatree") else tree


@pytest.mark.filterwarnings("ignore")
def test_summary_and_pairs(arviz, boys_result):
    data = read(arviz, boys_result.to_datatree())
    table, ours = arviz.summary(data, kind="stats", round_to="none"), boys_result.summary()
    assert list(table.index) == list(ours.index)
    apart = (table["mean"].astype(float) - ours["estimate"]).abs()
    assert (apart < 0.5 * ours["standard_error"]).all()
    arviz.plot_pair(data)
    plt.close("all")
