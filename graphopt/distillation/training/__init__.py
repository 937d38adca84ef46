"""The steps of training: data, losses, optimizers, what is kept of it. All of it needs PyTorch."""
