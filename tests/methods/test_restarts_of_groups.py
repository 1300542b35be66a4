"""Many starts of the descent of groups, beside the exact maximum of the likelihood."""

from __future__ import annotations

import mirrored_population
import numpy as np
import pytest
from linear_groups import fit, maximum, table

from popinv.inference.answer.result import estimate_of
from popinv.inference.estimators.fit_distance import starts_near
from popinv.inference.estimators.settings import DescentSettings
from popinv.methods.restarts.descents import descend, descents_from

quick = mirrored_population.quick
DESCENT = DescentSettings(iterations=500, model_samples=400, directions=32, legs=1)


@pytest.mark.full
def test_descents_of_groups_from_other_starts_end_at_the_maximum(quick):
    data = table(60, seed=3)
    found = fit(data)
    problem = found.problem
    values, _ = maximum(data)
    exact = np.concatenate([values[:3], np.log(values[3:])])
    errors = np.sqrt(np.diag(found.population["covariance"].values))
    np.testing.assert_allclose((estimate_of(found.population) - exact) / errors, 0.0, atol=0.05)
    starts = starts_near(problem, exact, 2)[1:]
    (end,), _ = descend(problem, DESCENT, [exact], "answer")
    made = descents_from(problem, DESCENT, end, errors, starts, 4, 2.0)
    # The means and the deviation of the sites. The distance knows less of the samples than the
    # likelihood.
    known = [0, 1, 3]
    assert np.abs((starts[0] - exact) / errors)[known].max() > 8
    np.testing.assert_allclose(((made.ends - exact) / errors)[:, known], 0.0, atol=0.75)
    np.testing.assert_allclose(made.losses[1], made.losses[0], rtol=0.1)
