"""Whatever a record holds, its results are compared or are in doubt."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.io import IOFile
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from popinv.cli.verify import verified
from popinv.errors import DataError
from popinv.forward.external.files import simulator_hash
from popinv.forward.section import ForwardSection
from popinv.sections.outside import kind_section
from popinv.workflow.records import Record, content_of, hashed, read_record
from popinv.workflow.trust import Doubt, Job, doubts, forget_damaged
from popinv.workflow.verification import seal, verify

SETTINGS = {"seed": 1, "code": "abc"}
# What JSON can hold, and what a path or a number can be.
ODD: list[Any] = [
    *(None, True, 5, -1, 1.5, "", "x", [], {}, [[]], {"a": 1}, 10**40, "x" * 5000),
    *("\0", "\ud800", "/dev/zero", "..", "/", {"sha256": "", "size": 0, "modified": 0}),
]


PYTHON = """
kind: python
function: model:solve
parameters: [{name: a}]
observations: {count: 1}
"""


class Results:
    """Two jobs, of which the second reads what the first has written."""

    def __init__(self, folder: Path) -> None:
        self.first, self.second = folder / "a.txt", folder / "b.txt"
        self.first.write_text("first")
        self.second.write_text("second")
        (folder / "made").mkdir()
        self.jobs = {
            str(folder / "made/a.json"): Job("make_a", (str(self.first),)),
            str(folder / "made/b.json"): Job("make_b", (str(self.second),)),
        }
        self.folder = folder
        for (at, job), inputs in zip(self.jobs.items(), ((), (self.first,)), strict=True):
            Record(
                *(job.rule, {"study": "s"}, SETTINGS, "id"),
                {str(path): content_of(path) for path in inputs},
                {path: content_of(path) for path in job.outputs},
                *({}, {}, 1.0),
            ).write(at)
        self.record = folder / "made/a.json"

    def doubts(self) -> dict[str, str]:
        """Return what is in doubt, and why, with Snakemake's memory of these settings."""
        found = doubts(
            self.folder, lambda record: SETTINGS, lambda record: False, lambda path: "id",
            self.jobs.get,
        )  # fmt: skip
        return {doubt.path: doubt.why for doubt in found if doubt.why != OTHER.why}


