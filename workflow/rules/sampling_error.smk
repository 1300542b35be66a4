"""The sampling error of random forward models."""


# Solve some systems repeatedly from other initial states.
rule repeat_solves:
    input:
        observations=of_all("observations"),
        distance="<results>/{study}/descent.zarr.zip",
    output:
        sampling_error="<results>/{study}/sampling_error.zarr.zip",
        made="<results>/{study}/made/repeat_solves.json",
    log:
        "<results>/{study}/logs/repeat_solves.log",
    benchmark:
        "<results>/{study}/benchmarks/repeat_solves.tsv"
    resources:
        **request_of("repeat_solves"),
    params:
        **params_of("repeat_solves"),
    message:
        "{wildcards.study}: repeating solves for their sampling error"
    script:
        "../scripts/stage.py"
