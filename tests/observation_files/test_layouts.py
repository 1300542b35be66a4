"""Recognition of long and wide tables, and of what each column becomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tiers import parameters

from popinv.errors import DataError
from popinv.observation_files.columns import Given, Layout, column_traits, refuse_to_ask
from popinv.observation_files.layouts import layout_of
from popinv.observation_files.survey import survey
from popinv.sections.tables import read_frame

RANDOM = np.random.default_rng(0)
pytestmark = pytest.mark.usefixtures("in_folder")


def write(names: str, rows: Iterable[Sequence[object]]) -> None:
    lines = [names, *(",".join(map(str, row)) for row in rows)]
    Path("y.csv").write_text("\n".join(lines) + "\n")


def layout(ask=refuse_to_ask, **given: str) -> Layout:
    return layout_of(read_frame(Path("y.csv")), Given(**given), ask)


def uses(found: Layout) -> dict[str, str]:
    return {each.name: each.use for each in found.columns}


def fault(**given: str) -> str:
    with pytest.raises(DataError) as caught:
        layout(**given)
    return str(caught.value)


def value() -> float:
    return round(float(RANDOM.normal(5, 1)), 3)


def long(systems: int = 8, times: Sequence[object] = (0, 1, 2)) -> list[list[object]]:
    """Return rows of system, time and value."""
    return [[s, t, value()] for s in range(1, systems + 1) for t in times]


# --- long tables --------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["subject,time,value", "a,b,c", "Patient ID,hours (h),DV"])
def test_eight_systems_at_three_times(names: str) -> None:
    write(names, long())
    system, time, observed = names.split(",")
    found = layout()
    assert found.long
    assert uses(found) == {system: "system", time: "time", observed: "value"}
    assert found.named("label") is None


def test_every_column_has_a_use_and_a_reason() -> None:
    rows = [
        [i, s, "fm"[s % 2], 10 * (s % 3), "here", t, n, value(), value()]
        for i, (s, n, t) in enumerate((s, n, s / 7 + n) for s in range(12) for n in range(1, 5))
    ]
    write("rownames,Subject,sex,dose,place,Time,visit_count,conc,effect", rows)
    found = layout()
    assert uses(found) == {
        "rownames": "ignored",
        "Subject": "system",
        "sex": "known",
        "dose": "known",
        "place": "ignored",
        "Time": "time",
        "visit_count": "ignored",
        "conc": "value",
        "effect": "ignored",
    }
    reasons = {each.name: each.why for each in found.columns}
    assert reasons["rownames"] == "it counts the rows"
    assert reasons["Subject"] == "it repeats, and 'Time' increases within it"
    assert reasons["sex"] == "text with 2 different values"
    assert reasons["place"] == "the same in all rows"
    assert reasons["visit_count"] == "it counts the rows of each system"
    assert reasons["conc"] == "it is named as values often are"
    assert reasons["effect"] == "numbers that differ within systems; one column is read"


def test_dates_are_times() -> None:
    days = [f"2024-01-{1 + 7 * k:02d}" for k in range(3)]
    write("site,load,day", [[f"S{s}", y, t] for s, t, y in long(times=days)])
    found = layout()
    assert uses(found) == {"site": "system", "load": "value", "day": "time"}
    assert "dates" in found.columns[2].why


def test_systems_of_unequal_length_and_one_of_one_row() -> None:
    rows = [row for row in long(10, times=range(6)) if row[1] < 1 + row[0] % 5]  # type: ignore
    write("who,when,y", rows)
    assert uses(layout()) == {"who": "system", "when": "time", "y": "value"}


def test_quantities_are_told_apart_by_text() -> None:
    rows = [[s, t, w, y] for s, t, y in long() for w in ("mass", "length")]
    write("id,t,what,y", [[s, t, w, value()] for s, t, w, _ in rows])
    assert uses(layout()) == {"id": "system", "t": "time", "what": "label", "y": "value"}
    write("id,what,y", [[s, w, value()] for s, t, w, _ in rows if t == 0])
    given = {"system": "id", "layout": "long"}
    assert uses(layout(**given)) == {"id": "system", "what": "label", "y": "value"}


def test_missing_values_do_not_hide_a_long_table() -> None:
    write("subject,time,y", [[s, t, "" if s == t else y] for s, t, y in long()])
    assert uses(layout())["y"] == "value"


def test_a_known_quantity_with_missing_cells_is_not_offered() -> None:
    rows = [[s, t, "" if s == 3 else 10 * s, y] for s, t, y in long()]
    write("subject,time,dose,y", rows)
    assert uses(layout())["dose"] == "ignored"


def test_a_small_complete_grid_is_long() -> None:
    write("a,b,c", long(4, (1.5, 2)))
    assert uses(layout()) == {"a": "system", "b": "time", "c": "value"}


# --- what is asked ------------------------------------------------------------------------------


def test_a_file_sorted_by_time_without_telling_names_is_asked_about() -> None:
    rows = sorted(long(), key=lambda row: str(row[1]))
    write("a,b,c", rows)
    message = fault()
    assert message == "Which column names the systems? State --system: a, b."
    assert uses(layout(system="a")) == {"a": "system", "b": "time", "c": "value"}
    assert uses(layout(time="b"))["a"] == "system"
    write("subject,time,c", rows)
    assert uses(layout())["subject"] == "system"


def test_several_columns_of_values_are_asked_about() -> None:
    write("subject,time,u,v", [[*row, value()] for row in long()])
    assert fault() == "Which column holds the observed values? State --value: u, v."
    assert uses(layout(value="v")) == {
        "subject": "system", "time": "time", "u": "ignored", "v": "value",
    }  # fmt: skip
    asked = []

    def answer(option: str, question: str, answers: Sequence[str]) -> str:
        asked.append((option, list(answers)))
        return "u"

    assert uses(layout(ask=answer))["u"] == "value"
    assert asked == [("--value", ["u", "v"])]


def test_several_columns_of_times_are_asked_about() -> None:
    write(
        "subject,p,q,y",
        [[s, t + 0.01 * s, 2 * t + 0.1 * s, y] for s, t, y in long(times=(0.5, 1, 3))],
    )  # type: ignore
    assert fault() == "Which column holds the times? State --time: p, q."
    assert uses(layout(time="q"))["q"] == "time"


def test_systems_that_repeat_without_times_are_asked_about() -> None:
    for names, text in (("subject,y", ""), ("where,y", "S")):
        write(names, [[f"{text}{s}", y] for s, _, y in long()])
        message = fault()
        assert "repeats, as the systems of a long table do, but no column increases" in message
        assert message.endswith("State --layout: long, wide, replicates.")
        assert not layout(layout="wide").long
        assert "no column of times is known, and no column of text tells them apart" in fault(
            layout="long", system=names.split(",")[0]
        )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"system": "subjct"}, "there is no column 'subjct' (--system); the columns are subject"),
        ({"system": "subjct"}, "Did you mean 'subject'?"),
        ({"system": "time", "time": "time"}, "--time is 'time', which is taken by another option"),
        ({"layout": "wide", "value": "y"}, "--value names a column of a long table, but --layout"),
    ],
)
def test_options_that_cannot_be(given: dict[str, str], words: str) -> None:
    write("subject,time,y", long())
    assert words in fault(**given)


def test_a_table_in_which_nothing_repeats_is_not_long() -> None:
    write("p,q", [[value(), value()] for _ in range(9)])
    assert "no column repeats" in fault(layout="long")


# --- wide tables --------------------------------------------------------------------------------


def test_what_is_stated_goes_before_what_is_seen() -> None:
    write("a,b,c", long())
    assert set(uses(layout(layout="wide")).values()) == {"observed"}
    assert "names 8 systems in 24 rows" in fault(layout="wide", system="a")
    assert uses(layout(layout="wide", system="a", replicate="rows"))["a"] == "system"


@parameters("rows", [5, 12], full=[8, 40])
def test_tables_of_random_whole_numbers_are_wide(rows: int) -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        write("p,q,r,s,t,u", random.integers(0, 4, size=(rows, 6)).tolist())
        assert not layout().long


def test_names_categories_and_numbers() -> None:
    rows = [[100 + 3 * i, "fm"[i % 2], i % 3, *(value() for _ in range(3))] for i in range(30)]
    write("plot_id,kind,arm,0,0.25,0.5", rows)
    found = layout()
    assert list(uses(found).values()) == ["system", "known", "known", *3 * ["observed"]]
    assert "named unlike the places or times" in found.columns[2].why
    write("plot_id,kind,arm,p,q,r", rows)
    found = layout()
    assert list(uses(found).values()) == ["system", "known", *4 * ["observed"]]
    assert "of which 3 are different; design or covariate?" in found.columns[2].why


def test_systems_are_named_by_the_first_column_or_by_text() -> None:
    write("rownames,p", [[i, value()] for i in range(1, 9)])
    assert uses(layout())["rownames"] == "system"
    write("p,name", [[value(), f"N{i}"] for i in range(8)])
    assert uses(layout())["name"] == "system"
    write("p,q", [[3.5 + i, value()] for i in range(8)])
    assert layout().named("system") is None


def test_columns_of_one_name_are_told_apart() -> None:
    write("p,p", [[value(), value()] for _ in range(8)])
    assert list(uses(layout())) == ["p", "p (column 2)"]


def test_text_alone_is_no_observation() -> None:
    write("p,q", [[f"a{i}", f"b{i}"] for i in range(8)])
    assert "no column of numbers is left for the observations" in fault()


@pytest.mark.parametrize(
    ("name", "use", "like"),
    [
        ("Subject", "system", True),
        ("patientId", "system", True),
        ("sample_no", "system", True),
        ("identity", "system", False),
        ("Time", "time", True),
        ("day [d]", "time", True),
        ("dose_time", "time", True),
        ("timber", "time", False),
        ("DV", "value", True),
        ("weight", "value", False),
    ],
)
def test_usual_names(name: str, use: str, like: bool) -> None:
    write(f"{name},x", [[1, 2], [3, 4]])
    (column, _) = column_traits(read_frame(Path("y.csv")))
    assert column.named_like(use) is like


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_name_of_two_columns_of_a_long_table_is_refused(column: int, tmp_path: Path) -> None:
    lines = [["id", "time", "conc"]]
    lines += [[f"s{s}", f"{t}", f"{s * t + 0.5}"] for s in range(6) for t in (0, 1, 2)]
    file = tmp_path / "y.csv"
    file.write_text("\n".join(",".join([*line, line[column]]) for line in lines))
    with pytest.raises(DataError, match=rf"y\.csv: .*{lines[0][column]}"):
        survey(file)
