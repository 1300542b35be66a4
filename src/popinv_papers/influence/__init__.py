"""Influence distillation: the selection of training samples from a pool, for a small target.

A step of the optimiser on the pool, each sample with a weight, changes the target's loss; to
first order in the learning rate a sample's share of that change is the product of its gradient
with the target's. Robust weights follow in closed form, and the shares of most samples from those
of a few landmarks (Nikdan, Cohen-Addad, Alistarh and Mirrokni, arXiv 2505.19051). Formulas follow
the opening of the paper and the authors' released code and are otherwise derived anew, since the
paper's body was not readable to us.

``gradients``    losses as functions of one vector of weights, and their derivatives
``steps``        the optimiser's step as a linear map of the gradient: SGD, momentum, Adam
``influence``    the change of the target's loss by a weighted step, first and second order
``robust``       weights that are robust to errors of the scores, by closed form and by descent
``landmarks``    embeddings by forward mode, and scores spread from a few landmarks
``selection``    the best of one score, or each target sample in its turn
``costs``        operations that the methods need, by the paper's count; ``timing``, beside seconds
``networks``     a small transformer and a perceptron
``training``     training on a selection by Adam
``exactness``    the test problem's first part: orders of errors, and the second-order term
``mixture``      its second: a classification from several domains
``corpus``       passages of texts of several sources; ``pretraining``, a language model of them
``language``     its third: what the model learns from the passages that each method selects
``fine_tuning``  its fourth: a pretrained encoder that learns to tell kinds of texts apart
``comparison``   what the selections are made of; ``text_pool``, those of both pools of texts
``bigram_table`` a table of pairs of tokens, which a language model must beat
``problem``      the parts together, and their numbers
``claims``       claims on them, with the measurements
``study``        which solves of a study to train on
``answer``       the change of a study's answer due to its surrogate's error
``worth``        the choice of solves by their worth for the answer
``candidates``   candidates to solve in that order; ``saving``, the solves that it saves
"""
