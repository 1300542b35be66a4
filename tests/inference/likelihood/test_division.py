"""Systems that ranks divide: the same bits with any number of ranks, and none has them all."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import divided_estimates
import numpy as np
import pytest
from divided_estimates import (
    BLOCK,
    FEW,
    QUICK,
    Arrays,
    Found,
    both_fits,
    found_by,
    found_by_a_pair,
    small_blocks,
)
from linear_population import linear_problem
from problems import curve_problem
from tiers import parameters, patient

from popinv.inference.density import division
from popinv.inference.density.conditions import fitted_observations
from popinv.inference.density.division import Part, added, mapped, systems_of_rank, total
from popinv.store import rows as stored_rows
from popinv.threads import fixed_threads
from popinv.workers import ranks


@pytest.mark.parametrize("count", [1, 1999, 2000, 2001, 12_000, 99_999])
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_ranks_have_whole_blocks_that_are_all_systems(count: int, size: int) -> None:
    parts = [systems_of_rank(count, rank, size) for rank in range(size)]
    if count <= 2000 * (size - 1):
        assert parts == [None] * size
        return
    every = np.concatenate([np.arange(part.start, part.stop) for part in parts if part])
    np.testing.assert_array_equal(every, np.arange(count))
    assert all(part is not None and part.start % 2000 == 0 for part in parts)
    sizes = [-(-(part.stop - part.start) // 2000) for part in parts if part is not None]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [1, 2000, 2001, 11_500])
def test_a_sum_is_that_of_its_blocks_in_pairs(count: int) -> None:
    problem = linear_problem(1)
    rows = np.random.default_rng(0).standard_normal((count, 3))
    found = total(problem, lambda block: block.T @ block, rows)
    np.testing.assert_allclose(found, rows.T @ rows, rtol=1e-12, atol=1e-9)
    sums = [rows[i : i + 2000].T @ rows[i : i + 2000] for i in range(0, count, 2000)]
    if count == 11_500:
        one, two, three = (a + b for a, b in zip(sums[::2], sums[1::2], strict=True))
        np.testing.assert_array_equal(found, (one + two) + three)
    if count <= 2000:
        np.testing.assert_array_equal(found, rows.T @ rows)
    np.testing.assert_array_equal(
        mapped(lambda block: block @ np.eye(3), rows), np.concatenate(np.array_split(rows, 2))
    )


class Alone:
    """The communicator of the second of three ranks, beside which there are no others."""

    rank, size = 1, 3

    def allgather(self, found: object) -> list[object]:
        return [found]


def test_a_rank_reads_its_own_systems_and_few_others(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(division, "BLOCK", BLOCK)
    monkeypatch.setattr(stored_rows, "STAYS_FROM", 1)
    from test_many_systems import stored

    problem = linear_problem(100, scales=True)
    streams = replace(problem, data=fitted_observations(stored(problem.data, tmp_path))[0])
    for given in (problem, streams):
        with ranks(Alone()):
            own = given.divided()
        rows = np.arange(26, 65)
        assert (own.count, own.part.first, len(own.data)) == (100, 26, 39)
        assert isinstance(own.data, type(given.data))
        np.testing.assert_array_equal(own.numbers, rows)
        np.testing.assert_array_equal(np.asarray(own.data), problem.data[rows])
        np.testing.assert_array_equal(own.conditions.scale, problem.conditions.scale[rows])
        np.testing.assert_array_equal(own.rows_of(np.array([3, 26, 64, 65])), [0, 38])
        assert own.whole.data is given.data
        assert own.of_systems(np.array([1])).count == 1
        # What is derived from a problem is divided as it is.
        assert own.of_moments.count == own.through(given.simulate).count == 100


def test_few_systems_are_not_divided() -> None:
    problem = linear_problem(100)
    assert problem.divided() is problem
    with ranks(Alone()):
        assert problem.divided() is problem


def test_sums_of_blocks_are_added_in_the_order_of_the_ranks() -> None:
    class Three:
        def allgather(self, found: np.ndarray) -> list[np.ndarray]:
            return [found, 10 * found, 100 * found[:1]]

    problem = linear_problem(5)
    part = Part(0, problem.data, problem.conditions, Three())
    assert added(replace(problem, part=part), np.array([1.0, 2.0])) == 133.0


@pytest.mark.full
@parameters("size", [5], full=[20])
def test_the_sums_hardly_depend_on_the_blocks(size: int) -> None:
    problem, alpha, gamma = curve_problem(count=FEW)
    start = np.concatenate([alpha, gamma]) + 0.1
    with fixed_threads(), small_blocks(few=True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(division, "BLOCK", FEW)
        whole = both_fits(problem, start, 16)
        patch.setattr(division, "BLOCK", size)
        parts = both_fits(problem, start, 16)
    for name in ("p", "covariance", "log_likelihood", "pseudo p", "pseudo covariance"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-6, atol=1e-8)


@pytest.fixture(scope="module")
def without_ranks() -> dict[str, Arrays]:
    """Return what one process finds of few systems."""
    return found_by(None, QUICK, few=True)[0]


@pytest.mark.full
def test_two_ranks_find_the_bits_of_one_process(without_ranks) -> None:
    they_are_those_of_one_process(*found_by_a_pair(QUICK), without_ranks)


def they_are_those_of_one_process(
    every: dict[str, Arrays], told: list[str], one: dict[str, Arrays]
) -> None:
    """Compare what ranks find, and what they tell of an error, with what one process finds."""
    assert set(every) == set(one)
    for name, expected in one.items():
        assert set(every[name]) == set(expected)
        for key, values in expected.items():
            np.testing.assert_array_equal(every[name][key], values, err_msg=f"{name}: {key}")
    # The error of one rank is that of all.
    assert len(set(told)) == 1
    assert told[0].endswith(f"of rank {len(told) - 1}")


def run(file: Path, count: int | None) -> Found:
    """Return what so many ranks find, or one process without any."""
    program = [sys.executable, "-m", "mpi4py", divided_estimates.__file__, file]
    environment = {
        **os.environ,
        # Of pytest, which finds the modules of tests.
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        # As many processes as there are, on however many cores, of which those that wait take none.
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMPI_MCA_mpi_yield_when_idle": "1",
    }
    command = [*program, "alone"]
    if count is not None:
        command = ["mpiexec", "--bind-to", "none", "-n", str(count), *program, "ranks"]
    subprocess.run(command, check=True, env=environment, timeout=patient(900))
    return pickle.loads(file.read_bytes())


@pytest.fixture(scope="module")
def without_mpi(tmp_path_factory) -> dict[str, Arrays]:
    """Return what one process finds."""
    return run(tmp_path_factory.mktemp("alone") / "found", None)[0]


@pytest.mark.full
@pytest.mark.firedrake
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_ranks_find_the_same_bits_with_their_own_systems(
    count: int, tmp_path: Path, without_mpi: dict[str, Arrays]
) -> None:
    they_are_those_of_one_process(*run(tmp_path / "found", count), without_mpi)
