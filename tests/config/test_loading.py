from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from popinv.config.loading import as_mapping, json_schema, load, load_file
from popinv.config.yaml_files import read_yaml
from popinv.errors import ConfigError
from popinv.inference.estimators.settings import DescentSettings

ROOT = Path(__file__).parents[2]
MINIMAL = """
studies:
  small:
    forward: {kind: porous_flow}
    observations:
      truth:
        law: {mean: 0.5, standard_deviation: 0.6, length: 0.3}
        noise: {amplitude: 0.1, length: 0.1}
"""


def test_default_configuration_is_valid_and_round_trips() -> None:
    config = load_file(ROOT / "config" / "config.yaml")
    assert load(as_mapping(config)) == config


def test_minimal_study_has_all_sections_filled_in() -> None:
    mapping = as_mapping(load(yaml.safe_load(MINIMAL)))
    study = mapping["studies"]["small"]
    assert mapping["results"] == "results"
    assert study["seed"] == mapping["seed"] == 1
    assert study["law"]["kind"] == "matern_field"
    assert study["noise"] == {
        "kind": "kernel",
        "kernel": "exponential",
        "nugget": False,
        "errors": None,
        "discrepancy": None,
        "prior": None,
        "start": {"amplitude": 0.3, "length": 0.3},
    }
    assert study["forward"]["elements"] == 200
    assert study["forward"]["sensors"] == {"positions": None, "count": 50, "placement": "random"}
    assert study["descent"]["batch_size"] is None
    json.dumps(mapping)  # JSON types alone


def test_every_leaf_of_the_mapping_can_be_looked_up(mapping: dict[str, Any]) -> None:
    study = as_mapping(load(mapping))["studies"]["flow"]
    for section in ("active_learning", "surrogate", "descent", "assessment"):
        assert study[section]


def test_defaults_depend_on_dimension_and_field(study: dict[str, Any], mapping: Any) -> None:
    study["forward"] = {"kind": "porous_flow", "dimension": 2, "field": "level_set"}
    del study["law"]
    study["observations"]["truth"]["law"] = {
        "inverse_length": 8,
        "permeability_1": 1,
        "permeability_2": 2,
    }
    config = load(mapping).studies["flow"]
    assert (config.forward.elements, config.forward.modes) == (32, 6)
    assert config.law.kind == "level_set_field"


def test_positions_are_points_and_set_count_and_placement(mapping: dict[str, Any]) -> None:
    sensors = load(mapping).studies["flow"].forward.sensors
    assert sensors.positions == [[0.2], [0.4], [0.6]]
    assert (sensors.count, sensors.placement) == (3, "given")


def test_study_seed_overrides_the_top_one(study: dict[str, Any], mapping: dict[str, Any]) -> None:
    assert load(mapping).studies["flow"].seed == 3
    study["seed"] = 8
    assert load(mapping).studies["flow"].seed == 8


def test_empty_sections_count_as_left_out(study: dict[str, Any], mapping: dict[str, Any]) -> None:
    study["descent"] = None
    assert load(mapping).studies["flow"].descent == DescentSettings()


def test_text_that_is_a_number_becomes_one(study: dict[str, Any], mapping: dict[str, Any]) -> None:
    # YAML reads 1e-3 as text.
    study["surrogate"] = yaml.safe_load("learning_rate: 1e-3")
    study["observations"]["truth"]["law"]["mean"] = "1e-1"
    loaded = as_mapping(load(mapping))["studies"]["flow"]
    assert loaded["surrogate"]["learning_rate"] == 0.001
    assert loaded["observations"]["truth"]["law"]["mean"] == 0.1


@pytest.mark.parametrize("number", [1e-320, "-1e-310"])
def test_numbers_without_full_precision_are_refused(study: Any, mapping: Any, number: Any) -> None:
    study["observations"]["truth"]["law"]["mean"] = number
    told = r"studies.flow.observations.truth.law.mean\n.*got .*, which is too small for full"
    with pytest.raises(ConfigError, match=told):
        load(mapping)


