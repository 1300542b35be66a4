"""Tables of claims and metrics, as they are written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from popinv.methods.metrics import flat, flatten, write_metrics
from popinv_papers.kit.claims import (
    COLUMNS,
    Claim,
    Control,
    Measured,
    Range,
    Rows,
    Values,
    above,
    below,
    claim_cells,
    judged_again,
    measured,
    within,
    write_claims,
)

LEAD = [1.0, 1.2, 0.8, 1.1, 0.9]
NOTHING = [0.1, -0.2, 0.2, -0.1, 0.0]
NONE = [0.0] * 5
HEADLINES = Rows("headline", "paper", "abstract")
DERIVED = Rows("reconstruction", "reconstruction")


def headline(found: Values, criterion: Range, control: Values, **words: str) -> Claim:
    without = "weights made equal", control
    return HEADLINES.row("ours is ahead", "positive", found, criterion, without, **words)


def test_rows_stand_at_one_place_and_tell_what_their_criterion_asks_for() -> None:
    words = {"missed": "Few seeds.", "told": "By exact sums."}
    assert headline(LEAD, above(), NONE, **words) == Claim(
        *("headline", "ours is ahead", "paper", "abstract", "positive", measured(LEAD), above()),
        *(Control("weights made equal", measured(NONE)), "holds"),
        why="By exact sums.",
    )
    missed = headline(NONE, above(), NONE, **words)
    assert (missed.status, missed.why) == ("does not hold", "Few seeds.")
    exact = DERIVED.row("a sum", 1.0, 1.0, within(1.0))
    assert (exact.found, exact.control, exact.why) == (measured(1.0), None, "")


def test_metrics_are_numbers_or_texts() -> None:
    assert flat({"a": np.float64(1.5), "b": True, "c": "x"}) == {"a": 1.5, "b": 1, "c": "x"}
    with pytest.raises(ValueError, match="metric 'a' is a list"):
        flat({"a": [1, 2]})


def test_metrics_are_written_as_they_are(tmp_path: Path) -> None:
    write_metrics({"a": np.float64(1.5), "b": True}, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"a": 1.5, "b": 1}


def test_entries_are_named_by_their_coordinates() -> None:
    values = xr.DataArray(
        [[1.0, 2.0], [3.0, 4.0]],
        {"rule": ["sign", "plain"], "epsilon": [0.5, 1.0]},
        ("rule", "epsilon"),
    )
    assert flatten(values, "loss_{rule}_at_{epsilon:g}") == {
        "loss_sign_at_0.5": 1.0,
        "loss_sign_at_1": 2.0,
        "loss_plain_at_0.5": 3.0,
        "loss_plain_at_1": 4.0,
    }
    assert flatten(values.sum("epsilon").astype(int), "{rule}") == {"sign": 3, "plain": 7}


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    """Of 2000 samples of 5 normal seeds, 95 % of the intervals hold the mean (error 0.5 %)."""
    draws = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 5))
    found = [measured(each) for each in draws]
    share = np.mean([each.low <= 3.0 <= each.high for each in found])
    assert share == pytest.approx(0.95, abs=0.015)


def test_few_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="4 seeds"):
        measured([1.0, 2.0, 3.0, 4.0])
    assert measured(2.0) == Measured(2.0, 2.0, 2.0, 0)


WIDE = [0.3, -0.1, 0.1, 0.2, -0.2]
UNKNOWN = float("nan")


@pytest.mark.parametrize(
    ("found", "criterion", "control", "status"),
    [
        (LEAD, above(), NONE, "holds"),
        (LEAD, above(), -1.0, "holds"),
        # A miss is a miss, whatever the control does.
        ([-1.0, -1.2, -0.8, -1.1, -0.9], above(), LEAD, "does not hold"),
        ([-1.0, -1.2, -0.8, -1.1, -0.9], above(), NOTHING, "does not hold"),
        # A mean above zero is no lead if its interval holds zero: more seeds would decide.
        (WIDE, above(), NONE, "undecided"),
        (NOTHING, above(), LEAD, "undecided"),
        (LEAD, above(), LEAD, "not comparable"),
        # A control that may meet the criterion says nothing either.
        (LEAD, above(), NOTHING, "not comparable"),
        (LEAD, above(), UNKNOWN, "not comparable"),
        # No effect in any seed is an interval without width at zero; it is neither lead nor loss.
        (NONE, above(), NONE, "does not hold"),
        (NONE, below(0.0), LEAD, "holds"),
        (NONE, within(0.0), LEAD, "holds"),
        # The bound is not widened by the uncertainty: the mean is near, the interval is not.
        (LEAD, within(1.0, share=0.05), NOTHING, "undecided"),
        (LEAD, within(1.0, share=0.25), NOTHING, "holds"),
        (LEAD, within(2.0, share=0.25), NONE, "does not hold"),
        (LEAD, within(0.9, bound=0.31), NOTHING, "holds"),
        (NOTHING, below(0.5), LEAD, "holds"),
        (LEAD, below(0.5), NOTHING, "does not hold"),
        # Where there is no number, nothing is shown and nothing refuted.
        (UNKNOWN, below(0.5), LEAD, "undecided"),
        # An exact number at the border: a bound belongs to its range, the limit of a lead does not.
        (0.5, below(0.5), LEAD, "holds"),
        (0.5, above(0.5), NONE, "does not hold"),
    ],
)
def test_the_status_follows_from_the_interval_and_the_control(
    found: Values, criterion: Range, control: Values, status: str
) -> None:
    assert headline(found, criterion, control).status == status


def test_a_setting_that_is_too_far_decides_only_what_would_hold() -> None:
    far = {"too_far": "a hundredth of the paper's steps"}
    lost = [-1.0, -1.2, -0.8, -1.1, -0.9]
    assert headline(LEAD, above(), NONE, **far).status == "not comparable"
    assert headline(WIDE, above(), NONE, **far).status == "undecided"
    assert headline(lost, above(), NONE, **far).status == "does not hold"


def test_a_headline_needs_a_control() -> None:
    with pytest.raises(ValueError, match="needs a control: a rate"):
        HEADLINES.row("a rate", 1.0, LEAD, above())
    assert DERIVED.row("a rate", 1.0, LEAD, above()).status == "holds"


ROWS = [
    DERIVED.row("a, b", 0.123456, LEAD, below(2.0)),
    headline(LEAD, above(), NONE),
    HEADLINES.unsettled("size", "90 %", "not comparable", "10^5 samples"),
]


def written_rows(rows: list[Claim], folder: Path) -> list[dict[str, str]]:
    write_claims(rows, folder / "claims.csv")
    with (folder / "claims.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_written_with_the_headlines_first(tmp_path: Path) -> None:
    written = written_rows(ROWS, tmp_path)
    assert list(written[0]) == list(COLUMNS)
    assert [row["claim"] for row in written] == ["ours is ahead", "size", "a, b"]
    assert claim_cells(written[0]) == {
        "claim": "ours is ahead",
        "source": "paper, abstract",
        "expected": "positive",
        "ours": "1 (0.8037 to 1.196), 5 seeds",
        "criterion": "interval above 0",
        "control": "weights made equal: 0 (0 to 0)",
        "status": "holds",
    }
    assert claim_cells(written[1])["status"] == "not comparable: 10^5 samples"
    assert claim_cells(written[2])["expected"] == "0.1235"


def test_readers_are_told_why_a_row_cannot_be_compared(tmp_path: Path) -> None:
    words = {"told": "Two rates were tried.", "too_far": "A tenth of the steps."}
    row = headline(LEAD, above(), NOTHING, **words)
    (written,) = written_rows([row], tmp_path)
    assert claim_cells(written)["status"] == (
        "not comparable: The control's interval is not wholly outside the criterion. A tenth of "
        "the steps. Two rates were tried."
    )


def test_a_written_row_can_be_judged_again(tmp_path: Path) -> None:
    several = [
        *ROWS,
        headline(WIDE, above(), NONE),
        headline(LEAD, within(1.0, share=0.25), NOTHING),
        headline(LEAD, above(), LEAD),
        headline(2.0, below(1.0), 0.5),
        headline(LEAD, above(), NONE, too_far="A tenth of the steps."),
    ]
    for row in written_rows(several, tmp_path):
        assert judged_again(row) == row
        if row["criterion"]:
            stale = row | {"status": "holds", "why": "", "criterion": "in another form"}
            assert judged_again(stale) == row
    # A rule that changes, changes the row: here the interval comes to hold the border.
    row = written_rows([headline(LEAD, above(), NONE)], tmp_path)[0]
    assert judged_again(row | {"low": "-0.1"})["status"] == "undecided"
