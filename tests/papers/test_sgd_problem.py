"""The test problem at a tiny size, and its table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiers import parameters, thinned

from popinv.charts.matplotlib_writer import drawn
from popinv.methods.metrics import flat
from popinv_papers.kit.claims import Range, within
from popinv_papers.sgd_dynamics import check, comparisons, figures
from popinv_papers.sgd_dynamics.check import claims

TINY = comparisons.DynamicsSize(
    300, 300, 2000, (1e-2, 2e-3, 1e-3), (3e-2, 3e-3), (0.17, 0.12), (0.1, 0.05, 0.03), 1e-2
)


# At these large rates and with so few paths the asymptotic formulas of these parts are 10 % off.
ROUGH = (
    comparisons.exit_times,
    comparisons.basins,
    comparisons.quartic_slope,
    comparisons.heavy_escapes,
)


@pytest.mark.full
@parameters("part", *thinned(check.PARTS, 2), ids=lambda part: part.__name__)
def test_no_formula_is_refuted_and_controls_are(part):
    """So few paths support no claim. They refute none either, but all controls."""
    rows = list(part(TINY, 2))
    assert rows
    for row in rows:
        assert row.values.shape == (comparisons.BATCHES,)
        error = row.values.std(ddof=1) / comparisons.BATCHES**0.5
        low, high = row.criterion.low - 4 * error, row.criterion.high + 4 * error
        slack = 0.1 * abs(row.expected) if part in ROUGH else 0.0
        assert low - slack <= row.values.mean() <= high + slack, row
        if row.control is not None:
            control = row.control[1].mean()
            assert not row.criterion.low <= control <= row.criterion.high, row


def test_a_slope_is_that_of_each_batch():
    x = np.array([1.0, 2.0, 3.0])
    values = np.outer(x, [2.0, -1.0]) + 5
    np.testing.assert_allclose(comparisons.slopes(x, values), [2.0, -1.0])


def comparison(name: str, values: list[float], **others: object) -> comparisons.TheoryAndSimulation:
    return comparisons.TheoryAndSimulation(
        name, "words", 1.0, np.array(values), within(1.0, 0.1), **others
    )


NEAR, OFF = [0.99, 1.0, 1.01, 1.0, 1.0], [1.2, 1.25, 1.2, 1.3, 1.2]


def test_comparisons_become_numbers_claims_and_a_picture():
    rows = [
        comparison("a", NEAR, control=("noise", np.array(OFF))),
        comparison("b", NEAR, control=("noise", np.array(NEAR))),
        comparison("c", OFF, part="reconstruction", why="a reason"),
        comparisons.TheoryAndSimulation(
            "d", "words", "tends to 1", np.array(NEAR), Range(0.9), ("x", np.array(OFF))
        ),
    ]
    numbers = check.metrics(rows, check.result_dataset(rows))
    # At small rates the recursion tends to the stable limit.
    gaps = []
    for at in ("index_1.2_rate_0.1", "index_1.2_rate_1e-06"):
        gaps.append(abs(numbers[f"escape_{at}"] - numbers[f"escape_limit_{at}"]))
    assert gaps[1] < 1e-4 < gaps[0]
    assert numbers["a"] == pytest.approx(1.0)
    assert "d_theory" not in numbers
    json.dumps(flat(numbers))
    table = claims(rows)
    assert [row.status for row in table[:3]] == ["holds", "not comparable", "does not hold"]
    assert table[2].why == "a reason"
    result = check.result_dataset(rows)
    assert list(result["comparison"].values) == ["a", "b", "c"]
    # The limit is good at index 1.5, and far off at 1.9.
    off = np.abs(result["escape"] - result["escape_limit"]).sel(rate=1e-3, method="nearest")
    assert float(off.sel(tail_index=1.5)) < 0.01 < 0.03 < float(off.sel(tail_index=1.9))
    assert drawn(figures.draw_comparisons(result)).axes
