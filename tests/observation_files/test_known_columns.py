"""Known columns: numbers, categories, centres, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popinv.errors import DataError
from popinv.observation_files.known_columns import (
    known_columns,
    source_columns,
    unused_columns,
)

SYSTEMS = pd.DataFrame(
    {
        "dose": ["100", "50", "50", "100"],
        "weight": ["60", "70.5", "80", "NaN"],
        "sex": ["male", "female", "male", "female"],
        "sex_at_birth": ["x", "x", "y", "y"],
        "arm": ["1", "2", "1", ""],
        "same": ["3", "3.0", "3", "3"],
    },
    index=pd.Index([2, 4, 6, 8], name="line"),
    dtype=object,
)
THREE = SYSTEMS.iloc[:3]


def fault(*names: str, systems: pd.DataFrame = SYSTEMS, design: bool = False) -> str:
    with pytest.raises(DataError) as caught:
        known_columns(systems, names if design else (), () if design else names)
    return str(caught.value)


def test_numbers_count_from_their_mean_and_categories_from_zero() -> None:
    known = known_columns(THREE, ["dose", "sex_male"], ["weight", "sex_female", "arm_2", "dose"])
    np.testing.assert_array_equal(known.design, [[100, 1], [50, 0], [50, 1]])
    centred = np.array([60, 70.5, 80]) - known.centres[0]
    np.testing.assert_array_equal(known.covariates[:, 0], centred)
    np.testing.assert_array_equal(known.covariates[:, 1:3], [[0, 0], [1, 1], [0, 0]])
    np.testing.assert_allclose(known.covariates.sum(axis=0)[[0, 3]], 0, atol=1e-12)
    np.testing.assert_allclose(known.centres, [210.5 / 3, 0, 0, 200 / 3])
    some = known.of(np.array([2, 0]))
    np.testing.assert_array_equal(some.design, [[50, 1], [100, 1]])
    np.testing.assert_array_equal(some.centres, known.centres)


def test_no_known_columns_have_the_right_shape() -> None:
    known = known_columns(THREE, [], ["dose"])
    assert known.design.shape == (3, 0)
    assert known_columns(THREE, ["dose"], []).covariates.shape == (3, 0)


def test_the_column_of_a_category_is_the_longest_that_fits() -> None:
    columns = list(SYSTEMS.columns)
    names = ["sex_male", "sex_at_birth_x", "sex_female", "dose", "sex_at_birth"]
    assert source_columns(columns, names) == ["sex", "sex_at_birth", "dose"]
    known = known_columns(SYSTEMS, ["sex_at_birth_y"], [])
    np.testing.assert_array_equal(known.design.ravel(), [0, 0, 1, 1])


def test_columns_that_could_explain_the_systems_are_kept_as_text() -> None:
    """System 1 has the rows 0 and 2, system 0 has 1 and 3, system 2 has 4."""
    frame = pd.DataFrame(
        {
            "value": list("12345"),
            "site": ["b", "a", "", "a", "b"],
            "weight": ["60", "70", "60", "70", "NA"],
            "visit": list("11222"),
            "name": list("yxyxz"),
            "same": ["k"] * 5,
            "on": ["2024-01-01", "2024-01-02", "2024-01-01", "2024-01-02", "2024-01-03"],
        }
    )
    found = unused_columns(frame, np.array([1, 0, 1, 0, 2]), ["value"])
    assert found.to_dict("list") == {"site": ["a", "b", "b"], "weight": ["70", "60", ""]}


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(DataError) as caught:
        source_columns(list(SYSTEMS.columns), ["dos"])
    assert "there is no column 'dos', which the study's design or covariates name" in str(
        caught.value
    )
    assert "dose, weight, sex" in str(caught.value)
    assert "Did you mean 'dose'?" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("weight", "line 8: the column 'weight' holds no value, but every system needs a finite"),
        ("sex", "line 2: the column 'sex' holds 'male', but every system needs a finite number"),
        ("sex", "Categories are named with their value, such as 'sex_male'"),
        ("arm_1", "line 8: the column 'arm' holds no value, which is in no category"),
        ("sex_mal", "'sex_mal' is 1 where the column 'sex' holds 'mal', but it holds female, male"),
        ("sex_mal", "Did you mean 'male'?"),
        ("same", "the covariate 'same' is 3 in all systems, so nothing can depend on it"),
    ],
)
def test_what_is_refused(name: str, words: str) -> None:
    assert words in fault(name)


def test_a_design_may_be_the_same_in_all_systems() -> None:
    assert np.all(known_columns(SYSTEMS, ["same"], []).design == 3)


def test_an_infinite_number_is_refused() -> None:
    systems = THREE.assign(dose=["1", "inf", "2"])
    assert "line 4: the column 'dose' holds 'inf'" in fault("dose", systems=systems, design=True)


def test_a_number_that_stands_for_a_missing_value() -> None:
    systems = THREE.assign(dose=["1", "-999", "2"])
    assert known_columns(systems, ["dose"], []).design[1] == -999
    with pytest.raises(DataError, match="holds -999, which stands for a missing value"):
        known_columns(systems, ["dose"], [], stand_ins=[-999])


def test_systems_that_join_others_spell_categories_as_they_do() -> None:
    one = pd.DataFrame({"sex": ["Male"], "arm": ["1.0"], "w": ["3"]}, dtype=object)
    with pytest.raises(DataError, match="'sex_male' is 1 where"):
        known_columns(one, (), ["sex_male"], (), [0.0])
    known = known_columns(one, (), ["sex_female", "arm_1", "w"], (), [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(known.covariates, [[0, 1, 1]])
