"""``popinv design`` and ``popinv.design``: of a configuration, and of a finished study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

import popinv as package
from popinv.cli.commands import popinv
from popinv.config.loading import load_file
from popinv.errors import ConfigError
from popinv.report.gathering import designs_of
from popinv.report.pages import index_page

CODE = """import torch

def solve(z, design, times):
    t = torch.as_tensor(times)
    return design * z[:, :1] * torch.exp(-z[:, 1:] * t)
"""
STUDY = {
    "forward": {
        "kind": "python",
        "function": "decay:solve",
        "derivatives": "torch",
        "parameters": ["size", "rate"],
        "design": ["dose"],
        "observations": {"times": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0]},
    },
    "law": {
        "kind": "lognormal",
        "start": {
            "size": {"mean": 0.5, "standard_deviation": 0.3},
            "rate": {"mean": -0.5, "standard_deviation": 0.4},
        },
    },
    "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.1}},
    "observations": {
        "count": 100,
        "heldout": 20,
        "known": {"dose": {"uniform": [1.0, 2.0]}},
        "truth": {
            "law": {
                "size": {"mean": 0.4, "standard_deviation": 0.3},
                "rate": {"mean": -0.4, "standard_deviation": 0.4},
            },
            "noise": {"standard_deviation": 0.1},
        },
    },
    "surrogate": {"kind": "none"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("popinv.charts.saving._DPI", 30)
    Path("decay.py").write_text(CODE)
    Path("mine.yaml").write_text(yaml.safe_dump({"studies": {"mine": STUDY}}))
    return tmp_path


def run(*words: str, checked: int = 0):
    return CliRunner().invoke(popinv, ["design", *words, "--checked", str(checked)])


def test_the_command_writes_a_study_that_can_be_run(folder):
    result = run("mine.yaml", "--sensors", "2,3", "--systems", "60", "--for", "rate", checked=200)
    assert result.exit_code == 0, result.output
    to = folder / "results" / "mine" / "designs" / "first"
    assert {path.name for path in to.iterdir()} >= {
        "parameters.csv",
        "table.csv",
        "groups.csv",
        "criterion.png",
        "places.png",
        "errors.png",
        "study.yaml",
    }
    assert "200 simulated systems" in result.output
    table = pd.read_csv(to / "table.csv")
    assert table["sensors"].tolist() == [2, 3]
    assert table["typical standard error"].is_monotonic_decreasing
    written = load_file(to / "study.yaml").studies["mine_design"]
    assert written.observations.count == 60
    assert written.observations.known["dose"].uniform == [1.0, 2.0]
    chosen = pd.read_csv(to / "groups.csv")["places"][0]
    times = [float(each.removeprefix("t = ")) for each in chosen.split("; ")]
    assert written.forward.observations.described_times() == times
    (listed,) = designs_of("results", "mine")
    assert [name for name, *_ in listed.parameters][:2] == ["size_median", "rate_median"]
    page = index_page([], [], designs=[listed])
    assert "60 systems: t = " in page
    assert 'src="../mine/designs/first/criterion.png"' in page
    # What was taken for true is the truth of a rehearsal.
    assert written.observations.truth.law["rate"]["mean"] == -0.4


def test_doses_are_chosen_and_written(folder):
    plan = package.design(
        "mine.yaml",
        sensors=3,
        systems=60,
        choices={"dose": [1.0, 1.5, 2.0]},
        parameters="noise_standard_deviation",
        checked=0,
        progress=False,
    )
    groups = plan.groups()
    assert groups["systems"].sum() == 60
    study = plan.configuration()["studies"]["mine_design"]
    values = study["observations"]["known"]["dose"]["values"]
    shares = groups.set_index("dose")["systems"] / 60
    for dose, share in shares.items():
        assert values.count(dose) / len(values) == pytest.approx(share)
    Path("next.yaml").write_text(yaml.safe_dump(plan.configuration()))
    section = load_file("next.yaml").studies["mine_design"].observations.known["dose"]
    drawn = section.values(np.random.default_rng(0), 60)
    assert {d: int((drawn == d).sum()) for d in shares.index} == groups.set_index("dose")[
        "systems"
    ].to_dict()


def test_a_random_simulator_is_refused(folder):
    forward = {k: v for k, v in STUDY["forward"].items() if k != "derivatives"}
    study = {k: v for k, v in STUDY.items() if k != "surrogate"}
    study |= {"forward": {**forward, "stochastic": True}}
    Path("random.yaml").write_text(yaml.safe_dump({"seed": 1, "studies": {"mine": study}}))
    with pytest.raises(ConfigError, match="designs are not made for it"):
        package.design("random.yaml", sensors=3, systems=60, checked=0, progress=False)


def test_groups_budgets_and_plausible_truths(folder):
    result = run(
        *("mine.yaml", "--sensors", "2,3", "--budget", "300", "--costs", "2", "1"),
        *("--groups", "2", "--robust", "--criterion", "A"),
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(folder / "results" / "mine" / "designs" / "first" / "table.csv")
    assert table["systems"].tolist() == [75, 60]
    assert table["cost"].tolist() == [300, 300]


def test_candidates_are_other_times(folder):
    plan = package.design(
        "mine.yaml",
        sensors=2,
        systems=60,
        candidates=[0.1, 0.7, 6.0],
        checked=0,
        progress=False,
    )
    assert set(plan.places[0]) <= {"t = 0.1", "t = 0.7", "t = 6"}


@pytest.mark.full
def test_what_next_after_a_finished_study(folder):
    rng = np.random.default_rng(3)
    times = np.array([0.5, 1.0, 2.0, 4.0])
    z = np.exp([0.4, -0.4] + np.array([0.3, 0.4]) * rng.standard_normal((60, 2)))
    y = z[:, :1] * np.exp(-z[:, 1:] * times) + 0.1 * rng.standard_normal((60, 4))

    def curves(z, times):
        import torch

        return z[:, :1] * torch.exp(-z[:, 1:] * torch.as_tensor(times))

    result = package.fit(
        y,
        curves,
        law=STUDY["law"],
        noise="isotropic",
        times=times,
        tests=False,
        progress=False,
    )
    plan = package.design(result, sensors=4, systems=60, checked=0, progress=False)
    covariance = result.population["covariance"].values
    before = np.sqrt(np.diag(covariance))
    # As many systems as before, at least as well observed: the variances are about halved.
    ratio = plan.summary()["standard_error"].to_numpy() / before
    assert (ratio < 0.85).all()
    assert (ratio > 0.55).all()
    alone = package.design(result, sensors=4, systems=60, previous=False, checked=0, progress=False)
    assert (alone.summary()["standard_error"] > plan.summary()["standard_error"]).all()
    assert "The 60 systems of the finished study count." in plan.notes
    shares = package.design(result, sensors=2, criterion="systems", checked=0, progress=False)
    assert ((shares.chosen.shares > 0) & (shares.chosen.shares < 1)).all()
    with pytest.raises(ConfigError, match="function in memory"):
        shares.configuration()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sensors", "9", "--systems", "10"], "there are 8 candidates"),
        (["--sensors", "2"], "state how many systems"),
        (["--sensors", "2.5", "--systems", "10"], "whole numbers"),
        (["--sensors", "2", "--systems", "9", "--for", "speed"], "allowed: size_median"),
        (["--sensors", "2", "--systems", "9", "--choose", "load=1,2"], "allowed: dose"),
        (["--sensors", "2", "--systems", "9", "--candidates", "a:b"], "FIRST:LAST:STEP"),
        (["--sensors", "2", "--width", "wide"], "width: got 'wide'"),
        (["--sensors", "2", "--systems", "9", "--study", "min"], "Did you mean 'mine'"),
    ],
)
def test_wrong_words_are_explained(folder, words, told):
    result = run("mine.yaml", *words)
    assert result.exit_code == 1
    assert told in result.output


def test_a_simulator_without_times_keeps_its_places(folder):
    study = {**STUDY, "forward": {**STUDY["forward"], "observations": {"count": 8}}}
    Path("plain.yaml").write_text(yaml.safe_dump({"studies": {"mine": study}}))
    Path("decay.py").write_text(
        CODE.replace(", times):", "):").replace("times)", "[0.5, 1, 1.5, 2, 2.5, 3, 4, 5])")
    )
    result = run("plain.yaml", "--sensors", "2", "--systems", "9", "--candidates", "1,2")
    assert "has no times" in result.output
    found = run("plain.yaml", "--sensors", "3", "--systems", "90")
    assert found.exit_code == 0, found.output
    assert "No configuration was made" in found.output
