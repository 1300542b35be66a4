"""Scaling laws of gradient and sign descent for a linear bigram model under Zipf's law.

A linear model W predicts the next symbol from the present one under the square loss; symbol k has
the frequency pi_k, proportional to k^-a. Kunstner and Bach (arXiv 2505.19227) show how many steps
gradient descent and sign descent need as the vocabulary d grows.

``power_law``         frequencies and sums of powers
``gradient_descent``  exact losses, limits, steps to a relative loss
``sign_descent``      exact and simplified losses, the best step, limits, steps to a relative loss
``entries``           bigrams of sequences of symbols, and exact losses of both descents and Adam
``curves``            counted curves beside the curves of the fitted power law
``scaling``, ``cross_entropy``, ``text_problem``
                      the parts of the test problem, which ``check`` joins; ``claims`` on them
``series``            observed series as symbols, and the optimiser that the law advises
"""
