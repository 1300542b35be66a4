"""Fits of laws with crossed levels, against lme4 (R), dense covariances and brute force.

Penicillin is from the R package lme4 1.1 (GPL 2 or later; Davies and Goldsmith, Statistical Methods
in Research and Production, 4th edition, 1972, table 6.6): 6 samples of penicillin, each on the same
24 plates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import torch
from scipy import stats
from scipy.stats import multivariate_normal, multivariate_t
from tiers import parameters

import popinv
from popinv.errors import ConfigError, DataError
from popinv.figures.calibration import calibration_of

DATA = Path(__file__).parent / "data"
PENICILLIN = {
    "kind": "normal",
    "start": {"diameter": {"mean": 20, "standard_deviation": 3}},
    "levels": {"plate": ["diameter"], "sample": ["diameter"]},
    "crossed": ["plate", "sample"],
}


def constant(z: torch.Tensor) -> torch.Tensor:
    """Return z itself, a single observation."""
    return 1.0 * z


def fit(table: pd.DataFrame, law: dict[str, Any], simulator: Any = constant, **keys: Any):
    return popinv.fit(table, simulator, law=law, noise="isotropic", progress=False, **keys)


def penicillin(**keys: Any):
    return fit(pd.read_csv(DATA / "Penicillin.csv"), PENICILLIN, value_column="diameter", **keys)


# lmer(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin, REML = ...): log likelihood and
# estimates. Standard errors are from differences of the dense likelihood.
LME4 = {
    "likelihood": (
        -166.0941743,
        [(22.9722222, 0.744596), (0.8455725, 0.133198), (1.7706474, 0.513325), (0.5499321, 0.0363)],
    ),
    "reml": (
        -165.4302945,
        [(22.9722222, 0.808573), (0.8467025, 0.133674), (1.9316138, 0.612875), (0.5499223, 0.0363)],
    ),
}


@pytest.fixture(
    scope="module",
    params=["likelihood", pytest.param("reml", marks=pytest.mark.full)],
)
def answer(request):
    return request.param, penicillin(estimator=request.param, tests=request.param == "likelihood")


def test_the_likelihood_of_crossed_levels_is_that_of_lme4(answer):
    estimator, result = answer
    value, figures = LME4[estimator]
    assert result.metrics["log_likelihood"] == pytest.approx(value, abs=0.02)
    table = result.summary()
    for (name, row), (estimate, error) in zip(table.iterrows(), figures, strict=True):
        assert row["estimate"] == pytest.approx(estimate, abs=0.1 * error), name
        assert row["standard_error"] == pytest.approx(error, rel=0.01), name
        # The scores of one system say nothing of their spread.
        assert np.isnan(row["robust_error"])


def test_one_group_has_no_tested_systems_and_no_calibration_of_them(answer):
    _, result = answer
    assert "1 group of 144 members with 1 observation each" in str(result)
    assert calibration_of(result.problem, result.artefacts) is None


def test_labels_take_the_place_of_systems(answer):
    _, result = answer
    assert result.metrics["systems"] == 1
    assert result.problem.units == 6
    value = result.summary().loc["diameter_mean", "estimate"]
    # The mean squares of six samples and 24 plates, with the degrees of freedom of Satterthwaite.
    y = pd.read_csv(DATA / "Penicillin.csv").pivot(index="plate", columns="sample").to_numpy()
    left = y - y.mean(axis=0) - y.mean(axis=1, keepdims=True) + y.mean()
    squares = 24 * y.mean(axis=0).var(ddof=1), 6 * y.mean(axis=1).var(ddof=1), (left**2).sum() / 115
    variance = squares[0] + squares[1] - squares[2]
    degrees = variance**2 / sum(s**2 / f for s, f in zip(squares, (5, 23, 115), strict=True))
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance / 144)
    # What the likelihood's variances of six samples lack is known to first order.
    near = {"reml": 2e-3, "likelihood": 0.02}[answer[0]]
    assert result.summary()["upper"]["diameter_mean"] - value == pytest.approx(half, rel=near)
    twice = -2 * result.metrics["log_likelihood"]
    assert result.metrics["bic"] == pytest.approx(twice + 4 * np.log(6))


def test_one_system_cannot_be_left_out(answer):
    with pytest.raises(DataError, match="all observations are of one system"):
        answer[1].influence()


def test_tests_that_need_several_systems_say_so(answer):
    if answer[0] == "reml":
        pytest.skip("the fit has no tests")
    metrics = answer[1].metrics
    for part in ("law", "noise", "simulator"):
        assert metrics[f"{part}_misfit"].startswith("not judged: these tests average over at least")
    assert "heldout_p_value" not in metrics


@pytest.mark.full
def test_the_distance_is_not_an_answer_for_one_system():
    result = penicillin(estimator="distance", tests=False)
    assert result.metrics["estimator"] == "pseudo_likelihood"
    reason = result.metrics["estimator_reason"]
    assert "the distance was requested" in reason
    assert "it compares the distribution of at least 4 systems; crossed levels join" in reason
    # Observations are normal, and the pseudo-likelihood is the likelihood.
    _, figures = LME4["likelihood"]
    for (_, row), (estimate, error) in zip(result.summary().iterrows(), figures, strict=True):
        assert row["estimate"] == pytest.approx(estimate, abs=0.1 * error)
        assert row["standard_error"] == pytest.approx(error, rel=0.05)


@pytest.mark.full
def test_figures_and_a_saved_fit_of_one_system(answer, tmp_path):
    result = answer[1]
    assert "individual_fits" in result.plot("individual_fits", "noise_covariance")
    again = popinv.load(result.save(tmp_path / "saved"), constant)
    pd.testing.assert_frame_equal(again.summary(), result.summary())


# --- a law with a third level, in several groups --------------------------------------------------


def cells(blocks: int = 1, seed: int = 5) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return rows of batches and operators with runs of each cell, in blocks without a link."""
    rng = np.random.default_rng(seed)
    rows, values = [], []
    for block in range(blocks):
        batch, operator = rng.standard_normal(4), rng.standard_normal(4)
        for b in range(4):
            for o in range(4):
                # A cell that lacks, and a second run of some cells.
                for run in range(1 + (b + o) % 2 if (b, o) != (1, 2) else 0):
                    effect = batch[b] + 0.7 * operator[o] + 0.5 * rng.standard_normal()
                    for _ in range(2):
                        rows.append((f"b{block}{b}", f"o{block}{o}", str(run)))
                        values.append(3 + effect + 0.4 * rng.standard_normal())
    table = pd.DataFrame(rows, columns=["batch", "operator", "run"])
    keys = [table["batch"], table["operator"], table.agg("/".join, axis=1)]
    same = np.array([np.equal.outer(k.to_numpy(object), k.to_numpy(object)) for k in keys])
    return table.assign(y=values), np.array(values), same


