"""The rounds: propose, solve, collect, train, and update the estimate of the population."""


def earlier(*artefacts):
    """Input function: the named artefacts of the previous round, or nothing if there is none."""

    def inputs(wildcards):
        previous = previous_round(study_of(wildcards), wildcards.round)
        if previous is None:
            return {}
        folder = f"<results>/{wildcards.study}/rounds/{previous}"
        return {f"previous_{name}": f"{folder}/{name}.zarr.zip" for name in artefacts}

    return inputs


def choosing(wildcards):
    """Input function: the surrogate that chooses a round's solves, where it knows its own error."""
    if wildcards.round.isdigit() and study_of(wildcards).candidates():
        return earlier("surrogate")(wildcards)
    return {}


def known_quantities(wildcards):
    """Input function: the observed systems, where they have a design or covariates."""
    if not study_of(wildcards).has_known():
        return {}
    return {"observations": f"<results>/{wildcards.study}/observations.zarr.zip"}


def solved_by(wildcards):
    """Params function: what the chunks of a round say that they were made with."""
    study = study_of(wildcards)
    code = code_of("solve_chunk_distributed" if study.ranks() > 1 else "solve_chunk")
    return {"forward": study.forward, "simulator": study.simulator_hash(), "code": code(wildcards)}


def judged(wildcards):
    """Input function: the solves, estimate and observations of the surrogate to judge."""
    found = earlier("solves", "surrogate", "estimate")(wildcards)
    if found:
        found["previous_observations"] = f"<results>/{wildcards.study}/observations.zarr.zip"
    return found


# Propose parameters to solve: broadly at first, then from the current estimate.
rule propose_parameters:
    input:
        unpack(compared),
        unpack(earlier("estimate")),
        unpack(choosing),
        unpack(known_quantities),
    output:
        proposals="<results>/{study}/rounds/{round}/proposals.zarr.zip",
        made="<results>/{study}/made/propose_parameters.{round}.json",
    log:
        "<results>/{study}/logs/propose_parameters.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/propose_parameters.{round}.tsv"
    wildcard_constraints:
        round="check|fixed|[0-9]+",
    resources:
        **request_of("propose_parameters"),
    params:
        **params_of("propose_parameters"),
    message:
        "{wildcards.study}, round {wildcards.round}: proposing parameters to solve"
    script:
        "../scripts/stage.py"


# Solve the forward model for one chunk of the proposals.
rule solve_chunk:
    input:
        proposals="<results>/{study}/rounds/{round}/proposals.zarr.zip",
    output:
        solves="<results>/{study}/rounds/{round}/chunks/{chunk}.zarr.zip",
        made="<results>/{study}/made/solve_chunk.{round}.{chunk}.json",
    log:
        "<results>/{study}/logs/solve_chunk.{round}.{chunk}.log",
    benchmark:
        "<results>/{study}/benchmarks/solve_chunk.{round}.{chunk}.tsv"
    wildcard_constraints:
        study=studies(shared=False),
    resources:
        **request_of("solve_chunk", of_array=True),
    params:
        **params_of("solve_chunk"),
    message:
        "{wildcards.study}, round {wildcards.round}: solving chunk {wildcards.chunk}"
    script:
        "../scripts/stage.py"


# The same, each system solved by several processes together.
rule solve_chunk_distributed:
    input:
        proposals="<results>/{study}/rounds/{round}/proposals.zarr.zip",
    output:
        solves="<results>/{study}/rounds/{round}/chunks/{chunk}.zarr.zip",
        # The other rule has the same record, since a study may have had one process before.
        made="<results>/{study}/made/solve_chunk.{round}.{chunk}.json",
    log:
        "<results>/{study}/logs/solve_chunk_distributed.{round}.{chunk}.log",
    benchmark:
        "<results>/{study}/benchmarks/solve_chunk_distributed.{round}.{chunk}.tsv"
    wildcard_constraints:
        study=studies(shared=True),
    threads: lambda wildcards: study_of(wildcards).ranks()
    resources:
        **request_of("solve_chunk_distributed"),
        # Threads are for a workstation, on which the processes take that many cores. For Slurm they
        # are tasks of one core.
        mpi=lambda wildcards: default_launcher(),
        tasks=lambda wildcards: study_of(wildcards).ranks(),
        cpus_per_task=1,
    params:
        **params_of("solve_chunk_distributed"),
    message:
        "{wildcards.study}, round {wildcards.round}: solving chunk {wildcards.chunk} together"
    script:
        "../scripts/stage.py"


