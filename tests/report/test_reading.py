"""The pages as they are read: the answer first, on a telephone, on paper, from any folder."""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from dataclasses import replace

import pytest
import yaml
from browsing import DRAWN, counts_of, with_few_charts
from tiers import parameters

from popinv.report.gathering import PROBLEM, gather_listed, gather_study
from popinv.report.pages import index_page, method_page, study_page, write_index_of
from popinv.report.records import MethodRecord, UseRecord
from popinv.report.study_page import page_of

SECTIONS = (
    "individuals", "law", "noise", "observations", "judgement", "estimators", "evidence", "rounds",
    "added",
)  # fmt: skip
# Writing in charts that is cut off at their edges.
CUT = """() => all('.plot').flatMap((plot) => {
  const room = plot.getBoundingClientRect();
  return [...plot.querySelectorAll('svg text')].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width > 0 && (box.left < room.left - 1 || box.right > room.right + 1
      || box.top < room.top - 1 || box.bottom > room.bottom + 1);
  }).map((text) => `${plot.closest('figure').id}: ${text.textContent}`);
})"""


def test_the_page_begins_with_the_answer_and_has_the_order_of_questions(wide):
    headings = wide.page.evaluate("() => all('h2').map((h) => h.textContent)")
    assert headings == [
        "Answer", "Individual fits", "Fit of the population", "Judgement", "Cost",
        "Further methods", "Reproduction",
    ]  # fmt: skip
    top = wide.page.evaluate("""() => all('.answer, #parameters').map((e) =>
        e.getBoundingClientRect().top + scrollY)""")
    assert max(top) < 900
    said = wide.page.inner_text(".answer")
    assert said == "! There are 2 reasons for doubt: surrogate, solver."


def test_every_check_is_told_once_and_explained_where_it_is_a_doubt(wide):
    told = wide.page.evaluate("""() => [...all('.verdicts')[0].children].map((e) => [e.className,
        e.querySelector('.verdict').childNodes[1].textContent.trim(),
        e.querySelector('.said').textContent, e.querySelectorAll('p').length])""")
    assert len({name for _, name, _, _ in told}) == len(told)
    assert ["doubt", "Surrogate", "– a reason for doubt", 2] in told
    assert ["good", "Held-out systems", "– nothing against it", 1] in told
    about = [name for _, name, _, _ in told if name in ("Convergence", "Descent")]
    assert about == ["Convergence"]


def test_the_search_of_every_estimator_is_behind_a_fold(wide):
    rows = wide.page.evaluate("""() => all('details #searches tbody tr').map((r) =>
        [...r.cells].map((c) => c.textContent))""")
    assert rows == [
        ["likelihood", "yes", "no", "only 5% of the draws count", "–", "0.1"],
        ["pseudo-likelihood (the answer)", "yes", "yes", "nothing", "–", "0.1"],
        ["distance", "yes", "yes", "nothing", "–", "0.1"],
    ]


def test_costs_records_and_the_truth_are_behind_folds(wide):
    page = wide.page
    assert page.evaluate("all('details[open]').length") == 0
    shown = "all('main .table').filter((t) => t.checkVisibility()).map((t) => t.ariaLabel)"
    seen = page.evaluate(shown)
    assert seen == ["Recovered parameters"]
    folds = page.evaluate("() => all('#truth, #baselines, #costs').map((e) => e.textContent)")
    assert "intervals (of 95 %) hold the true value" in folds[0]
    assert "Relative errors" in folds[1]
    assert "final descent" in folds[2]
    told = page.evaluate("document.querySelector('#cost + p').textContent")
    assert told == "100 solver calls, and 52 s of processor time."
    # The check against the truth is in no other place.
    names = page.evaluate("() => all('.verdicts .verdict').map((e) => e.childNodes[1].textContent)")
    assert [name.strip() for name in names].count("Against the truth") == 1


def test_a_page_has_few_figures_and_words(wide):
    words, figures = counts_of(wide.page)
    assert 100 < words <= 1500
    assert 0 < figures <= 12


