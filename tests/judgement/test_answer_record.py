"""The record of an answer: its files, and that nobody parses the keys of the flat table."""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
from answers import ANSWER, TRUE, estimate, write

from popinv.errors import DataError
from popinv.judgement.answer import EstimatorValue, LikelihoodValue, RecoveredParameter, StudyAnswer
from popinv.judgement.files import is_answer, read_answer
from popinv.judgement.measures import (
    FeatureTest,
    IntrinsicVariation,
    LeastNoise,
    PartTest,
    SamplingErrorShare,
    SimulatorDiscrepancy,
)

SOURCE = Path(__file__).parents[2] / "src" / "popinv"
# Everything that an answer may have.
WHOLE = replace(
    TRUE,
    prior=("law k mean: normal (mean 0, standard deviation 1)", "noise amplitude: weak"),
    estimates=(
        estimate(
            *("law", "k_mean", -1.0, -1.2, None, -1.1),
            median=RecoveredParameter("law", "k_median", 0.37, 0.3, 0.45, 0.33, "1/h"),
            standard_error=0.1, model_error=0.1, robust_error=0.2, efficiency=1.1, boundary="zero",
            by_estimator=(
                EstimatorValue("distance", -0.9, 0.2), EstimatorValue("likelihood", -1.0),
            ),
        ),
        *TRUE.estimates[1:],
    ),
    summaries=(RecoveredParameter("law", "k_skewness", 0.1, -0.2, 0.4),),
    combinations=(RecoveredParameter("law", "F_over_V", 0.1, 0.05, 0.2),),
    choice=replace(TRUE.choice, errors_by="model", undetermined=("F_median", "V_median")),
    likelihood=LikelihoodValue(-10.0, 0.01, 24.0, 25.0),
    surrogate_coverage=0.94,
    least_noise=LeastNoise(0.1, "observation 3", 0.37),
    sampling_error=SamplingErrorShare(0.2, False, 0.3),
    intrinsic=IntrinsicVariation(0.69, 0.94, 0.04, 0.4, False, 0.07),
    tests=(
        PartTest("law", "no likelihood"),
        PartTest("noise", "", "it is correlated (0.4)", 0.001, 9, ("one", "two")),
        PartTest("simulator", p_value=0.5, tests=3),
    ),
    features=(FeatureTest("lag_1", 0.4, 0.1, 0.5, 0.001),),
    discrepancy=SimulatorDiscrepancy(
        ("t = 1", "t = 2"), (0.41, -0.02), (0.31, -0.12), (0.51, 0.08), (0.29, -0.14),
        (0.53, 0.11), "mg/L", 0.35, 0.15, 0.85, 0.97, 7.5, {"k_median": 2.7},
    ),
)  # fmt: skip


@pytest.mark.parametrize("answer", [ANSWER, TRUE, WHOLE], ids=["own data", "true", "whole"])
def test_a_record_is_read_as_it_was_written(tmp_path, answer):
    file = write(tmp_path, answer)
    assert read_answer(tmp_path) == answer
    assert json.loads(file.read_text()) == answer.metrics()
    assert list(json.loads(file.read_text())) == list(answer.metrics())
    assert is_answer(file, answer.metrics())


def test_numbers_that_are_not_finite_are_read_again(tmp_path):
    answer = replace(TRUE, surrogate=replace(TRUE.surrogate, rmse=float("nan")))
    write(tmp_path, answer)
    assert str(read_answer(tmp_path)) == str(answer)


def test_the_flat_table_has_every_number_of_the_record():
    assert not [f.name for f in fields(WHOLE) if getattr(WHOLE, f.name) in (None, ())]
    numbers = WHOLE.metrics()
    held = set(map(str, numbers.values()))

    def leaves(record: object) -> list[object]:
        if isinstance(record, tuple):
            return [leaf for each in record for leaf in leaves(each)]
        if is_dataclass(record):
            return [leaf for f in fields(record) for leaf in leaves(getattr(record, f.name))]
        return [record]

    lost = {x for x in leaves(WHOLE) if isinstance(x, float) and str(x) not in held}
    assert lost == set()
    assert numbers["alpha_k_mean_lower"] == -1.2
    assert "alpha_k_mean_upper" not in numbers
    assert numbers["summary_true_k_median"] == 0.33
    assert numbers["distance_k_mean_standard_error"] == 0.2
    assert "likelihood_k_mean_standard_error" not in numbers
    assert numbers["undetermined"] == "F_median, V_median"
    assert numbers["combination_F_over_V_upper"] == 0.2
    assert numbers["law_misfit"] == "not judged: no likelihood"
    assert numbers["noise_misfit_unseen"] == "one; two"
    assert numbers["simulator_misfit"] == "none seen"
    assert numbers["misfit_lag_1_large"] == 0.5
    assert numbers["boundary_k_mean"] == "zero"
    assert numbers["discrepancy_seen"] == 1
    assert numbers["discrepancy_widens_k_median"] == 2.7
    assert numbers["prior"].endswith("standard deviation 1); noise amplitude: weak")
    assert numbers["noise_true_amplitude"] == 0.1
    # What is not known is left out.
    assert not {name for name, value in ANSWER.metrics().items() if value is None}
    assert "alpha_relative_error_max" not in ANSWER.metrics()


def test_parameters_are_those_that_users_read():
    names = [parameter.name for parameter in WHOLE.parameters]
    assert names == ["k_median", "k_skewness", "F_over_V", "amplitude"]


def test_what_is_damaged_is_told_with_its_place(tmp_path):
    file = write(tmp_path, ANSWER).with_name("answer.json")
    content = json.loads(file.read_text())
    content["heldout"]["p_value"] = "small"
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"answer\.json: cannot be understood \(heldout\.p_value: "):
        read_answer(tmp_path)


# The beginnings and ends of keys of ``metrics.json``.
PARTS = (
    r"(?:alpha|noise_true|summary|combination|units|(?:model_|robust_)?standard_error|misfit"
    r"|efficiency|boundary|distance|(?:pseudo_)?likelihood|heldout|surrogate|solver"
    r"|identifiability|sampling_error)_"
    r"|_(?:predicted_error|lower|upper|standard_error|p_value|large|unseen|misfit|misfit_tests)"
)
PARSED = re.compile(
    r"(?:startswith|removeprefix|removesuffix|endswith|partition|split|fullmatch|match)\("
    rf"[fr]?\W*(?:{PARTS})\W"
)


def test_nothing_parses_the_keys_of_the_flat_table():
    assert PARSED.search('key.removeprefix("efficiency_")')
    assert PARSED.search('key.endswith(("_lower", "_upper"))')
    parsing = {
        f"{file.relative_to(SOURCE)}: {found[0]}"
        for file in SOURCE.rglob("*.py")
        for found in PARSED.finditer(file.read_text())
    }
    assert parsing == set()
    # Nobody reads the flat table of an answer at all: it is asked for where it is written.
    asking = {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        if re.search(r"answer\.metrics(?:_json)?\(\)", file.read_text())
    }
    assert asking == {"api/folder.py", "api/result.py", "report/pages.py"}


def test_the_record_needs_no_torch():
    for name in ("answer", "files", "judgements", "comparison"):
        assert "import torch" not in (SOURCE / f"judgement/{name}.py").read_text()
    assert StudyAnswer.__module__ == "popinv.judgement.answer"
