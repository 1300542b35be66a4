"""Any valid configuration round-trips, and anything else is refused by a message with its key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
import yaml
from flow_study import STUDY
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from popinv.config.loading import as_mapping, load, load_file
from popinv.config.numerics import ActiveLearning, Assessment
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError
from popinv.inference.estimators.settings import DescentSettings
from popinv.surrogate.section import SurrogateSettings

SECTIONS = {
    "active_learning": ActiveLearning,
    "surrogate": SurrogateSettings,
    "descent": DescentSettings,
    "assessment": Assessment,
}
POSITIVE = st.floats(1e-6, 1e6)
NUMBER = st.floats(-1e6, 1e6, allow_subnormal=False)


def bounds(metadata: list[Any]) -> tuple[float, float, bool, bool]:
    low, high, above, below = -1e6, 1e6, False, False
    for part in metadata:
        if isinstance(part, FieldInfo):
            return bounds(part.metadata)
        if isinstance(part, annotated_types.Ge | annotated_types.Gt):
            low, above = (
                float(part.ge if isinstance(part, annotated_types.Ge) else part.gt),
                (isinstance(part, annotated_types.Gt)),
            )
        if isinstance(part, annotated_types.Le | annotated_types.Lt):
            high, below = (
                float(part.le if isinstance(part, annotated_types.Le) else part.lt),
                (isinstance(part, annotated_types.Lt)),
            )
    return low, high, above, below


def values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Return the values that a key of such a type may have."""
    if get_origin(annotation) is Annotated:
        return values(get_args(annotation)[0], [*get_args(annotation)[1:], *metadata])
    if get_origin(annotation) in (Union, UnionType):
        return st.one_of(*(values(member, metadata) for member in get_args(annotation)))
    if annotation is type(None):
        return st.none()
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if get_origin(annotation) is list:
        return st.lists(values(get_args(annotation)[0], []), max_size=2, unique=True)
    if annotation is bool:
        return st.booleans()
    low, high, above, below = bounds(metadata)
    if annotation is int:
        return st.integers(int(low), min(10_000, int(high)))
    assert annotation is float
    return st.floats(low, high, exclude_min=above, exclude_max=below, allow_subnormal=False)


