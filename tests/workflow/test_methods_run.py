"""What the tool answers about a finished study, asked for afterwards."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from asked_methods import found_by

from popinv.store import storage

pytestmark = pytest.mark.firedrake

GROUPS = {"groups": {"systems": [0, 5, 9], "simulated": 20}}
ASKED = {
    "posterior": {"chains": 2, "effective": 20, "most_moves": 300, "kept_draws": 10},
    "restarts": {"starts": 2, "draws": 4},
    "certificate": {"systems": [4, 59], "runs": 50},
}
# These fit several times.
ASKED_OF_FITS = {
    "withdrawal": {"systems": [3, 17], "checked": 4},
    "federated": {"law": "own", "sites": 2},
}


def assert_drawn(folder: Path, pictures: tuple[str, ...]) -> None:
    for picture in pictures:
        method, name = picture.split("/")
        file = folder / f"downstream/{method}/figures/{name}.png"
        assert file.read_bytes().startswith(b"\x89PNG")


def test_a_question_is_asked_of_a_finished_study(finished, tiny):
    found = found_by(finished, tiny, GROUPS)["groups"]
    assert found["group_size"] == 3
    assert 0 < found["p_value"] < 1
    assert_drawn(finished.folder / "results" / "tiny", ("groups/tests",))


def test_a_setting_of_one_method_reruns_that_alone(finished, tiny):
    tiny["studies"]["tiny"]["downstream"] = {"groups": {"systems": [0, 6], "simulated": 20}}
    printed = finished.dry_run(tiny)
    assert "testing whether a group of systems" in printed
    for untouched in ("observing", "training", "recovering", "assessing", "drawing the figures"):
        assert untouched not in printed


@pytest.mark.full
def test_questions_are_asked_of_a_finished_study(finished, tiny):
    found = found_by(finished, tiny, ASKED)
    folder = finished.folder / "results" / "tiny"
    posterior = storage.load(folder / "posterior.zarr.zip")
    # Two modes and the mean of a field, which is told at five places.
    assert posterior["z"].dims == ("draw", "system", "coefficient")
    assert posterior["value"].shape == (10, 200, 5)
    systems = pd.read_csv(folder / "downstream/posterior/systems.csv")
    assert len(systems) == 200
    assert "log-permeability at x=0.5 median" in systems
    assert systems["surprise p-value"].between(0, 1).all()
    # A study so tiny has a poor surrogate; that the intervals hold most of the truth is all.
    assert found["posterior"]["coverage"] > 0.5
    assert found["restarts"]["starts"] == 2
    assert found["certificate"]["epsilon"] <= 1 + 1e-9
    pictures = ("posterior/systems", "restarts/ends", "certificate/forgetting")
    assert_drawn(folder, pictures)
    # A setting of another method reruns that alone.
    tiny["studies"]["tiny"]["downstream"] = ASKED | {"groups": {"systems": [0, 6]}}
    printed = finished.dry_run(tiny)
    assert "testing whether a group of systems" in printed
    for untouched in ("sampling the parameters", "descending from", "recovering"):
        assert untouched not in printed


@pytest.mark.full
def test_questions_that_need_fits_are_asked_of_a_finished_study(finished, tiny):
    found = found_by(finished, tiny, ASKED_OF_FITS)
    folder = finished.folder / "results" / "tiny"
    assert found["federated"]["sites"] == 2
    assert found["federated"]["largest_distance_federated"] < 0.1
    assert found["withdrawal"]["withdrawn"] == 2
    # One step is the prediction, and a short fit the answer without both systems.
    one_step = found["withdrawal"]["withdrawn_left_by_one_step"]
    assert one_step < 0.3 * found["withdrawal"]["withdrawn_size"]
    influence = pd.read_csv(folder / "downstream/withdrawal/influence.csv")
    assert sorted(influence["system"]) == list(range(200))
    pictures = ("withdrawal/influence", "withdrawal/answers")
    assert_drawn(folder, (*pictures, "federated/answers", "federated/reconstruction"))