# Gather the chunks, count failures, and judge the last surrogate on these fresh solves.
rule collect_solves:
    input:
        unpack(judged),
        proposals="<results>/{study}/rounds/{round}/proposals.zarr.zip",
        chunks=lambda wildcards: expand(
            "<results>/{study}/rounds/{round}/chunks/{chunk}.zarr.zip",
            chunk=range(chunk_count(study_of(wildcards), wildcards.round)),
            allow_missing=True,
        ),
    output:
        solves="<results>/{study}/rounds/{round}/solves.zarr.zip",
        made="<results>/{study}/made/collect_solves.{round}.json",
    log:
        "<results>/{study}/logs/collect_solves.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/collect_solves.{round}.tsv"
    resources:
        **request_of("collect_solves"),
    params:
        **params_of("collect_solves"),
        solver=solved_by,
    message:
        "{wildcards.study}, round {wildcards.round}: collecting the solves"
    script:
        "../scripts/stage.py"


def artefacts_of_rounds(count):
    """Outputs of a job that runs all rounds, by name."""
    names = ("solves", "surrogate", "estimate")
    made = [*((name, r) for r in range(count) for name in names), ("solves", "check")]
    folder = "<results>/{study}/rounds"
    return {f"{name}_{r}": f"{folder}/{r}/{name}.zarr.zip" for name, r in made}


# One rule for each number of rounds, since the outputs of a rule are fixed.
for count in sorted({rounds_at_once(study) for study in STUDIES.values()} - {0}):

    # All rounds, where their solves, trainings and estimates take seconds.
    rule run_rounds:
        name:
            f"run_{count}_rounds"
        input:
            unpack(compared),
            observations="<results>/{study}/observations.zarr.zip",
        output:
            **artefacts_of_rounds(count),
            made="<results>/{study}/made/run_rounds.json",
        log:
            "<results>/{study}/logs/run_rounds.log",
        benchmark:
            "<results>/{study}/benchmarks/run_rounds.tsv"
        wildcard_constraints:
            study=studies(rounds_at_once=count),
        threads: processes("run_rounds")
        resources:
            **request_of("run_rounds"),
        params:
            **params_of("run_rounds"),
        message:
            "{wildcards.study}: the rounds: solving, training, and estimating"
        script:
            "../scripts/run_rounds.py"

    # The parts of such a study make the rounds of its evidence alone.
    workflow.ruleorder(f"run_{count}_rounds", "collect_solves")


# Train the surrogate on all solves so far; a network starts from its last weights.
rule train_surrogate:
    input:
        unpack(earlier("surrogate", "estimate")),
        solves="<results>/{study}/rounds/{round}/solves.zarr.zip",
    output:
        surrogate="<results>/{study}/rounds/{round}/surrogate.zarr.zip",
        made="<results>/{study}/made/train_surrogate.{round}.json",
    log:
        "<results>/{study}/logs/train_surrogate.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/train_surrogate.{round}.tsv"
    wildcard_constraints:
        round="[0-9]+",
        study=studies(rounds_at_once=0),
    resources:
        **request_of("train_surrogate"),
    params:
        **params_of("train_surrogate"),
    message:
        "{wildcards.study}, round {wildcards.round}: training the surrogate"
    script:
        "../scripts/stage.py"


# Estimate the population through the round's surrogate, for the next round's solves.
rule update_population:
    input:
        unpack(earlier("estimate")),
        observations="<results>/{study}/observations.zarr.zip",
        surrogate="<results>/{study}/rounds/{round}/surrogate.zarr.zip",
    output:
        estimate="<results>/{study}/rounds/{round}/estimate.zarr.zip",
        made="<results>/{study}/made/update_population.{round}.json",
    log:
        "<results>/{study}/logs/update_population.{round}.log",
    benchmark:
        "<results>/{study}/benchmarks/update_population.{round}.tsv"
    wildcard_constraints:
        round="[0-9]+",
        study=studies(rounds_at_once=0),
    threads: processes("update_population")
    resources:
        **request_of("update_population"),
    params:
        **params_of("update_population"),
    message:
        "{wildcards.study}, round {wildcards.round}: updating the population estimate"
    script:
        "../scripts/stage.py"
