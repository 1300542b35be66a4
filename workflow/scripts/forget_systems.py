"""Remove systems from a read-out of a study's observations, with a certificate."""

from pathlib import Path

from popinv import storage
from popinv.downstream.certified_unlearning.certificate import write_certificate
from popinv.downstream.certified_unlearning.readout import forget_systems
from popinv.downstream.claims import write_metrics
from popinv.figures.certified_unlearning import draw_forgetting
from popinv.figures.style import save
from popinv.job import job
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    observations = storage.load(snakemake.input.observations)
    with fixed_threads():
        result, metrics, documents = forget_systems(observations, given.asked, given.seed)
    print(metrics["statement"])
    storage.save(
        result,
        output.result,
        config=dict(given.asked),
        seed=given.seed,
        created_by=snakemake.rule,
    )
    save(draw_forgetting(result), Path(output.figures))
    for way, document in documents.items():
        write_certificate(document, Path(output[way]))
    write_metrics(metrics, Path(output.metrics))
