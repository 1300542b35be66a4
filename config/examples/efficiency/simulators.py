"""Simulators of the problems whose efficiency is measured; see efficiency.yaml."""

import numpy as np

TIMES = np.linspace(0, 4, 10)
AGES = np.linspace(-1, 1, 9)
MIXING = np.random.default_rng(0).standard_normal((2, 10))


def decay(z):
    """Map (size, rate) to curves that decay, at ten times: the template of `popinv new-study`."""
    size, rate = z.T
    return size[:, None] * np.exp(-rate[:, None] * TIMES)


def growth(z):
    """Map (height, rate) to heights at nine ages, as those of the boys of Oxford."""
    height, rate = z.T
    return height[:, None] + rate[:, None] * AGES


def mixed(z):
    """Map two sources to ten sensors that each see a mixture of them."""
    return z @ MIXING
