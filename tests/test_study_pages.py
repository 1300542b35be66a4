"""The tables of the pages of studies are what a run of the study gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from study_sections import EXAMPLES, example_models

import popinv

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "docs/tables/data/studies"
PAGES = sorted((ROOT / "docs/studies").glob("*.md"))


def run(name: str) -> pd.DataFrame:
    """Return estimates and intervals of an example study with real data, in the search's scale.

    The likelihood uses the function itself, of torch, and no surrogate.
    """
    study = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())["studies"][name]
    reading = {k: v for k, v in study["observations"].items() if k not in ("file", "layout")}
    design = [each["name"] for each in study["forward"].get("design", [])]
    design_keys: dict[str, Any] = {"design": design} if design else {}
    result = popinv.fit(
        pd.read_csv(ROOT / study["observations"]["file"]),
        getattr(example_models(), study["forward"]["function"].split(":")[1]),
        law=study["law"],
        noise=study["noise"],
        tests=False,
        progress=False,
        **design_keys,
        **reading,
    )
    rows = {
        each.own.name if each.own.kind == "law" else f"noise_{each.own.name}": (
            each.own.value,
            each.own.lower,
            each.own.upper,
        )
        for each in result.answer.estimates
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "lower", "upper"])


@pytest.mark.parametrize(
    "name",
    [
        "rails",
        pytest.param("boys_heights", marks=pytest.mark.full),
        pytest.param("theophylline", marks=pytest.mark.full),
        pytest.param("chick_weights", marks=pytest.mark.full),
    ],
)
def test_the_table_of_a_page_is_that_of_a_run(name):
    table = pd.read_csv(TABLES / f"{name}_answer.csv", index_col="parameter")
    found = run(name)
    assert set(table.index) == set(found.index)
    found = found.loc[table.index]
    ends = table["95 % interval"].str.split(" to ", expand=True).astype(float).to_numpy()
    width = (found["upper"] - found["lower"]).to_numpy()
    told = np.column_stack([table["estimate"].astype(float), ends])
    # Four digits of the table, and the errors of draws and of the surrogate.
    assert np.abs(told - found.to_numpy()).max(axis=1) / width == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_holds_no_table_of_numbers(page):
    text = page.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\|(.*\|)?\s*-?\d+\.\d", line)]
    assert not rows
    for file in re.findall(r"\.\./tables/data/studies/(\w+\.\w+)", text):
        assert (TABLES / file).is_file()
