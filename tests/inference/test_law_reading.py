"""Parameters of a law as users read them, against the quantiles of draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from answers import ANSWER, estimate

from popinv.forward.datasets import law_and_noise_coordinates
from popinv.inference.answer.result import parameter_names
from popinv.inference.answer.stated_values import as_read, read_names, read_slopes, read_values
from popinv.inference.density.problem import Problem
from popinv.judgement.answer import ParameterEstimate, RecoveredParameter
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
    assert as_read(law, dataset).sizes["law_parameter"] == int((~law.of_shape).sum())


def test_a_table_of_an_answer_has_the_median_in_place_of_the_mean():
    median = RecoveredParameter("law", "k_median", 0.37, 0.3, 0.45, 0.33, "1/h")
    deviation = RecoveredParameter("law", "k_standard_deviation", 0.3, scale="log")
    answer = replace(
        ANSWER,
        estimates=(
            estimate("law", "k_mean", -1.0, None, None, -1.1, median=median),
            ParameterEstimate(deviation, "k_standard_deviation", 0.1),
            estimate("noise", "size", 2.0),
        ),
    )
    assert [(p.name, p.units) for p in answer.parameters] == [
        ("k_median", "1/h"),
        ("k_standard_deviation", "log scale"),
        ("size", ""),
    ]
    assert answer.parameters[0] is median
    metrics = answer.metrics()
    assert (metrics["alpha_k_mean"], metrics["alpha_true_k_mean"]) == (-1.0, -1.1)
    assert (metrics["summary_k_median"], metrics["summary_true_k_median"]) == (0.37, 0.33)
    assert metrics["units_law_k_median"] == "1/h"
    assert metrics["units_law_k_standard_deviation"] == "log scale"
