"""Posteriors of random fields, told at places, and of other parameters, told as they are."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from popinv.forward.section import forward_section
from popinv.methods.posterior import study
from popinv.methods.posterior.chains import effective_sample_size
from popinv.methods.posterior.sampling import Posteriors
from popinv.methods.posterior.use import draw_systems
from popinv.population.kinds import Law
from popinv.store.variables import variable

LAWS: TypeAdapter = TypeAdapter(Law)
MODES, CHAINS, DRAWS, SYSTEMS = 4, 2, 30, 12
LINE = {"kind": "porous_flow", "modes": MODES, "elements": 40}
SQUARE = {"kind": "porous_flow", "dimension": 2, "modes": 2, "elements": 8}


def quantities(forward: dict, law: str = "matern_field") -> study.Quantities:
    section = forward_section(forward)
    return study.told_quantities(section, LAWS.validate_python({"kind": law}))


def posteriors(width: int, seed: int = 0) -> Posteriors:
    rng = np.random.default_rng(seed)
    draws = [rng.standard_normal((CHAINS, DRAWS, width)) for _ in range(SYSTEMS)]
    for each in draws:
        each[..., 0] = 0.5  # the mean of a field is the same in all systems
    ones = np.ones((SYSTEMS, width))
    return Posteriors(draws, ones, 60 * ones, np.full(SYSTEMS, 100), np.zeros(SYSTEMS), 0)


def test_a_field_on_a_line_is_told_at_five_places():
    told = quantities(LINE)
    assert told.names == tuple(f"log-permeability at x={x}" for x in (0.1, 0.3, 0.5, 0.7, 0.9))
    assert told.units == ("1",) * 5
    z = np.random.default_rng(1).standard_normal((3, 2, 1 + MODES))
    places = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    waves = np.cos(np.pi * np.arange(1, MODES + 1)[:, None] * places)
    np.testing.assert_allclose(told.of(z), z[..., :1] + z[..., 1:] @ waves, atol=1e-12)


def test_a_field_on_a_square_is_told_at_nine_places():
    told = quantities(SQUARE)
    assert len(told.names) == 9
    assert told.names[1] == "log-permeability at x=0.17 y=0.5"
    z = np.array([[0.3, 1.0, 0.0, 0.0]])
    # Mode (0, 1) varies along y alone, and vanishes in the middle.
    assert told.of(z)[0, 1] == pytest.approx(0.3)
    assert told.of(z)[0, 0] == pytest.approx(0.3 + np.cos(np.pi / 6))


def test_two_materials_are_told_by_the_permeability_at_each_place():
    told = quantities({**LINE, "field": "level_set"}, "level_set_field")
    z = np.zeros((1, 2 + MODES))
    z[0, :3] = np.log(2.0), np.log(8.0), 50.0  # far from the level on either side
    np.testing.assert_allclose(told.of(z)[0, [0, 4]], np.log([8.0, 2.0]), atol=1e-6)


def test_other_laws_keep_the_names_of_their_parameters():
    section = forward_section(LINE)
    names = [parameter.name for parameter in section.parameters()]
    start = {name: {"mean": 0.0, "standard_deviation": 1.0} for name in names}
    told = study.told_quantities(section, LAWS.validate_python({"kind": "normal", "start": start}))
    assert list(told.names) == names
    z = np.ones((2, len(names)))
    assert told.of(z) is z


def test_tables_figures_and_metrics_are_of_the_places():
    told, sampled = quantities(LINE), posteriors(1 + MODES)
    rng = np.random.default_rng(2)
    truth, drawn = (rng.standard_normal((n, 1 + MODES)) for n in (SYSTEMS, 200))
    population = told.of(drawn)
    dataset = study.posterior_dataset(sampled, told, 10, truth)
    dataset["surprise_p_value"] = variable("system", np.full(SYSTEMS, 0.5), "surprise")
    table = study.systems_table(dataset, list(told.units), np.ones(5, dtype=bool))
    assert not [column for column in table.columns if "mode" in column]
    assert table.shape == (SYSTEMS, 1 + 5 * 5 + 3)
    values = told.of(sampled.draws[3])
    mean = table["log-permeability at x=0.7 mean"][3]
    assert mean == pytest.approx(values[..., 3].mean())
    assert dataset["effective"].values[3, 3] == effective_sample_size(values)[3]
    # The draws are kept in the parameters too, so that the field can be had anywhere.
    np.testing.assert_allclose(told.of(dataset["z"].values), dataset["value"].values)
    metrics = study.coverage_metrics(dataset, population, 50)
    assert "narrowing_log-permeability_at_x=0.1" in metrics
    assert not [name for name in metrics if "mode" in name]
    assert metrics["shared"] == "none"
    # The truth is drawn as the posteriors are, but for the mean.
    assert metrics["coverage"] == pytest.approx(0.95, abs=0.12)
    metrics |= {"surprising_systems": 0, "surprising_systems_expected": 0.12}
    said = study.statement(metrics)
    assert "log-permeability at x=0" in said
    assert "0 of 12 systems are unlike the population, where 0.12 are expected" in said
    panels = draw_systems(dataset, population, None).panels
    assert panels[0].title == "log-permeability at x=0.1"
    # What ends a chain is the sampler's own coordinates.
    assert metrics["systems_at_the_cap"] == 0
    assert study.coverage_metrics(dataset, population, 61)["systems_at_the_cap"] == SYSTEMS
