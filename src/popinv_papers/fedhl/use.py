"""The use on a study: sites with laws of their own adapt its surrogate."""

from __future__ import annotations

from popinv.inference.result import parameters_of
from popinv.methods.outcome import Outcome, StudyInput
from popinv.methods.sites import site_laws
from popinv.population.laws.values import law_spread
from popinv.population.synthetic import parameters
from popinv.surrogate.artefact import surrogate_of
from popinv.threads import fixed_threads
from popinv_papers.fedhl.figures import draw_sites
from popinv_papers.fedhl.study import adapt, nothing_trained, solved_sites


def use(study: StudyInput) -> Outcome:
    """Solve the systems of every site, and adapt the surrogate in every way."""
    asked, seed = study.asked, study.seed
    surrogate = surrogate_of(study.stores["surrogate"])
    alpha, _ = parameters_of(study.stores["population"])
    population = study.law.law(study.forward)
    spread = law_spread(study.law, study.forward)
    alphas = site_laws(alpha, spread, len(asked.ranks), asked.shift, seed)
    model = study.forward.model(seed)
    with fixed_threads():
        sites = solved_sites(
            alphas,
            lambda a, stage, count: parameters(population, a, seed, stage, count),
            lambda z, stage: model.solve(z, stage).observations,
            surrogate,
            asked.solves,
            asked.test_solves,
        )
        print(f"{len(sites.x)} solves to train on and {len(sites.test_x)} to test with")
        invariant = nothing_trained(surrogate, sites, asked, seed)
        result, metrics = adapt(surrogate, sites, asked, seed)
    print(metrics["statement"])
    return Outcome(
        metrics=metrics,
        figures={"sites": draw_sites(result)},
        result=result,
        invariants=[invariant],
    )
