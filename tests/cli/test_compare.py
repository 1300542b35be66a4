"""The printed table of a comparison of models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from commands import ran

from popinv.charts.matplotlib_writer import drawn
from popinv.charts.saving import save
from popinv.cli.show import comparison_lines
from popinv.figures.evidence import draw_comparison
from popinv.report.evidence_charts import comparison_chart
from popinv.report.gathering import gather_comparison
from popinv.report.pages import comparison_page, index_page


def model(verdict: str, difference: float, **others) -> dict:
    return {
        "law": "normal",
        "noise": "isotropic",
        "estimator": "likelihood",
        "parameters": 6,
        "log_likelihood": -362.984,
        "log_likelihood_error": 0.004,
        "aic": 737.968,
        "bic": 745.517,
        "aic_difference": 0.0,
        "bic_difference": 0.0,
        "score": -14.2 - difference,
        "score_difference": difference,
        "score_difference_error": 0.1 if difference else 0.0,
        "verdict": verdict,
        "refitted": 5,
        **others,
    }


COMPARISON = {
    "scored_by": "likelihood",
    "scored_by_reason": "",
    "systems": 26,
    "tested_systems": 26,
    "tested_folds": 5,
    "models": {
        "correlated": model("best", 0.0),
        "independent": model("close", 0.15, refitted=4),
        "one_slope": model("worse", 4.2, log_likelihood=None, aic=None, bic=None),
    },
}


def test_the_table_says_what_its_numbers_are():
    text = " ".join("\n".join(comparison_lines("heights", COMPARISON)).split())
    assert "heights: 3 models of the same 26 systems" in text
    assert "correlated normal isotropic 6 -362.98 737.97 745.52 -14.200 the best" in text
    assert "0.150 ± 0.100 not distinguishable from the best" in text
    assert "4.200 ± 0.100 worse" in text
    assert "BIC counts 26 systems" in text
    assert "in 5 folds" in text
    assert "With 26 systems, the standard errors are themselves uncertain" in text
    assert "Not every fold could be refitted (independent)" in text


@pytest.fixture
def compared(in_folder):
    """Return the folder of a configuration with a comparison, and its results."""
    study = {
        "forward": {"kind": "porous_flow"},
        "observations": {
            "truth": {
                "law": {"mean": 0.5, "standard_deviation": 0.6, "length": 0.3},
                "noise": {"amplitude": 0.1, "length": 0.1},
            }
        },
    }
    config = {
        "comparisons": {"heights": ["correlated", "independent"]},
        "studies": {name: study for name in ("correlated", "independent")},
    }
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    return in_folder


def test_the_command_prints_what_has_run_or_says_how_to_run_it(compared):
    assert "Run 'popinv run mine.yaml'" in ran("compare", "mine.yaml", code=1)
    file = Path("results/comparisons/heights/comparison.json")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(COMPARISON))
    assert "heights: 3 models" in ran("compare", "mine.yaml")
    config = yaml.safe_load(Path("mine.yaml").read_text())
    Path("none.yaml").write_text(yaml.safe_dump({"studies": config["studies"]}))
    assert "comparisons: {models: [correlated, independent]}" in ran("compare", "none.yaml", code=1)


def test_the_figure_and_the_page_hold_every_model(tmp_path):
    file = tmp_path / "heights" / "comparison.json"
    file.parent.mkdir()
    file.write_text(json.dumps(COMPARISON))
    sheet = draw_comparison("heights", COMPARISON)
    save(sheet, str(tmp_path / "scores.png"))
    numbers = (tmp_path / "scores.csv").read_text().splitlines()
    # Of each model two bars, and the line of the best.
    assert len(numbers) > 2 * len(COMPARISON["models"])
    (ax,) = drawn(sheet).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "correlated",
        "independent",
        "one slope",
    ]
    record = gather_comparison(file)
    page = comparison_page(record, [comparison_chart(record.numbers)])
    for text in ("correlated.html", "745.52", "not distinguishable", "26 systems"):
        assert text in page
    index = index_page([], [], [record])
    assert 'href="comparisons/heights.html"' in index
    assert "independent" in index
