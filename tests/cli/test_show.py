"""The table at the end of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from popinv.cli.show import main, table
from popinv.errors import DataError

METRICS = {
    "systems": 1000,
    "observations_per_system": 50,
    "alpha_mean": 0.512,
    "alpha_mean_lower": 0.48,
    "alpha_mean_upper": 0.54,
    "alpha_mean_predicted_error": 0.01,
    "noise_amplitude": 0.098,
    "noise_amplitude_lower": 0.095,
    "noise_amplitude_upper": 0.101,
    "noise_amplitude_predicted_error": 0.02,
    "estimator": "likelihood",
    "estimator_reason": "the best that passes",
    "through": "surrogate",
    "descent_arrived": 1,
    "descent_remaining": 0.04,
    "agreement": "distance and likelihood agree",
    "agreement_p_value": 0.6,
    "efficiency_bound": "likelihood",
    "efficiency_mean": 1.02,
    "heldout_energy_distance": 0.01,
    "heldout_energy_null_95": 0.02,
    "heldout_p_value": 0.4,
    "surrogate_whitened_rmse": 0.0712,
    "surrogate_threshold": 0.1,
    "surrogate_push": 0.11,
    "surrogate_push_threshold": 0.25,
    "surrogate_good_enough": 1,
    "solver_calls": 5500,
    "solver_failures": 0,
}
TRUE = {
    "alpha_true_mean": 0.5,
    "noise_true_amplitude": 0.1,
    "alpha_relative_error_max": 0.024,
    "alpha_relative_error_rms": 0.03,
    "noise_covariance_relative_frobenius_error": 0.04,
    "alpha_oracle_relative_error_rms": 0.02,
    "alpha_error_to_oracle": 1.5,
    "noise_oracle_relative_frobenius_error": 0.05,
    "noise_error_to_oracle": 0.8,
}


def write(folder, name: str, metrics: dict) -> str:
    path = folder / name / "metrics.json"
    path.parent.mkdir()
    path.write_text(json.dumps(metrics))
    return str(path)


def words(text: str) -> str:
    """Return a text without the places at which its lines break."""
    return " ".join(text.split())


def row(text: str, start: str) -> list[str]:
    (match,) = [line for line in text.splitlines() if line.startswith(start)]
    return match.split()


def test_recovered_beside_true(tmp_path) -> None:
    text = table([write(tmp_path, "soil", METRICS | TRUE)])
    assert text.startswith("soil: 1000 systems, 50 observations each\n")
    assert row(text, "law     mean") == ["law", "mean", "0.512", "0.48", "to", "0.54", "0.5"]
    assert row(text, "noise   amplitude")[-4:] == ["0.095", "to", "0.101", "0.1"]
    truth = "largest error 0.024 (law), 0.040 (noise); law 1.50 times its oracle's; noise 0.80"
    assert truth in words(text)
    assert "the answer is that of the likelihood" in text
    assert "has arrived" in text
    assert "estimators agree (p = 0.6)" in text
    assert "standard errors at most 1.02 times the bound" in text
    assert "look like draws of the fitted model (p = 0.4)" in text
    assert "errs by 0.071 deviations of the noise, pushes by 0.11 standard errors" in text
    assert "doubt" not in text
    assert "5500, 0 failed" in text
    assert str(tmp_path / "soil" / "figures") in text
    assert "Root mean square errors over the studies" not in text


def test_columns_line_up(tmp_path) -> None:
    lines = table([write(tmp_path, "soil", METRICS | TRUE)]).splitlines()
    heading = next(line for line in lines if "recovered" in line)
    for line in lines[lines.index(heading) + 1 : lines.index(heading) + 3]:
        for column in ("recovered", "95 % interval", "true"):
            at = heading.index(column)
            assert line[at] != " "
            assert line[at - 1] == " "


def test_without_truth_and_intervals(tmp_path) -> None:
    bare = {k: v for k, v in METRICS.items() if not k.endswith(("_lower", "_upper"))}
    text = table([write(tmp_path, "soil", bare)])
    heading = next(line for line in text.splitlines() if "recovered" in line)
    assert "true" not in heading
    assert "interval" not in heading
    assert row(text, "law     mean") == ["law", "mean", "0.512"]


def test_misfit_is_said(tmp_path) -> None:
    text = table([write(tmp_path, "soil", METRICS | {"heldout_p_value": 0.004})])
    assert "doubt Held-out systems" in words(text)
    assert "kept aside do not look like draws of the fitted model" in words(text)
    assert "(p = 0.004)" in text
    assert text.endswith("1 of 6 judgements are reasons for doubt.")


def test_many_parameters_are_cut_short(tmp_path) -> None:
    many = {
        f"noise_standard_deviation_{i}{end}": 0.1
        for i in range(1, 51)
        for end in ("", "_predicted_error")
    }
    text = table([write(tmp_path, "soil", many)])
    assert "standard deviation 12" in text
    assert "standard deviation 13" not in text
    # The amplitude is absent here, so all fifty are of one kind.
    assert "and 38 more in metrics.json" in text


def test_several_studies_together(tmp_path) -> None:
    other = (
        METRICS
        | TRUE
        | {
            "alpha_relative_error_rms": 0.04,
            "alpha_oracle_relative_error_rms": 0.01,
            "noise_covariance_relative_frobenius_error": 0.03,
        }
    )
    paths = [
        write(tmp_path, "first", METRICS | TRUE),
        write(tmp_path, "second", other),
        write(tmp_path, "own_data", METRICS),
    ]
    last = table(paths).splitlines()[-1]
    # sqrt(mean(0.03^2, 0.04^2)) = 0.0354 against sqrt(mean(0.02^2, 0.01^2)) = 0.0158.
    assert "law 0.035, 2.24 times the oracle's (2 studies)" in last
    # sqrt(mean(0.04^2, 0.03^2)) against 0.05.
    assert "noise covariance 0.035, 0.71 times the oracle's (2 studies)" in last


def test_several_studies_without_truth(tmp_path) -> None:
    paths = [write(tmp_path, name, METRICS) for name in ("a", "b")]
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
    path = write(tmp_path, "soil", METRICS | TRUE)
    command = [sys.executable, "-m", "popinv.cli.show", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == table([path])


def test_baselines_beside_the_metrics_are_shown(tmp_path) -> None:
    path = write(tmp_path, "soil", METRICS | TRUE)
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
    known = {"weakest_direction": "1.00 mean", "weakest_direction_error": 0.1}
    warned = known | {"identifiability_warning": "10 systems do not determine 1 combination"}
    text = table([write(tmp_path, "soil", METRICS | warned)])
    assert "doubt Identifiability" in words(text)
    assert "10 systems do not determine 1 combination" in words(text)
    quiet = METRICS | known | {"identifiability_warning": "none"}
    assert "the data determine every parameter" in table([write(tmp_path, "sand", quiet)])


def test_a_surrogate_above_its_thresholds_is_a_doubt(tmp_path) -> None:
    text = table([write(tmp_path, "soil", METRICS | {"surrogate_good_enough": 0})])
    assert "doubt Surrogate" in words(text)
    assert "the study asks for 0.1" in words(text)


def test_calibration_beside_the_metrics_is_judged(tmp_path) -> None:
    path = write(tmp_path, "soil", METRICS)
    assert "Calibration" not in table([path])
    folder = Path(path).parent / "evidence"
    folder.mkdir()
    calibration = {"coverage_mean": 0.6, "calibration_replications": 40}
    (folder / "calibration.json").write_text(json.dumps(calibration))
    assert "doubt Calibration" in words(table([path]))


@pytest.mark.parametrize(
    ("misfit", "line"),
    [
        (
            {"noise_misfit": "none seen"},
            "good Noise no mistake seen in 9 tests (p = 0.01)",
        ),
        (
            {"noise_misfit": "it has heavy tails (excess kurtosis +3)"},
            "doubt Noise It has heavy tails (excess kurtosis +3) (p = 0.01)",
        ),
        (
            {"noise_misfit": "none seen", "noise_misfit_unseen": "one; two"},
            "Noise no mistake seen in 9 tests (p = 0.01); 2 of them would hardly see a large one",
        ),
        ({"noise_misfit": "not judged: why"}, "not judged"),
    ],
)
def test_the_misfit_of_the_noise_has_a_line(misfit: dict, line: str, tmp_path) -> None:
    numbers = {"noise_misfit_p_value": 0.01, "noise_misfit_tests": 9, "noise_misfit_unseen": "none"}
    text = table([write(tmp_path, "soil", METRICS | numbers | misfit)])
    assert line in words(text)


DAMAGES = {"null": None, "list": [], "object": {}, "text": "text", "huge": 10**400}


@pytest.mark.parametrize("key", [*METRICS, *TRUE])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_number_is_shown_or_its_file_is_named(tmp_path, key, damage):
    damaged = METRICS | TRUE | {key: DAMAGES[damage]}
    missing = {name: number for name, number in damaged.items() if name != key}
    for name, metrics in {"damaged": damaged, "missing": missing}.items():
        file = Path(write(tmp_path, name, metrics))
        try:
            told = table([file])
        except DataError as error:
            told = str(error)
        assert name in told


def test_the_report_of_a_folder_lists_what_is_there_and_runs_nothing(tmp_path):
    for name in ("evil.py", "numpy.py", "sitecustomize.py", "Snakefile"):
        (tmp_path / name).write_text("from pathlib import Path\nPath('ran').touch()\n")
    study = {"forward": {"kind": "evil:Model"}}
    (tmp_path / "config.yaml").write_text(json.dumps({"studies": {"mine": study}}))
    results = tmp_path / "results"
    results.mkdir()
    write(results, "mine", METRICS)
    write(results, "<b>other", METRICS | {"heldout_p_value": 0.001})
    call = "from popinv.cli.commands import popinv; popinv()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", call, "report", "results"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (results / "report/index.html").read_text()
    assert re.search(r'row">mine</th><td[^>]*class="good"', page)
    assert re.search(r'row">&lt;b&gt;other</th><td[^>]*class="doubt"', page)
    assert not (tmp_path / "ran").exists()
    (results / "mine/metrics.json").write_text('{"systems": 3, "estimator": "likelihood"}')
    done = subprocess.run(
        [sys.executable, "-P", "-c", call, "report", "results"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert "mine/metrics.json: cannot be understood" in done.stderr
    assert "Traceback" not in done.stderr
