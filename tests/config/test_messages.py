from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flow_study import message

from popinv.errors import ConfigError, require_known
from popinv.sections.messages import ConfigProblem, dotted, listed, report, shown

Spoil = Callable[[dict[str, Any]], Any]


def set_at(*path: Any) -> Spoil:
    *keys, last, value = path

    def spoil(study: dict[str, Any]) -> None:
        node = study
        for key in keys:
            node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
        node[last] = value

    return spoil


def at(key: str, value: Any, parts: list[str]) -> tuple[Spoil, str, list[str]]:
    """Return the case of a value at the key that is named."""
    return set_at(*key.split("."), value), key, parts


def replace(section: str, **content: Any) -> Spoil:
    return set_at(section, content)


def several(*spoils: Spoil) -> Spoil:
    def spoil(study: dict[str, Any]) -> None:
        for each in spoils:
            each(study)

    return spoil


EACH = {"mean": 0.0, "standard_deviation": 1.0}
CASES: dict[str, tuple[Spoil, str, list[str]]] = {
    # name: (what is spoilt, the key named, what the message holds besides)
    "unknown key": at(
        "noise.start.lenght",
        0.3,
        ["unknown key", "0.3", "Did you mean 'length'?", "amplitude, length, nugget"],
    ),
    "unknown section": at("decent", {}, ["unknown key", "Did you mean 'descent'?"]),
    "wrong type: number": at("descent.learning_rate", "fast", ['"fast"', "must be a number"]),
    "wrong type: whole number": at("descent.iterations", 2.5, ["2.5", "must be a whole number"]),
    "wrong type: boolean for number": at(
        "descent.iterations", True, ["true", "must be a whole number"]
    ),
    "wrong type: number for boolean": at("assessment.oracles", 1, ["must be true or false"]),
    "wrong type: list for mapping": at("law", [1, 2], ["[1, 2]", "must be a mapping"]),
    "not finite": at("descent.learning_rate", float("inf"), ["Infinity", "finite number"]),
    "unknown choice": at(
        "descent.policy", "cutt", ['"cutt"', "cut, full, plain", "Did you mean 'cut'?"]
    ),
    "unknown kind": at(
        "noise.kind",
        "diagnal",
        ['"diagnal"', "isotropic, diagonal, kernel", "Did you mean 'diagonal'?"],
    ),
    "a choice of a key within, given as the kind": at(
        "noise.kind",
        "proportional",
        ["isotropic, diagonal, kernel", "Did you mean 'errors: {grows: proportional}'?"],
    ),
    "a key of a section within": at(
        "noise.grows",
        "combined",
        ["unknown key", '"combined"', "Did you mean 'errors: {grows: ...}'?"],
    ),
    "missing kind": (
        replace("noise", start={}),
        "noise.kind",
        ["is missing", "isotropic, diagonal, kernel"],
    ),
    "missing section": (
        lambda study: study.pop("forward"),
        "forward",
        ["is missing", "The forward model"],
    ),
    "negative standard deviation at the start": at(
        "law.start.standard_deviation", -0.2, ["-0.2", "greater than 0"]
    ),
    "negative standard deviation in the truth": at(
        "observations.truth.law.standard_deviation", -0.2, ["-0.2", "greater than 0"]
    ),
    "negative noise in the truth": at(
        "observations.truth.noise.amplitude", -0.1, ["-0.1", "greater than 0"]
    ),
    "too many parameters": at(
        "observations.truth.law.smoothness",
        2.0,
        ["unknown parameter", "2.0", "mean, standard_deviation, length"],
    ),
    "misspelt parameter": at(
        "observations.truth.law.lenth", 2.0, ["unknown parameter", "Did you mean 'length'?"]
    ),
    "too few parameters": (
        lambda study: study["observations"]["truth"]["law"].pop("length"),
        "observations.truth.law",
        ["missing: length"],
    ),
    "misspelt noise parameter": at(
        "observations.truth.noise.amplitud", 0.1, ["unknown parameter", "Did you mean 'amplitude'?"]
    ),
    "a mapping where the truth is a number": at(
        "observations.truth.law.mean", {"a": 1}, ["must be a number"]
    ),
    "parameter unknown to the forward model": (
        several(
            set_at("forward", "modes", 2),
            replace("law", kind="normal", start={"mean": EACH, "mode_1": EACH, "mod_2": EACH}),
        ),
        "law.start.mod_2",
        ["unknown parameter", "Did you mean 'mode_2'?", "mean, mode_1, mode_2"],
    ),
    "parameters of the forward model left out": (
        replace("law", kind="lognormal", start={"mean": EACH}),
        "law.start",
        ["21 parameters", "missing: mode_1, mode_2", "(20 in all)"],
    ),
    "negative deviation of a named parameter in the truth": (
        several(
            set_at("forward", "modes", 1),
            replace("law", kind="normal", start={"mean": EACH, "mode_1": EACH}),
            set_at(
                "observations",
                "truth",
                "law",
                {"mean": EACH, "mode_1": {"mean": 0, "standard_deviation": -1}},
            ),
        ),
        "observations.truth.law.mode_1.standard_deviation",
        ["-1", "at least 0"],
    ),
    "law of another field": (
        set_at("forward", "field", "level_set"),
        "law.kind",
        ["matern_field", "level_set", "level_set_field"],
    ),
    "spread of an unknown parameter": (
        set_at("law", "spread", {"mean": 1, "standard_deviation": 1, "lngth": 1}),
        "law.spread.lngth",
        ["Did you mean 'length'?"],
    ),
    "negative spread": at("law.spread", -1, ["at least 0"]),
    "nugget without a nugget": (
        set_at("noise", "start", "nugget", 0.1),
        "noise.start",
        ["nugget: true"],
    ),
    "truth without the nugget": (
        set_at("noise", "nugget", True),
        "observations.truth.noise",
        ["missing: nugget"],
    ),
    "diagonal truth of the wrong length": (
        several(
            replace("noise", kind="diagonal"),
            set_at("observations", "truth", "noise", {"standard_deviation": [0.1, 0.2]}),
        ),
        "observations.truth.noise.standard_deviation",
        ["2 numbers", "3 observations of each system"],
    ),
    "negative entry in a diagonal truth": (
        several(
            replace("noise", kind="diagonal"),
            set_at("observations", "truth", "noise", {"standard_deviation": [0.1, 0.2, -0.3]}),
        ),
        "observations.truth.noise.standard_deviation[2]",
        ["-0.3", "greater than 0"],
    ),
    "a list for a noise of one number": at(
        "observations.truth.noise.amplitude", [0.1, 0.2, 0.3], ["must be a number"]
    ),
    "sensor outside the domain": (
        set_at("forward", "sensors", "positions", [0.1, 1.2, 0.3]),
        "forward.sensors.positions[1]",
        ["1.2", "outside the domain", "between 0 and 1"],
    ),
    "sensor on the boundary": (
        set_at("forward", "sensors", "positions", [0.1, 0.5, 0.0]),
        "forward.sensors.positions[2]",
        ["outside the domain"],
    ),
    "sensor of the wrong dimension": (
        set_at("forward", "sensors", "positions", [0.1, [0.2, 0.3]]),
        "forward.sensors.positions[1]",
        ["[0.2, 0.3]", "1 coordinate"],
    ),
    "two sensors in one place": at(
        "forward.sensors.positions", [0.1, 0.1, 0.3], ["2 sensors are at [0.1]", "nugget"]
    ),
    "positions and placement": at(
        "forward.sensors",
        {"positions": [0.1], "placement": "random"},
        ["either 'positions', or 'count' and 'placement'"],
    ),
    "positions and another count": at(
        "forward.sensors", {"positions": [0.1], "count": 5}, ["'count' is 5, but 1 positions"]
    ),
    "placement given without positions": at(
        "forward.sensors", {"placement": "given"}, ["needs 'positions'"]
    ),
    "no sensors": (
        set_at("forward", "sensors", {"count": 0}),
        "forward.sensors.count",
        ["at least 1"],
    ),
    "regular grid in two dimensions": (
        set_at(
            "forward", {"kind": "porous_flow", "dimension": 2, "sensors": {"placement": "regular"}}
        ),
        "forward.sensors.count",
        ["50", "square", "49"],
    ),
    "dimension": at("forward.dimension", 3, ["3", "at most 2"]),
    "too few modes": (
        set_at("forward", {"kind": "porous_flow", "dimension": 2, "modes": 1}),
        "forward.modes",
        ["at least 2"],
    ),
    "more modes than elements": (
        set_at("forward", "elements", 10),
        "forward.modes",
        ["20", "10 elements"],
    ),
    "exponent without power": at("forward.exponent", 3, ["nonlinearity: power"]),
    "sharpness without level set": at("forward.sharpness", 3, ["field: level_set"]),
    "neither truth nor file": (
        replace("observations", count=10),
        "observations",
        ["'truth'", "'file'"],
    ),
    "truth and file": (
        set_at("observations", "file", "a.csv"),
        "observations",
        ["not both"],
    ),
    "file of an unknown type": (
        replace("observations", file="a.txt"),
        "observations.file",
        ['"a.txt"', ".csv, .csv.gz, .parquet, .nc or .zarr"],
    ),
    "key of synthetic observations beside a file": (
        replace("observations", file="a.csv", heldout=3),
        "observations.heldout",
        ["unknown key", "file, heldout_fraction"],
    ),
    "held-out share": (
        replace("observations", file="a.csv", heldout_fraction=1),
        "observations.heldout_fraction",
        ["less than 1"],
    ),
    "file without places": (
        several(replace("observations", file="a.csv"), replace("forward", kind="porous_flow")),
        "forward.sensors",
        ["positions"],
    ),
    "held-out count": at("observations.heldout", 0, ["at least 2"]),
    "batch larger than the data": at("descent.batch_size", 101, ["101", "100 observations"]),
    "no model samples": at("descent.model_samples", 0, ["at least 2"]),
    "rate that grows": at(
        "descent.final_learning_rate", 1.0, ["at most descent.learning_rate (0.3)"]
    ),
    "pool smaller than the draw": at("descent.pooled_directions", 10, ["10", "200"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_study(case: str, mapping: dict[str, Any], study: dict[str, Any]) -> None:
    spoil, key, parts = CASES[case]
    spoil(study)
    text = message(mapping)
    assert text.startswith("config/mine.yaml: ")
    lines = text.splitlines()
    place = lines.index(f"  studies.flow.{key}")
    for part in parts:
        assert part in lines[place + 1]
    assert "\n\n\n" not in text


def test_all_problems_are_told_at_once_in_the_order_of_the_file(
    mapping: dict[str, Any], study: dict[str, Any]
) -> None:
    study["forward"]["elments"] = 10
    study["noise"]["start"]["amplitude"] = -1
    study["observations"]["truth"]["law"]["lenght"] = 1
    study["descent"]["policy"] = "none"
    mapping["studies"]["b c"] = {}
    text = message(mapping)
    keys = re.findall(r"^  (\S.*)$", text, re.MULTILINE)
    assert text.splitlines()[0] == "config/mine.yaml: 7 problems"
    assert keys == [
        "studies.flow.forward.elments",
        "studies.flow.noise.start.amplitude",
        "studies.flow.observations.truth.law.lenght",
        "studies.flow.descent.policy",
        "studies.b c",
        "studies.b c.forward",
        "studies.b c.observations",
    ]


def test_pieces() -> None:
    assert dotted(("a", "b", 3, 0)) == "a.b[3][0]"
    assert shown(None) == "null"
    assert len(shown("x" * 500)) == 60
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(30)).endswith("9, ... (30 in all)")
    assert report("f", [ConfigProblem((), "wrong")]) == "f: 1 problem\n\n  (top level)\n      wrong"


def test_a_name_that_is_not_allowed_is_refused_with_the_nearest_one() -> None:
    require_known("kind", ("kind", "sort"), "never said")
    told = r"^'knd' is not known, allowed: kind, sort\. Did you mean 'kind'\?$"
    with pytest.raises(ConfigError, match=told):
        require_known("knd", ("kind", "sort"), "'knd' is not known")
