"""Units, single sensors, precise sensors, and times of correlated noise in designs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from planned_experiments import LINE_TRUTH, experiment_of, lines

import popinv as package
from popinv.api.design_sources import information_of, numbers, refuse_other_spacing
from popinv.config.loading import load_file
from popinv.errors import ConfigError
from popinv.planning.design import Costs, Width, Wishes, designed
from popinv.population.noise.kernel import KernelNoise
from popinv.population.noise.terms import Noise, Size
from popinv.population.noise.time_series import AutoregressiveNoise
from popinv.population.noise.unstructured import IsotropicNoise

NAMES = ["intercept", "slope"]
TIMES = np.linspace(0.0, 1.0, 9)


def test_the_information_of_a_finished_study_does_not_depend_on_units():
    rng = np.random.default_rng(5)
    root = rng.standard_normal((4, 4))
    covariance = root @ root.T + np.eye(4)
    units = np.diag([1e6, 1.0, 1e-4, 1.0])
    found = information_of(units @ covariance @ units)
    np.testing.assert_allclose(units @ found @ units, np.linalg.inv(covariance), rtol=1e-8)
    # A parameter that is held has neither variance nor information.
    held = np.zeros((5, 5))
    held[:4, :4] = covariance
    np.testing.assert_allclose(information_of(held)[:4, :4], np.linalg.inv(covariance), rtol=1e-8)
    assert (information_of(held)[4] == 0).all()


def test_proportional_noise_counts_where_one_signal_is_zero():
    # y = slope * t is zero at the first place.
    from dataclasses import replace

    import torch

    problem = replace(
        lines(Noise(IsotropicNoise(9), Size("combined"))),
        simulate=lambda z: z[:, 1:2] * torch.from_numpy(TIMES) + 0 * z[:, :1],
    )
    p = np.array([1.0, 2.0, np.log(0.3), np.log(0.3), np.log(0.05), np.log(0.2)])
    experiment = experiment_of(problem, p, NAMES)
    criterion = experiment.criterion(p, "D", ())
    assert criterion.wanted.tolist() == [0, 1, 2, 3, 4, 5]
    assert experiment.left_out(criterion) == []


def test_precise_sensors_do_not_repeat_each_other():
    p = np.array([*LINE_TRUTH[:4], np.log(1e-5)])
    experiment = experiment_of(lines(IsotropicNoise(9)), p, NAMES)
    found = designed(experiment, Wishes((3,), (100,), checked=0))
    assert np.isfinite(found.chosen.errors).all()
    # The law is known as if its parameters were observed: sd / sqrt(2 N) of a deviation's log.
    np.testing.assert_allclose(found.chosen.errors[2:4], 1 / np.sqrt(200), rtol=1e-3)


def test_a_width_by_simulation_keeps_the_budget():
    experiment = experiment_of(lines(), LINE_TRUTH, NAMES)
    wishes = Wishes((4,), wanted=("slope_standard_deviation",), width=Width(0.3), checked=300)
    found = designed(experiment, wishes)
    linearised = found.rows[0].systems
    assert found.chosen.systems != linearised
    least = min(linearised, found.chosen.systems)
    with pytest.raises(ConfigError, match="budget: got"):
        designed(
            experiment,
            Wishes(
                (4,),
                wanted=("slope_standard_deviation",),
                width=Width(0.3),
                checked=300,
                budget=float(least if least < found.chosen.systems else least - 1),
            ),
        )


def test_equal_groups_are_one():
    experiment = experiment_of(lines(), LINE_TRUTH, NAMES)
    found = designed(experiment, Wishes((4,), (90,), wanted=("slope_mean",), apart=3, checked=0))
    places = [group.places for group in found.chosen.groups]
    assert len(places) == len(set(places))
    assert found.chosen.systems == 90


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        (Wishes((3,), budget=100.0, costs=Costs(-1.0, 1.5)), "neither may be negative"),
        (Wishes((3,), budget=100.0, costs=Costs(0.0, 0.0)), "one must be positive"),
        (Wishes((3,), budget=np.inf), "budget: got inf"),
        (Wishes((3,), width=Width(np.nan)), "width: got nan"),
        (
            Wishes((3,), wanted=("intercept_mean",), width=Width(0.2, True)),
            "intercept_mean is zero",
        ),
    ],
)
def test_numbers_without_a_meaning_are_refused(wishes, told):
    p = LINE_TRUTH.copy()
    p[0] = 0.0
    with pytest.raises(ConfigError, match=told):
        designed(experiment_of(lines(), p, NAMES), wishes)


@pytest.mark.parametrize("text", ["0:1:0", "0:1:-1", "1:0:0.1", "nan", "1e400", "0:inf:1", "1:2"])
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match="FIRST:LAST:STEP"):
        numbers(text)


def test_the_correlation_between_times_has_no_value_at_other_times():
    noise = Noise(AutoregressiveNoise(1, len(TIMES), 1))
    for chosen in (TIMES[::2], TIMES[[0, 1, 3]], TIMES + 0.1 * np.arange(9)):
        with pytest.raises(ConfigError, match=r"0\.125 apart in the study"):
            refuse_other_spacing(noise, TIMES, chosen, "candidates", "leave them out")
    refuse_other_spacing(noise, TIMES, TIMES[3:], "candidates", "leave them out")
    kernel = Noise(KernelNoise(TIMES[:, None], "exponential", nugget=False))
    refuse_other_spacing(kernel, TIMES, TIMES[::2], "candidates", "leave them out")


CODE = """import torch

