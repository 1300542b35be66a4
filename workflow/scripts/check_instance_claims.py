"""Hold bounds against exact chains, and let a classifier of images forget sets of them."""

from pathlib import Path

from popinv import storage
from popinv.downstream.claims import write_claims, write_metrics
from popinv.downstream.images import SETS, read_images
from popinv.downstream.instance_unlearning import problem
from popinv.downstream.instance_unlearning.chains import chain_metrics, compare, per_instance_steps
from popinv.downstream.instance_unlearning.colour_images import read_folder
from popinv.downstream.instance_unlearning.experiment import (
    SIZES,
    Experiment,
    datasets,
    memorised_share,
    solve,
)
from popinv.figures.instance_unlearning import draw_curves, draw_steps
from popinv.figures.style import save
from popinv.job import job
from popinv.threads import fixed_threads

with job(snakemake):
    given, output = snakemake.params, snakemake.output
    seed, size, name = given.seed, SIZES[given.size], given.images
    files = [Path(file) for file in snakemake.input.images]
    images = read_images(files[0], name) if name in SETS else read_folder(Path(name))
    with fixed_threads():
        experiment = Experiment(*datasets(images, size, seed), size, seed)
        memorised = memorised_share(experiment)
        found = {training: solve(experiment, training, memorised) for training in ("sgld", "sgd")}
    chains = per_instance_steps(seed)
    numbers = problem.metrics(chain_metrics(compare(seed)), chains, found, size)
    result = problem.result_dataset(found, size)
    settings = {"size": given.size, "images": name}
    storage.save(result, output.result, config=settings, seed=seed, created_by=snakemake.rule)
    folder = Path(output.figures[0]).parent
    save(draw_steps(result), folder / "steps.png")
    save(draw_curves(result), folder / "curves.png")
    write_claims(problem.claims(numbers, found, size), Path(output.claims))
    write_metrics(numbers, Path(output.metrics))
