"""The parts of the package import each other as the architecture says, and it is drawn so."""

from __future__ import annotations

import re
from collections import Counter

from architecture import (
    HOUSES,
    PAGE,
    PICTURE,
    ROWS,
    SOURCE,
    arrows,
    documented,
    part_of,
    table,
)


def test_arrows_point_down():
    height = {part: number for number, row in enumerate(ROWS) for part in row}
    new = set(arrows()) - set(height)
    assert not new, "new parts: give each a row in tests/architecture.py"
    for part, targets in arrows().items():
        upwards = {target for target in targets if height[target] >= height[part]}
        assert not upwards, part


def test_the_page_shows_the_arrows_there_are():
    assert documented() == table(), "run: python tests/architecture.py"
    assert PICTURE.read_text().startswith("<?xml")


def test_the_page_says_what_each_folder_holds():
    told = PAGE.read_text().split("\n## Folders\n")[1].split("\n## ")[0]
    folders = {part for part in arrows() if (SOURCE / part).is_dir()}
    within = {file.parent.name for file in (SOURCE / "inference").glob("*/*.py")} - {"stages"}
    named = [
        *(f"popinv/{part}" for part in folders),
        *(f"popinv/inference/{folder}" for folder in within),
        *HOUSES,
    ]
    assert not [name for name in named if f"src/{name}`" not in told]


# Equations, and what solves them, are a matter of the packages of models.
FOREIGN = re.compile("porous|elastodynamics|lorenz|firedrake|petsc", re.IGNORECASE)


def test_the_tool_knows_neither_papers_nor_models():
    named = [
        str(file.relative_to(SOURCE))
        for file in (*SOURCE.rglob("*.py"), *SOURCE.rglob("*.yaml"))
        if FOREIGN.search(text := file.read_text()) or any(name in text for name in HOUSES)
    ]
    assert not named


def test_no_part_holds_more_than_a_fifth_of_the_tool_and_its_models():
    lines: Counter[str] = Counter()
    for file in (*SOURCE.rglob("*.py"), *(SOURCE.parent / "popinv_models").rglob("*.py")):
        module = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts)
        lines[part_of(module)] += len(file.read_text().splitlines())
    most = lines.total() / 5
    assert {part: count for part, count in lines.items() if count > most} == {}