def solve(z, times):
    return z[:, :1] + z[:, 1:] * torch.as_tensor(times)
"""
LAW = {
    "a": {"mean": 1.0, "standard_deviation": 0.5},
    "b": {"mean": 2.0, "standard_deviation": 0.5},
}
STUDY = {
    "forward": {
        "kind": "python",
        "function": "straight:solve",
        "derivatives": "torch",
        "parameters": ["a", "b"],
        "observations": {"times": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]},
    },
    "law": {"kind": "normal", "start": LAW},
    "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.1}},
    "observations": {
        "count": 60,
        "truth": {"law": LAW, "noise": {"standard_deviation": 0.1}},
    },
    "surrogate": {"kind": "none"},
}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("straight.py").write_text(CODE)

    def planned(study, **asked):
        Path("mine.yaml").write_text(yaml.safe_dump({"studies": {"mine": study}}))
        return package.design(
            "mine.yaml", sensors=3, systems=60, checked=0, progress=False, **asked
        )

    return planned


def test_the_study_of_a_design_states_correlations_and_coefficients(plan):
    more = {"b_w_coefficient": 0.4, "a_w_scale_coefficient": 0.3, "a_b_correlation": 0.5}
    observations = {
        "count": 60,
        "known": {"w": {"uniform": [-1.0, 1.0]}},
        "truth": {"law": {**LAW, **more}, "noise": {"standard_deviation": 0.1}},
    }
    keys = {"covariates": {"b": ["w"]}, "scale_covariates": {"a": ["w"]}, "correlations": True}
    study = {**STUDY, "law": {**STUDY["law"], **keys}, "observations": observations}
    Path("next.yaml").write_text(yaml.safe_dump(plan(study).configuration()))
    truth = load_file("next.yaml").studies["mine_design"].observations.truth
    assert {name: truth.law[name] for name in more} == more


def test_scales_and_limits_in_files_are_refused(plan):
    rows = "system,t,y,s\n" + "\n".join(f"{n},{t / 5},1.0,1" for n in range(4) for t in range(6))
    Path("long.csv").write_text(rows + "\n")
    file = {"file": "long.csv", "layout": "long", "system_column": "system"}
    file |= {"time_column": "t", "value_column": "y"}
    for key, value in (("noise_scale_column", "s"), ("not_below", 0.0)):
        with pytest.raises(ConfigError, match=key):
            plan({**STUDY, "observations": {**file, key: value}})


def test_a_design_needs_a_folder(plan):
    made = plan(STUDY)
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        made.save("straight.py")
