"""Counts that no machine holds are refused before anything is made of them."""

from __future__ import annotations

import copy
import itertools
import os
import random
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from flow_study import STUDY
from pydantic import ValidationError
from study_sections import function

from popinv.config.loading import json_schema, load
from popinv.errors import ConfigError
from popinv.sections.base import Section

ROOT = Path(__file__).parents[2]
# Of address space, beside what the modules take.
_BYTES = 3 * 2**30
# These count nothing: a seed, and numbers of systems in a list of them.
NO_COUNTS = {"seed"}


def members(annotation: Any) -> list[Any]:
    """Return the members of a union, and the annotation itself if it is none."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for each in get_args(annotation) for member in members(each)]
    return [annotation]


def counts() -> list[tuple[type[Section], str, bool]]:
    """Return all keys of sections that hold a count, and whether they hold a list of counts."""
    json_schema()  # which imports all kinds
    pending, found = [Section], []
    while pending:
        section = pending.pop()
        pending += section.__subclasses__()
        for name, field in section.model_fields.items():
            types = members(field.annotation)
            lists = [get_args(each)[0] for each in types if get_origin(each) is list]
            inner = [member for each in lists for member in members(each)]
            if name not in NO_COUNTS and section.__module__.startswith("popinv."):
                if int in types:
                    found.append((section, field.alias or name, False))
                elif int in inner and str not in inner:
                    found.append((section, field.alias or name, True))
    return sorted(set(found), key=repr)


def refuse_all() -> None:
    """Give each count of each section numbers from 10^9 to 10^12."""
    rng, tried = random.Random(1), 0
    for section, key, is_list in counts():
        for _ in range(3):
            count = round(10 ** rng.uniform(9.001, 12))
            with pytest.raises(ValidationError) as caught:
                section.model_validate({key: [count] if is_list else count})
            places = [each["loc"][:1] for each in caught.value.errors()]
            assert (key,) in places, (section, key)
            tried += 1
    print(tried)


OWN = function(
    "simulator:solve", "a", observations={"times": {"first": 0, "step": 1, "count": 4}, "count": 2}
)
KEYS = (
    *("observations.count", "observations.times.count", "observations.simulated_times.count"),
    *("sensors.count", "elements", "modes", "times", "steps", "variables", "windows"),
)
FORWARD = (
    OWN,
    OWN | {"observations": {"times": {"first": 0, "step": 1, "count": 4}, "simulated_times": {
        "first": 0, "step": 1, "count": 9}}},
    {"kind": "porous_flow"},
    {"kind": "elastodynamics"},
    {"kind": "lorenz96"},
)  # fmt: skip


def refuse_studies() -> None:
    """Load studies whose forward model would have so many observations or cells."""
    refused = 0
    for forward, key, count in itertools.product(FORWARD, KEYS, (4 * 10**9, 10**12)):
        given = copy.deepcopy(forward)
        *path, last = key.split(".")
        section = given
        for name in path:
            section = section.setdefault(name, {}) if isinstance(section, dict) else {}
        section[last] = count
        # Keys that a kind does not have are refused with their value too.
        with pytest.raises(ConfigError, match=str(count)):
            load({"studies": {"s": STUDY | {"forward": given}}})
        refused += 1
    print(refused)


def test_counts_of_a_thousand_million_are_refused_in_little_memory():
    code = (
        "import resource, psutil, test_counts\n"
        "test_counts.json_schema()\n"
        f"most = psutil.Process().memory_info().vms + {_BYTES}\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "test_counts.refuse_all()\n"
        "test_counts.refuse_studies()\n"
    )
    paths = (ROOT / "src", ROOT / "tests/config", ROOT / "tests")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ":".join(map(str, paths))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    refused = [int(count) for count in done.stdout.split()]
    assert len(refused) == 2
    assert min(refused) >= 90


def test_there_are_counts_in_all_parts():
    parts = {section.__module__.split(".")[1] for section, _, _ in counts()}
    assert parts >= {"config", "forward", "inference", "methods", "population", "surrogate"}
    assert len(counts()) > 80


@pytest.mark.parametrize(
    ("observations", "told"),
    [
        ({"times": {"first": 0, "step": 1, "count": 100_001}}, "100,001 observations"),
        ({"times": {"first": 0, "step": 1, "count": 501}, "count": 200}, "100,200 observations"),
    ],
)
def test_a_system_has_at_most_so_many_observations(observations, told):
    with pytest.raises(ConfigError, match=rf"{told} of each system, and at most 100,000 can"):
        load({"studies": {"s": STUDY | {"forward": OWN | {"observations": observations}}}})


def test_sensors_and_times_multiply():
    forward = {"kind": "elastodynamics", "sensors": {"count": 1000, "placement": "random"}}
    with pytest.raises(ConfigError, match="200,000 observations of each system, and at most"):
        load({"studies": {"s": STUDY | {"forward": forward | {"times": 200}}}})


def test_a_seed_may_be_as_large_as_it_likes():
    assert load({"seed": 10**12, "studies": {"s": STUDY}}).seed == 10**12
