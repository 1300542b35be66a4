"""The numbers of every chart and picture, saved from the page."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from browsing import DRAWN, visit, with_few_charts
from PIL import Image
from tiers import parameters

from popinv.report.pages import _environment
from popinv.report.records import Picture

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Table = list[list[str]]
SAVED = (
    "fits-worst", "observations", "noise-covariance", "coverage", "estimators", "estimate-pairs"
)  # fmt: skip
SIDES = ("above", "below")


def saved_from(browser: Browser, file: Path) -> dict[str, Table]:
    """Return the tables of all charts and pictures of a page, by the name of the file."""
    opened = visit(browser, file, 1440, "light")
    page = opened.page
    tables = {}
    for i in range(page.locator("button.save").count()):
        if i % 8 == 0:
            # The browser lets a page save ten files until it asks.
            page.reload()
            page.wait_for_selector(DRAWN)
            page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        with page.expect_download() as download:
            page.locator("button.save").nth(i).click()
        name = download.value.suggested_filename
        assert name not in tables
        tables[name] = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
    charts = page.evaluate("all('figure.chart').map((f) => f.id.replace('chart-', ''))")
    assert {f"tiny-{chart}.csv" for chart in charts} <= set(tables)
    assert opened.said == []
    page.context.close()
    return tables


@pytest.fixture(scope="module")
def saved(browser, pages) -> dict[str, Table]:
    """Return the tables of a study's page with the charts that are looked at here."""
    file = pages["short"].with_name("saved.html")
    file.write_text(with_few_charts(pages["study"].read_text(), SAVED))
    return saved_from(browser, file)


def column(table: Table, name: str, **where: str) -> np.ndarray:
    """Return a column of the rows that have these entries."""
    header, *rows = table
    kept = [r for r in rows if all(r[header.index(k)] == v for k, v in where.items())]
    return np.array([float(row[header.index(name)] or "nan") for row in kept])


@parameters("page", ["short"], full=["study"])
def test_tables_are_rectangular_and_every_series_has_a_name(page, browser, pages, saved):
    tables = saved if page == "short" else saved_from(browser, pages[page])
    for name, (header, *rows) in tables.items():
        assert header[0] == "series", name
        assert rows, name
        assert {len(row) for row in rows} == {len(header)}, name
        assert all(row[0] for row in rows), name
        assert not any("<" in cell for row in rows for cell in row), name


def test_tables_hold_the_numbers_that_are_drawn(saved, results):
    loaded = results.study.loaded
    y = loaded["observations"]["y"].values
    table = saved["tiny-observations.csv"]
    for level, range_, name in (
        (0.05, "range of 5 %", "5 %"),
        (0.5, "ranges of 5, 50, 95 %", "5, 50, 95 %"),
        (0.95, "range of 95 %", "95 %"),
    ):
        own = column(table, "observed head [m]", series=f"data, {name}")
        np.testing.assert_allclose(own, np.quantile(y, level, axis=0))
        ends = [
            column(table, "observed head [m]", series=f"model, 95 % {range_}{end}")
            for end in (", lower end", "")
        ]
        assert np.all(ends[0] < ends[1])


def test_a_heat_map_is_a_row_for_each_cell_of_each_choice(saved, results):
    table = saved["tiny-noise-covariance.csv"]
    estimate = results.study.loaded["population"]["noise_covariance"].values
    shown = column(table, "covariance [m²]", Show="Recovered")
    np.testing.assert_allclose(shown.reshape(estimate.shape), estimate, rtol=1e-6)
    assert {row[1] for row in table[1:]} == {"Recovered", "True", "Difference"}


def test_axes_of_several_quantities_are_named_in_every_row(saved, results):
    table = saved["tiny-estimate-pairs.csv"]
    population = results.study.loaded["population"]
    drawn = results.study.problem.law.to_natural(population["alpha_draws"].values)
    pair = {"quantity x": "mean", "quantity y": "standard deviation"}
    for letter, i in (("x", 0), ("y", 1)):
        shown = column(table, letter, series="draws", **pair)
        np.testing.assert_allclose(shown, drawn[:, i], rtol=1e-6)


def test_a_table_of_individual_fits_names_the_systems(saved, results):
    table = saved["tiny-fits-worst.csv"]
    y = results.study.loaded["observations"]["y"].values
    systems = list(dict.fromkeys(row[1] for row in table[1:]))
    assert len(systems) == 9
    for name in systems:
        own = column(table, "y", series="observed", panel=name)
        np.testing.assert_allclose(own, y[int(name.removeprefix("system "))], rtol=1e-6)


def test_error_bars_have_both_sides(saved):
    table = saved["tiny-estimators.csv"]
    above, below = (column(table, f"error_x {side}", series="likelihood") for side in SIDES)
    assert np.all(above > 0)
    np.testing.assert_allclose(above, below)


def test_intervals_of_coverage_have_both_ends(saved):
    table = saved["tiny-coverage.csv"]
    where = "95 % intervals that hold the truth [%]"
    ends = column(table, where, series="its 95 % interval").reshape(-1, 2)
    share = column(table, where, series="share that holds the truth")
    np.testing.assert_allclose(ends[:, 1] - share, 4.0)
    np.testing.assert_allclose(share - ends[:, 0], 10.0)
    header, *rows = table
    assert {row[header.index("y")] for row in rows} >= {"law: mean", "law: length"}


@pytest.mark.full
def test_of_thousands_of_metrics_all_can_be_saved(open_page, pages):
    metrics = {f"entry_{i}": i / 7 for i in range(1500)} | {"text": "a, b"}
    macros = _environment().get_template("parts.html").module
    page = (
        pages["short"].read_text().replace("<footer>", f"{macros.numbers(metrics, 'Many')}<footer>")
    )
    file = pages["study"].with_name("with_metrics.html")
    file.write_text(page)
    opened = open_page(file, 1440, "light")
    assert "first 1000 of 1501 numbers" in opened.page.inner_text("main")
    with opened.page.expect_download() as download:
        opened.page.click("button[data-name=metrics]")
    rows = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
    assert rows[0] == ["name", "value"]
    assert dict(rows[1:]) == {name: str(value) for name, value in metrics.items()}


def test_a_picture_has_the_numbers_of_the_file_beside_it(open_page, pages, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "law.png")
    picture = Picture("law", tmp_path / "law.png", "The law", "The law of the study tiny")
    assert picture.numbers == ""
    table = 'panel,series,x,y\n"a, b",ü,1,2\n'
    (tmp_path / "law.csv").write_text(table)
    macro = _environment().get_template("parts.html").module.picture(picture)
    page = pages["short"].read_text().replace("<footer>", f"{macro}<footer>")
    file = pages["study"].with_name("with_picture.html")
    file.write_text(page)
    opened = open_page(file, 390, "light")
    with opened.page.expect_download() as download:
        opened.page.click("button[data-numbers]")
    assert download.value.suggested_filename == "tiny-law.csv"
    assert Path(download.value.path()).read_text() == table
