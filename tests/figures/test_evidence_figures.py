"""Figures of the evidence: what they show is what was measured."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from popinv.charts.matplotlib_writer import drawn
from popinv.charts.saving import save
from popinv.evidence.calibration import calibration
from popinv.evidence.convergence import error_metrics
from popinv.evidence.designs import design_metrics
from popinv.figures.evidence import draw_calibration, draw_designs, draw_error_against_systems
from popinv.forward.datasets import parameter_coordinate
from popinv.judgement.judgements import COVERAGE_WANTED
from popinv.store.variables import variable


def line(ax, start: str) -> np.ndarray:
    (match,) = [item for item in ax.get_lines() if str(item.get_label()).startswith(start)]
    return np.array(match.get_data(), dtype=float)


def errors() -> list[xr.Dataset]:
    rng = np.random.default_rng(2)
    parts = []
    for count in (30, 100, 300, 1000, 3000):
        scatter = np.exp(0.4 * rng.standard_normal((2, 4)))
        parts.append(
            xr.Dataset(
                {
                    "systems": variable("repeat", [count] * 4, "number of systems"),
                    "law_error": variable(
                        "repeat",
                        3 * count**-0.5 * scatter[0],
                        "relative error of the law, root mean square",
                    ),
                    "noise_error": variable(
                        "repeat",
                        count**-0.45 * scatter[1],
                        "relative Frobenius error of the noise covariance",
                    ),
                }
            )
        )
    return parts


def curves() -> xr.Dataset:
    return xr.Dataset(
        {
            "active_calls": variable("active_design", [1000, 2000, 3000, 4000], "calls"),
            "active_error": variable("active_design", [0.3, 0.08, 0.03, 0.02], "error"),
            "fixed_calls": variable("fixed_design", [500, 1000, 2000, 4000, 8000], "calls"),
            "fixed_error": variable("fixed_design", [0.5, 0.3, 0.15, 0.09, 0.05], "error"),
        }
    )


def covered(parameters: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(0)
    names = [f"standard_deviation_{i + 1}" for i in range(parameters)]
    data, coordinates, errors = {}, {}, []
    for part in ("law", "noise"):
        dims = ("replication", f"{part}_parameter")
        centre = rng.standard_normal((40, parameters))
        errors.append(centre)
        for ending, shift in (("", 0.0), ("_lower", -1.9), ("_upper", 1.9)):
            data[f"{part}{ending}"] = variable(dims, centre + shift, part)
        data[f"{part}_true"] = variable(dims, np.zeros((40, parameters)), part)
        coordinates |= parameter_coordinate(names, dims[1], f"parameter of the {part}")
    both = np.concatenate(errors, axis=1)
    for name, values in (("error", both), ("standard_error", both**0), ("bound", both**0)):
        data[name] = variable(("replication", "estimated"), values, name)
    for name in ("noise_error", "estimator"):
        data[name] = variable("replication", np.zeros(40), name)
    coordinates |= parameter_coordinate([*names, *(f"n{n}" for n in names)], "estimated", "both")
    return calibration([xr.Dataset(data, coords=coordinates)])


def test_errors_against_systems(tmp_path) -> None:
    joined, metrics = error_metrics(errors())
    sheet = draw_error_against_systems(joined, metrics | {"error_observed_through": "surrogate"})
    save(sheet, tmp_path / "figure.png")
    figure = drawn(sheet)
    assert "observed through the surrogate" in figure.get_suptitle()
    law, noise = (part.axes[0] for part in figure.subfigs)
    np.testing.assert_array_equal(
        line(law, "one data set"), [joined["systems"], joined["law_error"]]
    )
    systems, means = line(noise, "root mean square")
    assert systems.tolist() == [30, 100, 300, 1000, 3000]
    assert means[1] == pytest.approx(np.mean(joined["noise_error"].values[4:8] ** 2) ** 0.5)
    for ax, name in ((law, "law_error"), (noise, "noise_error")):
        slope, deviation = metrics[f"{name}_slope"], metrics[f"{name}_slope_standard_error"]
        ends, fitted = line(ax, f"fit, slope −{-slope:.2f} ± {deviation:.2f}")
        rise = np.log(fitted[1] / fitted[0]) / np.log(ends[1] / ends[0])
        assert rise == pytest.approx(slope)
        half = line(ax, "slope −1/2")[1]
        assert half[1] / half[0] == pytest.approx(0.1)
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_descent_that_diverged_is_not_in_the_means() -> None:
    parts = errors()
    parts[1]["noise_error"].values[0] = np.nan
    joined, metrics = error_metrics(parts)
    sheet = draw_error_against_systems(joined, metrics | {"error_observed_through": "solver"})
    figure = drawn(sheet)
    assert np.isfinite(line(figure.subfigs[1].axes[0], "root mean square")).all()


def test_designs(tmp_path) -> None:
    metrics = design_metrics(curves())
    sheet = draw_designs(curves(), metrics)
    save(sheet, tmp_path / "figure.png")
    figure = drawn(sheet)
    (ax,) = figure.axes
    np.testing.assert_array_equal(line(ax, "active")[1], [0.3, 0.08, 0.03, 0.02])
    np.testing.assert_array_equal(line(ax, "one broad")[0], [500, 1000, 2000, 4000, 8000])
    assert line(ax, "final error, 0.02")[1] == pytest.approx(0.02)
    assert "4000 calls, against > 8000 (ratio > 2.0)" in ax.get_title(loc="left")


def test_calibration_of_every_parameter(tmp_path) -> None:
    calibrated = covered()
    sheet = draw_calibration(calibrated)
    save(sheet, tmp_path / "figure.png")
    figure = drawn(sheet)
    ax, ranks = figure.axes
    # Ranks of six parameters, and what they should be.
    assert len(ranks.get_lines()) == 7
    shares = np.concatenate([calibrated["law_coverage"], calibrated["noise_coverage"]])
    np.testing.assert_allclose(line(ax, "share")[0], 100 * shares)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[0] == "law: standard deviation 1"
    assert labels[3] == "noise: standard deviation 1"
    # Every bar is in view.
    assert ax.get_xlim()[0] < 100 * float(calibrated["law_coverage_lower"].min())
    assert "40 new data sets" in figure.get_suptitle()
    band = ax.patches[0].get_bbox()
    assert (band.x0, band.x1) == pytest.approx([100 * end for end in COVERAGE_WANTED])


def test_many_parameters_are_numbered() -> None:
    ax, _ = drawn(draw_calibration(covered(40))).axes
    assert "number of the parameter" in ax.get_ylabel()


def test_coverage_of_the_law_alone() -> None:
    ax, _ = drawn(draw_calibration(covered().drop_vars("noise_coverage"))).axes
    assert all(text.get_text().startswith("law") for text in ax.get_yticklabels())
