"""Evidence that the method works, for synthetic studies that ask for it."""


def asked(wildcards):
    """The evidence that a study requests."""
    return study_of(wildcards).evidence


def trained_surrogates(wildcards):
    """Input function: the surrogate of every round."""
    rounds = range(study_of(wildcards).last_round() + 1)
    folder = f"<results>/{wildcards.study}/rounds"
    return [f"{folder}/{number}/surrogate.zarr.zip" for number in rounds]


def new_solves(wildcards):
    """Input function: solves of new systems, if they are not observed through the surrogate."""
    if asked(wildcards).through == "surrogate":
        return {}
    folder = f"<results>/{wildcards.study}/rounds/systems_{wildcards.systems}"
    return {"solves": f"{folder}/solves.zarr.zip"}


def figure(name):
    """The figure of this name, for the report."""
    return report(
        f"<results>/{{study}}/figures/{name}.png",
        caption=f"../report/{name}.rst",
        category="{study}",
        labels={"figure": name.replace("_", " ")},
    )


# Draw data sets of one size from the truth, and estimate from each.
rule measure_error:
    input:
        unpack(new_solves),
        truth="<results>/{study}/truth.zarr.zip",
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr.zip",
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        errors="<results>/{study}/evidence/errors/{systems}.zarr.zip",
        made="<results>/{study}/made/measure_error.{systems}.json",
    log:
        "<results>/{study}/logs/measure_error.{systems}.log",
    benchmark:
        "<results>/{study}/benchmarks/measure_error.{systems}.tsv"
    wildcard_constraints:
        systems="[0-9]+",
    threads: processes("measure_error")
    resources:
        **request_of("measure_error"),
    params:
        **params_of("measure_error"),
    message:
        "{wildcards.study}: estimating from new data sets of {wildcards.systems} systems"
    script:
        "../scripts/stage.py"


# Fit power laws to the errors against the number of systems.
rule fit_error_slope:
    input:
        errors=lambda wildcards: expand(
            "<results>/{study}/evidence/errors/{systems}.zarr.zip",
            systems=asked(wildcards).system_counts,
            allow_missing=True,
        ),
    output:
        errors="<results>/{study}/evidence/error_against_systems.zarr.zip",
        metrics="<results>/{study}/evidence/error_against_systems.json",
        figure=figure("evidence_error_against_systems"),
        numbers="<results>/{study}/figures/evidence_error_against_systems.csv",
        made="<results>/{study}/made/fit_error_slope.json",
    log:
        "<results>/{study}/logs/fit_error_slope.log",
    benchmark:
        "<results>/{study}/benchmarks/fit_error_slope.tsv"
    resources:
        **request_of("fit_error_slope"),
    params:
        **params_of("fit_error_slope"),
    message:
        "{wildcards.study}: fitting how the errors fall with the number of systems"
    script:
        "../scripts/stage.py"


# Train a surrogate on solves of the broad design alone.
rule train_fixed_design:
    input:
        solves="<results>/{study}/rounds/fixed/solves.zarr.zip",
        check="<results>/{study}/rounds/check/solves.zarr.zip",
        population="<results>/{study}/population.zarr.zip",
    output:
        surrogate="<results>/{study}/evidence/fixed_designs/{solves}.zarr.zip",
        made="<results>/{study}/made/train_fixed_design.{solves}.json",
    log:
        "<results>/{study}/logs/train_fixed_design.{solves}.log",
    benchmark:
        "<results>/{study}/benchmarks/train_fixed_design.{solves}.tsv"
    wildcard_constraints:
        solves="[0-9]+",
    resources:
        **request_of("train_fixed_design"),
    params:
        **params_of("train_fixed_design"),
    message:
        "{wildcards.study}: training on {wildcards.solves} solves of a broad design"
    script:
        "../scripts/stage.py"


