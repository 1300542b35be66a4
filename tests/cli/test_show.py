"""The table at the end of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from answers import ANSWER, TRUE, estimate, write
from click.testing import CliRunner

from popinv.cli.commands import popinv
from popinv.cli.show import main, systems, table
from popinv.errors import DataError
from popinv.judgement.answer import RecoveredParameter
from popinv.judgement.measures import HeldOutDistance, PartTest


def words(text: str) -> str:
    """Return a text without the places at which its lines break."""
    return " ".join(text.split())


def row(text: str, start: str) -> list[str]:
    (match,) = [line for line in text.splitlines() if line.startswith(start)]
    return match.split()


def test_recovered_beside_true(tmp_path) -> None:
    text = table([write(tmp_path / "soil", TRUE)])
    assert text.startswith("soil: 1000 systems with 50 observations each\n")
    assert row(text, "law     mean") == ["law", "mean", "0.512", "0.48", "to", "0.54", "0.5"]
    assert row(text, "noise   amplitude")[-4:] == ["0.095", "to", "0.101", "0.1"]
    truth = "largest error 0.024 (law), 0.040 (noise); law 1.50 times its oracle's; noise 0.80"
    assert truth in words(text)
    assert "likelihood, through the" in text
    assert "has converged" in text
    assert "estimators agree (p = 0.6)" in text
    assert "standard errors at most 1.02 times the bound" in text
    assert "look like draws of the fitted model (p = 0.4)" in text
    assert (
        "error of 0.071 noise standard deviations; it changes the answer by 0.11 standard errors"
        in words(text)
    )
    assert "doubt" not in text
    assert "5500, 0 failed" in text
    assert str(tmp_path / "soil" / "figures") in text
    assert "Root mean square errors over the studies" not in text


def test_columns_line_up(tmp_path) -> None:
    lines = table([write(tmp_path / "soil", TRUE)]).splitlines()
    heading = next(line for line in lines if "recovered" in line)
    for line in lines[lines.index(heading) + 1 : lines.index(heading) + 3]:
        for column in ("recovered", "95 % interval", "true"):
            at = heading.index(column)
            assert line[at] != " "
            assert line[at - 1] == " "


def test_without_truth_and_intervals(tmp_path) -> None:
    alone = (estimate("law", "mean", 0.512), estimate("noise", "amplitude", 0.098))
    bare = replace(ANSWER, estimates=alone)
    text = table([write(tmp_path / "soil", bare)])
    heading = next(line for line in text.splitlines() if "recovered" in line)
    assert "true" not in heading
    assert "interval" not in heading
    assert row(text, "law     mean") == ["law", "mean", "0.512"]


def test_misfit_is_said(tmp_path) -> None:
    heldout = HeldOutDistance(0.01, 0.02, 0.004)
    text = table([write(tmp_path / "soil", replace(ANSWER, heldout=heldout))])
    assert "doubt Held-out systems" in words(text)
    assert "kept aside do not look like draws of the fitted model" in words(text)
    assert "(p = 0.004)" in text
    assert text.endswith("1 of 7 judgements are reasons for doubt.")


def test_many_parameters_are_cut_short(tmp_path) -> None:
    many = tuple(estimate("noise", f"standard_deviation_{i}", 0.1) for i in range(1, 51))
    text = table([write(tmp_path / "soil", replace(ANSWER, estimates=many))])
    assert "standard deviation 12" in text
    assert "standard deviation 13" not in text
    # The amplitude is absent here, so all fifty are of one kind.
    assert "and 38 more in metrics.json" in text


def test_several_studies_together(tmp_path) -> None:
    other = replace(TRUE, truth=replace(TRUE.truth, law_rms=0.04, law_oracle=0.01, noise=0.03))
    paths = [
        write(tmp_path / "first", TRUE),
        write(tmp_path / "second", other),
        write(tmp_path / "own_data", ANSWER),
    ]
    last = table(paths).splitlines()[-1]
    # sqrt(mean(0.03^2, 0.04^2)) = 0.0354 against sqrt(mean(0.02^2, 0.01^2)) = 0.0158.
    assert "law 0.035, 2.24 times the oracle's (2 studies)" in last
    # sqrt(mean(0.04^2, 0.03^2)) against 0.05.
    assert "noise covariance 0.035, 0.71 times the oracle's (2 studies)" in last


def test_several_studies_without_truth(tmp_path) -> None:
    paths = [write(tmp_path / name, ANSWER) for name in ("a", "b")]
    assert "oracle" not in table(paths)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("{", "is not valid JSON"),
        ("[1]", "must hold names and numbers, not a list"),
    ],
)
def test_bad_files(tmp_path, capsys, content: str | None, message: str) -> None:
    path = tmp_path / "metrics.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        table([path])
    assert main([str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert str(path) in err
    assert message in err


def test_a_folder_is_no_file(tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        table([tmp_path])


def test_command(tmp_path) -> None:
    path = write(tmp_path / "soil", TRUE)
    command = [sys.executable, "-m", "popinv.cli.show", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == table([path])


def test_baselines_beside_the_metrics_are_shown(tmp_path) -> None:
    path = write(tmp_path / "soil", TRUE)
    common = {"seconds": 12.4, "solver_calls": 10, "note": ""}
    law, noise = "alpha_relative_error_rms", "noise_covariance_relative_frobenius_error"
    comparison = {
        "blind": {"systems": 1000, law: 0.04, noise: 0.011, **common},
        "noise_known": {"systems": 1000, law: 0.05, noise: None, **common},
        "nuts": {"systems": 100, law: 0.1, noise: 0.2, **common, "note": "100 of 1000 systems"},
    }
    assert "compared" not in table([path])
    folder = Path(path).parent / "baselines"
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(comparison))
    block = table([path]).split("compared with other methods")[1].splitlines()
    rows = [line.split() for line in block[3:]]
    assert rows[0] == ["this", "study", "0.040", "0.011", "1000", "12"]
    assert rows[1] == ["noise", "known", "0.050", "1000", "12"]
    assert rows[2][:6] == ["hierarchical", "Bayes", "0.100", "0.200", "100", "12"]
    assert block[-1].endswith("100 of 1000 systems")


def test_what_the_data_cannot_tell_is_said(tmp_path) -> None:
    warning = "10 systems do not determine 1 combination"
    weakest = replace(ANSWER.weakest, warning=warning, error=1.5)
    warned = replace(ANSWER, weakest=weakest)
    text = table([write(tmp_path / "soil", warned)])
    assert "doubt Identifiability" in words(text)
    assert "10 systems do not determine 1 combination" in words(text)
    assert "the data determine every parameter" in table([write(tmp_path / "sand", ANSWER)])


def test_a_surrogate_above_its_thresholds_is_a_doubt(tmp_path) -> None:
    bad = replace(ANSWER.surrogate, good_enough=False)
    text = table([write(tmp_path / "soil", replace(ANSWER, surrogate=bad))])
    assert "doubt Surrogate" in words(text)
    assert "The study requires less than 0.1 noise standard deviations" in words(text)


def test_calibration_beside_the_metrics_is_judged(tmp_path) -> None:
    path = write(tmp_path / "soil", ANSWER)
    assert "Calibration" not in table([path])
    folder = Path(path).parent / "evidence"
    folder.mkdir()
    calibration = {"coverage_mean": 0.6, "calibration_replications": 40}
    (folder / "calibration.json").write_text(json.dumps(calibration))
    told = words(table([path]))
    assert "doubt Calibration" in told
    # What it does to the numbers follows the finding.
    assert "The 95 % intervals are too narrow." in told


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (
            {},
            "good Noise no mistake seen in 9 tests (p = 0.01)",
        ),
        (
            {"finding": "it has heavy tails (excess kurtosis +3)"},
            "doubt Noise It has heavy tails (excess kurtosis +3) (p = 0.01)",
        ),
        (
            {"unseen": ("one", "two")},
            "Noise no mistake seen in 9 tests (p = 0.01); 2 of these tests would miss even a large "
            "mistake",
        ),
        ({"not_judged": "why"}, "not judged: why"),
    ],
)
def test_the_misfit_of_the_noise_has_a_line(found: dict, line: str, tmp_path) -> None:
    tests = (replace(PartTest("noise", p_value=0.01, tests=9), **found),)
    text = table([write(tmp_path / "soil", replace(ANSWER, tests=tests))])
    assert line in words(text)


DAMAGES = {"null": None, "list": [], "object": {}, "text": "text", "huge": 10**400}


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the places of all entries of a JSON file, and of those within them."""
    if at:
        yield at
    if isinstance(content, dict | list):
        rows = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in rows:
            yield from places(value, (*at, key))


