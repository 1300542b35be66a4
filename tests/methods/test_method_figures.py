"""The numbers beside each figure of the methods are those that were always told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from drawn_methods import DRAWN, federated
from figure_numbers import assert_told, rows_of, tables

from popinv.charts.csv_writer import numbers_of_sheet
from popinv.charts.matplotlib_writer import drawn

KEPT = tables(Path(__file__).with_name("figure_numbers.csv"))


def test_every_figure_is_kept() -> None:
    assert set(KEPT) == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_has_its_numbers(name: str) -> None:
    assert_told(KEPT[name], numbers_of_sheet(DRAWN[name]()))


def test_a_site_without_an_answer_by_itself_has_no_mark_for_it() -> None:
    sheet = federated(answered=False)
    drawn(sheet).draw_without_rendering()
    for rows in rows_of(numbers_of_sheet(sheet)).values():
        answers = [x for series, (x, *_) in rows if series == "alone" and math.isfinite(x)]
        assert len(answers) == 1
