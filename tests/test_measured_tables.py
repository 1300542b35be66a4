"""The tables of the pages are those of the files that were measured."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from stated_systems import stated_cells, use_cases

from popinv.workflow.records import Record, content_of
from popinv_papers.kit.claims import Rows, above, judged_again, write_claims

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import claims_tables  # noqa: E402
from tables import combinations, efficiency, kept  # noqa: E402

PAGES, TABLES = claims_tables.PAGES, claims_tables.TABLES
JSON = sorted(kept.FOLDER.glob("*/*.json"))
MEASURED = [
    *sorted(kept.FOLDER.glob("accuracy/*.csv")),
    *sorted(kept.FOLDER.glob("cost/*.csv")),
    kept.FOLDER / "efficiency.csv",
    kept.FOLDER / "benchmarks.csv",
    kept.FOLDER / "few_systems.csv",
    kept.FOLDER / "ridges.csv",
    kept.FOLDER / "law_posterior_ranks.csv",
    kept.FOLDER / "law_posterior_joint.csv",
    kept.FOLDER / "additions.csv",
    kept.FOLDER / "additions_size.csv",
    kept.FOLDER / "additions_cost.csv",
    kept.FOLDER / "phenobarbital.csv",
    *sorted(kept.FOLDER.glob("designs*.csv")),
    *sorted(kept.FOLDER.glob("stochastic_*.csv")),
    kept.FOLDER / "discrepancy_recovery.csv",
    kept.FOLDER / "discrepancy_right.csv",
    kept.FOLDER / "discrepancy_scores.csv",
    kept.FOLDER / "discrepancy_valves.csv",
    kept.FOLDER / "discrepancy_own.csv",
    kept.FOLDER / "discrepancy_porous.csv",
]
BLOCKS = re.compile(rf"^<!-- ({'|'.join(TABLES)}) (\w+) -->$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_holds_no_table_and_is_rendered_with_all(page):
    text = page.read_text(encoding="utf-8")
    places = re.findall(rf"^<!-- (?:claims|{'|'.join(TABLES)})\b.*-->$", text, re.MULTILINE)
    assert "*Measured at commit" not in text
    rendered = claims_tables.rendered(text, page.stem)
    for place in places:
        after = rendered.split(place, 1)[1].lstrip()
        if place.startswith("<!-- claims"):
            assert after.startswith(("Headlines", "What was derived")), place
            assert "\n- **" in after, place
        elif place.startswith("<!-- configuration"):
            assert len(after.split()) > 100, place
        else:
            assert after.startswith("|"), place


def test_every_table_stands_on_a_page():
    named = {found for page in PAGES for found in BLOCKS.findall(page.read_text(encoding="utf-8"))}
    assert named == {(kind, name) for kind, own in TABLES.items() for name in own}


def test_every_combination_is_tested_or_refused():
    assert combinations.empty() == []


def test_every_kept_combination_has_its_test():
    tested = {"stated": {str(cell) for cell in stated_cells()}}
    for use, cell, _ in use_cases():
        tested.setdefault(use, set()).add(str(cell))
    for name, cells in combinations.kept().items():
        assert len(cells) == len(set(cells))
        assert set(cells) <= tested[name]


@pytest.mark.parametrize("file", sorted(kept.FOLDER.glob("claims/*.csv")), ids=lambda f: f.stem)
def test_every_row_has_the_status_of_its_numbers(file):
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            again = judged_again(row)
            assert (row["status"], row["why"]) == (again["status"], again["why"]), row["claim"]


@pytest.mark.parametrize("file", JSON, ids=lambda f: f"{f.parent.name}-{f.stem}")
def test_numbers_say_where_they_were_measured_and_nothing_else_of_it(file):
    content = json.loads(file.read_text(encoding="utf-8"))
    for entry in [content] if file.parent.name == "checks" else content.values():
        where = entry["measured"]
        assert set(where) == {"commit", "cores", "processor", "seconds"}
        assert re.fullmatch(r"[0-9a-f]{40}", where["commit"])
        assert "/" not in where["processor"]
    text = file.read_text(encoding="utf-8")
    assert not re.search(r'"(/|~)|/(home|root|tmp|work)/', text)


NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
PLACE = re.compile(r"^<!-- (claims|use|check|efficiency)( \w+)? -->$", re.MULTILINE)
FILES = re.compile(r"^```\{csv-table\}\n:file: (\S+)$", re.MULTILINE)
WRITTEN = re.compile(r"^<!-- written\b.*?^<!-- end -->", re.MULTILINE | re.DOTALL)


def numbers(text: str) -> set[str]:
    """Return the numbers of at least three digits that are no round ones."""
    found = (number.rstrip(",") for number in NUMBER.findall(text))
    return {one for one in found if len(re.sub(r"\D", "", one).strip("0")) >= 3}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_sentence_repeats_a_number_of_a_table(page):
    text = page.read_text(encoding="utf-8")
    tables = [
        (place[1], claims_tables.lines_of(place[1], (place[2] or page.stem).strip()))
        for place in PLACE.finditer(text)
    ]
    tables += [("written", block[0].splitlines()) for block in WRITTEN.finditer(text)]
    cells: set[str] = set()
    for name in FILES.findall(text):
        for row in csv.reader((page.parent / name).read_text(encoding="utf-8").splitlines()):
            cells.update(numbers(" ".join(row[1:])))
    for kind, lines in tables:
        rows = [line.strip("|").split("|") for line in lines if line[:1] == "|"]
        measured = [cell for row in rows[2:] for cell in row[1:]]
        if kind == "claims":
            measured = re.findall(r"measured ([^;]*)", "\n".join(lines))
            assert measured
        cells.update(numbers(" ".join(measured)))
    sentences = re.sub(r"```.*?```", "", WRITTEN.sub("", text), flags=re.DOTALL)
    assert numbers(sentences) & cells == set()


@pytest.mark.parametrize("file", MEASURED, ids=lambda file: file.stem)
def test_a_table_of_measurements_has_commit_and_machine_and_short_cells(file):
    with file.open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    for row in table:
        assert re.fullmatch(r"[0-9a-f]{8}( with changes)?|not recorded", row["commit"])
        assert row["machine"]
        assert all(len(cell.split()) <= 15 for cell in row.values())


def test_new_rows_replace_the_rows_of_their_study_and_what_is_worse_is_named():
    def row(study, ratio):
        return {"study": study, "parameter": "law: mean", "error over bound": ratio}

    before = [row("a", "1.00 ± 0.05"), row("b", "1.00 ± 0.05")]
    now = [row("a", "1.30 ± 0.05"), row("c", "2.00 ± 0.05")]
    assert efficiency.replaced(before, now) == [now[0], before[1], now[1]]
    assert list(efficiency.worse(before, now)) == ["a, law: mean: 1.00 ± 0.05 became 1.30 ± 0.05"]


def test_the_summary_of_the_efficiency_has_every_study():
    studies = {row["study"] for row in efficiency.rows()}
    assert all(tuple(row) == efficiency.COLUMNS for row in efficiency.rows())
    told = [line.split(" | ")[0] for line in efficiency.summary() if line.startswith("| `")]
    assert {cell.strip("| `") for cell in told} == studies


# --- keeping --------------------------------------------------------------------------------------


def results(folder: Path, metrics: dict, commit: str = "a" * 40) -> Path:
    """Return a folder of results with a test problem and a use, and their records."""
    row = Rows("reconstruction", "reconstruction").row("a", 1.0, [1.0] * 5, above())
    for name, made in (
        ("downstream/mwgrad", "downstream/made/check_mwgrad.json"),
        ("soil/downstream/mwgrad", "soil/made/use_mwgrad.json"),
    ):
        own = folder / name
        own.mkdir(parents=True)
        (own / "metrics.json").write_text(json.dumps(metrics))
        write_claims([row], own / "claims.csv")
        (folder / made).parent.mkdir(parents=True, exist_ok=True)
        file = own / "metrics.json"
        machine = {"host": "secret", "processor": "a processor", "cores": "4", "system": "x"}
        Record(
            *("rule", {}, {}, "", {}, {f"results/{name}/metrics.json": content_of(file)}),
            *({"commit": commit}, machine, 12.5),
        ).write(folder / made)
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "FOLDER", tmp_path / "kept")
    for read in (kept.check, kept.claims, kept.uses):
        read.cache_clear()
    yield tmp_path
    for read in (kept.check, kept.claims, kept.uses):
        read.cache_clear()


def test_results_are_kept_with_commit_and_machine_and_without_host(elsewhere):
    found = list(kept.collect(results(elsewhere / "results", {"a": 0.5}), []))
    assert found == ["the test problem mwgrad", "mwgrad on soil"]
    one = kept.check("mwgrad")
    assert one.metrics == {"a": 0.5}
    assert one.told == (
        "*Measured at commit aaaaaaaaaa on 4 cores of a processor; the job took 12 s.*"
    )
    assert kept.uses("mwgrad")["soil"].metrics == {"a": 0.5}
    assert kept.claims("mwgrad")[0]["status"] == "holds"
    texts = [f.read_text() for f in (elsewhere / "kept").rglob("*.*")]
    assert not any("secret" in text for text in texts)
    # A study that is not measured again stays.
    shutil.rmtree(elsewhere / "results/soil")
    list(kept.collect(elsewhere / "results", ["mwgrad"]))
    assert "soil" in kept.uses("mwgrad")


def test_rows_are_judged_by_the_rules_as_they_are(elsewhere):
    list(kept.collect(results(elsewhere / "results", {"a": 0.5}), []))
    file = elsewhere / "kept/claims/mwgrad.csv"
    right = file.read_text()
    file.write_text(right.replace("holds", "does not hold"))
    kept.claims.cache_clear()
    kept.judge_again()
    assert file.read_text() == right


def test_a_result_that_was_edited_is_refused(elsewhere):
    folder = results(elsewhere / "results", {"a": 0.5})
    (folder / "soil/downstream/mwgrad/metrics.json").write_text('{"a": 0.6}')
    with pytest.raises(SystemExit, match="is not what its job has written"):
        list(kept.collect(folder, []))


def test_a_result_without_a_commit_is_refused(elsewhere):
    with pytest.raises(SystemExit, match="names no commit"):
        list(kept.collect(results(elsewhere / "results", {"a": 0.5}, commit=""), []))


def test_a_table_that_does_not_exist_is_named():
    with pytest.raises(SystemExit, match="no table 'use nothing', there are: analog_tolerated"):
        claims_tables.rendered("<!-- use nothing -->\n", "page")


def test_cases_are_described_as_in_the_measurements():
    from benchmarks.trust.populations import MISTAKES
    from benchmarks.trust.right_models import COVERED, RIGHT

    described = json.loads((ROOT / "docs/tables/trust_cases.json").read_text())
    assert described["coverage"] == {name: each.told for name, each in COVERED.items()}
    assert {name: described["right"][name] for name in RIGHT} == {
        name: each.told for name, each in RIGHT.items()
    }
    mistakes = {name: each for name, each in MISTAKES.items() if name != "none"}
    assert described["mistakes"] == {name: each.told for name, each in mistakes.items()}
    assert described["causes"] == {name: each.cause for name, each in mistakes.items()}