@pytest.mark.parametrize("at", [*places(json.loads(TRUE.to_json()))], ids=str)
def test_a_damaged_number_is_shown_or_its_file_is_named(tmp_path, at):
    *above, key = at
    file = write(tmp_path / "damaged", TRUE)
    for damage in (*DAMAGES, "missing"):
        content = json.loads(TRUE.to_json())
        inner = reduce(getitem, above, content)
        if damage == "missing":
            del inner[key]
        else:
            inner[key] = DAMAGES[damage]
        file.with_name("answer.json").write_text(json.dumps(content))
        try:
            told = table([file])
        except DataError as error:
            told = str(error)
        assert "damaged" in told, damage


def test_results_of_an_earlier_version_are_told_what_to_do(tmp_path):
    file = write(tmp_path / "old", ANSWER)
    assert table([file]) == table([file.with_name("answer.json")])
    file.with_name("answer.json").unlink()
    with pytest.raises(DataError, match=r"old/answer\.json: there is no such file.*Run the study"):
        table([file])


def test_the_report_of_a_folder_lists_what_is_there_and_runs_nothing(tmp_path):
    for name in ("evil.py", "numpy.py", "sitecustomize.py", "Snakefile"):
        (tmp_path / name).write_text("from pathlib import Path\nPath('ran').touch()\n")
    study = {"forward": {"kind": "evil:Model"}}
    (tmp_path / "config.yaml").write_text(json.dumps({"studies": {"mine": study}}))
    results = tmp_path / "results"
    results.mkdir()
    write(results / "mine", ANSWER)
    heldout = HeldOutDistance(0.01, 0.02, 0.001)
    write(results / "<b>other", replace(ANSWER, heldout=heldout))
    call = "from popinv.cli.commands import popinv; popinv()"
    report = [sys.executable, "-P", "-c", call, "report", "results"]
    done = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (results / "report/index.html").read_text()
    assert re.search(r'row">mine</th><td[^>]*class="good"', page)
    assert re.search(r'row">&lt;b&gt;other</th><td[^>]*class="doubt"', page)
    assert not (tmp_path / "ran").exists()
    (results / "mine/answer.json").write_text('{"systems": 3, "estimator": "likelihood"}')
    done = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True)
    assert "mine/answer.json: cannot be understood" in done.stderr
    assert "Traceback" not in done.stderr


