"""Certified unlearning by projected noisy stochastic gradient descent.

A convex model is learnt by noisy steps over a fixed cyclic partition of the records; to remove a
record, the same steps go on without it for a few epochs. The number of epochs after which the
parameters are, up to (epsilon, delta), like those that never saw the record follows from constants
alone.

``accountant``   gaps, guarantees, and closed forms for the noise and the number of epochs
``baselines``    descent to delete, and Langevin unlearning
``losses``       convex losses of linear models and their constants
``records``      records in batches; a removal touches one batch
``descent``      the iteration: learning and unlearning
``requests``     removal under certificate
``certificate``  the certificate as a document, and its verification
``digits``       threes against eights
``accounts``     epochs of a hundred requests by several methods, from constants alone
``problem``      the test problem: epochs and accuracies
``claims``       claims on them, with the measurements
``contributions`` the answer of a study as a mean over its systems
``answer``       removal of systems from that answer
``attack``       what an observer can tell of a removal

Source: Chien, Wang, Chen and Li, "Certified machine unlearning via noisy stochastic gradient
descent", NeurIPS 2024 (arXiv 2403.17105).
"""
