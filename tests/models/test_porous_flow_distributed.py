"""Systems solved by two processes together have the answers of one process."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model_sections import refused
from tiers import patient
from tiny_study import TINY, Workflow

from popinv.config.loading import load
from popinv.forward.base import Solutions
from popinv.sections.base import plain
from popinv.store import storage
from popinv.workflow.records import content_of, read_record
from popinv_models.porous_flow.distributed import DistributedPorousFlow
from popinv_models.porous_flow.section import PorousFlow

pytestmark = [
    pytest.mark.firedrake,
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed"),
]

AS_ROOT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    # As many processes as there are, on however many cores.
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
# Of the largest observation. The residual is reduced by 1e-13; the matrix's condition, some 1e4
# times the contrast of the permeability, stands between that and the answer.
TOLERANCE = 1e-10


def section(**keys: Any) -> PorousFlow:
    given = {"kind": "porous_flow", "modes": 4, "sensors": {"count": 9}, "ranks": 2, **keys}
    return PorousFlow.model_validate(given)


def uneven(forward: PorousFlow) -> np.ndarray:
    """Return rows of which some cannot be solved."""
    names = [parameter.name for parameter in forward.model(3).parameters]
    z = 0.4 * np.random.default_rng(0).standard_normal((10, len(names)))
    z[1] *= 4  # strong contrast
    z[3, 0] = np.nan
    z[4, 0] = 1e4
    z[5, 0] = -1e4
    z[6] = 0.0
    z[6, 0] = 709.7  # a finite permeability, but not four times it
    # Permeable inside, nearly tight along the boundary: too uneven to solve accurately.
    z[7] = 0.0
    for name in ["mode_2"] if forward.dimension == 1 else ["mode_0_2", "mode_2_0"]:
        z[7, names.index(name)] = -20.0
    return z


def loaded(forward: PorousFlow) -> np.ndarray:
    """Return rows with loads and sensors of their own, one outside the domain."""
    rng = np.random.default_rng(0)
    names = [parameter.name for parameter in forward.model(3).parameters]
    z = 0.4 * rng.standard_normal((6, len(names)))
    design = [names.index(name) for name in forward.design_names()]
    z[:, design] = rng.uniform(0.1, 0.9, (6, len(design)))
    z[:, names.index("source")] = rng.uniform(2, 20, 6)
    z[1, names.index("x_3")] = 1.5
    return z


LINE, SQUARE = {"dimension": 1, "elements": 60}, {"dimension": 2, "elements": 20}
FIELDS = {
    "line": section(**LINE),
    "square": section(**SQUARE, field="level_set", nonlinearity="quadratic"),
}
LOADS = {
    "loaded line": section(
        **LINE,
        design=["source", "source_x", "sensors"],
        source_shape="gaussian",
        nonlinearity="quadratic",
    ),
    "loaded square": section(**SQUARE, design=["sensors", "source"]),
}
CASES = {name: (forward, uneven) for name, forward in FIELDS.items()} | {
    name: (forward, loaded) for name, forward in LOADS.items()
}


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, np.ndarray]]]:
    """Return what each of two processes finds, which are started once for all cases."""
    folder = tmp_path_factory.mktemp("distributed")
    for name, (forward, rows) in CASES.items():
        (folder / name).mkdir()
        (folder / name / "section").write_text(forward.model_dump_json())
        np.save(folder / name / "z.npy", rows(forward))
    program = Path(__file__).with_name("distributed_solves.py")
    command = ["mpiexec", "--bind-to", "none", "-n", "2", sys.executable, "-m", "mpi4py", program]
    done = subprocess.run(
        [*command, *CASES],
        cwd=folder,
        env={**os.environ, **AS_ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patient(300),
    )
    assert done.returncode == 0, done.stdout
    return {
        name: [dict(np.load(folder / name / f"answers.{rank}.npz")) for rank in (0, 1)]
        for name in CASES
    }


@pytest.mark.parametrize("case", ["square", "loaded line"])
def test_the_solver_of_several_processes_agrees_in_one(case):
    mpi = pytest.importorskip("mpi4py.MPI")
    forward, rows = CASES[case]
    expected = forward.model(3).solve(rows(forward))
    found = DistributedPorousFlow(forward, 3, mpi.COMM_SELF).solve(rows(forward))
    np.testing.assert_array_equal(found.failed, expected.failed)
    gap = np.abs(found.observations - expected.observations)[~expected.failed].max()
    assert gap < TOLERANCE * np.abs(expected.observations[~expected.failed]).max()


def agreed(case: str, by_two, expected: Solutions) -> dict[str, np.ndarray]:
    """Return what both processes find, after a comparison with what one finds."""
    first, second = by_two[case]
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    # A row's answer does not depend on the rows before it, bit for bit.
    np.testing.assert_array_equal(first["part"], first["observations"][2:])
    np.testing.assert_array_equal(first["reason"] != "", expected.failed)
    good = ~expected.failed
    gap = np.abs(first["observations"] - expected.observations)[good].max()
    assert gap < TOLERANCE * np.abs(expected.observations[good]).max()
    return first


@pytest.mark.full
@pytest.mark.parametrize("case", FIELDS)
def test_two_processes_agree_with_one(case, by_two):
    expected = FIELDS[case].model(3).solve(uneven(FIELDS[case]))
    found = agreed(case, by_two, expected)
    assert found["reason"][3:6].tolist() == expected.reason[3:6].tolist()
    assert (~expected.failed).sum() >= 5


@pytest.mark.full
@pytest.mark.parametrize("case", LOADS)
def test_two_processes_agree_with_one_for_loads_and_sensors_of_each_systems_own(case, by_two):
    expected = LOADS[case].model(3).solve(loaded(LOADS[case]))
    found = agreed(case, by_two, expected)
    assert found["reason"].tolist() == expected.reason.tolist()
    assert expected.failed.tolist() == [False, True, *[False] * 4]


def test_more_processes_than_elements_are_refused():
    message = refused(elements=20, ranks=21)
    assert "studies.a.forward.ranks" in message
    assert "at most 20 processes" in message


@pytest.mark.parametrize("kind", ["elastodynamics", "lorenz96"])
def test_other_forward_models_are_solved_by_one_process(kind):
    message = refused(kind=kind, ranks=2)
    assert "studies.a.forward" in message
    assert "is solved by one process: leave 'ranks' out" in message


@pytest.mark.full
def test_the_ranks_of_a_job_solve_a_chunk_and_write_one_store_and_one_record(tmp_path, monkeypatch):
    for name, value in AS_ROOT.items():
        monkeypatch.setenv(name, value)
    config = copy.deepcopy(TINY)
    config["studies"]["tiny"]["forward"]["ranks"] = 2
    workflow, own = Workflow(tmp_path), load(config).studies["tiny"]
    workflow.configure(config)
    chunk = "results/tiny/rounds/truth/chunks/2.zarr.zip"
    done = workflow.run(chunk)
    assert done.returncode == 0, done.stdout
    store = storage.load(tmp_path / chunk)
    record = read_record(tmp_path / "results/tiny/made/solve_chunk.truth.2.json")
    # By this the job that collects the chunks knows its own.
    assert json.loads(store.attrs["config"]) == {
        "forward": plain(own.forward), "simulator": own.simulator_hash(),
        "code": record.settings["code"],
    }  # fmt: skip
    assert record.rule == "solve_chunk_distributed"
    assert record.outputs[chunk].sha256 == content_of(tmp_path / chunk).sha256
    proposals = storage.load(tmp_path / "results/tiny/rounds/truth/proposals.zarr.zip")
    np.testing.assert_array_equal(store["z"].values, proposals["z"].values[160:240])
    expected = own.forward.model(own.seed).solve(store["z"].values).observations
    assert np.abs(store["y"].values - expected).max() < TOLERANCE * np.abs(expected).max()
    log = (tmp_path / "results/tiny/logs/solve_chunk_distributed.truth.2.log").read_text()
    assert log.count("80 solves by 2 processes, 0 failed") == 1
    # One process would find other last digits.
    alone = ["--forcerun", chunk, "--set-resources", "solve_chunk_distributed:tasks=1"]
    done = workflow.run(chunk, *alone)
    assert done.returncode != 0
    assert "forward.ranks is 2, but the job has 1 ranks" in done.stdout
