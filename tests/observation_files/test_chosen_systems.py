"""Systems by name and by number, and observations without them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from popinv.errors import DataError
from popinv.observation_files.section import FileObservations
from popinv.population.stages.import_observations import import_observations
from popinv.sections.systems import rows_of_systems, systems_left


def test_names_are_preferred_to_numbers():
    names = ["a", "17", "2"]
    assert rows_of_systems([17, "2", "a"], names, 3).tolist() == [1, 2, 0]
    assert rows_of_systems([2, "0"], None, 3).tolist() == [2, 0]
    assert rows_of_systems([], None, 3).tolist() == []


@pytest.mark.parametrize(
    ("asked", "names", "said"),
    [
        (["bore_3"], None, "the numbers from 0 to 3"),
        (["02"], None, "the numbers from 0 to 3"),
        ([4], None, "got '4'.*the numbers from 0 to 3"),
        (["bore_33"], ["bore_1", "bore_2", "bore_3", "b"], "Did you mean 'bore_3'"),
        ([1, "1"], None, "named once"),
    ],
)
def test_unknown_and_repeated_systems_are_refused(asked, names, said):
    with pytest.raises(DataError, match=said):
        rows_of_systems(asked, names, 4)


def test_two_systems_must_be_left():
    assert systems_left([0, 1], None, 4).tolist() == [2, 3]
    with pytest.raises(DataError, match="at least 2 must be left"):
        systems_left([0, 1, 3], None, 4)


def test_a_file_is_read_without_the_systems_that_withdrew(tmp_path):
    from popinv.config.loading import load

    rng = np.random.default_rng(0)
    rows = [f"bore_{n},{rng.normal():.6f},{rng.normal():.6f},{n % 3}" for n in range(12)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["name,a,b,batch", *rows]))
    section = FileObservations(file=str(path), system_column="name", ignored_columns=["batch"])
    study = load({"studies": {"s": {
        "forward": {"kind": "python", "function": "line:solve",
                    "parameters": ["a", "b"], "observations": {"count": 2}},
        "law": {"kind": "normal", "start": {n: {"mean": 0.0, "standard_deviation": 1.0}
                                            for n in "ab"}},
        "observations": dict(section), "noise": {"kind": "isotropic"},
    }}}).studies["s"]  # fmt: skip
    whole = import_observations(study.forward, study.law, section, seed=1)
    fewer = section.replace(without=["bore_3", "bore_7"])
    rest = import_observations(study.forward, study.law, fewer, seed=1)
    kept = ~np.isin(whole["system_id"].values, ["bore_3", "bore_7"])
    assert kept.sum() == 10
    # The systems are in random order; each has its place in the table, and its batch.
    assert [f"bore_{n}" for n in whole["row"].values] == whole["system_id"].values.tolist()
    assert whole["unused_name"].values.tolist() == ["batch"]
    np.testing.assert_array_equal(whole["unused"].values[:, 0].astype(int), whole["row"] % 3)
    told = "20 of the 24 values of the table are used, but not 4 of the systems that"
    assert rest.attrs["values"].startswith(told)
    xr.testing.assert_equal(rest[["y"]], whole[["y"]].isel(system=kept))
    assert not np.isin(["bore_3", "bore_7"], rest["system_id_heldout"].values).any()