def test_parameters_of_single_systems_from_their_table(tmp_path) -> None:
    path = write(tmp_path / "soil", ANSWER)
    folder = tmp_path / "soil" / "downstream" / "posterior"
    folder.mkdir(parents=True)
    names = ["mean", "standard deviation", "2.5 %", "median", "97.5 %"]
    head = ["system", *(f"size {n} [mm]" for n in names), *(f"rate {n}" for n in names)]
    rows = [["bore_3", 1.25, 0.5, 0.4, 1.2, 2.1, 7, 1, 5, 7, 9], ["017", *range(1, 11)]]
    lines = [
        ",".join(map(str, row)) for row in [[*head, "surprise p-value"], *([*r, 0.5] for r in rows)]
    ]
    (folder / "systems.csv").write_text("\n".join(lines))
    text = systems([path])
    assert text.startswith("soil: posterior mean and 95 % interval of each system\n")
    assert "system size [mm] rate" in words(text)
    assert "bore_3 1.25 (0.4 to 2.1) 7 (5 to 9)" in words(text)
    assert "\n017 " in text
    shown = CliRunner().invoke(popinv, ["show", "--systems", str(tmp_path / "soil")])
    assert shown.output == text + "\n"


def test_what_is_not_determined_has_no_number(tmp_path) -> None:
    unknown = RecoveredParameter("law", "F_median", 0.8, determined=False)
    ratio = RecoveredParameter("law", "F_median / V_median", 0.335, 0.32, 0.35)
    of_law = replace(ANSWER.estimates[0], own=unknown)
    answer = replace(ANSWER, estimates=(of_law, ANSWER.estimates[1]), combinations=(ratio,))
    text = words(table([write(tmp_path / "soil", answer)]))
    assert "F median not determined" in text
    assert "0.8 " not in text
    assert "F median / V median 0.335 0.32 to 0.35" in text
