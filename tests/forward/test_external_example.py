"""The worked example: one simulator, called in three ways."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from popinv.config.data_files import check_data_files
from popinv.config.loading import as_mapping, load_file
from popinv.forward.section import forward_section

ROOT = Path(__file__).parents[2]
EXAMPLE = Path("config/examples/own_simulator")
Z = np.exp(np.array([0.4, 1.4, 3.6]) + 0.3 * np.random.default_rng(0).standard_normal((6, 3)))


@pytest.fixture(autouse=True)
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def forward(name: str) -> dict:
    (study,) = as_mapping(load_file(f"config/examples/{name}.yaml"))["studies"].values()
    return study["forward"]


def simulator():
    spec = importlib.util.spec_from_file_location("example_simulator", EXAMPLE / "simulator.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def port() -> Iterator[int]:
    pytest.importorskip("umbridge")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, EXAMPLE / "server.py", str(number)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                break
        assert server.poll() is None
        time.sleep(0.05)
    yield number
    server.terminate()
    server.wait()


def test_the_simulator_keeps_the_balance_of_mass_and_its_order() -> None:
    # Without clearance and exchange the drug only moves from the gut to the blood.
    module = simulator()
    module.EXCHANGE = 0.0
    z = np.array([[1.5, 1e-12, 36.0]])
    exact = module.DOSE / 36.0 * (1 - np.exp(-1.5 * module.TIMES))
    errors = []
    for step in (0.1, 0.05):
        module.STEP = step
        errors.append(np.abs(module.solve(z)[0] - exact).max())
    # Fourth order: halving the step divides the error by 16, up to higher orders.
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.2)


def test_program_and_server_give_what_the_function_gives(port: int) -> None:
    expected = simulator().solve(Z)
    server = {**forward("own_simulator_umbridge"), "url": f"http://127.0.0.1:{port}"}
    program = forward("own_simulator_executable")
    program["command"][0] = sys.executable
    for section in (forward("own_simulator"), program, server):
        solutions = forward_section(section).model(seed=1).solve(Z)
        assert not solutions.failed.any(), solutions.reason
        # Vectors and numbers may be rounded differently.
        np.testing.assert_allclose(solutions.observations, expected, rtol=1e-12)


def test_the_observations_are_those_of_the_script(tmp_path: Path) -> None:
    copy = tmp_path / "own"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("*.csv", "__pycache__"))
    subprocess.run([sys.executable, copy / "make_observations.py"], check=True, cwd=tmp_path)
    committed = np.loadtxt(EXAMPLE / "observations.csv", delimiter=",", skiprows=1)
    made = np.loadtxt(copy / "observations.csv", delimiter=",", skiprows=1)
    # Written with three decimals.
    np.testing.assert_allclose(made, committed, atol=1.01e-3)


@pytest.mark.parametrize("name", ["own_simulator", "own_simulator_umbridge"])
def test_the_configurations_pass_the_checks(name: str) -> None:
    check_data_files(load_file(f"config/examples/{name}.yaml"))
