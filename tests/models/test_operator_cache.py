"""Operators that are kept on disk are those that Firedrake assembles."""

import os
import sys

import numpy as np
import preloaded
import pytest
from forward_models import elastodynamics, porous_flow
from tiers import parameters

from popinv_models.finite_elements import operator_cache
from popinv_models.finite_elements.firedrake import load_firedrake
from popinv_models.porous_flow import operators
from popinv_models.porous_flow.section import PorousFlow

SENSORS = np.array([[0.3], [0.6]])


@pytest.fixture(scope="session", autouse=True)
def firedrake():
    """Import Firedrake as solves do, so that its import does not count for one test."""
    return load_firedrake()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPINV_CACHE", str(tmp_path))
    return tmp_path / "operators"


def files(cache):
    return sorted(cache.glob("*"))


def forget(cache):
    for file in files(cache):
        file.unlink()


# The modes of elastic bodies are kept beside their operators.
@pytest.mark.parametrize(
    ("model", "count"),
    [
        (lambda: porous_flow(SENSORS, elements=20), 1),
        pytest.param(lambda: elastodynamics(SENSORS, elements=20), 2, marks=pytest.mark.full),
    ],
    ids=["porous_flow", "elastodynamics"],
)
def test_a_kept_model_answers_bit_for_bit(own_cache, model, count):
    z = np.full((3, len(model().parameters)), 0.3)
    forget(own_cache)
    assembled = model().solve(z).observations
    assert len(files(own_cache)) == count
    again = model().solve(z).observations
    np.testing.assert_array_equal(again, assembled)
    forget(own_cache)
    np.testing.assert_array_equal(model().solve(z).observations, assembled)


def test_a_second_process_does_without_firedrake(own_cache, tmp_path):
    (tmp_path / "second.py").write_text("""
import sys
import numpy as np
from popinv_models.porous_flow.section import PorousFlow
section = PorousFlow(kind="porous_flow", sensors={"positions": [[0.3], [0.6]]}, elements=20)
model = section.model(1)
z = np.full((1, len(model.parameters)), 0.3)
print("firedrake" in sys.modules, model.solve(z).observations.tolist())
""")
    first = PorousFlow(kind="porous_flow", sensors={"positions": SENSORS.tolist()}, elements=20)
    z = np.full((1, len(first.model(1).parameters)), 0.3)
    values = first.model(1).solve(z).observations.tolist()
    assert "firedrake" in sys.modules
    second = preloaded.run(["second.py"], tmp_path, dict(os.environ))
    assert second.stdout == f"False {values}\n", second.stderr


@parameters(
    "change",
    [{"elements": 21}, {"source": 9.0}, {"sensors": SENSORS + 0.01}],
    full=[{"dimension": 2}],
)
def test_other_arguments_are_assembled_anew(own_cache, change):
    porous_flow(SENSORS, elements=20)
    given = {"elements": 20, **change}
    sensors = given.pop("sensors", SENSORS)
    if given.get("dimension") == 2:
        sensors = np.array([[0.3, 0.3], [0.6, 0.6]])
    model = porous_flow(sensors, **given)
    assert len(files(own_cache)) == 2
    fresh = operators.preassemble(model.discretisation)
    np.testing.assert_array_equal(model.operators.load, fresh.load)


def test_a_source_that_is_a_function_is_not_kept(own_cache):
    porous_flow(SENSORS, elements=20, source=lambda x: 1 + x[0])
    assert files(own_cache) == []


def test_a_file_that_was_cut_short_is_made_again(own_cache):
    expected = porous_flow(SENSORS, elements=20).operators.load
    (path,) = files(own_cache)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(porous_flow(SENSORS, elements=20).operators.load, expected)
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POPINV_CACHE", str(tmp_path / "file"))
    assert len(porous_flow(SENSORS, elements=20).operators.load) == 19


def test_old_files_go(own_cache, monkeypatch):
    monkeypatch.setattr(operator_cache, "_MOST_FILES", 2)
    for elements in (10, 11, 12):
        porous_flow(SENSORS, elements=elements)
    assert len(files(own_cache)) == 2
