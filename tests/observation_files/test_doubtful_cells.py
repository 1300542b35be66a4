"""Cells that are no plain numbers, and rows that are no systems: the file is refused, and why."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import new_study, ran, written_study

from popinv.config.loading import load_file
from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.doubtful_cells import aggregate_row, alike
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.observation_files.survey import survey
from popinv.sections.tables import advice_on, is_number
from tests.observation_files.read_tables import read_file

RANDOM = np.random.default_rng(3)
VALUES = np.round(RANDOM.normal(5, 1, size=(20, 2)), 3)
pytestmark = pytest.mark.usefixtures("in_folder")


def table(column: list[str], mark: str = "\t") -> str:
    rows = [
        f"s{i}{mark}{value:.3f}{mark}{cell}"
        for i, (value, cell) in enumerate(zip(VALUES[:, 0], column, strict=False))
    ]
    return "\n".join([f"id{mark}a{mark}b", *rows])


def refused(text: str, name: str = "y.csv") -> str:
    Path(name).write_text(text)
    with pytest.raises(DataError) as caught:
        survey(Path(name))
    assert str(caught.value).startswith(f"{name}: ")
    return str(caught.value)


# --- marks at numbers ---------------------------------------------------------------------------

# A number in a notation, and what is to be written.
MARKED = {
    "{}%": "{}",
    "{} %": "{}",
    "${}": "{}",
    "-€{}": "-{}",
    "{} £": "{}",
    "{} mg": "{}",
    "{}mg/L": "{}",
    "{} h": "{}",
    "{}h": "{}",
    "{} ± 0.1": "{}",
    "{} +/- 0.1": "{}",
    "{} (0.1)": "{}",
    "{}*": "{}",
}


@pytest.mark.parametrize("notation", MARKED)
def test_numbers_with_marks_are_never_left_out_as_text(notation: str) -> None:
    said = refused(table([notation.format(f"{v:.2f}") for v in VALUES[:, 1]]))
    plain = MARKED[notation].format(f"{VALUES[0, 1]:.2f}")
    assert "the column 'b' holds numbers with other signs in 20 of 20 rows" in said
    assert "the first in row 1 below the names" in said
    assert plain in said


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f", "\u2009", "'", "’", "_"])
def test_thousands_with_other_separators(space: str) -> None:
    said = refused(table([f"{i + 1}{space}{200 + i}" for i in range(20)]))
    assert "Write the number alone: 1200." in said


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ("1.234,5", "1234.5"),
        ("1.234.567", "1234567"),
        ("$1,234.50", "1234.50"),
        ("1,234,567", "1234567"),
        ("−1,5 %", "-1.5"),
        ("1,5", "1.5"),
        ("١٢", "12"),
        ("5 m/s", "5"),
        ("<0.5 mg", "0.5"),
        ("1.5D3", "1.5e3"),
    ],
)
def test_what_is_to_be_written(cell: str, plain: str) -> None:
    assert plain in advice_on(cell)


@pytest.mark.parametrize(
    "cell",
    ["", "5", "-1e-3", "nan", "s12", "1A", "12-3", "2024-03-01", "12:30", "3.1.2", "5.2 x", "n.d."],
)
def test_numbers_and_text_need_no_advice(cell: str) -> None:
    assert advice_on(cell) == ""


def test_digits_that_only_python_reads_are_text() -> None:
    assert not any(map(is_number, ["1_000", "١٢"]))
    assert all(map(is_number, ["1000", "-1e-3", ".5", "inf"]))


def test_the_mark_may_be_at_a_minority_of_the_numbers() -> None:
    cells = [f"{i % 5}%" if i < 4 else str(i % 5) for i in range(20)]
    assert "in 4 of 20 rows ('0%', '1%', '2%'" in refused(table(cells))
    assert "('1e309'; the first in row 2" in refused(table(["1", "1e309", "3", "4", "5"]))


def test_a_column_of_text_stays_text() -> None:
    Path("y.csv").write_text(table(["none", "5 mg", "a lot", "little"] * 5))
    uses = {each.name: each.use for each in survey(Path("y.csv")).columns}
    assert uses == {"id": "system", "a": "observed", "b": "known"}


def test_a_stated_column_of_systems_may_look_like_numbers() -> None:
    text = table([str(i) for i in range(20)]).replace("s", "").replace("\t", " m\t", 21)
    assert "state --system" in refused(text)


@pytest.mark.parametrize(
    ("cell", "number"),
    [("−{}", -1.0), ("{}D+00", 1.0), ("−{}D-01", -0.1), ("{}e−2", 0.01), ('"−{}"', -1.0)],
)
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_one_meaning_is_read(cell: str, number: float, mark: str) -> None:
    Path("y.csv").write_text(table([cell.format(f"{v:.3f}") for v in VALUES[:, 1]], mark))
    read = read_file("y.csv", system_column="id").values
    np.testing.assert_allclose(read, VALUES * [1.0, number], rtol=1e-15)


def test_names_keep_their_signs() -> None:
    Path("y.csv").write_text("id,a\nw−1,1.5\n1D+02,2.5\nD12,3\nx 1.5D+00,4\n")
    ids = read_file("y.csv", system_column="id").system_ids
    assert ids.tolist() == ["w−1", "1D+02", "D12", "x 1.5D+00"]


# --- commas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [";", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_commas_before_three_digits_are_not_guessed(mark: str, quote: str) -> None:
    cells = [f"{quote}{1024 + 7 * i:,}{quote}" for i in range(20)]
    text = table(cells, mark).replace(".", "")
    message = refused(text)
    assert "line 2 holds 1,024, whose comma may be a decimal comma or separate thousands" in message
    with pytest.raises(DataError, match=r"y\.csv: line 2 holds 1,024"):
        read_file("y.csv", system_column="id")


def test_random_tables_with_commas_keep_their_numbers_or_are_refused() -> None:
    random, read = np.random.default_rng(8), 0
    for _ in range(40):
        digits = int(random.integers(1, 5))
        values = random.normal(random.choice([0, 500]), random.choice([1, 300]), size=(8, 2))
        thousands = bool(random.integers(2))
        form = (lambda v: f"{round(v):,}") if thousands else lambda v: f"{v:.{digits}f}"  # noqa: B023
        cells = [[form(value) for value in row] for row in values * (10 if thousands else 1)]
        rows = [";".join(row if thousands else [c.replace(".", ",") for c in row]) for row in cells]
        Path("y.csv").write_text("\n".join(["a;b", *rows]))
        try:
            table = read_file("y.csv")
        except DataError:
            continue
        read += 1
        exact = [[float(cell.replace(",", "")) for cell in row] for row in cells]
        np.testing.assert_array_equal(table.values, exact)
    assert read > 12


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_decimal_commas_between_commas_are_not_twice_as_many_numbers(digits: int) -> None:
    rows = [[f"{10 * v:.{digits}f}".replace(".", ",") for v in row] for row in VALUES]
    message = refused("\n".join(map(",".join, rows)))
    assert "holds 4 whole numbers, or 2 with decimal commas" in message
    # Names say how many numbers there are.
    Path("y.csv").write_text("\n".join(["a,b,c,d", *map(",".join, rows)]))
    assert read_file("y.csv").values.shape == (20, 4)


def test_whole_numbers_are_read() -> None:
    counts = np.random.default_rng(2).poisson(12, size=(60, 4))
    Path("y.csv").write_text("\n".join(",".join(map(str, row)) for row in counts))
    np.testing.assert_array_equal(read_file("y.csv").values, counts)


# --- times --------------------------------------------------------------------------------------

LONG = ["id,day,y", *(f"s{s},202401{d},{1.5 * s + d}" for s in range(5) for d in (10, 20, 31))]


def test_dates_without_marks_are_no_times() -> None:
    assert "the column 'day' of times holds 20240110, as dates without marks; write 2024-01-10" in (
        refused("\n".join(LONG))
    )
    section = FileObservations(
        file="y.csv", layout="long", system_column="id", time_column="day", value_column="y"
    )
    at = Observations(np.array([[20240110.0], [20240120.0], [20240131.0]]), ("t",), "y")
    with pytest.raises(DataError, match="dates without marks"):
        read_fitting(section, at)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["0830", "1015", "2330"], "0830, as times of the day without marks; write the time"),
        (["01032024", "15032024", "02042024"], "01032024, as dates without marks; write 2024-01"),
        (["202401", "202402", "202412"], "202401, as dates without marks; write 2024-01-01"),
    ],
)
def test_other_times_without_marks_are_no_numbers(cells: list[str], told: str) -> None:
    rows = [f"s{s},{t},{s + i}.5" for s in range(5) for i, t in enumerate(cells)]
    assert f"the column 't' of times holds {told}" in refused("\n".join(["id,t,y", *rows]))


def test_times_that_look_like_such_are_numbers() -> None:
    for cells in (["00", "06", "12"], ["830", "1015", "2330"], ["0000", "0075", "0100"]):
        rows = [f"s{s},{t},{s + i}.5" for s in range(5) for i, t in enumerate(cells)]
        Path("y.csv").write_text("\n".join(["id,t,y", *rows]))
        assert survey(Path("y.csv")).layout.long


# --- names with gaps ----------------------------------------------------------------------------


def test_names_of_systems_with_a_gap_are_no_observations() -> None:
    rows = [f"{i if i != 7 else ''},{a},{b}" for i, (a, b) in enumerate(VALUES)]
    message = refused("\n".join(["id,a,b", *rows]))
    assert "the column 'id' seems to name the systems, but 1 of its 20 cells are empty" in message


# --- rows that sum up others --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Total", "Mean", "SD", "Average", "Sum", "N", "Min", "MAX", "LOD", "median", "Std."]
)
def test_rows_that_sum_up_others_are_no_systems(name: str) -> None:
    rows = [f"s{i},{a},{b}" for i, (a, b) in enumerate(VALUES)]
    message = refused("\n".join(["id,a,b", *rows, f"{name},9.87,1.23"]))
    assert f"line 22 is called '{name}', so it is no system" in message


@pytest.mark.parametrize("what", ["sums", "means"])
@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_the_numbers_tell_such_a_row(what: str, names: bool, first: bool) -> None:
    own = VALUES.sum(axis=0) if what == "sums" else VALUES.mean(axis=0)
    rows = [[f"s{i}", f"{a:.3f}", f"{b:.3f}"] for i, (a, b) in enumerate(VALUES)]
    rows.insert(0 if first else 20, ["together", f"{own[0]:.3f}", f"{own[1]:.3f}"])
    head = "id,a,b" if names else "a,b"
    Path("y.csv").write_text("\n".join([head, *(",".join(row[not names :]) for row in rows)]))
    with pytest.raises(DataError, match=f"line {2 if first else 22} holds the {what} of the other"):
        read_file("y.csv", system_column="id" if names else None)


def test_means_with_deviations_below_them() -> None:
    below = np.vstack([VALUES, VALUES.mean(axis=0), VALUES.std(axis=0), [20, 20]])
    assert aggregate_row(below, None) == (20, "holds the means of the other rows")


def test_systems_are_no_sums() -> None:
    random = np.random.default_rng(0)
    for _ in range(60):
        n, d = random.integers(4, 30), random.integers(1, 6)
        values = random.normal(size=(n, d))
        for table in (values, np.round(3 * values), np.round(values, 1), random.poisson(2, (n, d))):
            assert aggregate_row(np.asarray(table, dtype=float), None) is None
    far = np.vstack([np.ones((2, 2)), random.normal(1, 0.1, size=(50_000, 2)), np.ones((2, 2))])
    far[7] = 1e6
    assert aggregate_row(far, None) is None
    assert aggregate_row(np.full((6, 2), 5e307) * random.uniform(-1, 1, size=(6, 2)), None) is None
    # Stations of the compass and of the states of a country.
    assert aggregate_row(random.normal(size=(4, 2)), ["N", "E", "S", "W"]) is None
    assert aggregate_row(random.normal(size=(4, 2)), ["RI", "SC", "SD", "TN"]) is None
    series = [f"s{i}" for i in range(21)]
    assert aggregate_row(np.vstack([VALUES, VALUES.mean(axis=0)]), series) is None


def test_a_system_of_a_long_table_may_be_a_total() -> None:
    rows = [f"{s},{t},{RANDOM.normal():.4f}" for s in ("a", "b", "c", "d", "Total") for t in (0, 1)]
    Path("y.csv").write_text("\n".join(["id,t,y", *rows]))
    assert "y.csv: system 'Total' is called 'Total', so it is no system" in new_study(code=1)
    assert not Path("mine.yaml").exists()


# --- names --------------------------------------------------------------------------------------

ALIKE = [
    ("a1", "a1\u200b"),
    ("a1", "\ufeffa1"),
    ("Grün", unicodedata.normalize("NFD", "Grün")),
    ("a 1", "a\u00a01"),
    ("a1", "a1\u00a0\u200b"),
]


@pytest.mark.parametrize("pair", ALIKE)
def test_names_that_look_the_same_are_not_two_systems(pair: tuple[str, str]) -> None:
    rows = [f"{name},1.5,{i}.5" for i, name in enumerate(["x1", pair[0], "x2", pair[1], "x3"])]
    Path("y.csv").write_text("\n".join(["id,a,b", *rows]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_file("y.csv", system_column="id")
    assert "line 3 and line 5 name the systems" in str(caught.value)
    assert all(ascii(name) in str(caught.value) for name in pair)


def test_names_that_look_different_are_different() -> None:
    assert alike(["a", "A", "á", "a1", "a 1", "a-1", "a_1", "", "²", "2"]) is None
    assert alike(["a", "b", "a", "b"]) is None


@pytest.mark.parametrize("name", ["yes", "no", "null", "on", "True", "y", "mine"])
def test_names_of_studies_stay_names(name: str) -> None:
    ran("new-study", name)
    assert list(load_file(Path(f"{name}.yaml")).studies) == [name]
    assert list(yaml.safe_load(Path(f"{name}.yaml").read_text())["studies"]) == [name]


def test_a_tilde_is_no_name_of_a_study() -> None:
    assert "the name is '~'" in ran("new-study", "~", code=1)


@pytest.mark.parametrize("name", ["yes", "null"])
def test_names_of_values_stay_names(name: str) -> None:
    rows = [f"{s},{t},{RANDOM.normal():.4f}" for s in range(6) for t in (0, 1)]
    Path("y.csv").write_text("\n".join([f"id,t,{name}", *rows]))
    new_study()
    assert written_study().forward.observed(1).name == name


@pytest.mark.parametrize("text", ["id,a,b\ns\x1b[2J,1,2\ns2,3,4\n", "id,a\x07,b\ns1,1,2\ns2,3,4\n"])
def test_names_that_a_terminal_obeys_are_refused(text: str) -> None:
    Path("y.csv").write_text(text)
    with pytest.raises(DataError, match=r"has the control character '\\x(1b|07)' in "):
        read_file("y.csv", system_column="id")
