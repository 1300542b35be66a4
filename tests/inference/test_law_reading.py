"""Parameters of a law as users read them, against the quantiles of draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from popinv.forward.datasets import law_and_noise_coordinates
from popinv.inference.problem import Problem
from popinv.inference.reading import as_read, read_names, read_slopes, read_values
from popinv.inference.result import parameter_names
from popinv.judgement.metrics import parameters_in
from popinv.population.constraints import POSITIVE, REAL, Interval
from popinv.population.laws.composed import ProductLaw, ShiftedLaw
from popinv.population.laws.free_form import FreeFormLaw
from popinv.population.laws.gaussian import GaussianLaw, normal_law
from popinv.population.noise.unstructured import IsotropicNoise

NAMES = ["shift", "clearance", "share", "held"]
LAW = GaussianLaw(NAMES, [REAL, POSITIVE, Interval(2.0, 6.0), POSITIVE], fixed={"held": 3.0})
ALPHA = LAW.from_natural([0.4, -1.0, 0.7, 0.3, 0.5, 0.9])


def test_the_values_are_the_medians_of_the_parameters():
    omega = torch.from_numpy(np.random.default_rng(1).standard_normal((200_001, 3)))
    drawn = np.median(LAW.sample(torch.from_numpy(ALPHA), omega).numpy(), axis=0)
    read = read_values(LAW, LAW.to_natural(ALPHA))
    # The error of a median of N draws is 1.25 sd / sqrt(N).
    np.testing.assert_allclose(read[:3], drawn[:3], rtol=0.01)
    np.testing.assert_array_equal(read[3:], LAW.to_natural(ALPHA)[3:])
    assert list(read_names(LAW))[:3] == ["shift_mean", "clearance_median", "share_median"]


def test_names_that_law_and_noise_share_say_whose_they_are():
    law, noise = normal_law(["length"]), IsotropicNoise(2)
    problem = Problem(np.zeros((3, 2)), torch.sin, law, noise, np.full(3, 0.5))
    assert parameter_names(problem) == (
        "length_mean",
        "length_standard_deviation",
        "standard_deviation",
    )
    assert parameter_names(problem, ["mean", "standard_deviation"]) == (
        "mean",
        "law standard_deviation",
        "noise standard_deviation",
    )


def test_rows_are_converted_one_by_one():
    rows = np.array([[0.1, 0.2, 0.3, 1.0, 1.0, 1.0], [0.4, -1.0, 0.7, 0.3, 0.5, 0.9]])
    each = [read_values(LAW, row) for row in rows]
    np.testing.assert_array_equal(read_values(LAW, rows[None])[0], each)


def test_ends_of_an_interval_without_bound_stay_so():
    ends = np.array([0.0, -np.inf, np.inf, 1.0, 1.0, 1.0])
    read = read_values(LAW, ends)
    assert read[1] == 0.0
    assert read[2] == 6.0


def test_slopes_are_the_derivatives():
    slopes = read_slopes(LAW, LAW.to_natural(ALPHA))
    inside = 1 / (1 + np.exp(-0.7))
    wanted = [1.0, np.exp(-1.0), 4.0 * inside * (1 - inside), 1.0, 1.0, 1.0]
    np.testing.assert_allclose(slopes, wanted, rtol=1e-8)


def test_laws_made_of_others_have_the_medians_of_their_parts():
    both = ProductLaw(normal_law(["a", "b"]), GaussianLaw(["k"], [POSITIVE]))
    assert both.medians == {4: 2}
    shifted = ShiftedLaw(GaussianLaw(["k"], [POSITIVE]), ["age"], [("k_mean", "age")])
    assert list(read_names(shifted)) == ["k_median", *shifted.names[1:]]


def test_a_dataset_is_converted_along_all_its_dimensions():
    path = np.array([[0.4, -1.0, 0.7, 0.3, 0.5, 0.9], [0.5, 0.0, 0.0, 0.3, 0.5, 0.9]])
    dataset = xr.Dataset(
        {
            "law": ("law_parameter", path[0]),
            "law_path": (("law_parameter", "iteration"), path.T),
            "alpha": ("law_parameter", ALPHA),
        },
        coords=law_and_noise_coordinates(LAW.names, ()),
    )
    read = as_read(LAW, dataset)
    assert float(read["law"].sel(law_parameter="clearance_median")) == pytest.approx(np.exp(-1))
    assert read["law_path"].dims == ("law_parameter", "iteration")
    np.testing.assert_allclose(read["law_path"].sel(law_parameter="share_median")[1], 4.0)
    np.testing.assert_array_equal(read["alpha"], ALPHA)


def test_entries_without_a_meaning_are_left_out():
    law = FreeFormLaw(["clearance", "volume"], [POSITIVE, REAL], 5, 1.0, True)
    dataset = xr.Dataset(
        {"law": ("law_parameter", np.zeros(len(law.names)))},
        coords=law_and_noise_coordinates(law.names, ()),
    )
    assert as_read(law, dataset).sizes["law_parameter"] == int((law.precision == 0).sum())


def test_a_table_of_metrics_has_the_median_in_place_of_the_mean():
    metrics = {
        "alpha_k_mean": -1.0,
        "alpha_k_mean_predicted_error": 0.1,
        "alpha_true_k_mean": -1.1,
        "alpha_k_standard_deviation": 0.3,
        "alpha_k_standard_deviation_predicted_error": 0.1,
        "summary_k_median": 0.37,
        "summary_k_median_lower": 0.3,
        "summary_k_median_upper": 0.45,
        "summary_true_k_median": 0.33,
        "units_law_k_median": "1/h",
        "units_law_k_standard_deviation": "log scale",
        "noise_size": 2.0,
        "noise_size_predicted_error": 0.1,
    }
    shown = parameters_in(metrics)
    assert [(p.name, p.units) for p in shown] == [
        ("k_median", "1/h"),
        ("k_standard_deviation", "log scale"),
        ("size", ""),
    ]
    assert (shown[0].value, shown[0].lower, shown[0].true) == (0.37, 0.3, 0.33)
