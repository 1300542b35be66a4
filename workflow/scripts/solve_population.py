"""Draw the parameters of a synthetic population from its true law, and solve the forward model."""

from popinv.workflow.script import stage
from popinv.forward.stages.solve_chunk import solve_chunk
from popinv.inference.stages.collect_solves import collect_solves
from popinv.population.stages.draw_population import draw_population

with stage(snakemake) as job:
    round_name, budget = job.wildcards.round, job.params.failure_budget
    address = {"seed": job.seed, "round_name": round_name}
    proposals = draw_population(**job.study, samples=job.params.samples, **address)
    solves = solve_chunk(job.study["forward"], proposals, **address)
    solves = collect_solves([solves], failure_budget=budget, **address)
    job.save("solves", solves, samples=job.params.samples, failure_budget=budget)