def sections(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return mappings with some of a section's keys."""
    keys = {
        name: values(field.annotation, list(field.metadata))
        for name, field in model.model_fields.items()
    }
    return st.fixed_dictionaries({}, optional=keys)


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid study of porous flow: sections that fit each other."""
    study: dict[str, Any] = {name: draw(sections(model)) for name, model in SECTIONS.items()}
    descent, assessment = study["descent"], study["assessment"]
    # What one key demands of another.
    if assessment.get("repeats") == 1:
        assessment["repeats"] = 2
    if "baselines" in assessment:
        policy = descent.get("policy", "cut")
        assessment["baselines"] = [name for name in assessment["baselines"] if name != policy]
    if 0 < descent.get("pooled_directions", 0) < descent.get("directions", 200):
        descent["pooled_directions"] = 0
    rates = sorted([draw(POSITIVE), draw(POSITIVE)])
    descent.update(final_learning_rate=rates[0], learning_rate=rates[1])
    if study["surrogate"].get("kind") == "none":
        # A solver of Firedrake needs a surrogate.
        study["surrogate"] = {}
    if study["surrogate"].get("kind") == "gaussian_process":
        # At most 1000 solves.
        study["active_learning"] = {"rounds": draw(st.integers(1, 10))}
        study["assessment"] = {"surrogate_check": draw(st.integers(1, 500))}
    places = st.floats(0.01, 0.99)
    positions = draw(st.lists(places, min_size=1, max_size=4, unique_by=lambda x: round(x, 4)))
    study["forward"] = {"kind": "porous_flow", "sensors": {"positions": positions}}
    study["noise"] = {"kind": "kernel", "start": {"amplitude": draw(POSITIVE)}}
    study["observations"] = {
        "count": draw(st.integers(2, 10_000)),
        "truth": {
            "law": {
                "mean": draw(NUMBER),
                "standard_deviation": draw(POSITIVE),
                "length": draw(POSITIVE),
            },
            "noise": {"amplitude": draw(POSITIVE), "length": draw(POSITIVE)},
        },
    }
    if (descent.get("batch_size") or 0) > study["observations"]["count"]:
        descent["batch_size"] = None
    if draw(st.booleans()):
        study["seed"] = draw(st.integers(0, 2**63))
    return {name: section for name, section in study.items() if section != {}}


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
MAPPINGS = st.fixed_dictionaries(
    {"studies": st.dictionaries(NAMES, studies(), min_size=1, max_size=2)},
    optional={"seed": st.integers(0, 2**63), "results": NAMES},
)


@settings(max_examples=25)
@given(MAPPINGS)
def test_any_valid_mapping_round_trips(mapping):
    assume(
        not {name.lower() for name in mapping["studies"]} & {"downstream", "report", "benchmarks"}
    )
    config = load(mapping)
    complete = as_mapping(config)
    assert load(complete) == config
    # Through the formats that it passes on its way: YAML, and JSON in the stores.
    assert load(yaml.safe_load(yaml.safe_dump(complete))) == config
    assert json.loads(json.dumps(complete)) == complete
    # What was given is what it says.
    for name, study in mapping["studies"].items():
        for section in SECTIONS:
            for key, value in study.get(section, {}).items():
                assert complete["studies"][name][section][key] == value


COMPLETE = as_mapping(load({"seed": 3, "studies": {"flow": copy.deepcopy(STUDY)}}))


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(node, dict) or not node:
        return [path]
    return [path, *(leaf for key in node for leaf in leaves(node[key], (*path, key)))]


PATHS = [path for path in leaves(COMPLETE) if path]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=3)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3)
    ),
    max_leaves=4,
)


def section_of(mapping: Any, path: tuple[Any, ...]) -> dict[str, Any] | None:
    """Return what holds the last key of a path, or None where that is not there."""
    for step in path[:-1]:
        mapping = mapping.get(step) if isinstance(mapping, dict) else None
    return mapping if isinstance(mapping, dict) and path[-1] in mapping else None


@settings(max_examples=300)
@given(path=st.sampled_from(PATHS), junk=JUNK)
def test_any_value_is_taken_or_refused_by_the_name_of_its_key(path, junk):
    mapping = copy.deepcopy(COMPLETE)
    section_of(mapping, path)[path[-1]] = junk
    message = refusal(mapping)
    if message is not None:
        # Another key may be what is wrong then: that of a section, or one within what was given.
        assert message.startswith("given.yaml: ")
        assert str(path[-1]) in message or str(path[-2]) in message


@settings(max_examples=100)
@given(path=st.sampled_from(PATHS), key=st.text(min_size=1, max_size=8), junk=JUNK)
def test_any_unknown_key_is_refused_by_name(path, key, junk):
    mapping = copy.deepcopy(COMPLETE)
    node = section_of(mapping, path)
    assume(key not in node)
    node[key] = junk
    message = refusal(mapping)
    # A law's truth, and the studies themselves, have names that a user chooses.
    if path[:1] == ("studies",) and len(path) > 2:
        assert key in message


def refusal(mapping: Any) -> str | None:
    """Return the message that a configuration is refused with, or None if it is taken."""
    try:
        config = load(mapping, "given.yaml")
    except ConfigError as error:
        return str(error)
    assert load(as_mapping(config)) == config
    return None


def reading_refusal(file: Path) -> str | None:
    try:
        return refusal(read_yaml(file))
    except ConfigError as error:
        return str(error)


FULL = as_mapping(load_file(Path(__file__).parents[2] / "config/config.yaml"))
FULL_PATHS = [path for path in leaves(FULL) if path]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FULL_PATHS), max_size=6))
def test_any_keys_left_out_give_a_configuration_or_a_message(paths):
    mapping = copy.deepcopy(FULL)
    for path in paths:
        if (node := section_of(mapping, path)) is not None:
            del node[path[-1]]
    refusal(mapping)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(FULL_PATHS), JUNK), min_size=1, max_size=3))
def test_any_values_give_a_configuration_or_a_message(changes):
    mapping = copy.deepcopy(FULL)
    for path, value in changes:
        if (node := section_of(mapping, path)) is not None:
            node[path[-1]] = value
    refusal(mapping)


@settings(max_examples=100)
@given(JUNK)
def test_anything_at_the_top_is_taken_or_refused(junk):
    refusal(junk)
    refusal({"studies": junk})
    refusal({"studies": {"flow": junk}})


@settings(max_examples=150)
@given(st.text(max_size=40) | st.text("a: &*!{}[]|>-?,\n\t\"'#%@`1.e", max_size=40))
def test_any_text_is_yaml_or_refused_by_the_name_of_the_file(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "given.yaml"
    try:
        content = text.encode()
    except UnicodeEncodeError:
        content = text.encode(errors="surrogatepass")
    file.write_bytes(content)
    message = reading_refusal(file)
    assert message is None or "given.yaml" in message


# Paths


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a\0b", "a\nb", "{x}", "a" * 300])
@pytest.mark.parametrize("key", ["path", "files"])
def test_a_simulator_stays_in_the_working_directory(mapping, study, path, key):
    one = {"mean": 0, "standard_deviation": 1}
    study.update(
        forward={
            "kind": "python",
            "function": "simulator:solve",
            "parameters": ["a"],
            "observations": {"count": 3},
            key: [path] if key == "files" else path,
        },
        law={"kind": "normal", "start": {"a": one}},
        noise={"kind": "diagonal"},
        observations={"file": "y.csv"},
    )
    message = refusal(mapping)
    assert f"studies.flow.forward.{key}" in message


@pytest.mark.parametrize("file", ["a\0.csv", "a\n.csv", "{system}.csv", "<results>/y.csv", "*.csv"])
def test_an_observation_file_is_a_plain_path(mapping, study, file):
    study["observations"] = {"file": file}
    message = refusal(mapping)
    assert "studies.flow.observations.file" in message
