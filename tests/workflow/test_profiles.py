"""The profiles are understood, and LSF's and PBS's commands are called as their manuals say."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake.cli import parse_args
from tiers import parameters
from tiny_study import ROOT

PROFILES = ROOT / "workflow" / "profiles"
PLUGINS = {
    "default": None,
    "slurm": "slurm",
    "kubernetes": "kubernetes",
    **dict.fromkeys(("grid_engine", "htcondor", "lsf", "pbs", "sbatch"), "cluster_generic"),
}

SNAKEFILE = """
rule make:
    output: "out"
    threads: 2
    resources: mem_mb=1100, runtime=lambda wildcards, attempt: 10 * attempt
    shell: "test -e tried || {{ touch tried; exit 1; }}; touch {output}"
"""
# Each runs a job at once, prints what the real command would, and keeps the code of its end.
BSUB = """#!/bin/sh
printf '%s\\n' "$@" >> {folder}/asked; echo >> {folder}/asked
cat > {folder}/script; sh {folder}/script > {folder}/log 2>&1; echo $? > {folder}/code
echo 'Job <17> is submitted to default queue <normal>.'
"""
BJOBS = """#!/bin/sh
code=$(cat {folder}/code); [ $code = 0 ] && echo 'DONE -' || echo "EXIT $code"
"""
QSUB = """#!/bin/sh
printf '%s\\n' "$@" >> {folder}/asked; echo >> {folder}/asked
for script; do :; done; sh "$script" > {folder}/log 2>&1; echo $? > {folder}/code
echo 17.head
"""
QSTAT = """#!/bin/sh
printf 'Job Id: 17.head\\n    job_state = F\\n    Exit_status = %s\\n' $(cat {folder}/code)
"""
COMMANDS = {"lsf": {"bsub": BSUB, "bjobs": BJOBS}, "pbs": {"qsub": QSUB, "qstat": QSTAT}}
ASKED = {
    "lsf": ["-J", "popinv.make", "-n", "2", "-W", "{minutes}", "-M", "1100MB", "-R",
            "span[hosts=1] rusage[mem=1100MB]", "-oo", "logs/lsf/make.%J.log"],
    "pbs": ["-V", "-S", "/bin/sh", "-j", "oe", "-o", "logs/pbs/", "-N", "popinv",
            "-l", "select=1:ncpus=2:mem=1100mb", "-l", "walltime={seconds}"],
}  # fmt: skip


def needs(plugin: str | None) -> None:
    if plugin and importlib.util.find_spec(f"snakemake_executor_plugin_{plugin}") is None:
        pytest.skip(f"the plugin {plugin.replace('_', '-')} of Snakemake is not installed")


def test_every_profile_is_known_here():
    assert set(PLUGINS) == {folder.name for folder in PROFILES.iterdir()}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_profile_has_only_options_of_snakemake_and_its_plugin(name):
    needs(PLUGINS[name])
    _, arguments = parse_args(["--profile", str(PROFILES / name), "--workflow-profile", "none"])
    plugin = PLUGINS[name]
    assert arguments.executor == (plugin and plugin.replace("_", "-"))
    assert arguments.keep_going
    if plugin == "cluster_generic":
        status = arguments.cluster_generic_status_cmd
        assert status == f"{sys.executable} -m popinv.cli.job_state {name}"


@pytest.mark.parametrize("name", PLUGINS)
def test_a_profile_names_no_variable_of_the_environment(name):
    # Snakemake replaces it when it reads the profile, in whatever folder it was started.
    text = (PROFILES / name / "config.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert re.findall(r"\$\{?[A-Z]\w*", "\n".join(lines)) == []


@parameters("name", [], full=COMMANDS)
def test_a_scheduler_is_asked_by_its_commands(name, tmp_path):
    needs(PLUGINS[name])
    bin_folder, work = tmp_path / "bin", tmp_path / "a folder"
    bin_folder.mkdir()
    work.mkdir()
    for command, script in COMMANDS[name].items():
        (bin_folder / command).write_text(script.format(folder=tmp_path))
        (bin_folder / command).chmod(0o755)
    (work / "Snakefile").write_text(SNAKEFILE)
    path = filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", str(PROFILES / name),
         "--workflow-profile", "none", "--seconds-between-status-checks", "1"],
        cwd=work,
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}",
             "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The first attempt failed.
    assert "Trying to restart job" in done.stderr
    asked = [call.splitlines() for call in (tmp_path / "asked").read_text().strip().split("\n\n")]
    assert len(asked) == 2
    for attempt, call in enumerate(asked, 1):
        minutes = 10 * attempt
        wanted = [w.format(minutes=minutes, seconds=60 * minutes) for w in ASKED[name]]
        script = [] if name == "lsf" else [call[-1]]
        assert call == wanted + script
        assert all(Path(word).name.endswith(".sh") for word in script)
    assert "with external jobid '17" in done.stderr
