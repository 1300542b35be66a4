"""Whatever a record holds, its results are compared or are in doubt."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.io import IOFile
from snakemake.iocontainers import OutputFiles
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence
from tiers import parameters

from popinv.cli.show import outdated
from popinv.cli.verify import verified
from popinv.config.loading import load, load_file
from popinv.config.observations import FileObservations
from popinv.config.study import Study
from popinv.errors import ConfigError, DataError
from popinv.forward.external.files import simulator_hash
from popinv.forward.section import forward_section
from popinv.sections.base import plain
from popinv.workflow import comparison
from popinv.workflow.comparison import (
    ExpectedJob,
    Verdict,
    doubts,
    forget_damaged,
    seal,
    verify,
)
from popinv.workflow.preflight import check_entries
from popinv.workflow.records import (
    Record,
    content_of,
    hashed,
    read_record,
    record_of,
)
from popinv.workflow.resources import has_chunk
from popinv.workflow.stages import STAGES

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
            str(folder / "made/a.json"): ExpectedJob("make_a", (str(self.first),)),
            str(folder / "made/b.json"): ExpectedJob("make_b", (str(self.second),)),
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


OTHER = Verdict("", "foreign", "made with other settings: ")


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


@parameters("cases", [200], full=[1000])
def test_no_change_of_a_record_hides_another_damage(results, cases):
    text, rng = results.record.read_text(), random.Random(1)
    results.second.write_text("changed")
    assert results.doubts() == {str(results.second): "changed since it was made"}
    for _ in range(cases):
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


def test_a_run_trusts_the_time_of_a_file_and_verification_reads_it(results):
    state = results.first.stat()
    results.first.write_text("tsrif")
    os.utime(results.first, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert results.doubts() == {}
    found = {v.path: v.why for v in verify(results.folder) if v.state == "damaged"}
    assert found == {str(results.first): "the content is not what the job has written"}
    os.utime(results.first, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert results.doubts() == {str(results.first): "changed since it was made"}


def test_a_store_without_a_record_is_unknown(results):
    (results.folder / "rounds").mkdir()
    for name in ("rounds/solves.zarr.zip", "metrics.json", "notes.txt"):
        (results.folder / name).write_text("")
    found = {v.path: v.state for v in verify(results.folder) if v.state != "whole"}
    names = ("metrics.json", "rounds/solves.zarr.zip")
    assert found == {str(results.folder / name): "unknown" for name in names}


def test_an_edited_simulator_makes_its_solves_foreign(in_folder):
    Path("model.py").write_text("def solve(z):\n    raise SystemExit  # never run\n")
    forward = yaml.safe_load(PYTHON)
    section = forward_section(forward)
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


def test_results_of_two_versions_are_told(results):
    folder = results.folder
    assert "note" not in verified([folder])[0]
    for name, version in (("a", "2.8.0"), ("b", "2.9.1")):
        at = folder / f"made/{name}.json"
        replace(read_record(at), versions={"torch": version, "commit": name}).write(at)
    told, whole = verified([folder])
    assert "\n  note     made with several versions of torch: 2.8.0, 2.9.1" in told
    assert whole
    assert "commit" not in told


def replaced(entry: Path, kind: str) -> None:
    """Move an entry aside, and put something else in its place."""
    aside = entry.parent.parent / f"{entry.name} aside"
    entry.rename(aside)
    if kind == "pipe":
        os.mkfifo(entry)
    elif kind == "empty":
        entry.touch()
    else:
        links = {"itself": aside, "nothing": "nowhere", "loop": entry.name, "device": "/dev/zero"}
        entry.symlink_to(links[kind])


@pytest.mark.parametrize("name", ["made", "made/a.json", "a.txt"])
def test_a_link_to_the_same_changes_no_verdict(tmp_path, name):
    """A falsified result and one without a record are told behind a link, too."""
    (tmp_path / "there").mkdir()
    folder = Results(tmp_path / "there")
    folder.second.write_text("falsified")
    (folder.folder / "metrics.json").write_text("{}")
    before = verify(folder.folder), folder.doubts(), seal(folder.folder)
    replaced(folder.folder / name, "itself")
    assert (verify(folder.folder), folder.doubts(), seal(folder.folder)) == before
    check_entries(folder.folder, [])
    assert {verdict.state for verdict in before[0]} == {"whole", "damaged", "unknown"}


@pytest.mark.parametrize("kind", ["nothing", "loop", "pipe", "device", "empty"])
@pytest.mark.parametrize("name", ["made/a.json", "a.txt", "memory"])
def test_odd_entries_are_in_doubt(tmp_path, name, kind):
    (tmp_path / "there").mkdir()
    folder = Results(tmp_path / "there")
    (folder.folder / "memory").write_text("{}")
    replaced(folder.folder / name, kind)
    told = {verdict.path: verdict.state for verdict in verify(folder.folder)}
    if name != "memory":
        assert told[str(folder.folder / name)] in ("unknown", "missing", "damaged")
        assert str(folder.folder / name) in folder.doubts()
    else:
        forget_damaged(folder.folder)
        assert not os.path.lexists(folder.folder / name)


def test_what_lies_behind_a_link_in_the_memory_is_not_deleted(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("kept")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/linked").symlink_to(tmp_path / "mine")
    assert not forget_damaged(tmp_path / "metadata")
    assert (tmp_path / "mine/notes.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("kind", "fault"), [("loop", "leads to itself"), ("pipe", "a folder"), ("empty", "a folder")]
)
def test_what_is_no_folder_is_named_before_a_run(tmp_path, kind, fault):
    (tmp_path / "there").mkdir()
    folder = Results(tmp_path / "there")
    replaced(folder.folder / "made", kind)
    with pytest.raises(ConfigError, match=f"made is .*{fault}"):
        check_entries(folder.folder, [])
    with pytest.raises(ConfigError, match=r"a.txt is not a folder"):
        check_entries(folder.folder, ["a.txt"])


@pytest.mark.full
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


CHUNKS = 5
WILDCARDS = {"study": "tiny", "round": "0", "policy": "full"}
SOLVED = {
    "seed": 1,
    "study": {"forward": {"kind": "lorenz96"}},
    "simulator": simulator_hash([]),
    "code": "c",
}


class Chunks:
    """The chunks of a round, their proposals, and what was collected of them."""

    def __init__(self, folder: Path) -> None:
        self.proposals, self.solves = folder / "proposals", folder / "solves"
        self.chunks = [folder / "chunks" / str(number) for number in range(CHUNKS)]
        (folder / "made").mkdir(parents=True)
        (folder / "chunks").mkdir()
        for path in (self.proposals, self.solves, *self.chunks):
            path.write_text(path.name)
        self.folder = folder
        self.write("propose", [], self.proposals)
        for number, chunk in enumerate(self.chunks):
            self.write("solve_chunk", [self.proposals], chunk, f"solve_chunk.0.{number}")
        self.write("collect_solves", [self.proposals, *self.chunks], self.solves)

    def write(
        self, rule: str, inputs: list[Path], output: Path, name: str = "", **settings: Any
    ) -> None:
        """Write the record of a job."""
        made = self.folder / "made" / f"{name or rule}.json"
        job = SimpleNamespace(
            rule=rule, wildcards=WILDCARDS, params=SOLVED | settings,
            input=[str(path) for path in inputs],
            output=OutputFiles(fromdict={"own": str(output), "made": str(made)}),
        )  # fmt: skip
        record_of(job, 1.0).write(made)

    def doubts(self, **now: Any) -> dict[str, str]:
        """Return what is in doubt where Snakemake remembers nothing."""
        found = doubts(
            self.folder, lambda record: SOLVED | now, lambda record: False, lambda path: None,
            lambda path: None,
        )  # fmt: skip
        return {Path(doubt.path).name: doubt.why for doubt in found}

    def states(self) -> dict[str, str]:
        return {Path(v.path).name: v.state for v in verify(self.folder) if v.state != "whole"}


@pytest.fixture
def solved(tmp_path: Path) -> Chunks:
    return Chunks(tmp_path / "results")


def test_chunks_are_compared_as_all_other_results(solved):
    assert solved.doubts() == solved.states() == {}
    (solved.folder / "made/solve_chunk.0.1.json").unlink()
    solved.chunks[2].unlink()
    # It is newer than what was made of the right one.
    solved.chunks[3].write_text("other")
    expected = {"1": "has no record", "2": "missing", "3": "changed since it was made"}
    found = solved.doubts()
    assert found.pop("solves").startswith("made from another ")
    assert found == expected
    assert solved.states() == {"1": "unknown", "2": "missing", "3": "damaged"}


def test_chunks_of_another_simulator_are_in_doubt_with_their_records(solved):
    for number, chunk in enumerate(solved.chunks):
        chunk.write_text(f"other {number}")
        name = f"solve_chunk.0.{number}"
        solved.write("solve_chunk", [solved.proposals], chunk, name, simulator="t")
    found = solved.doubts()
    assert found.pop("solves").startswith("made from another ")
    why = f"made with other settings: simulator was 't', is '{SOLVED['simulator']}'"
    assert found == dict.fromkeys(map(str, range(CHUNKS)), why)
    others = ["solves", *map(str, range(CHUNKS))]
    assert solved.states() == dict.fromkeys(others, "foreign")


def test_the_proposals_of_all_chunks_are_read_once(solved, monkeypatch):
    os.utime(solved.proposals, (1e9, 1e9))
    read: list[str] = []

    def noted(path):
        read.append(Path(path).name)
        return content_of(path)

    monkeypatch.setattr(comparison, "content_of", noted)
    assert solved.doubts() == {}
    assert read == ["proposals"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"elements": 7}, "elements was 7, is 20"),
        ({"simulator": "s"}, "made by another simulator than none"),
    ],
)
def test_chunks_and_what_is_collected_are_foreign_with_another_simulator(
    solved, tiny, changed, why
):
    config = load(tiny)
    study = config.studies["tiny"]
    simulator = changed.get("simulator", study.simulator_hash())
    forward = plain(study.forward)
    forward["elements"] = changed.get("elements", forward["elements"])
    solver = {"forward": forward, "simulator": simulator, "code": "c"}
    inputs = [solved.proposals, *solved.chunks]
    solved.write("collect_solves", inputs, solved.solves, seed=3, study=None, solver=solver)
    for number, chunk in enumerate(solved.chunks):
        own = {"seed": 3, "study": {"forward": forward}, "simulator": simulator}
        solved.write("solve_chunk", [solved.proposals], chunk, f"solve_chunk.0.{number}", **own)
    verdicts = {Path(verdict.path).name: verdict for verdict in verify(solved.folder, config)}
    for name in ("solves", *map(str, range(CHUNKS))):
        assert verdicts[name].state == ("foreign" if why else "whole")
        assert why in verdicts[name].why


@pytest.mark.parametrize("rule", ["descend_with_policy", "draw_population", "deconvolve"])
def test_a_job_is_compared_with_the_sections_that_its_stage_gives_it(solved, tiny, rule):
    config = load(tiny)
    study, stage = config.studies["tiny"], STAGES[rule]

    def verdict(of: Study) -> Verdict:
        sections = {"seed": of.seed, "study": stage.sections_of(of, WILDCARDS)}
        # Where this workflow is a module, its rules have a prefix.
        solved.write(f"other_{rule}", [], solved.solves, "collect_solves", **sections)
        (found,) = (v for v in verify(solved.folder, config) if v.path == str(solved.solves))
        return found

    assert verdict(study).state == "whole"
    truth = study.synthetic().truth.replace(law={"mean": 0.7, "standard_deviation": 0.4,
                                                 "length": 0.3})  # fmt: skip
    observations = study.observations.replace(truth=truth)
    descent = study.descent.replace(iterations=61)
    changed = verdict(study.model_copy(update={"observations": observations, "descent": descent}))
    part = "law.start.mean was 0.7" if rule == "draw_population" else "descent.iterations was 61"
    assert changed.state == "foreign"
    assert part in changed.why
    # The observations of a file have no truth from which they are drawn.
    config.studies["tiny"] = study.model_copy(
        update={"observations": FileObservations(file="y.csv")}
    )
    assert (verdict(study).state == "foreign") == (rule == "draw_population")


def test_a_study_has_the_chunks_that_its_configuration_asks_for(tiny):
    study = load(tiny).studies["tiny"]
    # The first design has two chunks of 80.
    asked = [has_chunk(study, {"round": "0", "chunk": chunk}) for chunk in ("0", "1", "2", "odd")]
    assert asked == [True, True, False, True]
    tiny["studies"]["tiny"]["active_learning"]["chunk_size"] = 1000
    study = load(tiny).studies["tiny"]
    assert not has_chunk(study, {"round": "0", "chunk": "0"})
    # One job makes its rounds, but for those of the evidence.
    asked = [has_chunk(study, {"round": "systems_50", "chunk": chunk}) for chunk in ("0", "9")]
    assert asked == [True, False]


def test_an_answer_of_an_earlier_configuration_is_said_to_be_one(tmp_path, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Chunks(Path("results/tiny"))
    data, file = Path("y.csv"), Path("mine.yaml")
    data.write_text("1\n")
    file.write_text(yaml.safe_dump(tiny))
    study = load_file(file).studies["tiny"]
    sections = plain(STAGES["deconvolve"].sections_of(study, WILDCARDS))
    for record in made.folder.glob("made/*"):
        record.unlink()
    made.write("deconvolve", [data], made.solves, "deconvolve", seed=study.seed, study=sections)
    assert outdated([file, made.folder]) == []
    tiny["studies"]["tiny"]["descent"]["iterations"] = study.descent.iterations + 1
    file.write_text(yaml.safe_dump(tiny))
    data.write_text("2\n")
    (told,) = outdated([file, made.folder])
    before = study.descent.iterations
    assert told.startswith("tiny: the answer is not that of what is there now: ")
    assert f"made from another {data}" in told
    assert f"run {file}' brings it up to date" in told
    data.write_text("1\n")
    assert f"now: descent.iterations was {before}, is {before + 1}. " in outdated([file])[0]