@pytest.mark.full
@parameters("blocks", [2], full=[1])
def test_a_level_within_the_cells_and_groups_without_a_link(blocks):
    table, y, same = cells(blocks)
    result = fit(
        table.sample(frac=1, random_state=1).reset_index(drop=True),
        {
            "kind": "normal",
            "start": {"z": {"mean": 2, "standard_deviation": 1}},
            "levels": {"batch": ["z"], "operator": ["z"], "run": ["z"]},
            "crossed": ["operator", "batch"],
        },
        value_column="y",
        replicates="rows",
        tests=False,
    )
    assert result.metrics["systems"] == blocks
    assert result.problem.units == 4 * blocks
    mean, *deviations, sigma = result.summary()["estimate"]
    covariance = np.tensordot(np.square(deviations), same, 1) + sigma**2 * np.eye(len(y))
    exact = multivariate_normal(np.full(len(y), mean), covariance).logpdf(y)
    assert result.metrics["log_likelihood"] == pytest.approx(exact, abs=1e-6)

    def fall(p: np.ndarray) -> float:
        of_levels = np.tensordot(np.exp(2 * p[1:4]), same, 1) + np.exp(2 * p[4]) * np.eye(len(y))
        return -float(multivariate_normal(np.full(len(y), p[0]), of_levels).logpdf(y))

    start = np.array([mean, *np.log(deviations), np.log(sigma)])
    best = scipy.optimize.minimize(fall, start, method="Nelder-Mead")
    assert exact > -best.fun - 0.005


# --- a model that is not linear -------------------------------------------------------------------


def logistic(z: torch.Tensor, times: Any) -> torch.Tensor:
    """Return a logistic curve of its top, middle and scale."""
    t = torch.as_tensor(times)
    return z[:, :1] / (1 + torch.exp(-(t - z[:, 1:2]) / z[:, 2:3]))


def growth() -> pd.DataFrame:
    """Return yields of 8 batches, each grown by the same 5 operators."""
    rng = np.random.default_rng(4)
    b, o, t = np.meshgrid(np.arange(8), np.arange(5), np.linspace(1, 9, 5), indexing="ij")
    middle = 5 + rng.standard_normal(8)[b] + 0.6 * rng.standard_normal(5)[o]
    y = 10 / (1 + np.exp(-(t - middle) / 1.2)) + 0.4 * rng.standard_normal(t.shape)
    columns = {"batch": b, "operator": o, "time": t, "yield": y.round(4)}
    return pd.DataFrame({name: each.ravel() for name, each in columns.items()})


