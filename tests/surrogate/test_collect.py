"""The record of solves: joined in order, failures counted, the last surrogate judged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from popinv.errors import SolverError
from popinv.forward.base import Observations, Solutions
from popinv.forward.datasets import reasons_of, solves
from popinv.store.variables import variable
from popinv.surrogate.build import training_data
from popinv.surrogate.collect import Thresholds, check_failures, collect, failure_counts, judge
from popinv.surrogate.networks import MLP
from popinv.surrogate.standardisation import Standardisation
from popinv.surrogate.trained_network import Surrogate

WHERE = Observations(np.array([[0.25], [0.75]]), ("x",), "u")


def chunk(z: np.ndarray, reasons: list[str] | None = None) -> xr.Dataset:
    reason = np.array(reasons or [""] * len(z), dtype=object)
    y = np.column_stack([z.sum(axis=1), z[:, 0]])
    y[reason != ""] = np.nan
    return solves(z, Solutions(y, reason), ["a", "b"], WHERE)


class Offset:
    """Answers the truth of :func:`chunk` plus a constant."""

    def __init__(self, gap: float) -> None:
        self.gap = gap

    def predict(self, z: np.ndarray) -> np.ndarray:
        return np.column_stack([z.sum(axis=1), z[:, 0]]) + self.gap


def estimate(deviation: float) -> xr.Dataset:
    covariance = deviation**2 * np.eye(2)
    return xr.Dataset({"noise_covariance": variable(("a", "b"), covariance, "covariance")})


def judged_by(fresh, previous, surrogate, estimate, threshold, push=0.0):
    """Return the record judged, with an error of the answer that is given."""
    thresholds = Thresholds(error=threshold, push=0.25)
    return judge(fresh, previous, surrogate, estimate, thresholds, lambda solves: push)


Z = np.random.default_rng(0).standard_normal((5, 2))


def test_chunks_join_in_order_with_their_failures():
    joined = collect([chunk(Z[:2], ["", "overflow"]), chunk(Z[2:], ["singular", "", "overflow"])])
    np.testing.assert_array_equal(joined["z"].values, Z)
    assert list(reasons_of(joined)) == ["", "overflow", "singular", "", "overflow"]
    assert joined["solver_calls"].values.tolist() == [5]
    assert joined["solver_failures"].values.tolist() == [3]
    assert joined.attrs["converged"] == 0


def test_too_many_failures_stop_the_study_and_say_why():
    joined = collect([chunk(Z, ["", "overflow", "", "", "overflow"])])
    check_failures(joined, budget=0.4)
    with pytest.raises(SolverError, match=r"2 of 5 solves failed \(2 times: overflow\)"):
        check_failures(joined, budget=0.39)


def test_failures_are_counted_by_reason():
    joined = collect([chunk(Z, ["stuck", "overflow", "", "a", "overflow"])])
    assert failure_counts(joined).startswith("2 times: overflow; 1 time: ")
    assert failure_counts(joined, most=1) == "2 times: overflow; 2 times: 2 other reasons"
    assert failure_counts(collect([chunk(Z)])) == ""


@pytest.mark.parametrize(("threshold", "converged"), [(0.3, 1), (0.2, 0)])
def test_the_surrogates_error_is_in_noise_standard_deviations(threshold, converged):
    first, fresh = collect([chunk(Z[:2])]), collect([chunk(Z[2:], ["", "", "overflow"])])
    judged = judged_by(fresh, first, Offset(0.05), estimate(0.2), threshold)
    assert judged["surrogate_error"].values[1] == pytest.approx(0.25)
    assert np.isnan(judged["surrogate_error"].values[0])
    assert judged.attrs["converged"] == converged
    assert judged["round"].values.tolist() == [0, 0, 1, 1, 1]
    assert judged["solver_failures"].values.tolist() == [0, 1]


@pytest.mark.parametrize(("push", "converged"), [(0.1, 1), (0.3, 0), (np.nan, 0)])
def test_a_surrogate_that_moves_the_answer_is_not_good_enough(push, converged):
    first, fresh = collect([chunk(Z[:2])]), collect([chunk(Z[2:])])
    judged = judged_by(fresh, first, Offset(0.0), estimate(1.0), 0.1, push)
    assert judged.attrs["converged"] == converged
    np.testing.assert_array_equal(judged["surrogate_push"].values, [np.nan, push])


def test_a_round_without_solves_stays_converged():
    first = collect([chunk(Z)])
    second = judged_by(collect([chunk(Z)]), first, Offset(0.0), estimate(1.0), 0.1)
    third = judged_by(collect([chunk(Z[:0])]), second, Offset(0.0), estimate(1.0), 0.1)
    assert third.attrs["converged"] == 1
    assert third["solver_calls"].values.tolist() == [5, 5, 0]
    assert third.sizes["sample"] == 10


def test_training_data_leave_failures_out_and_weigh_recent_rounds_more():
    first, fresh = collect([chunk(Z, ["", "", "", "", "overflow"])]), collect([chunk(Z)])
    data = training_data(judged_by(fresh, first, Offset(0.0), estimate(1.0), 0.1), 1, 0.5)
    assert data.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert np.isfinite(data.y).all()
    assert data.weights[0] < data.weights[-1]


def test_a_surrogate_survives_storage(tmp_path):
    from popinv.store import storage
    from popinv.surrogate.artefact import surrogate_dataset, surrogate_of

    network = MLP(2, 2, width=4, depth=1)
    one = np.ones(2)
    surrogate = Surrogate(
        network,
        Standardisation(one, 2 * one, 3 * one, one),
        {"width": 4, "depth": 1},
    )
    dataset = surrogate_dataset(surrogate, {"validation_loss": np.ones(3)}, {"converged": 0})
    storage.save(dataset, tmp_path / "s.zarr.zip", config={}, seed=0, created_by="test")
    loaded = surrogate_of(storage.load(tmp_path / "s.zarr.zip"))
    np.testing.assert_array_equal(loaded.predict(Z), surrogate.predict(Z))


@given(
    reasons=st.lists(st.sampled_from(["", "", "overflow", "singular"]), min_size=1, max_size=12),
    data=st.data(),
)
def test_any_split_into_chunks_is_collected_to_the_same_record(reasons, data):
    z = np.random.default_rng(1).standard_normal((len(reasons), 2))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(z)), max_size=4)))
    whole = collect([chunk(z, reasons)])
    parts = [chunk(z[a:b], reasons[a:b]) for a, b in pairwise([0, *cuts, len(z)])]
    xr.testing.assert_identical(collect(parts), whole)


@given(count=st.integers(1, 30), budget=st.floats(0, 1, exclude_max=True), data=st.data())
def test_the_budget_is_a_share_of_the_solves_and_no_budget_covers_all(count, budget, data):
    failed = data.draw(st.integers(0, count))
    reasons = ["overflow"] * failed + [""] * (count - failed)
    record = collect([chunk(np.zeros((count, 2)), reasons)])
    if failed == count or failed > budget * count:
        with pytest.raises(SolverError, match=rf"{failed} of {count} .*failure_budget"):
            check_failures(record, budget)
    else:
        check_failures(record, budget)
