"""The parts of the package import each other as the architecture says, and it is drawn so."""

from __future__ import annotations

import pytest
from architecture import ALLOWED, PICTURE, ROWS, arrows, documented, table


@pytest.mark.parametrize("part", sorted(arrows()))
def test_no_forbidden_arrow(part):
    assert part in ALLOWED, "a new part: say in tests/architecture.py what it may import"
    forbidden = arrows()[part] - ALLOWED[part]
    assert not forbidden, f"{part} imports {', '.join(sorted(forbidden))}"


def test_arrows_point_down():
    height = {part: number for number, row in enumerate(ROWS) for part in row}
    assert set(height) == set(ALLOWED)
    for part, targets in ALLOWED.items():
        upwards = {target for target in targets if height[target] > height[part]}
        assert not upwards, part


def test_the_page_shows_the_arrows_there_are():
    assert documented() == table(), "run: python tests/architecture.py"
    assert PICTURE.read_text().startswith("<?xml")
