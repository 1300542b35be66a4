"""Fast, differentiable surrogates of a forward model, trained again as the population moves.

``networks`` holds the networks, ``training`` fits them, and ``design`` chooses the training rows,
their weights, and the unit of the remaining error.
"""
