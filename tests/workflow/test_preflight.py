"""What a run takes is told before it starts, and what cannot fit is refused with the key."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from typing import Any

import pytest
from tiny_study import TINY, Workflow

from popinv.cli.plan import plan
from popinv.config.loading import load
from popinv.errors import ConfigError
from popinv.workflow.preflight import Machine, check_fits, check_jobs, disk_megabytes, stages

HERE = Machine(cores=2, megabytes=16_000.0, free_megabytes=50_000.0)


def with_value(key: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    section, name = key.split(".")
    config["studies"]["tiny"].setdefault(section, {})[name] = value
    return config


def test_a_study_that_fits_passes():
    check_jobs(load(TINY))
    check_fits(load(TINY), HERE)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("surrogate.width", 10**7, "maximise_likelihoods"),
        ("descent.model_samples", 10**8, "deconvolve"),
        ("descent.directions", 10**8, "deconvolve"),
    ],
)
def test_what_needs_too_much_memory_is_refused_with_its_key(key, value, rule):
    with pytest.raises(ConfigError) as caught:
        check_fits(load(with_value(key, value)), HERE)
    said = str(caught.value)
    assert f"studies.tiny: {rule} would take" in said
    assert "this machine has 16 GB" in said
    assert f"Lower {key} ({value:,})" in said


def test_what_needs_too_much_disk_is_refused():
    config = load(with_value("observations.count", 10**8))
    with pytest.raises(ConfigError, match=r"the disk has 50 GB left\. Lower observations\.count"):
        check_fits(config, Machine(2, 1e9, 50_000.0))
    assert disk_megabytes(config.studies["tiny"]) > 1e4


def test_more_jobs_than_can_be_planned_are_refused_before_any_is():
    config = load(with_value("observations.count", 10**8))
    with pytest.raises(ConfigError) as caught:
        check_jobs(config)
    least = re.search(r"Raise active_learning\.chunk_size to ([\d,]+)", str(caught.value))
    raised = with_value("observations.count", 10**8)
    size = int(least[1].replace(",", ""))
    raised["studies"]["tiny"]["active_learning"]["chunk_size"] = size
    check_jobs(load(raised))


def test_the_plan_has_the_jobs_of_a_run(tmp_path):
    workflow = Workflow(tmp_path)
    workflow.configure(TINY)
    done = workflow.run("--dry-run")
    table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", done.stdout, re.DOTALL | re.MULTILINE)
    rows = [line.split() for line in table[1].splitlines()]
    wanted = {rule: int(count) for rule, count in rows if rule not in ("all", "total")}
    planned = {stage.rule: stage.jobs for stage in stages(load(TINY).studies["tiny"])}
    assert planned == wanted


def test_a_run_is_refused_before_any_job(tmp_path):
    workflow = Workflow(tmp_path)
    for key, value, part in (
        ("observations.count", 10**8, "Raise active_learning.chunk_size"),
        ("descent.model_samples", 10**8, "Lower descent.model_samples (100,000,000)"),
    ):
        workflow.configure(with_value(key, value))
        done = workflow.run()
        assert done.returncode == 1
        assert part in done.stdout
        assert "Traceback" not in done.stdout
        assert not list((tmp_path / "results").rglob("*.zarr.zip"))


def test_the_command_prints_the_sum(in_folder):
    text = plan(load(TINY))
    assert "tiny: from nothing to the figures" in text
    assert re.search(
        r"^together: \d+ jobs, at most .* of one core and .*, at most [\d,]+ MB in a job",
        text,
        re.M,
    )
    assert "not counted" not in text
    more = {"evidence": {"calibration": 2}, "downstream": {"posterior": {}}}
    tiny = {**TINY["studies"]["tiny"], **more}
    text = plan(load({**TINY, "studies": {"tiny": tiny}}))
    assert "not counted: evidence.calibration, downstream.posterior" in text
    code = "from popinv.cli.commands import popinv; popinv()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "nothing.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no such configuration file" in done.stderr
