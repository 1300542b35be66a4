"""The records of the methods: complete, light, and each with code of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from popinv.downstream.method import STUDY_STORES
from popinv.downstream.methods import METHODS
from popinv.downstream.sections import Downstream, StudyDownstream
from popinv.workflow.fingerprint import imported_modules
from popinv.workflow.selection import USES

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
JOBS = [
    pytest.param(method, job, id=f"{method.name}-{getattr(job, 'name', 'use')}")
    for method in METHODS.values()
    for job in (*method.checks, method.use)
]


@pytest.mark.parametrize("name", StudyDownstream.model_fields)
def test_a_record_is_that_of_its_section(name):
    method = METHODS[name]
    assert method.name == name
    description = StudyDownstream.model_fields[name].description
    assert description == f"{method.question}; {method.section.condition}"


@pytest.mark.parametrize(("method", "job"), JOBS)
def test_a_record_names_what_is_there(method, job):
    module = import_module(method.module_of(job))
    assert callable(module.use if job is method.use else module.check)
    assert job.figures
    if job is method.use:
        assert set(job.stores) <= set(STUDY_STORES)
        assert set(job.imports) <= set(USES)
    else:
        assert set(job.settings) <= {"seed", *Downstream.model_fields}


@pytest.mark.parametrize(("method", "job"), JOBS)
def test_a_job_depends_on_its_own_method_alone(method, job):
    script = SCRIPTS / ("use_method.py" if job is method.use else "check_method.py")
    modules = imported_modules(str(script), method.module_of(job))
    folders = {name.split(".")[2] for name in modules if name.count(".") > 2}
    assert folders.isdisjoint(set(METHODS) - {method.name})
    # Neither do records, settings and their checks rerun anything by themselves.
    told = (".section", ".method", ".sections")
    own = [name for name in modules if name.startswith("popinv.downstream")]
    assert not [name for name in own if name.endswith(told)]


def test_the_records_are_light():
    heavy = "torch", "numba", "xarray", "zarr", "scipy", "matplotlib"
    code = f"""
import sys
import popinv.downstream.methods
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