def test_the_index_has_the_answers_of_its_studies_side_by_side(open_page, results, tmp_path):
    listed = gather_listed(results.folder, "tiny", results.section)
    first = listed.answer.estimates[0]
    own = replace(first.own, name="other_mean", unit="m", value=2.0, lower=1.5, upper=2.5)
    estimates = replace(first, own=own), *listed.answer.estimates[1:]
    other = replace(listed.answer, estimates=estimates)
    studies = [listed, replace(listed, name="other", answer=other, doubts=())]
    (tmp_path / "index.html").write_text(index_page(studies, []))
    page = open_page(tmp_path / "index.html", 390, "light").page
    rows = page.evaluate("""() => all('#answers-table tbody tr').map((r) =>
        [...r.cells].map((c) => c.textContent))""")
    assert rows[0] == ["reasons for doubt", "2", "0"]
    assert [row[0] for row in rows[1:]] == [
        "law: mean", "law: standard deviation", "law: length", "law: other mean [m]",
        "noise: amplitude", "noise: length",
    ]  # fmt: skip
    assert rows[1][1:] == ["0.53 (0.43 to 0.63)", "–"]
    assert rows[4][1:] == ["–", "2.00 (1.50 to 2.50)"]
    assert rows[2][1] == rows[2][2]
    # What a study does not have is no line of a card.
    seen = page.evaluate("all('#answers-table td').filter((c) => c.offsetParent).length")
    assert seen == 2 * len(rows) - 2
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_no_page_says_that_it_can_be_sent_alone(pages):
    for name in ("study", "method", "index"):
        text = pages[name].read_text()
        assert "send the whole folder" in text
        assert "one file" not in text


def test_with_one_study_the_report_begins_with_its_page(
    open_page, results, pages, tmp_path, monkeypatch
):
    folder = tmp_path / "results"
    shutil.copytree(results.folder, folder)
    study = folder / "report/studies/tiny.html"
    study.write_text(with_few_charts(study.read_text(), ()))
    (folder / "report/index.html").unlink()
    page = open_page(write_index_of(folder), 1440, "light").page
    assert page.url.endswith("/report/studies/tiny.html")
    assert page.inner_text("h1") == "tiny"
    shutil.copytree(folder / "tiny", folder / "other")
    assert 'id="studies-table"' in write_index_of(folder).read_text()
    # The charts are those of other pages.
    monkeypatch.setattr("popinv.report.study_page.charts_of", lambda *of: defaultdict(list))
    alone = page_of(
        gather_study(results.tiny / "answer.json", results.section),
        results.study.problem,
        results.study.loaded,
        alone=True,
    )
    assert "All results" in pages["study"].read_text()
    assert "All results" not in alone


@pytest.mark.full
@parameters("name", ["short"], full=["index", "study", "method"])
def test_nothing_need_be_scrolled_sideways_on_a_telephone(open_page, pages, name):
    opened = open_page(pages[name], 390, "light")
    wide_ones = opened.page.evaluate("""() => all('.table').filter((t) =>
        t.offsetParent && t.scrollWidth > t.clientWidth + 1).map((t) => t.ariaLabel)""")
    assert wide_ones == []
    assert opened.page.evaluate(CUT) == []


def test_nine_fits_can_be_read_on_a_telephone(open_page, pages):
    file = pages["study"].with_name("fits.html")
    file.write_text(with_few_charts(pages["study"].read_text(), ("fits-worst",)))
    page = open_page(file, 390, "light").page
    panels = "all('#chart-fits-worst .cartesianlayer .subplot').length"
    # A busy machine draws late. The page's policy allows a function here, and no expression.
    page.wait_for_function(f"() => {panels} === 9", timeout=10_000)
    assert page.evaluate(panels) == 9
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate(CUT) == []
    widths = """() => {
        const layout = all('#chart-fits-worst .plot')[0]._fullLayout;
        return layout._subplots.xaxis.map((id) => layout[id.replace('x', 'xaxis')]._length);
    }"""
    assert min(page.evaluate(widths)) > 110
    # A wider window has three columns again.
    page.set_viewport_size({"width": 1440, "height": 900})
    page.wait_for_function(
        "() => all('#chart-fits-worst .plot')[0]._fullLayout?.xaxis3?.domain[0] > 0.5",
        timeout=10_000,
    )


def test_the_writing_in_charts_is_whole_on_a_wide_screen(wide):
    assert wide.page.evaluate(CUT) == []


def test_charts_side_by_side_begin_at_the_same_height(wide):
    rows = wide.page.evaluate("""() => all('.charts').map((grid) =>
        [...grid.querySelectorAll('.chart')].map((c) => [c.getBoundingClientRect().top,
            c.querySelector('.plot').getBoundingClientRect().top].map(Math.round)))""")
    for charts in rows:
        starts: dict[int, set[int]] = {}
        for top, plot in charts:
            starts.setdefault(top, set()).add(plot)
        assert all(len(plots) == 1 for plots in starts.values())
    assert any(len(charts) > len({top for top, _ in charts}) for charts in rows)