OTHER = Doubt("", "made with other settings: ")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the keys of all that is in a JSON value."""
    inner = value.items() if isinstance(value, dict) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def changed(text: str, rng: random.Random) -> bytes:
    """Return a record with one thing changed."""
    kind = rng.randrange(4)
    if kind == 0:
        damaged = bytearray(text.encode())
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        return bytes(damaged)
    if kind == 1:
        return text.encode()[: rng.randrange(len(text))]
    record = json.loads(text)
    *path, last = rng.choice(places(record)[1:])
    inside = record
    for key in path:
        inside = inside[key]
    if kind == 2:
        del inside[last]
    elif rng.random() < 0.3:
        inside[rng.choice(["\0", "", "/dev/zero", "x" * 5000, "\ud800"])] = inside.pop(last)
    else:
        inside[last] = rng.choice(ODD)
    # Whoever edits a record may write its hash anew.
    return (json.dumps(record) if rng.random() < 0.2 else hashed(record)).encode()


def test_no_change_of_a_record_hides_another_damage(results):
    text, rng = results.record.read_text(), random.Random(1)
    results.second.write_text("changed")
    assert results.doubts() == {str(results.second): "changed since it was made"}
    for _ in range(1000):
        results.record.write_bytes(changed(text, rng))
        assert results.doubts()[str(results.second)] == "changed since it was made"
        verify(results.folder)


def test_a_result_whose_record_does_not_say_what_it_was_is_in_doubt(results):
    text, rng, seen = results.record.read_text(), random.Random(2), 0
    results.first.write_text("other")
    for _ in range(500):
        results.record.write_bytes(changed(text, rng))
        found = results.doubts()
        try:
            record = read_record(results.record)
        except DataError:
            seen += 1
            assert found[str(results.record)] == "cannot be read"
            assert found[str(results.first)] == f"its record cannot be read: {results.record}"
        else:
            assert str(results.first) in found or record.rule != "make_a"
    assert 100 < seen < 450


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "", "null"])
def test_a_record_that_no_reader_takes_is_named(results, text):
    results.record.write_text(text)
    assert set(results.doubts()) == {str(results.record), str(results.first)}


def test_a_record_that_names_nothing_leaves_its_results_in_doubt(results):
    record = json.loads(results.record.read_text())
    results.record.write_text(hashed(record | {"outputs": {}}))
    assert results.doubts()[str(results.first)] == f"{results.record} does not name it"


@pytest.mark.parametrize("key", ["identity", "settings", "inputs", "versions", "seconds"])
def test_an_edited_record_is_noticed(results, key):
    record = json.loads(results.record.read_text())
    results.record.write_text(json.dumps(record | {key: {}}, indent=1))
    assert results.doubts()[str(results.record)] == "cannot be read"
    states = {verdict.path: verdict.state for verdict in verify(results.folder)}
    assert states[str(results.record)] == "unknown"


def test_a_store_without_a_record_is_unknown(results):
    (results.folder / "rounds").mkdir()
    for name in ("rounds/solves.zarr.zip", "metrics.json", "notes.txt"):
        (results.folder / name).write_text("")
    found = {v.path: v.state for v in verify(results.folder) if v.state != "whole"}
    names = ("metrics.json", "rounds/solves.zarr.zip")
    assert found == {str(results.folder / name): "unknown" for name in names}


def test_an_edited_simulator_makes_its_solves_foreign(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text("def solve(z):\n    raise SystemExit  # never run\n")
    forward = yaml.safe_load(PYTHON)
    section = kind_section(forward, "popinv.forward", ForwardSection)
    Path("made").mkdir()
    Path("solves.zarr.zip").write_text("")
    settings = {"simulator": simulator_hash(section.source_files()), "study": {"forward": forward}}
    made = {"solves.zarr.zip": content_of("solves.zarr.zip")}
    Record("run_rounds", {}, settings, "id", {}, made, {}, {}, 1.0).write("made/a.json")
    assert {v.state for v in verify(".")} == {"whole"}
    Path("model.py").write_text("def solve(z):\n    return 2 * z\n")
    (found,) = [v for v in verify(".") if v.state != "whole"]
    assert (found.state, found.why) == ("foreign", "made by another simulator than model.py")
    Path("model.py").unlink()
    (found,) = [v for v in verify(".") if v.state != "whole"]
    assert found.why == "made by another simulator than none"


def test_a_seal_is_broken_by_any_change_of_any_record(results):
    rng, whole = random.Random(4), seal(results.folder)
    texts = {path: path.read_text() for path in (results.folder / "made").iterdir()}
    for _ in range(200):
        path = rng.choice(sorted(texts))
        path.write_bytes(changed(texts[path], rng))
        assert seal(results.folder) != whole or path.read_text() == texts[path]
        path.write_text(texts[path])
    assert seal(results.folder) == whole
    path.unlink()
    assert seal(results.folder) != whole


def test_sealed_results_are_told_from_others(results):
    told, well = verified([results.folder], sealing=True)
    (line,) = [line for line in told.splitlines() if line.startswith("  sealed   ")]
    known = line.split()[1]
    assert well
    assert known == (results.folder / "records.sha256").read_text().strip()
    assert verified([results.folder], sealed=known)[1]
    told, well = verified([results.folder], sealed="0" * 64)
    assert not well
    assert f"is {known}, not {'0' * 64}" in told
    record = json.loads(results.record.read_text())
    results.record.write_text(hashed(record | {"seconds": 2.0}))
    told, well = verified([results.folder])
    assert not well
    assert "the records have changed since they were sealed" in told


def test_what_snakemake_remembers_can_be_read_or_is_forgotten(tmp_path):
    memory = FilePersistence(path=tmp_path)
    memory._write_record("a.txt", MetadataRecord(rule="make_a", params=["1"], starttime=1.0))
    (file,) = (tmp_path / "metadata").iterdir()
    text, rng, forgotten = file.read_text(), random.Random(3), 0
    for _ in range(500):
        file.write_bytes(changed(text, rng))
        forgotten += len(forget_damaged(tmp_path / "metadata"))
        memory._clear_cache()
        memory.metadata(IOFile("a.txt"))
    assert 100 < forgotten < 450
    file.write_text(text)
    memory._clear_cache()
    assert not forget_damaged(tmp_path / "metadata")
    assert memory.metadata(IOFile("a.txt")).rule == "make_a"


def test_a_device_is_not_read(results):
    results.first.unlink()
    results.first.symlink_to("/dev/zero")
    assert str(results.first) in results.doubts()
    with pytest.raises(OSError, match="neither a file nor a folder"):
        content_of(results.first)
    assert {v.state for v in verify(results.folder) if v.path == str(results.first)} == {"damaged"}


def test_a_folder_that_cannot_be_read_ends_the_run(results, monkeypatch):
    scan = os.scandir

    def denied(path):
        if os.path.basename(path) == "made":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(
        DataError, match=r"made: this folder of results cannot be read \(Permission"
    ):
        results.doubts()
