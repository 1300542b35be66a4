"""Every kind of law and of noise: what a user's own has to keep to, and the modules it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import xarray as xr

import popinv.population
from popinv.forward.section import forward_section
from popinv.inference.uncertainty.intervals import intervals
from popinv.population.constraints import entrywise
from popinv.population.contract import check_law, check_noise
from popinv.population.kinds import Law, Noise, law_section, noise_section
from popinv.population.noise.kernel import KERNELS
from popinv.population.noise.kernel_section import Kernel
from popinv.workflow.fingerprint import imported_modules

EACH = {"mean": 0.3, "standard_deviation": 0.8}
FLOW = {"kind": "porous_flow", "modes": 4, "sensors": {"positions": [0.2, 0.4, 0.7]}}
BAR = {"kind": "elastodynamics", "field": "cosine", "modes": 3, "sensors": {"count": 3}, "times": 4}
RING: dict[str, Any] = {"kind": "lorenz96", "windows": 4, "observables": ["x", "x_squared"]}

LAWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "matern_field": (FLOW, {"kind": "matern_field"}),
    "matern_field beside": (BAR, {"kind": "matern_field", "start": {"beside": {"damping": EACH}}}),
    "level_set_field": ({**FLOW, "field": "level_set"}, {"kind": "level_set_field"}),
    "normal": (RING, {"kind": "normal", "start": {"forcing": EACH}}),
    "lognormal": (RING, {"kind": "lognormal", "start": {"forcing": EACH}}),
    "transformed_normal": (
        RING,
        {
            "kind": "transformed_normal",
            "transforms": {"forcing": {"logit": [0, 20]}},
            "start": {"forcing": EACH},
        },
    ),
    "mixture": (
        RING,
        {
            "kind": "mixture",
            "transforms": {"forcing": "log"},
            "start": {
                "component_1": {"weight": 0.4, "forcing": EACH},
                "component_2": {"weight": 0.6, "forcing": {**EACH, "mean": 2.0}},
            },
        },
    ),
    "free_form": (
        RING,
        {"kind": "free_form", "transforms": {"forcing": "log"}, "start": {"forcing": EACH}},
    ),
}
NOISES: dict[str, dict[str, Any]] = {
    "isotropic": {"kind": "isotropic"},
    "diagonal": {"kind": "diagonal", "start": {"standard_deviation": 0.2}},
    "kernel": {"kind": "kernel", "nugget": True},
    "autoregressive": {"kind": "autoregressive", "order": 2},
    "blocks": {"kind": "blocks", "places": "matern32"},
    "blocks full": {"kind": "blocks", "places": "full", "start": {"place_correlation": 0.2}},
    "channels": {"kind": "channels", "times": "exponential"},
    "isotropic with errors": {
        "kind": "isotropic",
        "errors": {"grows": "combined", "tails": "student"},
    },
    "full": {"kind": "full", "start": {"correlation": 0.1}},
}


def test_every_kind_is_here():
    for union, cases in ((Law, LAWS), (Noise, NOISES)):
        kinds = {
            get_args(section.model_fields["kind"].annotation)[0]
            for section in get_args(get_args(union)[0])
        }
        assert kinds == {name.split()[0] for name in cases}
    assert set(KERNELS) == set(get_args(Kernel))


@pytest.mark.parametrize("name", LAWS)
def test_a_law_of_the_package_passes_the_checks_of_a_users_own(name):
    forward, law = LAWS[name]
    check_law(law_section(law), forward_section(forward))


@pytest.mark.parametrize("name", NOISES)
def test_noise_of_the_package_passes_the_checks_of_a_users_own(name):
    check_noise(noise_section(NOISES[name]), forward_section(RING).observed(1))


@pytest.mark.parametrize("name", NOISES)
def test_noise_that_pools_observations_has_no_parameter_more_for_one_more(name):
    section = noise_section(NOISES[name])
    few, many = (
        len(section.model(forward_section({**RING, "windows": windows}).observed(1)).names)
        for windows in (4, 5)
    )
    # Blocks want every observation in two systems: their places may have parameters of their own.
    assert section.pools_observations == (few == many and section.kind != "blocks")


@pytest.mark.parametrize("size", [0.05, 1.0, 6.0])
@pytest.mark.parametrize("of_ends", [None, (-1.0, 0.7), (-np.inf, 0.4), (-0.6, np.inf)])
def test_intervals_hold_their_estimates_within_the_domain(size, of_ends):
    """The ends of all kinds: by the covariance, and by a profile with or without a boundary."""
    observed, rng = forward_section(RING).observed(1), np.random.default_rng(2)
    noises = [noise_section(section).model(observed) for section in NOISES.values()]
    laws = [law_section(own).law(forward_section(model)) for model, own in LAWS.values()]
    pairs = [(laws[3], noise) for noise in noises] + [(law, noises[0]) for law in laws]
    for law, noise in pairs:
        entries = len(law.names) + len(noise.names)
        p = 0.3 * rng.standard_normal(entries)
        root = size * rng.standard_normal((entries, entries)) / np.sqrt(entries)
        alpha, gamma = np.split(p, [len(law.names)])
        estimate = xr.Dataset(
            {
                "alpha": ("law_parameter", alpha),
                "gamma": ("noise_parameter", gamma),
                "covariance": (("estimated", "estimated_other"), root @ root.T),
            }
        )
        constraints = (*law.constraints, *noise.constraints)
        natural = np.concatenate([law.to_natural(alpha), noise.to_natural(gamma)])
        if of_ends:
            # Only numbers with one finite end have a profile, if they are coordinates themselves.
            positive = np.array([each.scale == "log" for each in constraints])
            positive &= np.isclose(entrywise(constraints, p), natural)
            ends = np.where(positive[:, None], p[:, None] + of_ends, np.nan)
            estimate["ends"] = (("estimated", "end"), ends)
        problem = SimpleNamespace(law=law, noise=noise, d_alpha=len(alpha), units=20)
        found = intervals(problem, estimate)
        low, high = (np.concatenate([found[part][end] for part in found]) for end in (0, 1))
        names = (*law.names, *noise.names)
        for name, constraint, *values in zip(names, constraints, low, natural, high, strict=True):
            least, largest = constraint.ends
            assert least <= values[0] <= values[1] <= values[2] <= largest, (name, values)


SELECTED = {
    "matern_field beside": ("law", LAWS["matern_field beside"]),
    **{name: ("noise", noise) for name, noise in NOISES.items()},
}

# One process imports the libraries, and forks for each section. It prints the modules that are
# loaded where a law or a noise model is built.
LOADED = """
import json, os, sys
import numba, scipy.stats, torch
from popinv.forward.section import forward_section
from popinv.population.kinds import law_section, noise_section

