"""Confront the scaling laws of gradient and sign descent with what is measured."""

from pathlib import Path

from popinv import storage
from popinv.downstream.bigram import problem
from popinv.downstream.bigram.counts import Bigrams
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.text import brown_texts, byte_pair_symbols
from popinv.figures import bigram as figures
from popinv.figures.style import save
from popinv.job import job

with job(snakemake):
    output, size = snakemake.output, problem.SIZES[snakemake.params.size]
    texts = list(brown_texts(Path(snakemake.input.corpus)).values())
    named = {}
    for vocabulary in size.vocabularies:
        symbols, learnt = byte_pair_symbols(texts, vocabulary)
        named[vocabulary] = Bigrams.of(symbols, learnt)
        print(f"{learnt} tokens, {len(named[vocabulary].counts)} different pairs")
    text = problem.text(named)
    result = problem.whole(
        problem.collapse(size.sizes),
        problem.scaling(size.sizes),
        text,
        problem.cross_entropy_steps(size.cross_entropy_sizes),
    )
    found = problem.metrics(result)
    storage.save(
        result,
        output.result,
        config={"size": snakemake.params.size},
        seed=0,
        created_by=snakemake.rule,
    )
    folder = Path(output.figures[0]).parent
    save(figures.draw_collapse(result), folder / "collapse.png")
    save(figures.draw_scaling(result), folder / "scaling.png")
    title = "Relative loss on the Brown corpus"
    save(figures.draw_curves(text, title), folder / "text.png")
    write_claims(problem.claims(result, found), Path(output.claims))
    write_metrics(found, Path(output.metrics))
