"""Each refusal of the table is raised with its reason at its key, and nothing else is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter
from study_sections import function, moments
from tiers import parameters

from popinv.config.checks import study_problems
from popinv.config.loading import load
from popinv.config.observations import known_quantities
from popinv.config.study_sections import Sections
from popinv.config.traits import TRAITS, refusals, refused, traits
from popinv.errors import ConfigError
from popinv.methods.registry import METHODS
from popinv.population.kinds import Noise
from popinv.sections.messages import ConfigProblem

TIMES = {"times": [0, 1, 2, 3]}
FORWARD = function("simulator:solve", "level", "slope", derivatives="torch", observations=TIMES)
START = moments(level=(0.0, 1.0), slope=(0.0, 1.0))
LONG = {"layout": "long", "system_column": "batch", "value_column": "DV", "time_column": "t"}
BASE: dict[str, Any] = {
    "forward": FORWARD,
    "law": {"kind": "normal", "start": START},
    "noise": {"kind": "isotropic"},
    "observations": {"file": "y.csv", **LONG},
    "surrogate": {"kind": "network"},
}
PROGRAM = {
    "kind": "executable",
    "command": ["./simulate", "{input}", "{output}"],
    "parameters": [*START],
    "observations": TIMES,
}
FIELD = {"mean": 0.0, "standard_deviation": 1.0, "length": 0.5}
FLOW = {
    "forward": {"kind": "porous_flow", "sensors": {"positions": [0.2, 0.4, 0.6]}},
    "law": {"kind": "matern_field", "start": FIELD},
    "observations": {"file": "y.csv"},
}
OWN_PLACES = {
    **FLOW,
    "forward": {
        "kind": "porous_flow",
        "dimension": 1,
        "modes": 4,
        "design": ["sensors"],
        "sensors": {"count": 3},
    },
    "observations": {"file": "y.csv", **LONG, "place_columns": ["x"]},
}
del OWN_PLACES["observations"]["time_column"]  # type: ignore[attr-defined]
LEVELS = {"batch": ["level", "slope"], "specimen": ["level"]}
INPUTS = {
    "file": "doses.csv",
    "system_column": "batch",
    "time_column": "t",
    "amount_column": "amount",
    "columns": ["amount"],
    "count": 2,
}
TRUTH = {"observations": {"truth": {}}}
LEVEL_SET = {"inverse_length": 5.0, "permeability_1": 1.0, "permeability_2": 2.0}
PROCESS = {"shared": {"kernel": "matern52"}}
OWN = {"own": {"kernel": "squared_exponential"}}

# What states each trait, and each key that is a part: values at keys, with dots.
STATED: dict[str, dict[str, Any]] = {
    "levels": {"law.levels": LEVELS},
    "crossed levels": {"law.levels": LEVELS, "law.crossed": ["batch", "specimen"]},
    "law without a density": {
        **FLOW,
        "forward": {**FLOW["forward"], "field": "level_set"},
        "law": {"kind": "level_set_field", "start": LEVEL_SET},
    },
    "law without means": {"law.kind": "free_form", "law.transforms": dict.fromkeys(START, "none")},
    "free form": {"law.kind": "free_form", "law.transforms": dict.fromkeys(START, "none")},
    "free shape": {"law.kind": "free_form", "law.transforms": dict.fromkeys(START, "none")},
    "priors": {"law.prior": "weak"},
    "known quantities": {"forward.design": ["dose"]},
    "inputs over time": {"forward.inputs": {**INPUTS, "summary": ["total"]}},
    "inputs without a summary": {"forward.inputs": INPUTS},
    "one time": {
        "forward.observations": {"count": 4},
        "observations": {"file": "y.csv"},
    },
    "several quantities": {
        "forward.observations": {"labels": ["p", "q", "r"]},
        "observations": {"file": "y.csv"},
    },
    "own places": OWN_PLACES,
    "own places in the plane": {
        **OWN_PLACES,
        "forward.dimension": 2,
        "observations.place_columns": ["x", "y"],
    },
    "drawn places": {**FLOW, "forward": {"kind": "porous_flow", "sensors": {"count": 3}}},
    "random simulator": {"forward.stochastic": True, "forward.derivatives": None},
    "sampling error": {
        **FLOW,
        "forward": {"kind": "lorenz96"},
        "law": {"kind": "normal", "start": moments(forcing=(8.0, 1.0))},
    },
    "file": {},
    "synthetic population": TRUTH,
    "replicates": {"observations.replicate_column": "copy"},
    "noise scales": {"observations.noise_scale_column": "scale"},
    "gaps": {"observations.missing": "mask"},
    "limits": {"observations.censored_below": 0.1},
    "errors": {"noise.errors.grows": "combined"},
    "noise that varies": {"noise.errors.grows": "combined"},
    "noise covariates": {"noise.errors.covariates": ["age"]},
    "heavy tails of correlated noise": {
        "noise.kind": "kernel",
        "noise.errors.tails": "student",
    },
    "unrestricted noise": {"noise.kind": "full"},
    **{
        f"unrestricted noise of over {most} observations": {
            "noise.kind": "full",
            "forward.observations.times": [*range(most + 1)],
        }
        for most in (10, 20)
    },
    "noise with its own step": {"noise.kind": "full"},
    "channels at one time": {
        "noise.kind": "channels",
        "forward.observations": {"count": 4},
        "observations": {"file": "y.csv"},
    },
    "discrepancy": {"noise.discrepancy": PROCESS},
    "fitted discrepancy": {"noise.discrepancy": PROCESS},
    "smooth discrepancy": {"noise.discrepancy": PROCESS},
    "own discrepancy with replicates": {
        "noise.discrepancy": OWN,
        "observations.replicate_column": "copy",
    },
    "estimator without likelihood": {"estimator": "distance"},
    "restricted likelihood": {"polish.restricted": True},
    "solver in the last step": {"polish.solver_seconds": 77.0},
    "one round": {"active_learning.rounds": 1},
    "no surrogate": {"surrogate.kind": "none"},
    "simulator that needs a surrogate": {
        "surrogate.kind": "none",
        "forward.derivatives": "jacobian",
    },
    "Gaussian process": {
        "surrogate.kind": "gaussian_process",
        "active_learning.first_design": 60,
        "active_learning.solves_per_round": 20,
        "assessment.surrogate_check": 40,
    },
    "data sets of the surrogate": {**TRUTH, "evidence.system_counts": [20, 40, 80]},
    "forward.derivatives": {"forward.derivatives": "jacobian"},
    "forward.pass_seed": {"forward": {**PROGRAM, "pass_seed": True}},
    "noise.discrepancy.own": {"noise.discrepancy": OWN},
    "noise.discrepancy.shared: free": {"noise.discrepancy": {"shared": "free"}},
    "observations.additions": {"observations.additions": ["more.csv"]},
    "polish.restricted": {"polish.restricted": True},
    "polish.seconds_per_solve": {"polish.seconds_per_solve": 0.1},
    "assessment.baselines": {"assessment.baselines": ["nuts"]},
    "evidence.system_counts": {
        "evidence.system_counts": [20, 40, 80],
        "evidence.through": "solver",
    },
    "evidence.design_counts": {"evidence.design_counts": [50, 100]},
    "evidence.calibration": {"evidence.calibration": 5},
    "downstream.federated.noise": {"downstream.federated": {"noise": {"epsilon": 1.0}}},
    "downstream.influence": {"downstream.influence": {}, "assessment.surrogate_check": 50},
}
# The Gaussian process has all of its numbers of solves.
STATED["surrogate.kind: gaussian_process"] = STATED["Gaussian process"]
KEYS = sorted({part for part, _ in refused() if part not in {"design", *TRAITS}})
SEEN_IN_DATA = {"gaps"}
# Noise of kind full takes fewer observations where its size varies.
OF_SIZES = "it is for up to 20 observations"


def statements(name: str) -> dict[str, Any]:
    """Return the values at keys that state a trait or a part."""
    if name in STATED:
        return STATED[name]
    key, _, value = name.partition(": ")
    if key.startswith("downstream."):
        return {key: {}}
    return {key: [value] if key == "assessment.baselines" else value}


def study_of(*names: str) -> dict[str, Any]:
    """Return a study that states traits and parts, its truth and known quantities included."""
    study = copy.deepcopy(BASE)
    changes = [change for name in names for change in statements(name).items()]
    # Whole sections come first.
    for path, value in sorted(changes, key=lambda change: "." in change[0]):
        *sections, key = path.split(".")
        place = study
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = copy.deepcopy(value)
    if "truth" in study["observations"]:
        noise = TypeAdapter[Any](Noise).validate_python(study["noise"]).start_values()
        study["observations"]["truth"] = {"law": study["law"]["start"], "noise": noise}
        sections = Sections.of_study(study)
        known = known_quantities(sections.forward, sections.law, sections.noises)
        study["observations"]["known"] = {name: {"uniform": [0.1, 0.9]} for name in known}
        if "levels" in study["law"]:
            study["observations"]["members"] = {"specimen": 8}
    return study


def of_other_models(one: str, other: str) -> bool:
    """Return whether one states another forward model than that whose keys the other states."""
    first, second = statements(one), statements(other)
    keys = [key for key in second if key.partition(".")[0] in ("forward", "law")]
    return "forward" in first and bool(keys) and first is not second


def states(study: dict[str, Any], part: str) -> bool:
    """Return whether a study states a part that is a key, as its file is read by a person."""
    key, _, wanted = part.partition(": ")
    value: Any = study
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if wanted:
        return wanted in value if isinstance(value, list) else value == wanted
    return value not in (None, [], 0, False)


def problems_of(study: dict[str, Any], seen: set[str]) -> list[ConfigProblem]:
    sections = Sections.of_study(study)
    return [*study_problems(study), *refusals(sections, seen)]


def key_of(part: str) -> tuple[str, ...]:
    key = TRAITS[part].key if part in TRAITS else part.partition(": ")[0]
    return tuple(key.split("."))


def told(problem: ConfigProblem) -> tuple[tuple[str | int, ...], str]:
    """Return the key of a problem, without the place in a list, and its reason."""
    at = tuple(step for step in problem.path if isinstance(step, str))
    return at, problem.text.partition(": ")[2]


@pytest.mark.parametrize(
    ("part", "trait"), [pair for pair in refused() if pair[0] != "design"], ids=": ".join
)
def test_a_refusal_is_raised_with_its_reason_at_its_key(part, trait):
    study = study_of(trait, part)
    seen = SEEN_IN_DATA & {trait}
    assert trait in traits(Sections.of_study(study)) | seen
    found = {told(problem): problem.text for problem in problems_of(study, seen)}
    text = found[key_of(part), f"{refused()[part, trait]}."]
    words, _, rest = TRAITS[trait].words.partition("{}")
    assert f"not for {words}" in text
    assert rest in text
    if not seen:
        with pytest.raises(ConfigError, match="not for"):
            load({"studies": {"mine": study}})


@parameters("trait", [*TRAITS][::2], full=[*TRAITS][1::2])
def test_what_is_not_in_the_table_loads(trait):
    assert trait in traits(Sections.of_study(study_of(trait))) | SEEN_IN_DATA
    names, tested = [*TRAITS], 0
    for part in [*KEYS, *names[names.index(trait) :]]:
        if of_other_models(part, trait) or of_other_models(trait, part):
            continue
        study = study_of(part, trait)
        sections = Sections.of_study(study)
        has = traits(sections) | SEEN_IN_DATA & {trait, part}

        def stated(part: str, study=study, has=has) -> bool:
            return part in has if part in TRAITS else states(study, part)

        if None in vars(sections).values() or trait not in has or not stated(part):
            continue
        problems = problems_of(study, SEEN_IN_DATA & has)
        if any(OF_SIZES in problem.text for problem in problems):
            continue
        wanted = {
            (key_of(other), f"{reason}.")
            for (other, own), reason in refused().items()
            if own in has and stated(other)
        }
        assert {told(problem) for problem in problems} == wanted, (part, problems)
        # Loading finds the same problems; it is tried for some of the pairs.
        if not wanted and tested % 10 == 0:
            load({"studies": {"mine": study}})
        tested += 1
    assert tested > 20


def test_a_method_states_traits_alone(monkeypatch):
    odd = replace(METHODS["posterior"], refuses={"colour": "it is blind"})
    monkeypatch.setitem(METHODS, "posterior", odd)
    refused.cache_clear()
    with pytest.raises(ConfigError, match="refuses 'colour', which is no trait"):
        load({"studies": {"mine": BASE}})
    monkeypatch.undo()
    refused.cache_clear()
