"""The answer and what a sceptic asks of it."""


def final(artefact):
    """Input function: an artefact of the last round."""
    return lambda wildcards: (
        f"<results>/{wildcards.study}/rounds/{last_round(config['studies'][wildcards.study])}"
        f"/{artefact}.zarr/zarr.json"
    )


def evidence(wildcards):
    """What the assessment gathers beyond the descent, as the study allows and asks."""
    study, folder = config["studies"][wildcards.study], f"<results>/{wildcards.study}"
    found = {}
    if study["assessment"]["bootstrap"]:
        found["resamples"] = f"{folder}/resamples.zarr/zarr.json"
    if has_sampling_error(study):
        found["sampling_error"] = f"{folder}/sampling_error.zarr/zarr.json"
    if is_synthetic(study):
        found["truth"] = f"{folder}/truth.zarr/zarr.json"
        if study["assessment"]["oracles"]:
            found["noise_known"] = f"{folder}/oracles/noise_known.zarr/zarr.json"
            found["law_known"] = f"{folder}/oracles/law_known.zarr/zarr.json"
    return found


def judged_by(wildcards):
    """Params function: the assessment's settings, without those of rules of their own."""
    section = config["studies"][wildcards.study]["assessment"]
    return {key: value for key, value in section.items() if key != "baselines"}


# The coupled descent on law and noise.
rule deconvolve:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        estimate=final("estimate"),
    output:
        descent="<results>/{study}/descent.zarr/zarr.json",
    log:
        "<results>/{study}/logs/deconvolve.log",
    benchmark:
        "<results>/{study}/benchmarks/deconvolve.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        checkpoint=config["results"] + "/.checkpoints/{study}/deconvolve.zarr",
        code=code_of("deconvolve", "law", "noise"),
    message:
        "{wildcards.study}: recovering the law and the noise"
    script:
        "../scripts/deconvolve.py"


# The same descent with the noise, or the law, known.
rule consult_oracle:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        truth="<results>/{study}/truth.zarr/zarr.json",
        surrogate=final("surrogate"),
        estimate=final("estimate"),
    output:
        oracle="<results>/{study}/oracles/{known}_known.zarr/zarr.json",
    log:
        "<results>/{study}/logs/consult_oracle.{known}.log",
    benchmark:
        "<results>/{study}/benchmarks/consult_oracle.{known}.tsv"
    wildcard_constraints:
        known="noise|law",
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        truth=lookup(dpath="studies/{study}/observations/truth", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        code=code_of("consult_oracle", "law", "noise", "true_noise"),
    message:
        "{wildcards.study}: asking the oracle that knows the {wildcards.known}"
    script:
        "../scripts/consult_oracle.py"


# Repeat the descent on resampled systems, for intervals.
rule resample_systems:
    input:
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        resamples="<results>/{study}/resamples.zarr/zarr.json",
    log:
        "<results>/{study}/logs/resample_systems.log",
    benchmark:
        "<results>/{study}/benchmarks/resample_systems.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        descent=lookup(dpath="studies/{study}/descent", within=config),
        resamples=lookup(dpath="studies/{study}/assessment/bootstrap", within=config),
        code=code_of("resample_systems", "law", "noise"),
    message:
        "{wildcards.study}: resampling systems for confidence intervals"
    script:
        "../scripts/resample_systems.py"


# Gather the answer, and judge it.
rule assess_population:
    input:
        unpack(evidence),
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        descent="<results>/{study}/descent.zarr/zarr.json",
        check="<results>/{study}/rounds/check/solves.zarr/zarr.json",
    output:
        population="<results>/{study}/population.zarr/zarr.json",
        metrics="<results>/{study}/metrics.json",
    log:
        "<results>/{study}/logs/assess_population.log",
    benchmark:
        "<results>/{study}/benchmarks/assess_population.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        assessment=judged_by,
        code=code_of("assess_population", "law", "noise"),
    message:
        "{wildcards.study}: assessing the answer"
    script:
        "../scripts/assess_population.py"


def estimates(wildcards):
    """The population as each round estimated it, for the figure of the solver calls."""
    rounds = range(last_round(config["studies"][wildcards.study]) + 1)
    folder = f"<results>/{wildcards.study}/rounds"
    return {f"estimate_{r}": f"{folder}/{r}/estimate.zarr/zarr.json" for r in rounds}


# Draw every figure of a study.
rule plot_figures:
    input:
        unpack(evidence),
        unpack(estimates),
        observations="<results>/{study}/observations.zarr/zarr.json",
        surrogate=final("surrogate"),
        population="<results>/{study}/population.zarr/zarr.json",
        check="<results>/{study}/rounds/check/solves.zarr/zarr.json",
    output:
        [
            report(
                f"<results>/{{study}}/figures/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="{study}",
                labels={"figure": figure.replace("_", " ")},
            )
            for figure in FIGURES
        ],
    log:
        "<results>/{study}/logs/plot_figures.log",
    benchmark:
        "<results>/{study}/benchmarks/plot_figures.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        noise=lookup(dpath="studies/{study}/noise", within=config),
        code=code_of("plot_figures", "law", "noise"),
    message:
        "{wildcards.study}: drawing the figures"
    script:
        "../scripts/plot_figures.py"
