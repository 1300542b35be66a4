"""Several objectives over one distribution: multiple Wasserstein gradient descent."""


# Four mixtures in the plane: velocities, weights, and the accelerated variant.
rule check_mwgrad_claims:
    output:
        metrics="<results>/downstream/mwgrad/metrics.json",
        claims="<results>/downstream/mwgrad/claims.csv",
        result="<results>/downstream/mwgrad/result.zarr/zarr.json",
        figures=expand(
            "<results>/downstream/mwgrad/figures/{figure}.png",
            figure=["particles", "accelerated"],
        ),
    log:
        "<results>/downstream/logs/check_mwgrad_claims.log",
    benchmark:
        "<results>/downstream/benchmarks/check_mwgrad_claims.tsv"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        seed=lookup(dpath="seed", within=config),
        code=code_alone("check_mwgrad_claims"),
    message:
        "mwgrad: moving particles on four mixtures"
    script:
        "../scripts/check_mwgrad_claims.py"
