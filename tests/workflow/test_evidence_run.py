"""Evidence asked for after a study is finished."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from popinv.config.loading import load
from popinv.store import storage

pytestmark = [pytest.mark.firedrake, pytest.mark.full]

EVIDENCE = {
    "system_counts": [200, 220, 240],
    "repeats": 2,
    "through": "solver",
    "design_counts": [80, 160],
    "calibration": 2,
    "calibration_block": 1,
}


def test_evidence_is_made_from_the_finished_study(finished, tiny):
    study = tiny["studies"]["tiny"]
    study["evidence"] = EVIDENCE
    printed = finished.dry_run(tiny)
    for untouched in ("recovering", "assessing", "round 0: solving", "round truth: solving"):
        assert untouched not in printed
    # Three sizes of data sets (two data sets of each) and the broad design, in chunks of 80.
    for systems, chunks in ((200, 5), (220, 6), (240, 6)):
        found = re.findall(rf"Job \d+: tiny, round systems_{systems}: solving", printed)
        assert len(found) == chunks
    assert len(re.findall(r"Job \d+: tiny, round fixed: solving", printed)) == 2
    finished.printed()

    folder = finished.folder / "results" / "tiny"
    for figure in load(tiny).studies["tiny"].evidence.figures():
        assert (folder / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    errors = json.loads((folder / "evidence/error_against_systems.json").read_text())
    assert errors["error_observed_through"] == "solver"
    assert errors["error_data_sets"] == 6
    designs = json.loads((folder / "evidence/designs.json").read_text())
    assert designs["design_calls_active"] == 200
    last = storage.load(folder / "rounds/check/solves.zarr.zip")["surrogate_error"].values[-1]
    # The same surrogate and solves; the noise is the final estimate instead of the last round's.
    assert 0.3 < designs["design_error"] / last < 3
    coverage = json.loads((folder / "evidence/calibration.json").read_text())
    assert coverage["calibration_replications"] == 2
    assert {coverage[f"coverage_alpha_{name}"] for name in ("mean", "length")} <= {0.0, 0.5, 1.0}
    blocks = [storage.load(folder / f"evidence/replications/{b}.zarr.zip") for b in (0, 1)]
    assert np.all(blocks[0]["law"].values != blocks[1]["law"].values)
    page = finished.folder / "results" / "efficiency.md"
    assert finished.run("efficiency").returncode == 0
    assert "## tiny\n\n2 data sets, observed through the solver" in page.read_text()
