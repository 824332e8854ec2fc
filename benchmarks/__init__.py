"""minigan against hand-written NumPy, HIPS autograd and PyTorch: see README.md in this folder."""
