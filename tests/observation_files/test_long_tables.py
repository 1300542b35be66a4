"""Long tables: own times of the systems, quantities, known columns, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from popinv.errors import DataError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.long_tables import read_long
from popinv.observation_files.section import FileObservations
from popinv.observation_files.table import ObservationTable
from popinv.sections.tables import read_frame, times_of, times_of_file

FILE = Path("long.csv")
HEAD = "subject,time,conc,dose,sex\n"
ROWS = """\
7,0,1.5,100,male
7,2.5,1.25,100,male
003,0,3.5,50,female
003,1,,50,female
003,5,2.5,50,female
"""
COLUMNS = {"system_column": "subject", "value_column": "conc", "time_column": "time"}
NAN = np.nan
pytestmark = pytest.mark.usefixtures("in_folder")


def write(text: str = HEAD + ROWS) -> None:
    FILE.write_text(text, encoding="utf-8")


def at(*places: float, labels: tuple[str, ...] = ()) -> Observations:
    """Return observations at times, of each quantity at all times."""
    count = max(1, len(labels))
    columns = np.tile(places, count)[:, None]
    each = [label for label in labels for _ in places]
    return Observations(columns, ("t",), "conc", labels=each)


def read(observations: Observations, **options: object) -> ObservationTable:
    known = {name: options.pop(name, ()) for name in ("design", "covariates")}
    keys = {"file": str(FILE), "layout": "long", **COLUMNS, **options}
    section = FileObservations.model_validate(keys)
    return read_long(read_frame(FILE), section, observations, **known)  # type: ignore[arg-type]


def fault(observations: Observations, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        read(observations, **options)
    return str(caught.value)


def of_file() -> Observations:
    return at(*times_of_file(str(FILE), "time"))


def test_columns_that_no_key_names_are_kept_beside_the_observations():
    write()
    unused = read(of_file(), design=["dose"]).unused
    # Names that differ in all systems tell nothing, numbers may.
    assert unused is not None
    assert unused.empty
    unused = read(of_file()).unused
    assert unused is not None
    assert unused.to_dict("list") == {"dose": ["100", "50"]}


# --- what is read -------------------------------------------------------------------------------


SEEN = [[1.5, NAN, 1.25, NAN], [3.5, NAN, NAN, 2.5]]


@pytest.mark.parametrize("mark", [",", ";", "\t", ", "])
def test_systems_have_times_of_their_own(mark: str) -> None:
    write((HEAD + ROWS).replace(",", mark))
    assert times_of_file(str(FILE), "time") == [0, 1, 2.5, 5]
    table = read(of_file())
    np.testing.assert_array_equal(table.values, SEEN)
    assert table.system_ids.tolist() == ["7", "003"]
    assert list(table.rows) == ["system '7'", "system '003'"]
    assert table.columns[2] == "t = 2.5"
    assert table.noise_scale is None
    assert table.known is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n7,2.5", "\n\n7,2.5"),
        lambda text: text.replace("7,", '"7",').replace(",male", ',"male"'),
        lambda text: text.replace("003,1,,", "003,1,NaN,"),
        lambda text: text.replace("003,1,,", "003,1,NA,"),
    ],
)
def test_other_forms_of_the_same_table(change) -> None:
    write(change(HEAD + ROWS))
    table = read(of_file(), covariates=["sex_male"])
    np.testing.assert_array_equal(table.values, SEEN)
    np.testing.assert_array_equal(table.known.covariates, [[1], [0]])


def test_rows_in_any_order() -> None:
    lines = ROWS.splitlines(keepends=True)
    write(HEAD + "".join(lines[i] for i in (4, 0, 2, 1, 3)))
    table = read(of_file())
    assert table.system_ids.tolist() == ["003", "7"]
    np.testing.assert_array_equal(table.values, SEEN[::-1])


def test_names_of_systems_are_text() -> None:
    write('who,time,conc\n"Ann, B.",0,1\nNA,0,2\n1.0,0,3\n1,0,4\n')
    table = read(at(0), system_column="who")
    assert table.system_ids.tolist() == ["Ann, B.", "NA", "1.0", "1"]


def test_numbers_that_stand_for_missing_values() -> None:
    write((HEAD + ROWS).replace("2.5,50", "-999,50"))
    assert read(of_file()).values[1, 3] == -999
    assert np.isnan(read(of_file(), missing_values=[-999]).values[1, 3])


def test_two_quantities() -> None:
    write("s,t,what,y\na,0,weight,1\na,0,height,2\na,1,weight,3\nb,1,height,4\n")
    columns = {"system_column": "s", "value_column": "y", "time_column": "t"}
    both = at(0, 1, labels=("height", "weight"))
    table = read(both, **columns, label_column="what")
    np.testing.assert_array_equal(table.values, [[2, NAN, 1, 3], [NAN, 4, NAN, NAN]])
    assert table.columns[3] == "weight, t = 1"
    message = fault(both, **columns)
    assert message.startswith("line 2 fits 2 observations of the forward model")
    assert "'observations.label_column'" in message


def test_quantities_without_times() -> None:
    write("s,what,y\na,w,1\na,h,2\nb,h,4\n")
    columns = {"system_column": "s", "value_column": "y", "time_column": None}
    two = Observations(np.arange(2.0)[:, None], ("entry",), "y", labels=["h", "w"])
    table = read(two, **columns, label_column="what")
    np.testing.assert_array_equal(table.values, [[2, 1], [4, NAN]])


def test_times_that_differ_by_rounding_are_one_however_short() -> None:
    for unit in (1.0, 1e-10):
        steps = [0.1 * unit, (0.1 + 0.2) * unit, 0.3 * unit, 0.5 * unit]
        write("s,t,y\n" + "".join(f"{s},{t!r},1\n" for s, t in zip("aabb", steps, strict=True)))
        found = times_of_file(str(FILE), "t")
        assert len(found) == 3
        columns = {"system_column": "s", "value_column": "y", "time_column": "t"}
        np.testing.assert_array_equal(
            read(at(*found), **columns).values, [[1, 1, NAN], [NAN, 1, 1]]
        )


def test_dates_are_days_since_the_first() -> None:
    write("s,day,y\na,2024-02-28,1\na,2024-03-01T12:00,2\nb,2024-02-29,3\nb,,\n")
    assert times_of_file(str(FILE), "day") == [0, 1, 2.5]
    columns = {"system_column": "s", "value_column": "y", "time_column": "day"}
    table = read(at(0, 1, 2.5), **columns)
    np.testing.assert_array_equal(table.values, [[1, NAN, 2], [NAN, 3, NAN]])


def test_dates_with_and_without_a_time_zone() -> None:
    write("s,day,y\na,2024-02-28,1\na,2024-03-01T12:00+01:00,2\n")
    with pytest.raises(DataError, match="with and without a time zone"):
        times_of(read_frame(FILE), "day")


# --- known quantities ---------------------------------------------------------------------------


def test_design_covariates_and_noise_scales() -> None:
    write()
    table = read(
        of_file(), noise_scale_column="dose", design=["dose"], covariates=["dose", "sex_female"]
    )
    assert table.noise_scale is not None
    np.testing.assert_array_equal(table.noise_scale, [100, 50])
    np.testing.assert_array_equal(table.known.design, [[100], [50]])
    np.testing.assert_array_equal(table.known.covariates, [[25, 0], [-25, 1]])
    np.testing.assert_array_equal(table.known.centres, [75, 0])


def test_what_is_known_is_one_value_in_each_system() -> None:
    write((HEAD + ROWS).replace("7,2.5,1.25,100", "7,2.5,1.25,1e2"))
    assert read(of_file(), design=["dose"]).known is not None
    for other, shown in (("200", "'200'"), ("x", "'x'")):
        write((HEAD + ROWS).replace("7,2.5,1.25,100", f"7,2.5,1.25,{other}"))
        message = fault(of_file(), design=["dose"])
        assert f"line 3: the column 'dose' of system '7' holds '100' and {shown}" in message
    # An empty cell says nothing.
    write(HEAD + ROWS)
    whole = read(of_file(), design=["dose"]).known
    write((HEAD + ROWS).replace("7,2.5,1.25,100", "7,2.5,1.25,"))
    part = read(of_file(), design=["dose"]).known
    np.testing.assert_array_equal(part.design, whole.design)
    write((HEAD + ROWS).replace("2.5,50,female", "2.5,50,male"))
    assert "line 6: the column 'sex' of system '003'" in fault(of_file(), covariates=["sex_male"])


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"system_column": "subjct"}, "'subjct' (observations.system_column)"),
        ({"value_column": "cnc"}, "'cnc' (observations.value_column)"),
        ({"time_column": "tim"}, "'tim' (observations.time_column)"),
        ({"label_column": "whta"}, "'whta' (observations.label_column)"),
        ({"noise_scale_column": "dos"}, "'dos' (observations.noise_scale_column)"),
    ],
)
def test_a_column_that_is_not_there(options: dict[str, str], words: str) -> None:
    write()
    message = fault(of_file(), **options)
    assert message.startswith(f"there is no column {words}; the columns are subject, time, conc")
    if "label_column" not in options:
        assert "Did you mean" in message


def test_no_column_of_times_for_the_forward_model() -> None:
    write()
    with pytest.raises(DataError, match=r"no column 'tme' .*times\.column.*Did you mean 'time'"):
        times_of_file(str(FILE), "tme")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no line of values"),
        (HEAD, "holds no line of values"),
        (HEAD + "7,0,1.5,100\n", "line 2 has 4 cells, but the first line has 5"),
        (HEAD + "\n7,0,1.5,100,male,\n", "line 3 has 6 cells"),
        (HEAD.replace("time", "conc") + ROWS, "2 columns are called 'conc'"),
        (HEAD + '7,0,1.5,100,"male\n"\n', "a quoted cell goes over several lines"),
        (HEAD + "\n,0,1.5,100,male\n", "line 3: the system has no name in the column 'subject'"),
        (HEAD + "\n7,0,low,100,male\n", "line 3: the column 'conc' holds 'low', which is no"),
        (HEAD + "7,0,inf,100,male\n", "line 2: the column 'conc' holds 'inf'"),
        (HEAD + "7,x,1,100,male\n", "line 2: the column 'time' holds 'x'"),
        (HEAD + '7,"0,5",1,100,male\n', "Write numbers with a decimal point: 0.5."),
        (HEAD + "7,,1,100,male\n", "line 2 has a value, but no time in the column 'time'"),
        (HEAD + 2 * "7,0,1,100,male\n", "line 3: system '7' has a second value at t = 0"),
    ],
)
def test_tables_that_cannot_be_read(text: str, words: str) -> None:
    write(text)
    assert words in fault(at(0, 1))


def test_a_file_that_is_no_text() -> None:
    FILE.write_bytes(HEAD.encode() + b"7,0,\xff,1,1\n")
    assert "byte 0xff in line 2" in fault(at(0))


def test_a_column_without_times_gives_none() -> None:
    write("s,t,y\na,,1\n")
    with pytest.raises(DataError, match="the column 't' holds no time"):
        times_of_file(str(FILE), "t")


def test_times_that_the_forward_model_does_not_have() -> None:
    write()
    message = fault(at(0, 1))
    assert "not observed at the times [2.5, 5.0] of the file" in message
    assert "'forward.observations.times: {file: ..., column: time}'" in message
    write("subject,time,conc\n" + "".join(f"a,{k},1\n" for k in range(20)))
    assert "7.0] and 12 more of the file" in fault(at(-1))
    # A time without a value need not be one of the model's.
    write()
    assert read(at(0, 2.5, 5)).values.shape == (2, 3)


def test_a_forward_model_without_times() -> None:
    write()
    sensors = Observations(np.arange(4.0)[:, None], ("x",), "pressure")
    assert "have no times, but 'time_column' is 'time'" in fault(sensors)


def test_labels_that_the_forward_model_does_not_have() -> None:
    write()
    message = fault(at(0, 1, 2.5, 5, labels=("males", "female")), label_column="sex")
    assert "line 2: the forward model has no observation with the label 'male'" in message
    assert "its labels are males, female" in message
    assert "Did you mean 'males'?" in message
    assert "it has no labels" in fault(of_file(), label_column="sex")


def test_a_quantity_that_is_not_observed_at_a_time() -> None:
    write("s,t,what,y\na,0,w,1\na,1,h,2\n")
    places = Observations(np.array([[0.0], [1.0]]), ("t",), "y", labels=["w", "w"])
    columns = {"system_column": "s", "value_column": "y", "time_column": "t"}
    some = Observations(np.array([[0.0], [1.0], [0.0]]), ("t",), "y", labels=["w", "w", "h"])
    message = fault(some, **columns, label_column="what")
    assert "line 3: the forward model does not observe 'h' at 1" in message
    assert "no observation with the label 'h'" in fault(places, **columns, label_column="what")


# --- the section --------------------------------------------------------------------------------


def section(**keys: object) -> FileObservations:
    return FileObservations.model_validate({"file": str(FILE), "layout": "long"} | COLUMNS | keys)


def many(value: str = "{i}.5") -> str:
    rows = (f"{i},{t},{value.format(i=i + t)}\n" for i in range(6) for t in (0, 1))
    return "subject,time,conc\n" + "".join(rows)


def test_a_section_reads_its_file_and_names_it() -> None:
    write(many())
    assert read_fitting(section(), at(0, 1)).values.shape == (6, 2)
    for keys, words in (
        ({"value_column": "con"}, "long.csv: there is no column 'con'"),
        ({"file": "lang.csv"}, "lang.csv: there is no such file. Did you mean 'long.csv'?"),
    ):
        with pytest.raises(DataError) as caught:
            read_fitting(section(**keys), at(0, 1))
        assert str(caught.value).startswith(words)


def test_a_system_without_a_value_and_a_time_that_nothing_was_seen_at() -> None:
    write(many() + "9,0,\n")
    with pytest.raises(DataError, match=r"long\.csv: system '9' holds no observation at all"):
        read_fitting(section(), at(0, 1))
    write(many())
    with pytest.raises(DataError, match="t = 2 holds no observation of any system"):
        read_fitting(section(), at(0, 1, 2))
    # Of several files, another one may have what was seen at that time.
    part = read_fitting(section(), at(0, 1, 2), whole=False)
    assert np.isnan(part.values).any(axis=0).tolist() == [False, False, True]


def test_few_systems() -> None:
    write()
    with pytest.raises(DataError, match="has 2 systems, but a population needs at least 4"):
        read_fitting(section(), at(0, 2.5, 5))
