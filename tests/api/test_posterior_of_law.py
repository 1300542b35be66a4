"""The posterior of law and noise of a result, as a DataTree."""

from __future__ import annotations

from importlib.util import find_spec

import boys
import numpy as np
import pytest

from popinv.api.law_posterior import law_posterior_of
from popinv.errors import ConfigError
from popinv.inference.uncertainty.law_posterior import ChainSettings

# Looked for and not imported: JAX takes a second, also where its tests are not run.
pytestmark = pytest.mark.skipif(find_spec("numpyro") is None, reason="numpyro is not installed")


def test_the_posterior_of_a_fit_has_the_groups_of_arviz(arviz, monkeypatch):
    # Trajectories of at most two steps, for boys with the same ages.
    monkeypatch.setattr("popinv.inference.uncertainty.law_posterior._TREE_DEPTH", 1)
    alike, table = boys.wide().dropna(axis=1, thresh=16).dropna().index[:10], boys.table()
    result = boys.fit(table[table["Subject"].isin(alike)], tests=False)
    with pytest.warns(UserWarning, match="effective sample size"):
        tree = result.posterior_of_law(chains=2, draws=20, warmup=5)
    assert {"posterior", "prior", "log_likelihood", "posterior_predictive"} <= set(tree.children)
    posterior = tree["posterior"]
    assert dict(posterior.sizes) == {"chain": 2, "draw": 20}
    assert list(posterior.data_vars) == list(result.summary().index)
    summary = result.summary()
    medians = np.array([float(posterior[name].median()) for name in summary.index])
    off = (medians - summary["estimate"]) / summary["standard_error"]
    # So few draws only show the right scales and order.
    assert np.max(np.abs(off)) < 4
    assert posterior["slope_mean"].attrs["units"] == "cm"
    # The means have flat priors.
    assert list(tree["prior"].data_vars) == list(summary.index[2:])
    assert tree["log_likelihood"].sizes["system"] == 10
    height = tree["observed_data"]
    (name,) = height.data_vars
    assert tree["posterior_predictive"][name].shape == (2, 20, *height[name].shape)
    assert list(tree["log_likelihood"].data_vars) == [name]
    table = arviz.summary(arviz.from_dict({n: posterior[n].values for n in posterior.data_vars}))
    assert list(table.index) == list(summary.index)
    assert "effective sample size" in tree.attrs["reason"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ChainSettings(chains=0), "chains: got 0, but it must be a whole number of at least 2"),
        (ChainSettings(kept=2.5), "draws: got 2.5, but it must be a whole number of at least 20"),
        (ChainSettings(warmup=0), "warmup: got 0, but it must be a whole number of at least 1"),
    ],
)
def test_numbers_of_chains_and_draws_are_checked(settings, told):
    with pytest.raises(ConfigError, match=told):
        law_posterior_of(None, None, settings, None)
