"""Influence distillation: the selection of training samples from a pool, for a small target.

A step of the optimiser on the pool, each sample with a weight, changes the target's loss; to
first order in the learning rate a sample's share of that change is the product of its gradient
with the target's. Robust weights follow in closed form, and the shares of most samples from the
shares of a few landmarks (Nikdan, Cohen-Addad, Alistarh and Mirrokni, arXiv 2505.19051). Formulas
follow the opening of the paper and the authors' released code and are otherwise derived anew, since
the paper's body was not readable to us.

``influence``    losses as functions of one vector of weights, a step as a linear map of the
                 gradient, and the change of the target's loss by a weighted step
``pool_scores``  exact scores of a pool, embeddings by forward mode, and scores spread from a few
                 landmarks
``selection``    the best of one score, or each target sample in its turn; weights that are robust
                 to errors of the scores
``costs``        operations that the methods need, by the paper's count, beside processor time
``networks``     a small transformer and a perceptron
``training``     training on a selection by Adam
``exactness``    the test problem's first part: orders of errors, and the second-order term
``mixture``      its second: a classification from several domains
``pretraining``  passages of texts of several sources, and a language model of them, which must beat
                 a table of pairs of tokens
``language``     its third: what the model learns from the passages that each method selects
``fine_tuning``  its fourth: a pretrained encoder that learns to tell kinds of texts apart
``text_pool``    selections from both pools of texts
``problem``      the parts together, and their numbers
``claims``       claims on them, with the measurements
``study``        which solves of a study to train on
``worth``        the change of a study's answer due to its surrogate's error, and the choice of
                 solves by their worth for the answer
``candidates``   candidates to solve in that order, and the solves that it saves
"""
