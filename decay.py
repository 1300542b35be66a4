import torch

def solve(z, design, times):
    t = torch.as_tensor(times)
    return design * z[:, :1] * torch.exp(-z[:, 1:] * t)
