"""Draw the synthetic population from its true law, solve it, and observe it through noise."""

from popinv.workflow.script import stage
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.stages.collect_solves import collect_solves
from popinv.population.stages.draw_population import draw_population
from popinv.population.stages.observe_population import observe_population

with stage(snakemake) as job:
    asked, forward = job.params, job.study["forward"]
    address = {"seed": job.seed, "round_name": "truth"}
    proposals = draw_population(forward, **asked.truth, samples=asked.samples, **address)
    solves = solve_chunk(forward, proposals, **address)
    solves = collect_solves([solves], failure_budget=asked.failure_budget, **address)
    observations, truth = observe_population(
        job.model, job.study["observations"], solves, seed=job.seed
    )
    job.save(
        "solves",
        solves,
        ("forward",),
        **asked.truth,
        samples=asked.samples,
        failure_budget=asked.failure_budget,
    )
    job.save("observations", observations)
    job.save("truth", truth)
