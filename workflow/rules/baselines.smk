"""Other methods on the same observations, through the same surrogate, and their comparison."""

# The job of each baseline, by the name of its benchmark file.
BASELINE_JOBS = {
    "full": "descend_with_policy.full",
    "plain": "descend_with_policy.plain",
    "two_stage": "fit_two_stage",
    "nuts": "sample_hierarchical",
}


def compared(wildcards):
    """The answer and benchmark file of every method that a study compares, and the truth."""
    study, folder = study_of(wildcards), f"<results>/{wildcards.study}"
    jobs = {
        "blind": ("population", "maximise_likelihoods"),
        "distance": ("descent", "deconvolve"),
    }
    found = {}
    if study.is_synthetic():
        found["truth"] = f"{folder}/truth.zarr.zip"
        if study.assessment.oracles:
            for known in ("noise", "law"):
                name = f"{known}_known"
                jobs[name] = (f"oracles/{name}", f"consult_oracle.{known}")
    for name in study.assessment.baselines:
        jobs[name] = (f"baselines/{name}", BASELINE_JOBS[name])
    for name, (store, job) in jobs.items():
        found[name] = f"{folder}/{store}.zarr.zip"
        found[f"{name}_time"] = f"{folder}/benchmarks/{job}.tsv"
    return found


# The descent with a gradient that also passes through the metric, or without the metric.
rule descend_with_policy:
    input:
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        estimate=final("estimate"),
    output:
        answer="<results>/{study}/baselines/{policy}.zarr.zip",
        made="<results>/{study}/made/descend_with_policy.{policy}.json",
    log:
        "<results>/{study}/logs/descend_with_policy.{policy}.log",
    benchmark:
        "<results>/{study}/benchmarks/descend_with_policy.{policy}.tsv"
    wildcard_constraints:
        policy="full|plain",
    resources:
        **request_of("descend_with_policy"),
    params:
        **params_of("descend_with_policy"),
    message:
        "{wildcards.study}: descending with the policy {wildcards.policy}"
    script:
        "../scripts/stage.py"


# Fit every system separately, then the law of the fitted parameters.
rule fit_two_stage:
    input:
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        estimate=final("estimate"),
    output:
        answer="<results>/{study}/baselines/two_stage.zarr.zip",
        made="<results>/{study}/made/fit_two_stage.json",
    log:
        "<results>/{study}/logs/fit_two_stage.log",
    benchmark:
        "<results>/{study}/benchmarks/fit_two_stage.tsv"
    threads: processes("fit_two_stage")
    resources:
        **request_of("fit_two_stage"),
    params:
        **params_of("fit_two_stage"),
    message:
        "{wildcards.study}: fitting each system by itself"
    script:
        "../scripts/stage.py"


# Hierarchical Bayes on some of the systems; needs numpyro.
rule sample_hierarchical:
    input:
        observations=of_all("observations"),
        surrogate=final("surrogate"),
        estimate=final("estimate"),
    output:
        answer="<results>/{study}/baselines/nuts.zarr.zip",
        made="<results>/{study}/made/sample_hierarchical.json",
    log:
        "<results>/{study}/logs/sample_hierarchical.log",
    benchmark:
        "<results>/{study}/benchmarks/sample_hierarchical.tsv"
    resources:
        **request_of("sample_hierarchical"),
    params:
        **params_of("sample_hierarchical"),
    message:
        "{wildcards.study}: sampling the posterior of law and noise"
    script:
        "../scripts/stage.py"


# One table of errors and cost.
rule compare_baselines:
    input:
        unpack(compared),
        observations=of_all("observations"),
        check="<results>/{study}/rounds/check/solves.zarr.zip",
    output:
        comparison="<results>/{study}/baselines/comparison.json",
        table="<results>/{study}/baselines/comparison.csv",
        made="<results>/{study}/made/compare_baselines.json",
    log:
        "<results>/{study}/logs/compare_baselines.log",
    benchmark:
        "<results>/{study}/benchmarks/compare_baselines.tsv"
    resources:
        **request_of("compare_baselines"),
    params:
        code=code_of("compare_baselines"),
    message:
        "{wildcards.study}: comparing the baselines"
    script:
        "../scripts/compare_baselines.py"
