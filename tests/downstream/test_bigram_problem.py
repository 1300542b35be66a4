"""The test problem's tables, and symbols from series."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from popinv.downstream.bigram import figures, problem
from popinv.downstream.bigram.counts import Bigrams
from popinv.downstream.bigram.power_law import frequencies
from popinv.downstream.bigram.series import advise, quantised
from popinv.errors import DataError
from popinv.store import storage
from popinv.store.variables import variable


def bigrams(size: int = 200) -> Bigrams:
    rng = np.random.default_rng(1)
    return Bigrams.of([rng.choice(size, 30_000, p=frequencies(size, 1.0))], size)


@pytest.fixture(scope="module")
def result() -> xr.Dataset:
    return problem.whole(
        problem.collapse((100, 1000)),
        problem.scaling((100, 1000, 10_000)),
        problem.text({200: bigrams()}),
        problem.cross_entropy_steps((10, 20)),
    )


def test_the_result_can_be_stored(result, tmp_path):
    storage.save(result, tmp_path / "result.zarr.zip", config={}, seed=0, created_by="test")
    xr.testing.assert_equal(storage.load(tmp_path / "result.zarr.zip"), result)


def test_claims_follow_the_numbers(result):
    numbers = problem.metrics(result)
    claims = {claim.claim: claim for claim in problem.claims(result, numbers)}
    derived = [name for name, claim in claims.items() if claim.source == "reconstruction"]
    assert [name.split(":")[0] for name in derived] == [
        "gradient descent, exponent 1",
        "sign descent, exponent 0.5",
    ]
    name = (
        "steps of sign descent to a relative loss of 0.1 grow with the vocabulary to this power "
        "(exponent 1, within 0.1)"
    )
    assert claims[name].ours == numbers["sign_slope_target_0.1"]
    for slope, holds in ((0.45, True), (0.55, True), (0.35, False), (0.65, False)):
        again = problem.claims(result, numbers | {"sign_slope_target_0.1": slope})
        assert next(claim for claim in again if claim.claim == name).holds is holds


def test_gaps_to_the_limit_shrink_with_the_vocabulary(result):
    numbers = problem.metrics(result)
    for method, exponent in (("gradient", "0.5"), ("sign", "1"), ("gradient", "1")):
        name = f"collapse_gap_{method}_exponent_{exponent}_size_"
        assert numbers[f"{name}1000"] < numbers[f"{name}100"]


def test_text_of_a_power_law_follows_its_prediction(result):
    numbers = problem.metrics(result)
    assert numbers["text_exponent_200"] == pytest.approx(1, abs=0.1)
    assert numbers["text_gap_gradient_200"] < 0.1


def test_figures_are_drawn(result):
    for figure in (
        figures.draw_collapse(result),
        figures.draw_scaling(result),
        figures.draw_curves(result, "text"),
        figures.draw_curves(problem.text_curves(bigrams()), "series"),
    ):
        assert figure.axes


def test_crossing_is_log_linear():
    horizons = np.array([10, 100])
    assert problem.crossing(horizons, np.array([0.1, 0.01]), 0.1) == pytest.approx(10)
    assert problem.crossing(horizons, np.array([0.1, 0.001]), 0.01) == pytest.approx(10**1.5)
    assert problem.crossing(horizons, np.array([0.5, 0.4]), 0.1) == np.inf


# --- symbols --------------------------------------------------------------------------------------


def series_observations(systems: int = 40, times: int = 10, places: int = 2) -> xr.Dataset:
    rng = np.random.default_rng(3)
    state = rng.integers(0, 3, (systems, times))
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = centres[state] + 0.01 * rng.standard_normal((systems, times, places))
    y = vectors.swapaxes(1, 2).reshape(systems, -1)
    t = np.tile(np.arange(float(times)), places)
    return xr.Dataset(
        {"y": variable(("system", "observation"), y, "y")},
        coords={"observation_t": variable("observation", t, "time")},
        attrs={"state": state},
    )


def test_vector_quantisation_finds_clear_clusters():
    observations = series_observations()
    pieces = quantised(observations, 3, seed=1)
    state = observations.attrs["state"]
    assert len(pieces) == len(state)
    # The same partition, whatever the clusters are called.
    pairs = set(zip(np.concatenate(pieces), state.ravel(), strict=True))
    assert len(pairs) == 3
    again = quantised(observations, 3, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(pieces, again, strict=True))


def test_a_missing_entry_cuts_a_series():
    observations = series_observations()
    observations["y"].values[0, 4] = np.nan
    pieces = quantised(observations, 3, seed=1)
    assert [len(piece) for piece in pieces[:3]] == [4, 5, 10]


def test_observations_without_times_are_refused():
    observations = series_observations().drop_vars("observation_t")
    with pytest.raises(DataError, match="have no times"):
        quantised(observations, 3, seed=1)
    with pytest.raises(DataError, match="take fewer symbols"):
        quantised(series_observations(), 400, seed=1)


def test_advice_is_checked_by_running_both():
    metrics, curves = advise(bigrams(), 0.1)
    assert metrics["advice"] in ("gradient descent", "sign descent")
    for method in ("gradient", "sign"):
        assert metrics[f"run_loss_{method}"] == pytest.approx(
            metrics[f"exact_loss_{method}"], rel=1e-6
        )
        assert metrics[f"run_loss_{method}"] <= 0.1
    assert metrics["faster"] == "sign descent"
    assert {"gradient", "sign", "adam", "counts"} <= set(curves.data_vars)
