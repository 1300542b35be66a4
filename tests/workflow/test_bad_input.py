"""Bad input stops before any work, with one message and no results."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tiny_study import TINY, Workflow


@pytest.fixture
def workflow(tmp_path) -> Workflow:
    return Workflow(tmp_path)


def refused(workflow: Workflow, config, *parts: str) -> None:
    workflow.configure(config)
    done = workflow.run()
    assert done.returncode == 1
    for part in parts:
        assert part in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
    assert not (workflow.folder / "results").exists()


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("forward.elments", 10, ["studies.tiny.forward.elments", "Did you mean 'elements'?"]),
        ("observations.count", "many", ["studies.tiny.observations.count", '"many"']),
        ("observations.truth.noise.amplitude", -0.1, ["truth.noise.amplitude", "-0.1"]),
        ("forward.sensors", {"positions": [0.2, 1.2]}, ["positions[1]", "1.2", "outside"]),
        ("observations.truth.law.depth", 1.0, ["truth.law.depth"]),
    ],
)
def test_faults_in_the_configuration_are_named(workflow, tiny, path, value, parts):
    *sections, key = path.split(".")
    section = tiny["studies"]["tiny"]
    for name in sections:
        section = section[name]
    section[key] = value
    refused(workflow, tiny, "config.yaml", *parts)


def test_a_study_name_that_is_no_folder_name_is_refused(workflow, tiny):
    tiny["studies"] = {"a/b": tiny["studies"]["tiny"]}
    refused(workflow, tiny, "a/b", "letters, digits")


def own_data(config, positions=(0.2, 0.4, 0.6)):
    study = config["studies"]["tiny"]
    study["forward"]["sensors"] = {"positions": list(positions)}
    study["observations"] = {"file": "y.csv"}
    return config


def write_csv(workflow: Workflow, y: np.ndarray) -> None:
    np.savetxt(workflow.folder / "y.csv", y, delimiter=",")


def test_an_observation_file_with_nan_names_row_and_column(workflow, tiny):
    y = np.ones((30, 3))
    y[4, 1] = np.nan
    write_csv(workflow, y)
    refused(workflow, own_data(tiny), "y.csv: line 5, column 2")


def test_an_observation_file_of_the_wrong_width_is_refused(workflow, tiny):
    write_csv(workflow, np.ones((30, 4)))
    refused(workflow, own_data(tiny), "y.csv", "4", "3")


def test_a_missing_observation_file_is_refused(workflow, tiny):
    refused(workflow, own_data(tiny), "y.csv")


@pytest.mark.firedrake
def test_own_observations_are_read_and_split(workflow, tiny):
    y = np.random.default_rng(0).standard_normal((30, 3))
    write_csv(workflow, y)
    workflow.configure(own_data(copy.deepcopy(TINY)))
    target = "results/tiny/observations.zarr.zip"
    workflow.printed(target)
    from popinv.store import storage

    observations = storage.load(workflow.folder / target)
    # Few systems are all learned from, and all tested on.
    for name in ("y", "y_heldout"):
        np.testing.assert_allclose(np.sort(observations[name].values, axis=0), np.sort(y, axis=0))
    assert observations.attrs["folds"] == 5
    assert (
        "truth"
        not in workflow.run("--dry-run").stdout.split("Building DAG")[1].split("Job stats")[1]
    )
