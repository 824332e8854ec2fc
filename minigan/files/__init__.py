"""What is kept on disk, so that no crash can break it.

weights      a network's numbers: safetensors and npz, written whole or not at all
checkpoint   everything that a run needs to go on, verified byte by byte when it is read
torch        state_dicts of PyTorch, read without running what is in them
"""