# Compare the solver calls that both designs need for the same error.
rule compare_designs:
    input:
        active=trained_surrogates,
        fixed=lambda wildcards: expand(
            "<results>/{study}/evidence/fixed_designs/{solves}.zarr.zip",
            solves=asked(wildcards).design_counts,
            allow_missing=True,
        ),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
        population="<results>/{study}/population.zarr.zip",
    output:
        designs="<results>/{study}/evidence/designs.zarr.zip",
        metrics="<results>/{study}/evidence/designs.json",
        figure=figure("evidence_designs"),
        numbers="<results>/{study}/figures/evidence_designs.csv",
        made="<results>/{study}/made/compare_designs.json",
    log:
        "<results>/{study}/logs/compare_designs.log",
    benchmark:
        "<results>/{study}/benchmarks/compare_designs.tsv"
    resources:
        **request_of("compare_designs"),
    params:
        **params_of("compare_designs"),
    message:
        "{wildcards.study}: comparing active learning with a fixed design"
    script:
        "../scripts/stage.py"


def replicated(wildcards):
    """Input function: the truth of the replications, which is the answer if no truth is known."""
    name = "truth" if study_of(wildcards).is_synthetic() else "population"
    return {name: f"<results>/{wildcards.study}/{name}.zarr.zip"}


# Draw data sets of the study's size from a truth, and estimate each as the study does.
rule replicate_study:
    input:
        unpack(replicated),
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        replications="<results>/{study}/evidence/replications/{block}.zarr.zip",
        made="<results>/{study}/made/replicate_study.{block}.json",
    log:
        "<results>/{study}/logs/replicate_study.{block}.log",
    benchmark:
        "<results>/{study}/benchmarks/replicate_study.{block}.tsv"
    wildcard_constraints:
        block="[0-9]+",
    resources:
        **request_of("replicate_study"),
    params:
        **params_of("replicate_study"),
    message:
        "{wildcards.study}: repeating the study on new data, block {wildcards.block}"
    script:
        "../scripts/stage.py"


# Compute the coverage of the intervals, and compare the errors with the bound.
rule measure_calibration:
    input:
        blocks=lambda wildcards: expand(
            "<results>/{study}/evidence/replications/{block}.zarr.zip",
            block=range(study_of(wildcards).evidence.calibration_blocks()),
            allow_missing=True,
        ),
    output:
        calibration="<results>/{study}/evidence/calibration.zarr.zip",
        metrics="<results>/{study}/evidence/calibration.json",
        figure=figure("evidence_calibration"),
        numbers="<results>/{study}/figures/evidence_calibration.csv",
        made="<results>/{study}/made/measure_calibration.json",
    log:
        "<results>/{study}/logs/measure_calibration.log",
    benchmark:
        "<results>/{study}/benchmarks/measure_calibration.tsv"
    resources:
        **request_of("measure_calibration"),
    params:
        **params_of("measure_calibration"),
    message:
        "{wildcards.study}: counting how often the intervals hold the truth"
    script:
        "../scripts/stage.py"


def calibrated():
    """The studies that request a calibration, each with the forward model of its data sets."""
    return {
        name: study.evidence.through
        for name, study in STUDIES.items()
        if study.evidence.calibration
    }


# Tabulate the errors of the answers of all these studies against the bound.
rule tabulate_efficiency:
    input:
        calibrations=[f"<results>/{name}/evidence/calibration.zarr.zip" for name in calibrated()],
    output:
        page="<results>/efficiency.md",
        made="<results>/made/tabulate_efficiency.json",
    log:
        "<results>/logs/tabulate_efficiency.log",
    benchmark:
        "<results>/benchmarks/tabulate_efficiency.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        through=calibrated(),
        code=code_alone("tabulate_efficiency"),
    message:
        "tabulating the errors of the answers against the bound"
    script:
        "../scripts/tabulate_efficiency.py"


# The page efficiency.md of the studies of the configuration.
rule efficiency:
    input:
        "<results>/efficiency.md",
