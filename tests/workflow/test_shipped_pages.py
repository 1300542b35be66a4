"""The pages of studies that come with popinv: short enough to be read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from tiny_study import ROOT, Workflow

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from browsing import counts_of, visit

pytestmark = pytest.mark.full


@pytest.mark.parametrize(
    ("file", "study", "charts"),
    [
        pytest.param("config.yaml", "porous_flow", set(), marks=pytest.mark.firedrake),
        ("examples/theophylline.yaml", "theophylline", {"covariates", "coverage"}),
    ],
)
def test_a_page_has_at_most_twelve_figures_and_1500_words(browser, tmp_path, file, study, charts):
    made = Workflow(tmp_path)
    (tmp_path / "config").symlink_to(ROOT / "config")
    config = yaml.safe_load((ROOT / "config" / file).read_text())
    if "evidence" in config["studies"][study]:
        # Two new data sets take less time than forty, and have the same chart.
        config["studies"][study]["evidence"] = {"calibration": 2}
    made.configure(config)
    made.printed("all", "results/report/index.html")
    opened = visit(browser, tmp_path / "results/report/index.html", 1440, "light")
    words, figures = counts_of(opened.page)
    assert words <= 1500
    assert figures <= 12
    shown = opened.page.evaluate("() => all('figure.chart').map((f) => f.id.replace('chart-', ''))")
    assert set(shown) >= {"fits-worst", "fits-best", "observed-predicted", "residuals"} | charts
    assert opened.page.inner_text("h1") == study
    assert opened.said == []
    opened.page.context.close()
