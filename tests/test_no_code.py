"""Reading a file from disk, or an answer of a simulator, runs no code."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError, DataError, SolverError
from popinv.forward.executable.model import read_output
from popinv.forward.python.exchange import pack, unpack
from popinv.store import storage
from popinv.store.variables import variable
from popinv.workflow.records import Record, content_of
from tests.observation_files.read_tables import read_file

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("src", "workflow", "setup") for path in (ROOT / folder).rglob("*.py")
)
# Modules that rebuild objects, and functions that run text.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_CALLS = {
    "torch.load",
    "torch.jit.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "os.system",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
}
# A module without any of these in its text has no fault.
_SUSPECT = re.compile(
    "|".join(FORBIDDEN_MODULES | FORBIDDEN_NAMES) + r"|\bload|read_pickle|system|_load\b|shell="
)


def called(node: ast.Call) -> str:
    """Return the dotted name of what is called, empty where it has none."""
    names, at = [], node.func
    while isinstance(at, ast.Attribute):
        names.append(at.attr)
        at = at.value
    return ".".join([at.id, *reversed(names)]) if isinstance(at, ast.Name) else ""


def keywords(node: ast.Call) -> dict[str | None, str]:
    return {word.arg: ast.unparse(word.value) for word in node.keywords}


def safe_loaders(tree: ast.AST) -> set[str]:
    """Return the names of YAML's safe loader and of what is derived from it in a module."""
    loaders = {"yaml.SafeLoader", "yaml.CSafeLoader"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & loaders:
            loaders.add(node.name)
    return loaders


def faults(source: str) -> list[str]:
    """Return the calls and imports of a module that could run what a file says."""
    if not _SUSPECT.search(source):
        return []
    tree, uses = ast.parse(source), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules = {(node.module or "").split(".")[0]}
        else:
            modules = set()
        uses += sorted(modules & FORBIDDEN_MODULES)
        if not isinstance(node, ast.Call):
            continue
        name, words = called(node), keywords(node)
        if name in FORBIDDEN_NAMES or name in FORBIDDEN_CALLS:
            uses.append(name)
        if name in ("np.load", "numpy.load") and words.get("allow_pickle") != "False":
            uses.append(f"{name} without allow_pickle=False")
        if words.get("allow_pickle") == "True" or words.get("shell") == "True":
            uses.append(name)
        if name == "yaml.load" and words.get("Loader") not in safe_loaders(tree):
            uses.append("yaml.load without a safe loader")
    return uses


def test_no_source_runs_what_it_reads():
    found = {str(path.relative_to(ROOT)): faults(path.read_text()) for path in SOURCES}
    assert len(found) > 500
    assert {name: uses for name, uses in found.items() if uses} == {}


def test_rules_do_not_either():
    for path in [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]:
        text = path.read_text()
        for word in ("pickle", "eval(", "exec(", "yaml.load", "shell:"):
            assert word not in text, path


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "exec(text)",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_walk_finds_what_it_looks_for(source):
    assert len(faults(source)) >= 1


class Hostile:
    """Creates a file when it is restored from a pickle."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A folder that hostile data would make, and did not."""
    made = tmp_path / "code_was_run"
    # It does work, where it is let.
    pickle.loads(pickle.dumps(Hostile(made)))
    assert made.exists()
    made.rmdir()
    yield made
    assert not made.exists()


def hostile_array(trap: Path) -> np.ndarray:
    array = np.empty((2, 3), dtype=object)
    array[:] = Hostile(trap)
    return array


def test_a_npy_file_with_objects_is_refused(tmp_path, trap):
    np.save(tmp_path / "output.npy", hostile_array(trap), allow_pickle=True)
    with pytest.raises(SolverError, match=r"not a \.npy file of numbers"):
        read_output(tmp_path / "output.npy")


def test_a_pickle_in_the_place_of_a_npy_file_is_refused(tmp_path, trap):
    (tmp_path / "output.npy").write_bytes(pickle.dumps(Hostile(trap)))
    with pytest.raises(SolverError, match=r"not a \.npy file of numbers"):
        read_output(tmp_path / "output.npy")


def test_a_message_of_the_simulators_process_is_text_and_numbers(trap):
    for content in (pickle.dumps(Hostile(trap)), b"", b"[]\n", b"{}\n", pack("asked") + b"more"):
        with pytest.raises(ValueError, match="not a message"):
            unpack(content)
    head = {"kind": "values", "text": "", "arrays": [["|O", [1]]]}
    with pytest.raises(ValueError, match=r"\|O"):
        unpack(json.dumps(head).encode() + b"\n" + pickle.dumps(Hostile(trap)))
    values = np.arange(6.0).reshape(2, 3)
    kind, text, (again,) = unpack(pack("values", "täxt\n", values))
    assert (kind, text) == ("values", "täxt\n")
    np.testing.assert_array_equal(again, values)


def pickling_store(folder: Path, trap: Path, filters: object, dtype: str) -> None:
    """Write a store of format 2 whose second variable is to be decoded by pickle."""
    xr.Dataset({"observations": (("system", "sensor"), np.ones((2, 3)))}).to_zarr(
        folder, zarr_format=2, consolidated=False
    )
    names = folder / "names"
    names.mkdir()
    metadata = {
        "zarr_format": 2, "shape": [2, 3], "chunks": [2, 3], "dtype": dtype, "order": "C",
        "compressor": None, "fill_value": None, "filters": filters,
    }  # fmt: skip
    (names / ".zarray").write_text(json.dumps(metadata))
    (names / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["system", "sensor"]}))
    (names / "0.0").write_bytes(pickle.dumps(hostile_array(trap)))


