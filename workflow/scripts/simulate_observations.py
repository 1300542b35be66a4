"""Draw the synthetic population from its true law, solve it, and observe it through noise."""

from popinv.workflow.script import stage
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.stages.collect_solves import collect_solves
from popinv.population.stages.draw_population import draw_population
from popinv.population.stages.observe_population import observe_population

with stage(snakemake) as job:
    asked, study = job.params, job.study
    address = {"seed": job.seed, "round_name": "truth"}
    drawn_from = {"law": study["true_law"]}
    if "known" in study:
        drawn_from["observations"] = study["known"]
    proposals = draw_population(study["forward"], **drawn_from, samples=asked.samples, **address)
    solves = solve_chunk(study["forward"], proposals, **address)
    solves = collect_solves([solves], failure_budget=asked.failure_budget, **address)
    observations, truth = observe_population(
        job.model, study["observations"], solves, seed=job.seed
    )
    job.save(
        "solves",
        solves,
        ("forward",),
        **drawn_from,
        samples=asked.samples,
        failure_budget=asked.failure_budget,
    )
    observed_with = ("forward", "law", "noise", "observations")
    job.save("observations", observations, observed_with)
    job.save("truth", truth, observed_with)