@pytest.mark.full
def test_on_paper_all_is_open_light_and_as_wide_as_the_sheet(open_page, pages):
    page = open_page(pages["short"], 1440, "dark").page
    page.evaluate("""() => addEventListener('beforeprint', () => { window.printed = {
        closed: all('details:not([open])').length,
        widths: all('.plot svg.main-svg').map((s) => s.clientWidth || s.width.baseVal.value),
        colour: all('#chart-densities .plot')[0].data[0].line.color,
    }; })""")
    shut = page.evaluate("all('details:not([open])').length")
    assert shut > 5
    assert page.pdf(format="A4").startswith(b"%PDF")
    printed = page.evaluate("window.printed")
    # 210 mm less two margins of 14 mm, at 96 pixels an inch.
    assert max(printed["widths"]) <= 182 / 25.4 * 96
    assert (printed["closed"], printed["colour"]) == (0, "#0072B2")
    assert page.evaluate("all('details:not([open])').length") == shut
    assert page.evaluate("all('#chart-densities .plot')[0].data[0].line.color") == "#56B4E9"


@pytest.mark.full
def test_pages_open_from_anywhere_and_lead_to_each_other(open_page, pages, tmp_path):
    folder = tmp_path / "sent by a colleague #1 (50 %)"
    shutil.copytree(pages["index"].parent, folder)
    study = folder / "studies/tiny.html"
    study.write_text(with_few_charts(study.read_text(), ()))
    opened = open_page(folder / "index.html", 1440, "light")
    page = opened.page
    for link, heading in (
        ("#studies-table a", "tiny"),
        (".page > nav .kind a", "Results"),
        ("a[href^='methods/']", "Several objectives"),
        ("a[href='../studies/tiny.html']", "tiny"),
        ("a[href^='../methods/']", "Several objectives"),
    ):
        page.evaluate("all('details').forEach((d) => { d.open = true; })")
        page.click(link)
        page.wait_for_selector(DRAWN)
        assert page.inner_text("h1") == heading
    assert opened.said == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in opened.asked)


def test_hostile_names_and_numbers_are_written_out(open_page, results, pages, tmp_path):
    shutil.copytree(pages["library"].parent, tmp_path / "assets")
    folder = tmp_path / "studies"
    folder.mkdir()
    name = "a_study_of_everything_that_was_changed_since_the_last_one" + "_" + "x" * 40
    numbers = {"nothing": None, "undefined": float("nan"), "infinite": float("inf"), "<b>": "<i>"}
    study = gather_study(results.tiny / "answer.json", results.section, results.stores())
    listed = replace(gather_listed(results.folder, "tiny", None), current=False, page=False)
    uses = (UseRecord(name, numbers),)
    method = MethodRecord("m" * 60, "A method", "", "", (), UseRecord(PROBLEM, numbers), uses, {})
    files = {
        "study": study_page(replace(study, name=name), dict.fromkeys(SECTIONS, ()), (), ()),
        "method": method_page(method),
        "index": index_page([replace(listed, name=name), replace(listed, name="x" * 90)], [method]),
    }
    for kind, text in files.items():
        (folder / f"{kind}.html").write_text(text)
        opened = open_page(folder / f"{kind}.html", 390, "light")
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 390, kind
        assert opened.said == []
        if kind == "method":
            cells = opened.page.evaluate("""() => [...all('table.numbers')[0].tBodies[0].rows].map(
                (r) => [...r.cells].map((c) => c.textContent))""")
            assert cells == [
                ["nothing", "–"], ["undefined", "NaN"], ["infinite", "∞"], ["<b>", "<i>"],
            ]  # fmt: skip


def test_a_method_page_says_what_it_cost_and_how_to_reproduce_it(open_page, pages, results):
    page = open_page(pages["method"], 1440, "light").page
    page.evaluate("all('details').forEach((d) => { d.open = true; })")
    text = page.inner_text("main")
    assert "popinv run -- results/downstream/mwgrad/metrics.json" in text
    command = "popinv run tiny.yaml -- results/tiny/downstream/mwgrad/metrics.json"
    assert command in text
    file = results.tiny / "downstream/mwgrad/metrics.json"
    assert hashlib.sha256(file.read_bytes()).hexdigest() in text
    saved = page.evaluate("atob(all('a[download]')[0].href.split('base64,')[1])")
    assert yaml.safe_load(saved)["studies"]["tiny"]["seed"] == results.section.seed
    assert "final descent" in text