def brute_force(table: pd.DataFrame, values: np.ndarray) -> tuple[float, float]:
    """Return the log likelihood by importance sampling about its mode, and its error."""
    top, middle, scale, of_batch, of_operator, sigma = values
    y, t = table["yield"].to_numpy(), table["time"].to_numpy()
    b, o = table["batch"].to_numpy(), table["operator"].to_numpy()

    def minus_log(w: np.ndarray) -> np.ndarray:
        m = middle + of_batch * w[..., :8][..., b] + of_operator * w[..., 8:][..., o]
        r = (y - top / (1 + np.exp(-(t - m) / scale))) / sigma
        constant = len(y) * np.log(sigma) + 0.5 * (len(y) + 13) * np.log(2 * np.pi)
        return 0.5 * (r**2).sum(-1) + 0.5 * (w**2).sum(-1) + constant

    mode = scipy.optimize.minimize(minus_log, np.zeros(13), method="BFGS").x
    h = 1e-3 * np.eye(13)
    moved = mode + np.array([[[i + j, i - j, j - i, -i - j] for j in h] for i in h])
    hessian = (minus_log(moved) @ np.array([1, -1, -1, 1])) / (4 * 1e-6)
    factor = np.linalg.cholesky(np.linalg.inv(hessian))
    density = multivariate_t(np.zeros(13), np.eye(13), df=7, seed=np.random.default_rng(1))
    draws = density.rvs(200_000)
    log_weight = -density.logpdf(draws) + np.log(np.diag(factor)).sum()
    log_weight -= np.concatenate([minus_log(mode + x @ factor.T) for x in np.split(draws, 100)])
    weight = np.exp(log_weight - log_weight.max())
    value = log_weight.max() + np.log(weight.mean())
    return float(value), float(weight.std() / weight.mean() / len(weight) ** 0.5)


@pytest.mark.full
def test_a_nonlinear_model_is_integrated_over_both_factors():
    table = growth()

    def start(mean: float, deviation: float) -> dict[str, float]:
        return {"mean": mean, "standard_deviation": deviation}

    result = fit(
        table,
        {
            "kind": "normal",
            "start": {"top": start(9, 0), "middle": start(4, 1), "scale": start(1, 0)},
            "levels": {"batch": ["middle"], "operator": ["middle"]},
            "crossed": ["batch", "operator"],
        },
        logistic,
        time_column="time",
        value_column="yield",
        tests=False,
    )
    found = result.summary()
    value, error = brute_force(table, found["estimate"].to_numpy())
    assert error < 0.003
    assert result.metrics["log_likelihood_error"] < 0.005
    assert result.metrics["log_likelihood"] == pytest.approx(value, abs=0.01)
    # nlmer(yield ~ SSlogis(time, top, middle, scale) ~ (middle | batch) + (middle | operator)),
    # which uses Laplace's method: log likelihood -136.4164.
    nlmer = [10.05832, 5.02988, 1.20335, 0.9675020, 0.6455259, 0.4093630]
    np.testing.assert_array_less(np.abs(found["estimate"] - nlmer), 0.1 * found["standard_error"])


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crossed": ["plate", "dish"]}, "'dish' is no level; the levels are plate, sample"),
        ({"crossed": ["plate"]}, "give two levels that follow each other"),
        ({"crossed": ["plate", "plate"]}, "give two levels that follow each other"),
        ({"levels": {}}, "the levels are not stated; state 'law.levels'"),
    ],
)
def test_crossed_levels_that_are_no_levels_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        fit(
            pd.read_csv(DATA / "Penicillin.csv"), {**PENICILLIN, **changes}, value_column="diameter"
        )


def test_nested_levels_are_no_crossed_ones():
    table = pd.read_csv(DATA / "Penicillin.csv")
    table["sample"] = table["plate"] + table["sample"]
    with pytest.raises(DataError, match="of the level 'sample' has one label of the level 'plate'"):
        fit(table, PENICILLIN, value_column="diameter")


def test_few_labels_of_a_crossed_level_are_refused():
    table = pd.read_csv(DATA / "Penicillin.csv").query("sample in ['A', 'B', 'C']")
    with pytest.raises(DataError, match="has 3 labels of the crossed level 'sample'"):
        fit(table.reset_index(drop=True), PENICILLIN, value_column="diameter")
