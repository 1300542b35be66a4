"""Evidence that the method works, for synthetic studies that ask for it."""


def asked(wildcards):
    """The evidence that a study asks for."""
    return config["studies"][wildcards.study]["evidence"]


def trained_surrogates(wildcards):
    """Input function: the surrogate of every round."""
    rounds = range(last_round(config["studies"][wildcards.study]) + 1)
    folder = f"<results>/{wildcards.study}/rounds"
    return [f"{folder}/{number}/surrogate.zarr/zarr.json" for number in rounds]


def new_solves(wildcards):
    """Input function: solves of new systems, if they are not observed through the surrogate."""
    if asked(wildcards)["through"] == "surrogate":
        return {}
    folder = f"<results>/{wildcards.study}/rounds/systems_{wildcards.systems}"
    return {"solves": f"{folder}/solves.zarr/zarr.json"}


def figure(name):
    """The figure of this name, for the report."""
    return report(
        f"<results>/{{study}}/figures/{name}.png",
        caption=f"../report/{name}.rst",
        category="{study}",
        labels={"figure": name.replace("_", " ")},
    )


# Draw data sets of one size from the truth, and fit them.
rule measure_error:
    input:
        unpack(new_solves),
        truth="<results>/{study}/truth.zarr/zarr.json",
        surrogate=final("surrogate"),
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        errors="<results>/{study}/evidence/errors/{systems}.zarr/zarr.json",
    log:
        "<results>/{study}/logs/measure_error.{systems}.log",
    benchmark:
        "<results>/{study}/benchmarks/measure_error.{systems}.tsv"
    wildcard_constraints:
        systems="[0-9]+",
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        noise_scale=lookup(dpath="studies/{study}/observations/noise_scale", within=config),
        study_systems=lookup(dpath="studies/{study}/observations/count", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        iterations=lookup(dpath="studies/{study}/evidence/iterations", within=config),
        repeats=lookup(dpath="studies/{study}/evidence/repeats", within=config),
        code=code_of("measure_error", "law", "noise"),
    message:
        "{wildcards.study}: fitting new data sets of {wildcards.systems} systems"
    script:
        "../scripts/measure_error.py"


# Fit how the errors fall with the number of systems.
rule fit_error_slope:
    input:
        errors=lambda wildcards: expand(
            "<results>/{study}/evidence/errors/{systems}.zarr/zarr.json",
            systems=asked(wildcards)["system_counts"],
            allow_missing=True,
        ),
    output:
        errors="<results>/{study}/evidence/error_against_systems.zarr/zarr.json",
        metrics="<results>/{study}/evidence/error_against_systems.json",
        figure=figure("evidence_error_against_systems"),
    log:
        "<results>/{study}/logs/fit_error_slope.log",
    benchmark:
        "<results>/{study}/benchmarks/fit_error_slope.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        through=lookup(dpath="studies/{study}/evidence/through", within=config),
        code=code_of("fit_error_slope"),
    message:
        "{wildcards.study}: fitting how the errors fall with the number of systems"
    script:
        "../scripts/fit_error_slope.py"


# Train a surrogate on solves of the broad design alone.
rule train_fixed_design:
    input:
        solves="<results>/{study}/rounds/fixed/solves.zarr/zarr.json",
        check="<results>/{study}/rounds/check/solves.zarr/zarr.json",
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        surrogate="<results>/{study}/evidence/fixed_designs/{solves}.zarr/zarr.json",
    log:
        "<results>/{study}/logs/train_fixed_design.{solves}.log",
    benchmark:
        "<results>/{study}/benchmarks/train_fixed_design.{solves}.tsv"
    wildcard_constraints:
        solves="[0-9]+",
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        surrogate=lookup(dpath="studies/{study}/surrogate", within=config),
        code=code_of("train_fixed_design", "law", "network"),
    message:
        "{wildcards.study}: training on {wildcards.solves} solves of a broad design"
    script:
        "../scripts/train_fixed_design.py"


# Compare the solver calls that both designs need for the same error.
rule compare_designs:
    input:
        active=trained_surrogates,
        fixed=lambda wildcards: expand(
            "<results>/{study}/evidence/fixed_designs/{solves}.zarr/zarr.json",
            solves=asked(wildcards)["design_counts"],
            allow_missing=True,
        ),
        check="<results>/{study}/rounds/check/solves.zarr/zarr.json",
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        designs="<results>/{study}/evidence/designs.zarr/zarr.json",
        metrics="<results>/{study}/evidence/designs.json",
        figure=figure("evidence_designs"),
    log:
        "<results>/{study}/logs/compare_designs.log",
    benchmark:
        "<results>/{study}/benchmarks/compare_designs.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        solves=lookup(dpath="studies/{study}/evidence/design_counts", within=config),
        code=code_of("compare_designs"),
    message:
        "{wildcards.study}: comparing active learning with a fixed design"
    script:
        "../scripts/compare_designs.py"


# Draw data sets of the study's size from the truth, and find the intervals of each.
rule replicate_study:
    input:
        truth="<results>/{study}/truth.zarr/zarr.json",
        surrogate=final("surrogate"),
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        replications="<results>/{study}/evidence/replications/{block}.zarr/zarr.json",
    log:
        "<results>/{study}/logs/replicate_study.{block}.log",
    benchmark:
        "<results>/{study}/benchmarks/replicate_study.{block}.tsv"
    wildcard_constraints:
        block="[0-9]+",
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        noise_scale=lookup(dpath="studies/{study}/observations/noise_scale", within=config),
        study_systems=lookup(dpath="studies/{study}/observations/count", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        resamples=lookup(dpath="studies/{study}/assessment/bootstrap", within=config),
        replications=lambda wildcards: replications_of(
            config["studies"][wildcards.study], int(wildcards.block)
        ),
        code=code_of("replicate_study", "law", "noise"),
    message:
        "{wildcards.study}: repeating the study on new data, block {wildcards.block}"
    script:
        "../scripts/replicate_study.py"


# Count how often the intervals hold the truth.
rule measure_coverage:
    input:
        blocks=lambda wildcards: expand(
            "<results>/{study}/evidence/replications/{block}.zarr/zarr.json",
            block=range(coverage_blocks(config["studies"][wildcards.study])),
            allow_missing=True,
        ),
        truth="<results>/{study}/truth.zarr/zarr.json",
    output:
        coverage="<results>/{study}/evidence/coverage.zarr/zarr.json",
        metrics="<results>/{study}/evidence/coverage.json",
        figure=figure("evidence_coverage"),
    log:
        "<results>/{study}/logs/measure_coverage.log",
    benchmark:
        "<results>/{study}/benchmarks/measure_coverage.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        replications=lookup(dpath="studies/{study}/evidence/coverage_replications", within=config),
        code=code_of("measure_coverage"),
    message:
        "{wildcards.study}: counting how often the intervals hold the truth"
    script:
        "../scripts/measure_coverage.py"
