"""The sampling error of forward models with randomness inside."""


# Solve some systems again and again from other initial states.
rule repeat_solves:
    input:
        descent="<results>/{study}/descent.zarr/zarr.json",
    output:
        sampling_error="<results>/{study}/sampling_error.zarr/zarr.json",
    log:
        "<results>/{study}/logs/repeat_solves.log",
    benchmark:
        "<results>/{study}/benchmarks/repeat_solves.tsv"
    resources:
        mem_mb=memory,
        runtime=runtime,
    params:
        seed=lookup(dpath="studies/{study}/seed", within=config),
        forward=lookup(dpath="studies/{study}/forward", within=config),
        law=lookup(dpath="studies/{study}/law", within=config),
        repeats=lookup(dpath="studies/{study}/assessment/repeats", within=config),
        systems=lookup(dpath="studies/{study}/assessment/repeated_systems", within=config),
        code=code_of("repeat_solves", "solver", "law"),
    message:
        "{wildcards.study}: repeating solves for their sampling error"
    script:
        "../scripts/repeat_solves.py"
