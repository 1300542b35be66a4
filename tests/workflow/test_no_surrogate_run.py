"""A study of a function of torch that needs no surrogate, from the trial to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from study_sections import moments
from tiny_study import Workflow

from popinv.cli.try_study import try_studies
from popinv.errors import DataError
from popinv.store import storage
from popinv.surrogate.artefact import surrogate_of

pytestmark = pytest.mark.full

SIMULATOR = """import torch


def solve(z, times):
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)
"""
TIMES = np.array([0.0, 1.0, 2.0, 3.0])
STUDY: dict[str, Any] = {
    "forward": {
        "kind": "python",
        "function": "line:solve",
        "derivatives": "torch",
        "parameters": ["level", "slope"],
        "observations": {"times": TIMES.tolist(), "name": "height"},
    },
    "law": {
        "kind": "normal",
        "start": moments(level=(0.0, 1.0), slope=(0.0, 1.0)),
    },
    "noise": {"kind": "isotropic"},
    "observations": {"file": "y.csv"},
    "descent": {"iterations": 40, "model_samples": 200, "directions": 32},
    "assessment": {"null_resamples": 20},
}


def test_what_the_trial_advises_runs_without_a_surrogate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made, rng = Workflow(tmp_path), np.random.default_rng(2)
    z = rng.normal([1.0, -0.5], [0.8, 0.4], size=(80, 2))
    y = z[:, :1] + z[:, 1:] * TIMES + 0.3 * rng.normal(size=(80, 4))
    np.savetxt(tmp_path / "y.csv", y, delimiter=",")
    (tmp_path / "line.py").write_text(SIMULATOR)
    made.configure({"seed": 1, "studies": {"lines": STUDY}})
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    assert try_studies("config.yaml", 20, said.append)
    assert any("set 'surrogate: {kind: none}'" in line for line in said)

    made.configure({"seed": 1, "studies": {"lines": {**STUDY, "surrogate": {"kind": "none"}}}})
    said.clear()
    assert try_studies("config.yaml", 20, said.append)
    assert not any("surrogate" in line for line in said)
    made.printed()
    folder = tmp_path / "results/lines"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["through"] == "solver"
    assert metrics["solver_calls"] == 140
    assert "surrogate_error" not in metrics
    # Normal lines have a closed form, which SciPy maximises.
    design = np.column_stack([np.ones(4), TIMES])
    fitted = storage.load(folder / "observations.zarr.zip")["y"].values

    def lost(q: np.ndarray) -> float:
        covariance = design @ np.diag(np.exp(2 * q[2:4])) @ design.T + np.exp(2 * q[4]) * np.eye(4)
        return -float(multivariate_normal.logpdf(fitted, design @ q[:2], covariance).sum())

    best = minimize(lost, [1.0, -0.5, np.log(0.8), np.log(0.4), np.log(0.3)])
    names = [f"{n}_{w}" for w in ("mean", "standard_deviation") for n in ("level", "slope")]
    answer = [metrics[f"alpha_{name}"] for name in names]
    answer.append(metrics["noise_standard_deviation"])
    np.testing.assert_allclose(answer, [*best.x[:2], *np.exp(best.x[2:])], rtol=0.01)
    assert metrics["log_likelihood"] == pytest.approx(-best.fun, abs=1e-3)
    surrogate = surrogate_of(storage.load(folder / "rounds/0/surrogate.zarr.zip"))
    np.testing.assert_allclose(surrogate.predict(z), z[:, :1] + z[:, 1:] * TIMES, rtol=1e-12)

    # A result names code, of which only the study's own is loaded.
    monkeypatch.chdir(folder)
    with pytest.raises(DataError, match="go to the working directory of the study"):
        surrogate_of(storage.load("rounds/0/surrogate.zarr.zip"))
    monkeypatch.chdir(tmp_path)

    # A changed function repeats the solves, and all that goes through it.
    (tmp_path / "line.py").write_text(SIMULATOR.replace("z[:, 1:] *", "2.0 * z[:, 1:] *"))
    assert "solving" in made.run("--dry-run").stdout
    with pytest.raises(DataError, match="run it again"):
        surrogate_of(storage.load(folder / "rounds/0/surrogate.zarr.zip"))
