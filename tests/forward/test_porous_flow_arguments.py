"""Arguments of porous flow that make no sense are refused before anything is assembled."""

from __future__ import annotations

import numpy as np
import pytest

from popinv.errors import ConfigError
from popinv.forward.porous_flow.model import PorousFlow


@pytest.mark.parametrize("outside", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_a_sensor_outside_is_refused_by_name(outside):
    with pytest.raises(ConfigError, match="sensor 1 "):
        PorousFlow([[0.5], [outside], [0.7]])
    with pytest.raises(ConfigError, match="sensor 2 "):
        PorousFlow([[0.5, 0.5], [0.1, 0.2], [0.5, outside]], dimension=2)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("dimension", 3, "dimension"),
        ("elements", 2, "elements"),
        ("elements", 10.5, "elements"),
        ("field", "cosin", "Did you mean 'cosine'"),
        ("nonlinearity", "powr", "Did you mean 'power'"),
        ("exponent", 0.0, "exponent"),
        ("source", np.nan, "source"),
        ("sensors", np.zeros((0, 1)), "sensors"),
        ("sensors", np.full((2, 2), 0.5), "sensors"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(argument, value, message):
    with pytest.raises(ConfigError, match=message):
        PorousFlow(**{"sensors": [0.2, 0.5], argument: value})
