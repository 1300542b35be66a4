"""Damaged tables: an error that names the file, or the numbers of the table without the damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from popinv.errors import DataError, PopinvError
from popinv.forward.base import Observations
from popinv.observation_files.fit import read_fitting
from popinv.observation_files.section import FileObservations
from popinv.observation_files.survey import survey
from popinv.sections import text_files
from popinv.sections.text_files import read_lines
from popinv.store import plain_zarr
from tests.observation_files.read_tables import read_file

PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
pytestmark = pytest.mark.usefixtures("in_folder")


TEXT = "\n".join(["id,a,b", *(f"s{i},{(i * 7) % 11}.25,{(i * 5) % 13}.5" for i in range(40))])


def fault(content: bytes | str, name: str = "y.csv") -> str:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    messages = []
    for read in (
        lambda: survey(Path(name)),
        lambda: read_file(name, system_column="id"),
    ):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(f"{name}: ")
        messages.append(str(caught.value))
    return messages[0]


# --- single damages -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["inf", "-inf", "1e309"])
def test_infinity_in_a_table_with_names(number: str) -> None:
    message = fault(TEXT.replace("s3,10.25", f"s3,{number}"))
    assert f"infinity in 1 of 40 rows ('{number}'; the first in row 4" in message


def test_a_cell_longer_than_any_number() -> None:
    message = fault(TEXT.replace("s3,10.25", f"s3,{'1' * 140_000}"))
    assert "a cell of more than 131,072 characters" in message
    # A long cell below that is shown by its beginning.
    assert len(fault(TEXT.replace("s3,10.25", f"s3,{'x' * 100_000}"))) < 1000


@pytest.mark.parametrize("ending", PACKERS)
def test_a_damaged_compressed_file(ending: str) -> None:
    packed = PACKERS[ending](TEXT.encode())
    assert read_lines_of(packed, ending) == TEXT.split("\n")
    assert "the file is damaged or was cut off" in fault(packed[:-25], f"y.csv.{ending}")
    for place in range(0, len(packed), 5):
        broken = bytearray(packed)
        broken[place] ^= 0x55
        try:
            lines = read_lines_of(bytes(broken), ending)
        except DataError:
            continue
        # Some bytes of the head hold the time and the program alone.
        assert lines == TEXT.split("\n")


def read_lines_of(content: bytes, ending: str) -> list[str]:
    Path(f"z.csv.{ending}").write_bytes(content)
    return read_lines(Path(f"z.csv.{ending}"))


def test_what_is_far_larger_than_its_file_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "_SMALL", 2**18)
    for ending, pack in PACKERS.items():
        Path(f"y.csv.{ending}").write_bytes(pack(b"1,2\n" * 100_000))
        with pytest.raises(DataError, match=r"holds more than 256 KiB, more than 50 times"):
            read_file(f"y.csv.{ending}")
    Path("y.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 2_000_000))
    tracemalloc.start()
    with pytest.raises(DataError, match="as no table of observations does"):
        read_file("y.csv.gz")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4e6


@pytest.mark.parametrize("ending", ["parquet", "nc"])
def test_binary_tables_that_are_far_larger_than_their_file_are_not_read(monkeypatch, ending):
    monkeypatch.setattr(plain_zarr, "_FREE_BYTES", 2**20)
    monkeypatch.setattr(plain_zarr, "_MOST_EXPANSION", 20)
    file = Path(f"y.{ending}")
    for count, allowed in ((1_000, True), (4_000_000, False)):
        frame = pd.DataFrame({"system": np.zeros(count), "y": np.ones(count)})
        if ending == "parquet":
            frame.to_parquet(file)
        else:
            packed = {name: {"zlib": True, "complevel": 9} for name in frame}
            frame.to_xarray().drop_vars("index").to_netcdf(file, encoding=packed)
        if allowed:
            assert len(read_lines(file)) == count + 2
            continue
        tracemalloc.start()
        with pytest.raises(DataError, match=r"its variables would take 64,000,000 bytes"):
            read_file(str(file))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 8e6


def test_numbers_that_repeat_are_unpacked() -> None:
    rows = "".join(f"s{i // 50},{i % 50},male,4.0,{i % 97}.5\n" for i in range(3000))
    for ending, pack in PACKERS.items():
        assert len(read_lines_of(pack(rows.encode()), ending)) == 3001


def test_characters_of_value_zero() -> None:
    assert "line 3 holds a character of value zero" in fault(TEXT.replace("s1,", "s1\0,"))
    fault(TEXT.encode("utf-16"))
    assert "line 1 holds a character of value zero" in fault(TEXT.encode("utf-16-le"))


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_end_a_line(mark: str) -> None:
    Path("y.csv").write_text(f"1.5{mark}2.5\n3.5\n", encoding="utf-8")
    with pytest.raises(DataError):
        read_file("y.csv", header=False)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(end: str) -> None:
    Path("y.csv").write_bytes(TEXT.replace("\n", end).encode())
    assert read_file("y.csv", system_column="id").values.shape == (40, 2)


@pytest.mark.parametrize(
    ("attributes", "missing"),
    [
        ({"valid_max": 20.0}, [(2, 1)]),
        ({"valid_min": 0.0, "valid_max": 20.0}, [(2, 1), (4, 0)]),
        ({"valid_range": [0.0, 20.0]}, [(2, 1), (4, 0)]),
        ({"missing_value": -5.0}, [(4, 0)]),
        ({"_FillValue": 99.0}, [(2, 1)]),
        ({}, []),
    ],
)
@pytest.mark.parametrize("name", ["y.nc", "y.zarr"])
def test_a_file_says_which_of_its_values_are_valid(
    attributes: dict[str, object], missing: list[tuple[int, int]], name: str
) -> None:
    values = np.random.default_rng(0).normal(5, 1, size=(10, 2))
    values[2, 1], values[4, 0] = 99, -5
    content = xr.Dataset({"observations": (("system", "sensor"), values, attributes)})
    if name == "y.nc":
        content.to_netcdf(name)
    else:
        content.to_zarr(name, consolidated=False)
    expected = values.copy()
    for place in missing:
        expected[place] = np.nan
    read = read_file(name, missing="mask").values
    np.testing.assert_array_equal(read, expected)
    if missing:
        with pytest.raises(DataError, match=f"row {missing[0][0] + 1}, column .* is missing"):
            read_file(name)


def test_limits_of_packed_values_are_unpacked() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 30.0]])
    limits = np.array([0, 2000], dtype=np.int16)
    content = xr.Dataset({"y": (("system", "sensor"), values, {"valid_range": limits})})
    packing = {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -1}
    content.to_netcdf("y.nc", encoding={"y": packing})
    read = read_file("y.nc", missing="mask").values
    assert np.argwhere(np.isnan(read)).tolist() == [[2, 1]]
    content["y"].attrs["valid_range"] = "0 to 20"
    content.to_netcdf("y.nc")
    with pytest.raises(DataError, match=r"y\.nc: the attribute 'valid_range' .* not a number"):
        read_file("y.nc")


# --- random damages -----------------------------------------------------------------------------

Numbers = dict[tuple[str, int], float]


class Table:
    """A good table as cells, and the numbers that are read from it by system and entry."""

    def __init__(self, long: bool, mark: str, random: np.random.Generator) -> None:
        self.long, self.mark = long, mark
        systems = [f"s{i}" for i in range(9)]
        values = np.round(random.normal(5, 2, size=(9, 3)), 4)
        # With semicolons or tabs, a decimal comma may be meant.
        self.comma = mark != "," and bool(random.integers(2))
        self.numbers = {(name, j): values[i, j] for i, name in enumerate(systems) for j in range(3)}
        if long:
            rows = [[s, f"{j}", self.text(self.numbers[s, j])] for s in systems for j in range(3)]
            self.cells = [["id", "time", "value"], *rows]
        else:
            rows = [[s, *(self.text(self.numbers[s, j]) for j in range(3))] for s in systems]
            self.cells = [["id", "a", "b", "c"], *rows]

    def text(self, number: float) -> str:
        cell = f"{number:.4f}"
        return cell.replace(".", ",") if self.comma else cell

    def place(self, row: int, column: int) -> tuple[str, int] | None:
        """Return the number that a cell holds, or, in a long table, says of whom and when it is."""
        if row == 0 or (column == 0 and not self.long):
            return None
        name = f"s{(row - 1) // 3}" if self.long else f"s{row - 1}"
        return name, (row - 1) % 3 if self.long else column - 1

    def content(self) -> str:
        return "\n".join(self.mark.join(row) for row in self.cells) + "\n"


def read(file: str, long: bool) -> Numbers:
    keys: dict[str, object] = {"file": file, "system_column": "id", "missing": "mask"}
    coordinates = np.arange(3.0)[:, None]
    if long:
        keys |= {"layout": "long", "time_column": "time", "value_column": "value"}
    observations = Observations(coordinates, ("t" if long else "entry",), "y")
    table = read_fitting(FileObservations.model_validate(keys), observations)
    assert table.system_ids is not None
    return {
        (str(name), j): table.values[i, j]
        for i, name in enumerate(table.system_ids)
        for j in range(3)
    }


# Each puts something at a random place of a number, or in its place.
INSERTED = ["%", "$", " ", "\u00a0", "\u202f", "'", '"', '""', ",", ";", "\t", ".", "-", "−", "e"]
INSERTED += ["\0", "\u200b", "\ufeff", "\r", "\x0b", "\u2028", "_", "٣", "x", "±0.1", " mg", "D+00"]
INSTEAD = ["inf", "1e309", "nan", "NA", "", "n.d.", "<0.5", "1,024", "1.024,5", "TRUE", "#REF!"]
INSTEAD += [
    "1" * 140_000,
    '"',
    "'5",
    "5.2 ± 0.1",
    "−5.5",
    "1.5D+00",
    "0x1F",
    "1_000",
    "-999",
    "1e30",
]


def damaged(table: Table, random: np.random.Generator) -> tuple[bytes, set[tuple[str, int]]]:
    """Return the content of a damaged table, and the numbers that the damage may have changed."""
    row, column = int(random.integers(len(table.cells))), int(random.integers(3 + (not table.long)))
    place, cell = table.place(row, column), table.cells[row][column]
    touched = set() if place is None else {place}
    kind = int(random.integers(9))
    if kind <= 2:
        at = int(random.integers(len(cell) + 1))
        table.cells[row][column] = cell[:at] + str(random.choice(INSERTED)) + cell[at:]
    elif kind <= 4:
        table.cells[row][column] = INSTEAD[int(random.integers(len(INSTEAD)))]
    elif kind == 5:
        # A column or a line occurs twice, or lacks a cell.
        change: list[Callable[[], object]] = [
            lambda: [line.insert(column, line[column]) for line in table.cells],
            lambda: table.cells.insert(row, list(table.cells[row])),
            lambda: table.cells[row].pop(column),
            lambda: table.cells[row].append(""),
            lambda: table.cells.insert(row, [""] * len(table.cells[0])),
        ]
        change[int(random.integers(len(change)))]()
    text = table.content()
    if kind == 6:
        other = str(random.choice([",", ";", "\t", "|"]))
        lines = text.split("\n")
        lines[row] = lines[row].replace(table.mark, other)
        text = "\n".join(lines)
    if kind != 7:
        return text.encode(), touched
    content, at = bytearray(text.encode()), int(random.integers(1, len(text)))
    if random.integers(2):
        content[at] = int(random.integers(128, 256))
        return bytes(content), touched | _numbers_at(table, text, at)
    codec = str(random.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"]))
    return text.encode(codec), touched


def _numbers_at(table: Table, text: str, at: int) -> set[tuple[str, int]]:
    """Return the number at a place of the text."""
    row, before = text.count("\n", 0, at), text[:at].rsplit("\n", 1)[-1]
    place = table.place(row, before.count(table.mark))
    return set() if place is None else {place}


def check_damage(seed: int) -> bool:
    """Check one damage; return whether the file was read in spite of it."""
    random = np.random.default_rng([17, seed])
    table = Table(bool(seed % 2), (",", ";", "\t")[seed // 2 % 3], random)
    good = table.numbers
    content, touched = damaged(table, random)
    file = "y.csv"
    if random.integers(8) == 0:
        file = f"y.csv.{random.choice(list(PACKERS))}"
        content = PACKERS[file.rsplit(".", 1)[1]](content)
        if random.integers(2):
            content = content[: int(random.integers(1, len(content)))]
    Path(file).write_bytes(content)
    messages: list[str] = []
    for attempt in (lambda: survey(Path(file)), lambda: read(file, table.long)):
        try:
            found = attempt()
        except PopinvError as error:
            messages.append(str(error))
            continue
        if isinstance(found, dict):
            for place in good.keys() - touched:
                # The name of a system may be damaged, and a line may lack.
                assert place not in found or found[place] == good[place], f"{seed}: {place}"
            changed = {name for name, _ in good} ^ {name for name, _ in found}
            assert len(changed) <= 2, f"{seed}: {changed}"
    assert all(file in message for message in messages), f"{seed}: {messages}"
    return len(messages) < 2


def test_damages_are_refused_or_change_no_other_number() -> None:
    read_anyway = sum(check_damage(seed) for seed in range(60))
    assert 5 < read_anyway < 50


@pytest.mark.full
def test_many_damages_are_refused_or_change_no_other_number() -> None:
    for seed in range(1000):
        check_damage(seed)
