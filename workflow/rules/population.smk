"""The observations: a synthetic population from a known truth, or the user's own."""


# Draw the parameters of a synthetic population from its true law.
rule draw_population:
    input:
        unpack(compared),
    output:
        proposals="<results>/{study}/rounds/{round}/proposals.zarr.zip",
        made="<results>/{study}/made/draw_population.{round}.json",
    log:
        "<results>/{study}/logs/draw_population.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/draw_population.{round}.tsv"
    wildcard_constraints:
        round="truth|systems_[0-9]+",
        study=studies(synthetic=True),
    resources:
        mem_mb=memory("draw_population"),
        runtime=runtime("draw_population"),
    params:
        seed=seed_of,
        study=sections("forward", law=Study.true_law, observations=Study.known_distributions),
        samples=lambda wildcards: solve_count(study_of(wildcards), wildcards.round),
        code=code_of("draw_population", "law"),
    message:
        "{wildcards.study}, {wildcards.round}: drawing a population from its true law"
    script:
        "../scripts/draw_population.py"


# The same, and its solves, where these take seconds, of a further population.
rule solve_population:
    input:
        unpack(compared),
    output:
        solves="<results>/{study}/rounds/{round}/solves.zarr.zip",
        # The same record as that of the collecting job, since a study may have had chunks before.
        made="<results>/{study}/made/collect_solves.{round}.json",
    log:
        "<results>/{study}/logs/solve_population.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/solve_population.{round}.tsv"
    wildcard_constraints:
        round="systems_[0-9]+",
        study=studies(synthetic=True, at_once=True),
    resources:
        mem_mb=memory("solve_population"),
        runtime=runtime("solve_population"),
    params:
        seed=seed_of,
        study=sections("forward", law=Study.true_law, observations=Study.known_distributions),
        samples=lambda wildcards: solve_count(study_of(wildcards), wildcards.round),
        simulator=of_study(Study.simulator_hash),
        failure_budget=of_study(lambda study: study.active_learning.failure_budget),
        code=code_of("solve_population", "law", "solver", late=never),
    message:
        "{wildcards.study}, {wildcards.round}: drawing a population from its true law, and solving"
    script:
        "../scripts/solve_population.py"


# The study's own population, its solves and its observations, where these take seconds.
rule simulate_observations:
    input:
        unpack(compared),
    output:
        solves="<results>/{study}/rounds/truth/solves.zarr.zip",
        observations="<results>/{study}/observations.zarr.zip",
        truth="<results>/{study}/truth.zarr.zip",
        made="<results>/{study}/made/simulate_observations.json",
    log:
        "<results>/{study}/logs/simulate_observations.log",
    benchmark:
        "<results>/{study}/benchmarks/simulate_observations.tsv"
    wildcard_constraints:
        study=studies(synthetic=True, at_once=True),
    resources:
        mem_mb=memory("simulate_observations"),
        runtime=runtime("simulate_observations"),
    params:
        seed=seed_of,
        study=sections("forward", "law", "noise", "observations"),
        truth=sections(law=Study.true_law, observations=Study.known_distributions),
        samples=of_study(lambda study: solve_count(study, "truth")),
        simulator=of_study(Study.simulator_hash),
        failure_budget=of_study(lambda study: study.active_learning.failure_budget),
        code=code_of("simulate_observations", "law", "true_noise", "solver", late=never),
    message:
        "{wildcards.study}: drawing a population from its true law, solving, and observing it"
    script:
        "../scripts/simulate_observations.py"


# Add noise to the solved population and set some systems aside.
rule observe_population:
    input:
        solves="<results>/{study}/rounds/truth/solves.zarr.zip",
    output:
        observations="<results>/{study}/observations.zarr.zip",
        truth="<results>/{study}/truth.zarr.zip",
        made="<results>/{study}/made/observe_population.json",
    log:
        "<results>/{study}/logs/observe_population.log",
    benchmark:
        "<results>/{study}/benchmarks/observe_population.tsv"
    wildcard_constraints:
        study=studies(synthetic=True, at_once=False),
    resources:
        mem_mb=memory("observe_population"),
        runtime=runtime("observe_population"),
    params:
        seed=seed_of,
        study=sections("forward", "law", "noise", "observations"),
        code=code_of("observe_population", "law", "true_noise"),
    message:
        "{wildcards.study}: observing the population through noise"
    script:
        "../scripts/observe_population.py"


# Convert the user's own observations into the same form.
rule import_observations:
    input:
        unpack(compared),
        file=of_study(lambda study: study.observations.file),
    output:
        observations="<results>/{study}/observations.zarr.zip",
        made="<results>/{study}/made/import_observations.json",
    log:
        "<results>/{study}/logs/import_observations.log",
    benchmark:
        "<results>/{study}/benchmarks/import_observations.tsv"
    wildcard_constraints:
        study=studies(synthetic=False),
    resources:
        mem_mb=memory("import_observations"),
        runtime=runtime("import_observations"),
    params:
        seed=seed_of,
        study=sections("forward", "law", "noise", "observations"),
        code=code_of("import_observations", "forward"),
    message:
        "{wildcards.study}: reading the observations from {input.file}"
    script:
        "../scripts/import_observations.py"
