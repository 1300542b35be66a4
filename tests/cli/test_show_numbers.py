"""Whatever file of numbers the project writes can be shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from answers import ANSWER
from answers import write as write_study
from test_show import words

from popinv.cli.show import main, table
from popinv.methods.registry import METHODS
from popinv_papers.kit.claims import Rows, above, write_claims
from popinv_papers.methods import PAPERS

CHECKS = [check.name for paper in PAPERS for check in paper.checks]
KEPT = Path(__file__).parents[2] / "docs/tables/data"


def write(path: Path, numbers: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(numbers))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "results/soil", ANSWER)


@pytest.mark.parametrize("name", METHODS)
def test_a_use_is_shown_by_its_question_statement_and_numbers(study, name):
    use = study.parent / "downstream" / name / "metrics.json"
    # Some have keys that a study has too.
    numbers = {
        "estimator": "likelihood",
        "systems": 1000,
        "error": 0.123456,
        "statement": "selection does not help on this study",
        "null_invariants": "nothing trained: 0 (at most 1e-9)",
    }
    text = words(table([write(use, numbers)]))
    assert text.startswith(f"soil: {name.replace('_', ' ')} --")
    assert words(METHODS[name].question) in text
    assert "statement: selection does not help on this study" in text
    assert "null invariants: nothing trained" in text
    assert "estimator likelihood" in text
    assert "error 0.1235" in text


@pytest.mark.parametrize("name", CHECKS)
def test_a_test_problem_is_shown_with_the_claims_that_hold(tmp_path, name):
    file = write(tmp_path / f"results/downstream/{name}/metrics.json", {"share_a": 0.5})
    assert words(table([file])).startswith(f"{name.replace('_', ' ')}: test problem")
    rows = [
        Rows("reconstruction", "reconstruction").row("a", 1.0, [x] * 5, above(limit))
        for x, limit in ((1.0, 0.0), (2.0, 0.0), (1.0, 3.0))
    ]
    write_claims(rows, file.parent / "claims.csv")
    text = table([file])
    assert "claims (reconstructions): holds 2, does not hold 1; " in text
    assert "share a   0.5" in text


@pytest.mark.parametrize(
    "numbers",
    [
        {"coverage_mean": 0.95, "calibration_replications": 40},
        {"slope": -0.5, "systems": [100, 200, 400], "errors": {"law": {"100": 0.1}}},
        {"note": None, "empty": {}, "list": []},
        {},
    ],
)
@pytest.mark.parametrize("name", ["calibration", "designs", "error_against_systems"])
def test_parts_of_the_evidence_are_shown(study, name, numbers):
    text = table([write(study.parent / f"evidence/{name}.json", numbers)])
    assert text.startswith(f"soil: evidence, {name.replace('_', ' ')}\n")
    if "errors" in numbers:
        assert "errors, law, 100   0.1" in text
        assert "100, 200, 400" in text


@pytest.mark.parametrize(
    "file", sorted(KEPT.glob("*/*.json")), ids=lambda f: f"{f.parent.name}-{f.stem}"
)
def test_what_has_been_measured_is_shown(tmp_path, file):
    content = json.loads(file.read_text())
    of_study = file.parent.name == "uses"
    for study, entry in (content if of_study else {"": content}).items():
        path = write(tmp_path / study / f"downstream/{file.stem}/metrics.json", entry["metrics"])
        text = table([path])
        assert words(file.stem.replace("_", " ")) in words(text.splitlines()[0])
        assert len(text.splitlines()) > 2
        if of_study:
            assert "statement" in text


def test_a_study_names_its_uses_with_a_sentence_each(study):
    folder = study.parent / "downstream"
    write(folder / "influence/metrics.json", {"error": 0.1, "statement": "selection helps"})
    write(folder / "old/metrics.json", {"solves_statement": "first sentence of two", "a": "b"})
    write(folder / "silent/metrics.json", {"error": 0.1})
    shown = table([study]).split("Uses on this study\n")[1].splitlines()
    assert shown == [
        "influence  selection helps",
        "old        first sentence of two",
        "silent     see its metrics.json",
    ]


def test_a_study_without_uses_has_no_word_about_them(study):
    assert "Uses" not in table([study])


def test_many_numbers_are_cut_short(tmp_path):
    file = write(tmp_path / "a/downstream/b/metrics.json", {f"x_{i}": i for i in range(45)})
    lines = table([file]).splitlines()
    assert lines[-1] == f"and 5 more in {file}"


def test_baselines_and_comparisons_are_shown_by_themselves(study, tmp_path):
    row = {"systems": 1000, "seconds": 12.4, "note": "", "alpha_relative_error_rms": 0.04}
    file = write(study.parent / "baselines/comparison.json", {"blind": row})
    assert "compared with other methods" in table([file])


def test_studies_and_other_files_are_shown_together(study):
    use = write(study.parent / "downstream/mwgrad/metrics.json", {"p_value": 0.5})
    assert main([str(study), str(use)]) == 0
    text = table([study, use])
    assert "recovered" in text
    assert "p value   0.5" in text
