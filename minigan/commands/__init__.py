"""What `python -m minigan` does beside training, one command a file: its options, and a function that carries it out.

    sample.py    draw samples with the generator of a run
    inspect.py   what a checkpoint, a weight file or a run holds, and whether it is whole
    convert.py   weights from one file format to another

Each returns the exit status, and raises ValueError, OSError or RuntimeError for what the user can put right.
"""
