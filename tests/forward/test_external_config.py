"""The sections of one's own simulator, what they describe, and the files they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from external_sections import ONE, refused, section, study

from popinv.config.data_files import check_data_files
from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.forward.external.files import simulator_hash

PYTHON = {"kind": "python", "function": "simulator:solve"}
PROGRAM = {"kind": "executable", "command": ["./program", "{input}", "{output}"]}
SERVER = {"kind": "umbridge", "url": "http://localhost:4242"}


@pytest.fixture(autouse=True)
def _files(in_folder: Path) -> None:
    Path("own").mkdir()
    Path("own/simulator.py").write_text("import helper\n\ndef solve(z):\n    return helper.f(z)\n")
    Path("own/helper.py").write_text("from package import part\nf = part.f\n")
    Path("own/package").mkdir()
    Path("own/package/__init__.py").write_text("")
    Path("own/package/part.py").write_text("from .other import f\n")
    Path("own/package/other.py").write_text("import numpy\n\ndef f(z):\n    return z\n")
    Path("own/unrelated.py").write_text("")
    Path("program").write_text("#!/bin/sh\n")
    Path("program").chmod(0o755)


def test_parameters_have_names_and_units() -> None:
    given = ["a", {"name": "b", "units": "m", "long_name": "depth"}]
    a, b = section(**PYTHON, parameters=given).parameters()
    assert (a.name, a.units) == ("a", "1")
    assert (b.name, b.units, b.long_name) == ("b", "m", "depth")


@pytest.mark.parametrize(
    ("observations", "names", "coordinates"),
    [
        ({"count": 3}, ("entry",), [[0], [1], [2]]),
        ({"labels": ["u", "v"]}, ("entry",), [[0], [1]]),
        ({"coordinates": {"x": [1, 2], "z": [5, 6]}}, ("x", "z"), [[1, 5], [2, 6]]),
        ({"times": [0, 1, 4]}, ("t",), [[0], [1], [4]]),
        ({"times": {"first": 1, "step": 0.5, "count": 3}}, ("t",), [[1], [1.5], [2]]),
        (
            {"coordinates": {"x": [7, 8]}, "times": [0, 1]},
            ("x", "t"),
            [[7, 0], [7, 1], [8, 0], [8, 1]],
        ),
        ({"count": 2, "times": [3, 4]}, ("entry", "t"), [[0, 3], [0, 4], [1, 3], [1, 4]]),
    ],
)
def test_observations_are_laid_out_with_time_fastest(observations, names, coordinates) -> None:
    model = section(**PYTHON, observations=observations)
    layout = model.observed(seed=1)
    assert tuple(layout.coordinate_names) == names
    np.testing.assert_array_equal(layout.coordinates, coordinates)
    assert model.observation_count() == len(layout)
    assert model.time_count() == (len(set(layout.coordinates[:, -1])) if names[-1] == "t" else None)


def test_labels_are_repeated_over_time() -> None:
    forward = section(**PYTHON, observations={"labels": ["u", "v"], "times": [0, 1]})
    assert list(forward.observed(1).labels) == ["u", "u", "v", "v"]


@pytest.mark.parametrize(
    ("forward", "parts"),
    [
        ({**PYTHON, "observations": {"name": "c"}}, ["observations.count", "is missing"]),
        ({**PYTHON, "parameters": ["a", "a"]}, ["parameters[1]", "taken already"]),
        ({**PYTHON, "parameters": ["a b"]}, ["parameters[0]", "letters, digits"]),
        ({**PYTHON, "parameters": []}, ["parameters", "at least one"]),
        ({**PYTHON, "function": "simulator"}, ["function", "'module:function'"]),
        ({**PYTHON, "path": "../elsewhere"}, ["path", "inside the working directory"]),
        ({**PYTHON, "path": "/tmp"}, ["path", "inside the working directory"]),
        ({**PYTHON, "derivatives": "jax"}, ["derivatives", "one of: jacobian, torch"]),
        ({**SERVER, "derivatives": "gradient"}, ["derivatives", "true or false"]),
        ({**PYTHON, "time_limit": 0}, ["time_limit", "greater than 0"]),
        ({**PYTHON, "observations": {"times": [0, 2, 1]}}, ["times", "increase"]),
        ({**PYTHON, "observations": {"coordinates": {"t": [1, 2]}}}, ["coordinates.t", "'times'"]),
        (
            {**PYTHON, "observations": {"count": 3, "coordinates": {"x": [1, 2]}}},
            ["coordinates.x", "2 entries", "3"],
        ),
        ({**PROGRAM, "command": ["./program", "{input}"]}, ["command", "missing: {output}"]),
        (
            {**PROGRAM, "command": ["./program", "{inptu}", "{output}"]},
            ["{inptu}", "Did you mean 'input'?"],
        ),
        ({**PROGRAM, "parameters": ["a", "seed"], "pass_seed": True}, ["pass_seed", "rename"]),
        ({**SERVER, "url": "localhost:4242"}, ["url", "http://localhost:4242"]),
        ({**SERVER, "modle": "x"}, ["modle", "Did you mean 'model'?"]),
    ],
)
def test_faults_are_named(forward: dict[str, Any], parts: list[str]) -> None:
    with refused(ConfigError, "studies.own.forward", *parts):
        section(**forward)


def test_a_law_is_asked_for() -> None:
    forward = {**PYTHON, "parameters": ["a"], "observations": {"count": 3}}
    with pytest.raises(ConfigError, match=r"studies\.own\.law\n +is missing"):
        load({"studies": {"own": {"forward": forward, "observations": {"file": "y.csv"}}}})


def test_a_law_of_fields_is_refused_as_such_and_not_only_by_its_keys() -> None:
    law = {"kind": "matern_field", "start": {"a": ONE}}
    with pytest.raises(ConfigError, match=r"law\.kind\n +got 'matern_field'.*'lognormal'"):
        load(study({**PYTHON, "parameters": ["a"]}, law=law))


def test_kernel_noise_needs_a_nugget_where_places_coincide() -> None:
    forward = {**PYTHON, "observations": {"coordinates": {"x": [1, 2, 1]}}}
    with pytest.raises(ConfigError, match=r"coordinates\n +2 entries are at \[1\.0\]"):
        load(study(forward, noise={"kind": "kernel"}))
    load(study(forward, noise={"kind": "kernel", "nugget": True}))


def test_what_is_there_passes() -> None:
    section(**PYTHON, path="own", files=["own/helper.py"]).check_files()
    section(kind="python", function="numpy.linalg:norm").check_files()
    section(**PROGRAM).check_files()
    section(kind="executable", command=["sh", "{input}", "{output}"]).check_files()
    section(**SERVER).check_files()


@pytest.mark.parametrize(
    ("forward", "parts"),
    [
        (PYTHON, ["function", "no module 'simulator'", "folder '.'"]),
        ({**PYTHON, "path": "owm"}, ["path", "'owm'", "Did you mean 'own'?"]),
        (
            {**PYTHON, "path": "own", "function": "simulater:solve"},
            ["no module 'simulater'", "Did you mean 'simulator'?"],
        ),
        (
            {**PYTHON, "path": "own", "function": "simulator:sovle"},
            ["does not define 'sovle'", "Did you mean 'solve'?"],
        ),
        ({**PYTHON, "path": "own", "files": ["own/mesh"]}, ["files[0]", "'own/mesh'"]),
        (
            {**PROGRAM, "command": ["./progam", "{input}", "{output}"]},
            ["command[0]", "no file './progam'", "Did you mean 'program'?"],
        ),
        (
            {**PROGRAM, "command": ["program", "{input}", "{output}"]},
            ["no program 'program' on PATH", "'./program'"],
        ),
        (
            {**PROGRAM, "command": ["own/helper.py", "{input}", "{output}"]},
            ["not executable", "chmod +x"],
        ),
    ],
)
def test_files_that_are_not_there_are_named(forward: dict[str, Any], parts: list[str]) -> None:
    with refused(ConfigError, *parts):
        section(**forward).check_files()


def test_a_module_with_a_syntax_error_is_named() -> None:
    Path("own/simulator.py").write_text("def solve(z)\n")
    with refused(ConfigError, "own/simulator.py"):
        section(**PYTHON, path="own").check_files()


def test_the_study_is_named_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"studies\.own\.forward\.function: .*no module"):
        check_data_files(load(study(PYTHON)))


def test_nothing_is_imported_by_the_check() -> None:
    Path("own/simulator.py").write_text("open('imported', 'w')\n\ndef solve(z):\n    return z\n")
    section(**PYTHON, path="own").check_files()
    simulator_hash(section(**PYTHON, path="own").source_files())
    assert not Path("imported").exists()


def test_the_hash_follows_imports_inside_the_folder() -> None:
    forward = section(**PYTHON, path="own", files=["program"])
    files = {str(path) for path in forward.source_files()}
    package = {f"own/package/{name}.py" for name in ("__init__", "part", "other")}
    assert files == {"own/simulator.py", "own/helper.py", "program", *package}
    before = simulator_hash(forward.source_files())
    Path("own/unrelated.py").write_text("x = 1\n")
    Path("own/package/other.py").write_text("# a comment\nimport numpy\ndef f(z):\n    return z\n")
    told = 'import numpy\ndef f(z):\n    """Return z."""\n    return z\n'
    Path("own/package/other.py").write_text(told)
    assert simulator_hash(forward.source_files()) == before
    # A simulator may read its docstring.
    Path("own/package/other.py").write_text(told + "print(f.__doc__)\n")
    read = simulator_hash(forward.source_files())
    Path("own/package/other.py").write_text(told.replace("z.", "Z.") + "print(f.__doc__)\n")
    assert simulator_hash(forward.source_files()) != read
    Path("own/package/other.py").write_text("def f(z):\n    return 2 * z\n")
    assert simulator_hash(forward.source_files()) != before


def test_the_hash_follows_the_program_and_its_arguments() -> None:
    forward = section(**PROGRAM)
    before = simulator_hash(forward.source_files())
    Path("program").write_text("#!/bin/sh\nexit 1\n")
    assert simulator_hash(forward.source_files()) != before
    script = section(kind="executable", command=["python", "own/helper.py", "{input}", "{output}"])
    assert [str(path) for path in script.source_files()] == ["own/helper.py"]
    assert section(**SERVER).source_files() == ()
