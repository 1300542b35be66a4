"""Certified unlearning by projected noisy stochastic gradient descent.

A convex model is learnt by noisy steps over a fixed cyclic partition of the records; to remove a
record, the same steps go on without it for a few epochs. The number of epochs after which the
parameters are, up to (epsilon, delta), like those that never saw the record follows from constants
alone.

The accountant, the iteration and the removals are in :mod:`popinv.methods.certificate`.

``accounts``  epochs of a hundred requests by several methods, from constants alone
``digits``    threes against eights
``check``     the test problem: epochs and accuracies
``claims``    claims on them, with the measurements

Source: Chien, Wang, Chen and Li, "Certified machine unlearning via noisy stochastic gradient
descent", NeurIPS 2024 (arXiv 2403.17105).
"""
