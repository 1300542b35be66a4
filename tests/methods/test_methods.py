"""The records of the methods: complete, light, and each with code of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from popinv.methods.method import STUDY_STORES
from popinv.methods.registry import METHODS
from popinv.methods.sections import Downstream, StudyDownstream
from popinv.workflow.fingerprint import USES, imported_modules

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
JOBS = [
    pytest.param(method, job, id=f"{method.name}-{getattr(job, 'name', 'use')}")
    for method in METHODS.values()
    for job in (*getattr(method, "checks", ()), method.use)
]


def module_of(method, job):
    return method.module if job is method.use else method.module_of(job)


@pytest.mark.parametrize("name", StudyDownstream.model_fields)
def test_a_record_is_that_of_its_section(name):
    method = METHODS[name]
    assert method.name == name
    description = StudyDownstream.model_fields[name].description
    assert description == f"{method.question}; {method.section.condition}"


@pytest.mark.parametrize(("method", "job"), JOBS)
def test_a_record_names_what_is_there(method, job):
    module = import_module(module_of(method, job))
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
    modules = imported_modules(str(script), module_of(method, job))
    packages = {name.rpartition(".")[0] for name in modules}
    own = {method.package, module_of(method, job).rpartition(".")[0]} | {
        other.package for other in METHODS.values() if issubclass(method.section, other.section)
    }
    assert packages.isdisjoint({each.package for each in METHODS.values()} - own)
    # Neither do records, settings and their checks rerun anything by themselves.
    told = (".section", ".method", ".sections")
    own = [name for name in modules if name.startswith(("popinv.methods", "popinv_papers"))]
    assert not [name for name in own if name.endswith(told)]


def test_the_records_are_light():
    heavy = "torch", "numba", "xarray", "zarr", "scipy", "matplotlib"
    code = f"""
import sys
import popinv.methods.registry
print([name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