@pytest.mark.parametrize("dtype", ["|O", "<f8"])
def test_observations_that_pickle_would_decode_are_refused(tmp_path, trap, dtype):
    pickling_store(tmp_path / "y.zarr", trap, [{"id": "pickle", "protocol": 5}], dtype)
    with pytest.raises(DataError, match=r"y\.zarr: .*names/\.zarray requests the decoder 'pickle'"):
        read_file(tmp_path / "y.zarr")


@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "my_package.codec", 7])
def test_a_store_with_a_decoder_that_is_not_known_is_refused(tmp_path, codec):
    described = {"y": variable(("row", "column"), np.ones((2, 3)), "values")}
    storage.save(xr.Dataset(described), tmp_path / "x.zarr", config={}, seed=1, created_by="test")
    storage.load(tmp_path / "x.zarr")
    with zipfile.ZipFile(tmp_path / "x.zarr") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(entries["y/zarr.json"])
    metadata["codecs"].append({"name": codec, "configuration": {}})
    entries["y/zarr.json"] = json.dumps(metadata).encode()
    with zipfile.ZipFile(tmp_path / "x.zarr", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match=rf"x\.zarr: .*y/zarr\.json requests the decoder '{codec}'"):
        storage.load(tmp_path / "x.zarr")


def test_objects_are_not_written_to_a_store(tmp_path):
    words = np.array(["a", "b"], dtype=object)
    dataset = xr.Dataset({"y": variable("row", words, "values")})
    with pytest.raises(ValueError, match="'y' holds Python objects"):
        storage.save(dataset, tmp_path / "x.zarr", config={}, seed=1, created_by="test")


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.mkdir [{}]", "!!python/name:os.mkdir", "!!python/tuple [1]"]
)
def test_yaml_makes_no_objects(tmp_path, trap, tag):
    file = tmp_path / "config.yaml"
    file.write_text(f"studies: {tag.format(trap)}\n")
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_yaml(file)


def test_results_from_elsewhere_are_shown_and_verified_without_running_anything(tmp_path):
    code = "from pathlib import Path\nPath('ran').touch()\n"
    for name in ("evil.py", "numpy.py", "sitecustomize.py", "conftest.py", "Snakefile"):
        (tmp_path / name).write_text(code)
    (tmp_path / "profiles/default").mkdir(parents=True)
    resources = "default-resources: {mem_mb: \"open('ran', 'w') and 1\"}\n"
    (tmp_path / "profiles/default/config.yaml").write_text(resources)
    forward = {"kind": "evil:Model"}
    (tmp_path / "config.yaml").write_text(json.dumps({"studies": {"a": {"forward": forward}}}))
    study = tmp_path / "results/a"
    (study / "made").mkdir(parents=True)
    (study / "metrics.json").write_text(json.dumps({"study": "a", "estimator": "likelihood"}))
    settings = {"study": {"forward": forward}, "simulator": "abc"}
    made = {"results/a/metrics.json": content_of(study / "metrics.json")}
    record = Record("assess_population", {"study": "a"}, settings, "id", {}, made, {}, {}, 1.0)
    record.write(study / "made/assess_population.json")
    commands = {"show": "likelihood", "show results/a": "likelihood"}
    commands |= dict.fromkeys(("verify", "verify --seal"), "results: 1 whole")
    # A process of its own, as Python's start is part of what is tested; one for all commands.
    calls = (
        "import sys; from pathlib import Path; from popinv.cli.commands import popinv\n"
        "for words in sys.argv[1:]:\n"
        "    popinv(words.split(), standalone_mode=False)\n"
        "    print('\\f', Path('ran').exists(), '\\f')\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", calls, *commands],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    printed, ran = done.stdout.split("\f")[:-1:2], done.stdout.split("\f")[1::2]
    assert ran == [" False "] * len(commands)
    for told, text in zip(commands.values(), printed, strict=True):
        assert told in text
    assert not (tmp_path / "ran").exists()
