"""Federated low-rank adaptation with unequal ranks (FedHL) and the methods it is compared with.

K clients adapt one pretrained network W_0 without sharing their data. Client i trains B_i A_i of
its rank r_i. The server keeps the increment W_t as a dense matrix of full rank, sends its best
approximation of rank r_i, and adds the changes of the clients:

    W_{t+1} = W_t + sum_i p_i (B_i' A_i' - W_t^{r_i}),   p_i ~ 1 / (rhat_i^q + epsilon),

with rhat_i = |W_t - W_t^{r_i}|_F^2 (Peng et al., arXiv 2505.18494, update, eq. 8 and 15). Rule and
weights are known to us from an independent implementation that quotes them; of the paper itself
only the abstract was readable, and everything else here is a reconstruction.

``lora``        low-rank factors of any torch module's weights, and their gradients
``server``      truncation, weights, and the four methods' rules
``clients``     divisions of data, local training of all clients at once, sampling of clients, and
                clients of HetLoRA that lower their ranks
``federation``  settings, state, and one round as a pure step
``regression``  the test problem's first part: a linear regression in which everything is known
``texts``       its third: the last block of a pretrained encoder, and kinds of texts
``accuracies``  the rules on both classifications, over divisions, seeds and learning rates
``problem``     its second part, a small network from digits to clothes, and the parts together
``claims``      the table of claims
``use``         sites with laws of their own adapt a study's surrogate
"""
