"""The difficulty of unlearning each single point by fine-tuning.

A model was trained with noisy gradient steps on a data set D; further steps on D without x should
turn it into a model that has never seen the point x. Sepahvand, Thudi, Isik, Bhattacharyya,
Papernot, Triantafillou, Roy and Dziugaite (ICML 2025, arXiv 2505.18786) bound the number of these
steps through the Renyi divergence P(x, alpha) between training with and without this very point,
which follows from the gradients of x that were met in training. Of their paper only abstract,
introduction and summaries were readable to us: theorem and constants here are reconstructions.

``renyi``     P(x, alpha): losses of single steps, and their composition
``bounds``    from P to a number of fine-tuning steps
``chains``    the test problem's first part: the bounds beside noisy descent in one dimension, whose
              laws are normal and known exactly
``networks``  stacks of classifiers that see the same images
``training``  noisy, plain and sparse descent of a stack on batches drawn by Poisson sampling
``difficulty``  scores of points, barriers of the loss, groups of points to forget, and steps until
              a measure is as without them
``recipe``    images, network and training of the test problem's second part
``experiment``  what is trained and unlearned there
``equal_epsilon``  softmax regression by noisy descent, and its accuracy with the noise that each
              bound needs
``check``     both parts of the test problem together, and their numbers; ``claims``, claims on them
``withdrawal``  an observed system of a study withdraws; ``solves``, solved ones
``use``       what the user of a study would ask of either
"""
