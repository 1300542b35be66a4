"""Observations with gaps and noise scales, from the file, or the truth, to the answer."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from tiny_study import TINY, Workflow

from popinv.figures.names import FIGURES
from popinv.store import storage

pytestmark = pytest.mark.firedrake

SYSTEMS = 60
STORE = "results/tiny/observations.zarr.zip"


def write_csv(workflow: Workflow, y: np.ndarray, scale: np.ndarray) -> None:
    """Write names, noise scales and observations, every tenth or so of them missing."""
    lines = ["sample,scale,p1,p2,p3"]
    for i, row in enumerate(y):
        cells = ["" if math.isnan(value) else repr(float(value)) for value in row]
        lines.append(",".join([f"core {i}", repr(float(scale[i])), *cells]))
    (workflow.folder / "y.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """Return the workflow after reading a file with gaps, and what was in the file."""
    workflow = Workflow(tmp_path_factory.mktemp("own"))
    rng = np.random.default_rng(0)
    scale = 0.5 * 4.0 ** rng.random(SYSTEMS)
    signal = 0.3 + 0.1 * rng.standard_normal((SYSTEMS, 1)) * np.array([0.5, 1.0, 0.5])
    y = signal + 0.05 * scale[:, None] * rng.standard_normal((SYSTEMS, 3))
    y[rng.random(y.shape) < 0.1] = np.nan
    y[np.isnan(y).all(axis=1), 1] = 0.3
    write_csv(workflow, y, scale)
    config = copy.deepcopy(TINY)
    study = config["studies"]["tiny"]
    study["forward"]["sensors"] = {"positions": [0.2, 0.5, 0.8]}
    study["noise"] = {"kind": "diagonal", "start": {"standard_deviation": 0.1}}
    study["observations"] = {
        "file": "y.csv",
        "missing": "mask",
        "system_column": "sample",
        "noise_scale_column": "scale",
    }
    study["active_learning"].update(rounds=1, first_design=60, chunk_size=60)
    workflow.configure(config)
    workflow.printed(STORE)
    return workflow, y, scale


def test_gaps_names_and_scales_reach_the_store(observed):
    workflow, y, scale = observed
    dataset = storage.load(workflow.folder / STORE)
    # Few systems are all learned from, and all tested on.
    assert dataset["y"].shape == dataset["y_heldout"].shape == (SYSTEMS, 3)
    # The names say which system each row is, after the shuffling.
    for ending in ("", "_heldout"):
        rows = [int(name.split()[1]) for name in dataset[f"system_id{ending}"].values]
        np.testing.assert_array_equal(dataset[f"y{ending}"].values, y[rows])
        np.testing.assert_array_equal(dataset[f"noise_scale{ending}"].values, scale[rows])


def test_other_ends_of_lines_are_no_other_table(observed):
    workflow = observed[0]
    table = workflow.folder / "y.csv"
    before = table.read_bytes()
    try:
        table.write_bytes(before.replace(b"\n", b"\r\n"))
        assert "Nothing to be done" in workflow.printed(STORE, "--dry-run")
        table.write_bytes(before.replace(b"core 0,", b"core zero,").replace(b"\n", b"\r\n"))
        assert "import_observations" in workflow.printed(STORE, "--dry-run")
    finally:
        table.write_bytes(before)
    assert "Nothing to be done" in workflow.printed(STORE, "--dry-run")


@pytest.mark.full
def test_the_run_ends_with_an_answer_and_its_figures(observed):
    workflow, _, _ = observed
    workflow.printed()
    study = workflow.folder / "results" / "tiny"
    metrics = json.loads((study / "metrics.json").read_text())
    for name, value in metrics.items():
        assert isinstance(value, str) or math.isfinite(value), name
    assert metrics["systems"] == SYSTEMS
    for figure in FIGURES:
        assert (study / "figures" / f"{figure}.png").stat().st_size > 0
    workflow.printed("gallery")
    for name in ("systems", "noise"):
        assert (study / "gallery" / f"{name}.png").stat().st_size > 0


def test_a_synthetic_study_is_observed_through_known_scales(finished, tiny, tmp_path):
    # The solves and the noise before scaling are those of the finished study.
    workflow = finished.copied(tmp_path / "copy")
    tiny["studies"]["tiny"]["observations"]["noise_scale"] = {"low": 0.5, "high": 2.0}
    workflow.configure(tiny)
    workflow.printed(STORE)
    before, after = (storage.load(w.folder / STORE) for w in (finished, workflow))
    scale = after["noise_scale"].values
    assert np.all((scale >= 0.5) & (scale <= 2.0))
    clean = storage.load(finished.folder / "results/tiny/truth.zarr.zip")["y_clean"].values[:200]
    noise = before["y"].values - clean
    np.testing.assert_allclose(
        after["y"].values - clean, scale[:, None] * noise, rtol=1e-9, atol=1e-12
    )
