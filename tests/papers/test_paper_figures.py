"""The numbers beside each figure of the papers are those that were always told."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_papers import DRAWN
from figure_numbers import assert_told, tables

from popinv.charts.csv_writer import numbers_of_sheet

KEPT = tables(Path(__file__).with_name("figure_numbers.csv"))


def test_every_figure_is_kept() -> None:
    assert set(KEPT) == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_has_its_numbers(name: str) -> None:
    assert_told(KEPT[name], numbers_of_sheet(DRAWN[name]()))