def test_text_that_moves_the_cursor_is_refused(mapping: Any) -> None:
    law = {"a": {"mean": 1.0, "standard_deviation": 0.5}}
    observations = {"times": [0, 1], "units": "m\x1b[2J"}
    mapping["studies"] = {
        "own": {
            "forward": {
                "kind": "python",
                "function": "m:solve",
                "parameters": ["a"],
                "observations": observations,
            },
            "law": {"kind": "normal", "start": law},
            "noise": {"kind": "isotropic", "start": {"standard_deviation": 0.1}},
            "observations": {"truth": {"law": law, "noise": {"standard_deviation": 0.1}}},
        }
    }
    with pytest.raises(
        ConfigError, match=r"units\n.* holds the control character '\\x1b'; leave it"
    ):
        load(mapping)
    observations["units"] = "m"
    assert load(mapping)


def test_nugget_has_a_start_where_there_is_one(study: dict[str, Any], mapping: Any) -> None:
    study["noise"]["nugget"] = True
    study["observations"]["truth"]["noise"]["nugget"] = 0.02
    assert as_mapping(load(mapping))["studies"]["flow"]["noise"]["start"]["nugget"] == 0.1


def test_a_study_may_be_named_by_a_number(mapping: dict[str, Any]) -> None:
    mapping["studies"] = {2024: mapping["studies"]["flow"]}
    assert list(as_mapping(load(mapping))["studies"]) == ["2024"]


def test_normal_law_has_the_parameters_of_the_forward_model(study: Any, mapping: Any) -> None:
    study["forward"]["modes"] = 2
    each = {"mean": 0.0, "standard_deviation": 0.5}
    names = ("mean", "mode_1", "mode_2")
    study["law"] = {"kind": "normal", "start": {name: dict(each) for name in names}}
    study["law"]["spread"] = dict.fromkeys(names, 0.1)
    study["observations"]["truth"]["law"] = {name: dict(each) for name in names}
    assert load(mapping).studies["flow"].law.spread == dict.fromkeys(names, 0.1)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigError, match=r"no such configuration file.*'config.yaml'"):
        load_file(tmp_path / "confg.yaml")


def test_duplicate_keys_are_refused_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(MINIMAL + "  small: {}\n")
    with pytest.raises(
        ConfigError, match="line 9: the key 'small' is given twice, first in line 3"
    ):
        read_yaml(file)


NO_MAPPINGS = ["a: [1, 2", "- 1\n- 2\n", "", "text", "a: b: c", "\tx: 1"]
# What YAML stumbles over.
DAMAGED = ["a: &a [*a]", "studies: {a: &b {forward: *b}}", "a: !!timestamp x", "a: 2024-13-45"]


@pytest.mark.parametrize("text", [*NO_MAPPINGS, *DAMAGED, "a: !!int x"])
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        load_file(file)


def test_yaml_merge_keys_work(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        MINIMAL.replace("  small:", "  small: &small")
        + "  other:\n    <<: *small\n    descent: {iterations: 5}\n"
    )
    assert load_file(file).studies["other"].descent.iterations == 5


def test_schema_names_every_section() -> None:
    properties = json_schema()["$defs"]["Study"]["properties"]
    assert {"forward", "law", "noise", "observations", "descent"} <= properties.keys()


def test_default_configuration_agrees_with_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    content = read_yaml(ROOT / "config" / "config.yaml")
    jsonschema.validate(content, json_schema())
    content["studies"]["porous_flow"]["noise"]["start"]["length"] = -1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema())


def test_import_brings_nothing_heavy() -> None:
    code = (
        "import sys, popinv.config.loading\n"
        "print([m for m in ('torch', 'firedrake', 'matplotlib', 'xarray', 'zarr', 'scipy', 'numba')"
        " if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
