"""A study whose law, noise family and forward model are the user's own, from the first job on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from own_kinds import MODULES, STUDY, write_modules
from tiny_study import Workflow

SMALL: dict[str, Any] = {
    "active_learning": {"rounds": 1, "first_design": 200},
    "surrogate": {"width": 32, "depth": 2, "max_epochs": 300},
    "polish": {"draws": 16},
    "descent": {"iterations": 150, "model_samples": 300, "directions": 32},
    "assessment": {"null_resamples": 20, "surrogate_check": 60},
}


def configuration() -> dict[str, Any]:
    study = {**copy.deepcopy(STUDY), **copy.deepcopy(SMALL)}
    study["observations"] |= {"count": 300, "heldout": 100}
    return {"seed": 1, "studies": {"own": study}}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("own_kinds"))
    write_modules(made.folder)
    made.configure(configuration())
    made.printed("all", "results/report/index.html")
    return made


@pytest.mark.full
def test_the_truth_is_recovered(workflow: Workflow) -> None:
    metrics = json.loads((workflow.folder / "results/own/metrics.json").read_text())
    truth = STUDY["observations"]["truth"]
    for parameter, values in truth["law"].items():
        for key, value in values.items():
            assert metrics[f"alpha_{parameter}_{key}"] == pytest.approx(value, abs=0.15)
    for name, value in truth["noise"].items():
        assert metrics[f"noise_{name}"] == pytest.approx(value, rel=0.3)


@pytest.mark.full
def test_report_and_figures_show_it(workflow: Workflow) -> None:
    page = next((workflow.folder / "results/report").rglob("*own*.html")).read_text()
    for part in (
        "uniform on an interval",
        "of one size until a time",
        "A dose that decays",
        "Standard deviation until the change",
        "absorption low",
    ):
        assert part in page
    figures = {path.stem for path in (workflow.folder / "results/own/figures").glob("*.png")}
    assert {"law", "noise_covariance", "descent", "observations"} <= figures


@pytest.mark.full
def test_an_edit_repeats_what_depends_on_it(workflow: Workflow) -> None:
    def reran(file: str, old: str, new: str) -> str:
        module = workflow.folder / file
        module.write_text(MODULES[file].replace(old, new))
        printed = workflow.run("--dry-run").stdout
        module.write_text(MODULES[file])
        return printed

    assert "Nothing to be done" in reran("my_noise.py", "import torch", "# torch\nimport torch")
    printed = reran("my_noise.py", "torch.exp(2 *", "torch.exp(2.0 *")
    assert "observing the population through noise" in printed
    assert "round 0: solving chunk" not in printed
    assert "round 0: solving chunk" in reran("my_models.py", "np.exp(-z", "np.exp(-1.0 * z")
    printed = reran("my_laws.py", "low + width", "1.0 * low + width")
    assert "drawing a population from its true law" in printed


def test_solves_of_another_shape_stop_the_run(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path)
    write_modules(tmp_path)
    file = tmp_path / "my_models.py"
    file.write_text(file.read_text().replace("finished(y,", "finished(y[:, :2],"))
    workflow.configure(configuration())
    done = workflow.run("results/own/rounds/0/solves.zarr.zip")
    assert done.returncode == 1
    assert "must return observations of shape (200, 4)" in done.stdout
