"""The pages in a real browser: they load, draw, hold the numbers, and can be read by anybody."""

from __future__ import annotations

import io
import json
import re
import shutil

import pytest
from PIL import Image
from small_results import numbers_of
from tiers import parameters

from popinv.report.records import Picture

# Text and graphics of charts against the page, as the guidelines measure it.
CONTRAST = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number);
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  };
  const page = light(getComputedStyle(document.body).backgroundColor);
  const ratio = (text) => {
    const [low, high] = [light(text), page].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const seen = (selector, key) =>
    [...document.querySelectorAll(selector)]
      .map((e) => getComputedStyle(e)[key])
      // The legend of contours has a gradient.
      .filter((colour) => colour.startsWith("rgb"));
  return {
    text: Math.min(...seen(".plot svg text", "fill").map(ratio)),
    lines: Math.min(...seen(".plot .js-line", "stroke").map(ratio)),
  };
}"""


@parameters(
    "name, width, scheme",
    [("short", 390, "dark")],
    full=[("index", 390, "dark")]
    + [(name, 1440 if name == "study" else 390, "light") for name in ("study", "method")]
    + [("study", 390, "dark"), ("method", 1440, "dark")],
)
def test_a_page_is_quiet_fits_and_can_be_read(open_page, pages, name, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    opened = open_page(pages[name], width, scheme)
    page = opened.page
    # Sections that are closed are part of the page.
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.said == []
    sent = [url for url in opened.asked if not url.startswith(("data:", "blob:"))]
    assert sent == [pages[name].as_uri()] + [pages["library"].as_uri()] * (
        name in ("study", "short")
    )
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert not violations, json.dumps(
        [(v["id"], v["nodes"][0]["html"][:200]) for v in violations], indent=1
    )
    if name in ("study", "short"):
        contrast = page.evaluate(CONTRAST)
        assert contrast["text"] >= 4.5
        assert contrast["lines"] >= 3.0


def test_pages_are_small_and_what_draws_their_charts_is_there_once(pages):
    for name in ("study", "method", "index"):
        assert pages[name].stat().st_size < 2e6
        assert "Plotly.js" not in pages[name].read_text()[:500_000]
    assert "plotly.js v" in pages["library"].read_text()[:200]


def test_a_page_without_the_file_that_draws_its_charts_says_so(open_page, pages, tmp_path):
    alone = tmp_path / "studies" / "alone.html"
    alone.parent.mkdir()
    shutil.copy(pages["study"], alone)
    opened = open_page(alone, 390, "light")
    page = opened.page
    told = page.inner_text("#chart-fits-worst .plot")
    assert f"the file ../assets/{pages['library'].name}, which is not there" in told
    assert "Observations, individual and population predictions" in told
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.inner_text("h1") == "tiny"


@pytest.mark.full
def test_pictures_are_dark_on_a_dark_page_and_keep_their_hues(open_page, pages, tmp_path):
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste((0, 0, 0), (0, 0, 10, 20))
    picture.paste((0x00, 0x72, 0xB2), (20, 0, 30, 20))
    picture.save(tmp_path / "figure.png")
    record = Picture("figure", tmp_path / "figure.png", "A figure", "A figure of the study tiny")
    text = pages["method"].read_text()
    embedded = re.sub(r"(data:image/webp;base64,)[^\"]+", rf"\g<1>{record.data}", text)
    file = pages["method"].with_name("picture.html")
    file.write_text(embedded)
    seen = {}
    for scheme in ("light", "dark"):
        page = open_page(file, 1440, scheme).page
        image = page.locator(".picture img").first
        image.scroll_into_view_if_needed()
        shot = Image.open(io.BytesIO(image.screenshot())).convert("RGB")
        width, height = shot.size
        seen[scheme] = [shot.getpixel((int(x * width), height // 2)) for x in (0.1, 0.4, 0.6, 0.9)]
    black, white, blue, _ = seen["light"]
    assert (max(black), min(white)) == (0, 255)
    assert blue == (0x00, 0x72, 0xB2)
    black, white, blue, _ = seen["dark"]
    assert min(black) > 220
    assert max(white) < 30
    # It is still blue, and lighter.
    assert blue[2] > blue[1] > blue[0]
    assert sum(blue) > 0x72 + 0xB2


def test_every_figure_is_drawn_and_described(wide):
    charts = wide.page.evaluate("""() => all('figure.chart').filter((f) => !f.closest('details'))
        .map((f) => ({
        name: f.id,
        marks: f.querySelectorAll('.plot .trace, .plot .hm image').length,
        width: f.querySelector('.plot svg.main-svg').getBoundingClientRect().width,
        words: f.querySelector('.plot svg[role=img]').getAttribute('aria-label'),
        title: f.querySelector('figcaption strong').textContent,
    }))""")
    names = {chart["name"].removeprefix("chart-") for chart in charts}
    assert names == {
        "fits-worst", "fits-best", "observed-predicted", "residuals", "densities", "field-range",
        "observations", "noise-covariance", "noise-curves", "calibration", "coverage",
    }  # fmt: skip
    folded = wide.page.evaluate("() => all('details figure.chart').map((f) => f.id)")
    assert set(folded) == {
        "chart-estimators", "chart-estimate-pairs", "chart-errors", "chart-designs", "chart-solves",
    }  # fmt: skip
    for chart in charts:
        assert chart["marks"] > 0, chart
        assert chart["width"] > 200, chart
        assert len(chart["words"]) > 30, chart
        assert chart["title"], chart
    assert wide.page.evaluate("[...document.images].every((i) => i.alt && i.naturalWidth > 0)")


@pytest.mark.parametrize("name", ["study", "method"])
def test_the_tables_hold_the_numbers_of_metrics_json(open_page, pages, results, wide, name):
    opened = wide if name == "study" else open_page(pages[name], 1440, "light")
    rows = opened.page.evaluate("""() => all('table.numbers').map(
        (t) => Object.fromEntries([...t.tBodies[0].rows].map((r) => [
            r.cells[0].textContent,
            [r.querySelector('data')?.value ?? null, r.cells[1].textContent],
        ])))""")
    tables = [results.tiny / "downstream/mwgrad/metrics.json"]
    if name == "study":
        tables.append(results.tiny / "metrics.json")
        names = ("error_against_systems", "designs", "calibration")
        tables += [results.tiny / "evidence" / f"{name}.json" for name in names]
    else:
        tables.insert(0, results.folder / "downstream/mwgrad/metrics.json")
    assert len(rows) == len(tables)
    for shown, file in zip(rows, tables, strict=True):
        expected = numbers_of(file)
        assert list(shown) == list(expected)
        for key, value in expected.items():
            whole, text = shown[key]
            if isinstance(value, str):
                assert text == value
                continue
            assert float(whole) == value, key
            assert float(text.replace("−", "-")) == pytest.approx(value, rel=1e-5), key


def test_the_first_table_has_intervals_and_truth(wide, results):
    metrics = numbers_of(results.tiny / "metrics.json")
    rows = wide.page.evaluate("""() => all('#parameters tbody tr').map((r) =>
        [r.cells[0].textContent, ...[...r.querySelectorAll('data')].map((d) => +d.value)])""")
    assert rows[1] == [
        "law: standard deviation",
        *(metrics[f"alpha_{key}"] for key in (
            "standard_deviation", "standard_deviation_lower", "standard_deviation_upper",
            "true_standard_deviation",
        )),
    ]  # fmt: skip
    assert [row[0] for row in rows] == [
        "law: mean", "law: standard deviation", "law: length", "noise: amplitude", "noise: length",
    ]  # fmt: skip


def test_a_method_page_has_its_claims(open_page, pages):
    opened = open_page(pages["method"], 1440, "light")
    rows = opened.page.evaluate("""() => all('table.claims tbody tr').map(
        (r) => [r.className, ...[...r.cells].map((c) => c.textContent)])""")
    assert rows == [
        [
            *("", "accelerated descent is ahead <in bits>", "paper, abstract", "positive"),
            *("1 (0.8037 to 1.196), 5 seeds", "interval above 0"),
            *("no acceleration: -1 (-1.124 to -0.8758)", "holds"),
        ],
        [
            *("missed", "escape probability", "reconstruction", "0.5", "0.75"),
            *("interval within 0.4 to 0.6", "", "does not hold"),
        ],
    ]
    assert "Headlines of the paper: 1 of 1 holds" in opened.page.inner_text("main")
    assert "0 of 1 hold" in opened.page.inner_text("main")
    assert opened.page.inner_text("h1") == "Several objectives"


@pytest.mark.full
def test_a_keyboard_reaches_and_works_everything(open_page, pages):
    opened = open_page(pages["short"], 1440, "light")
    page = opened.page
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    assert page.evaluate(f"{focused}.getBoundingClientRect().top") >= 0
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "content"

    # A fold opens, and its charts are drawn.
    # The slider over the rounds chooses what is drawn, and says so.
    page.focus("#solves summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chart-solves svg[role=img]")
    page.focus("#choose-solves")
    before = page.inner_text("output[for=choose-solves]")
    assert before == "round 0, 50 solves"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("output[for=choose-solves]") == "round 1, 30 solves"
    assert page.get_attribute("#choose-solves", "aria-valuetext") == "round 1, 30 solves"
    shown = page.evaluate(
        "all('#chart-solves .plot')[0].data.filter((t) => t.visible).map((t) => t.meta)"
    )
    assert shown
    assert set(shown) == {1}

    # The buttons of a chart are one stop, arrows lead from one to the next, and they zoom.
    reach = "document.querySelector('#chart-densities .modebar-btn').focus()"
    page.evaluate(reach)
    assert page.evaluate(f"getComputedStyle({focused}.closest('.modebar')).opacity") != "0"
    first = page.evaluate(f"{focused}.getAttribute('aria-label')")
    span = "all('#chart-densities .plot')[0].layout.xaxis.range.reduce((a, b) => b - a)"
    before = page.evaluate(span)
    page.keyboard.press("Enter")
    assert page.evaluate(span) < before
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{focused}.getAttribute('aria-label')") != first
    stops = "all('#chart-densities .modebar-btn').filter((b) => b.tabIndex === 0).length"
    assert page.evaluate(stops) == 1
    assert opened.said == []


@pytest.mark.full
def test_stops_of_the_keyboard_come_in_the_order_of_the_page_and_are_seen(wide):
    page = wide.page
    page.evaluate("document.activeElement.blur()")
    stops = []
    for _ in range(25):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate("""() => {
            const e = document.activeElement, s = getComputedStyle(e);
            window.stops = [...(window.stops ?? []), e];
            const order = window.stops.at(-2)?.compareDocumentPosition(e) ?? 4;
            const follows = (order & Node.DOCUMENT_POSITION_FOLLOWING) > 0;
            return [follows, `${s.outlineStyle} ${s.outlineWidth}`, e.outerHTML.slice(0, 80)];
        }""")
        )
    assert [element for follows, _, element in stops if not follows] == []
    assert [(outline, element) for _, outline, element in stops if outline != "solid 3px"] == []


def test_charts_take_the_colours_of_the_page(wide):
    colour = "all('#chart-densities .plot')[0].data[0].line.color"
    assert wide.page.evaluate(f"() => {colour}") == "#0072B2"
    for scheme, expected in (("dark", "#56B4E9"), ("light", "#0072B2")):
        wide.page.emulate_media(color_scheme=scheme)
        # The browser tells the page of the change when it draws its next frame.
        wide.page.wait_for_function(f"() => {colour} === '{expected}'", timeout=10_000)


def test_a_page_cannot_reach_the_network(wide):
    # Not only does it ask for nothing: it is not allowed to.
    refused = wide.page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'answered', (error) => error.message)"
    )
    assert refused == "Failed to fetch"
    assert any("Content Security Policy" in message for message in wide.said)
    assert not any(url.startswith("http") for url in wide.asked)
