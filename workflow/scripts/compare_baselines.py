"""Put the study's answer, its oracles and its baselines into one table."""

import json

from popinv import storage
from popinv.inference.baselines.comparison import comparison, seconds_of, write_table
from popinv.job import job
from popinv.whole_files import write_text

with job(snakemake):
    ending = "_time"
    given = dict(snakemake.input.items())
    names = [name.removesuffix(ending) for name in given if name.endswith(ending)]
    observations = storage.load(snakemake.input.observations)
    check = storage.load(snakemake.input.check)
    table = comparison(
        {name: storage.load(given[name]) for name in names},
        {name: seconds_of(given[name + ending]) for name in names},
        systems=observations.sizes["system"],
        solver_calls=int(check["solver_calls"].sum()),
        truth=storage.load(given["truth"]) if "truth" in given else None,
    )
    write_text(snakemake.output.comparison, json.dumps(table, indent=2) + "\n")
    write_table(table, snakemake.output.table)