ring, selected = json.loads(sys.argv[1])
places = forward_section(ring).observed(1)
before = set(sys.modules)
for name, (build, section) in selected.items():
    if os.fork() == 0:
        if build == "law":
            law_section(section[1]).law(forward_section(section[0]))
        else:
            noise_section(section).model(places)
        print(json.dumps([name, sorted(set(sys.modules) - before)]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """Return the modules of `popinv.population` that each selected section loads."""
    command = [sys.executable, "-c", LOADED, json.dumps([RING, SELECTED])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {
        name: {module for module in modules if module.startswith("popinv.population.")}
        for name, modules in map(json.loads, done.stdout.splitlines())
    }


@pytest.mark.full
@pytest.mark.parametrize("name", SELECTED)
def test_a_section_names_the_modules_that_run(name, loaded):
    build, section = SELECTED[name]
    typed = law_section(section[1]) if build == "law" else noise_section(section)
    assert loaded[name] <= set(imported_modules(*typed.modules()))
    assert type(typed).__module__.removesuffix("_section") in loaded[name]


def test_sections_import_no_torch():
    root = Path(popinv.population.__file__).parent
    names = [
        ".".join(("popinv.population", *file.relative_to(root).with_suffix("").parts))
        for file in (*root.rglob("*section.py"), root / "kinds.py")
    ]
    assert len(names) > 10
    heavy = "{'torch', 'numba', 'xarray'}"
    code = f"import sys, {', '.join(names)}\nassert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
