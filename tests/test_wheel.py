"""The installed package, outside the checkout: its command, and its workflow as a module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SMALL = {
    "active_learning": {"rounds": 1, "first_design": 200, "threshold": 10.0},
    "surrogate": {"width": 16, "depth": 2, "max_epochs": 50},
    "polish": {"draws": 16},
    "descent": {"iterations": 20, "model_samples": 100, "directions": 16},
    "assessment": {"null_resamples": 20, "surrogate_check": 40},
}
# Another workflow, which uses this one as a module and reads a result of it.
PAPER = """
configfile: "paper.yaml"

module popinv:
    snakefile: "{snakefile}"
    config: config["popinv"]

use rule * from popinv as popinv_*

rule paper:
    default_target: True
    input: "results/mine/metrics.json"
    output: "paper.txt"
    shell: "cp {{input}} {{output}}"
"""


class Installation:
    """An environment with the wheel, whose dependencies are those of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.programs = folder / "venv" / "bin"
        python = [sys.executable, "-m"]
        subprocess.run([*python, "venv", "--without-pip", folder / "venv"], check=True)
        wheels = folder / "wheels"
        build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels]
        subprocess.run([*python, "pip", *build, ROOT], check=True)
        (wheel,) = wheels.glob("popinv-*.whl")
        into = ["--python", folder / "venv", "install", "--quiet", "--no-deps"]
        subprocess.run([*python, "pip", *into, wheel], check=True)
        (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        self.site = site
        # A line of a .pth file adds a folder, but not what .pth files there name, such as the
        # checkout.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    def call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        environment["PATH"] = f"{self.programs}:{environment['PATH']}"
        return subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def popinv(self, *arguments: str) -> str:
        done = self.call("popinv", *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def finished(installed: Installation) -> Installation:
    """Return the installation, with a small study of one's own simulator run there."""
    installed.popinv("new-study", "mine", "--forward", "python")
    file = installed.folder / "mine.yaml"
    configuration = yaml.safe_load(file.read_text())
    mine = configuration["studies"]["mine"]
    mine |= SMALL
    mine["observations"] |= {"count": 100, "heldout": 50}
    file.write_text(yaml.safe_dump(configuration))
    assert "the configuration passes the checks" in installed.popinv("try", "mine.yaml")
    printed = installed.popinv("run", "mine.yaml", "--cores", "2")
    # Lines of steps, the answer, and where everything else is; no messages of Snakemake.
    steps = ("Observations  ", "First solves  ", "Estimate  ")
    for told in (*steps, "size median", "log of the run: "):
        assert told in printed
    assert "jobid" not in printed
    assert max(map(len, printed.splitlines())) < 300
    # What one would type, with the workflow of the package.
    plain = installed.popinv("run", "mine.yaml", "--dry-run", "--verbose")
    snakefile = f"{installed.site}/popinv/project/Snakefile"
    assert f"snakemake --dry-run --verbose --snakefile {snakefile}" in plain
    assert "nothing to do" in installed.popinv("run", "mine.yaml", "--dry-run")
    return installed


def test_nothing_is_taken_from_the_checkout(installed: Installation) -> None:
    code = "import popinv; print(popinv.__file__)"
    done = installed.call("python", "-c", code)
    assert Path(done.stdout.strip()) == installed.site / "popinv" / "__init__.py"


def test_every_file_of_the_workflow_is_in_the_wheel(installed: Installation) -> None:
    project = installed.site / "popinv" / "project"
    tracked = subprocess.run(
        ["git", "ls-files", "Snakefile", "config", "workflow"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    missing = [name for name in tracked.stdout.split("\n") if not (project / name).exists()]
    assert not missing
    assert (project / "profiles" / "default" / "config.yaml").is_file()


def test_the_files_beside_the_modules_are_in_the_wheel(installed: Installation) -> None:
    source, site = ROOT / "src", installed.site
    packages = (source / name for name in ("popinv", "popinv_models", "popinv_papers"))
    files = (path for package in packages for path in package.rglob("*.*"))
    beside = [path for path in files if path.suffix not in (".py", ".pyc")]
    names = [path.relative_to(source) for path in beside if "__pycache__" not in path.parts]
    assert len(names) > 5
    assert [name for name in names if not (site / name).is_file()] == []


@pytest.mark.full
def test_a_study_is_run_shown_and_reported(finished: Installation) -> None:
    metrics = json.loads((finished.folder / "results/mine/metrics.json").read_text())
    assert metrics["systems"] == 100
    assert "mine: 100 systems" in finished.popinv("show")
    page = finished.popinv("report", "mine.yaml", "--cores", "2").splitlines()[-1]
    assert page == "results/report/index.html"
    assert finished.popinv("docs").startswith("The documentation is at https://")
    assert "mine" in (finished.folder / page).read_text()


@pytest.mark.full
def test_another_workflow_uses_it_as_a_module(finished: Installation) -> None:
    configuration = yaml.safe_load((finished.folder / "mine.yaml").read_text())
    (finished.folder / "paper.yaml").write_text(yaml.safe_dump({"popinv": configuration}))
    workflow = finished.site / "popinv" / "project" / "Snakefile"
    (finished.folder / "Snakefile").write_text(PAPER.format(snakefile=workflow))
    done = finished.call("python", "-m", "snakemake", "--cores", "2", "--dry-run")
    assert done.returncode == 0, done.stdout
    # What it would run is the same, so that nothing is run again.
    assert "popinv_" not in done.stdout
    forced = ["paper", "--forcerun", "popinv_gather_answer"]
    done = finished.call("python", "-m", "snakemake", "--cores", "2", *forced)
    assert done.returncode == 0, done.stdout
    assert "popinv_gather_answer" in done.stdout
    metrics = json.loads((finished.folder / "paper.txt").read_text())
    assert metrics["systems"] == 100
