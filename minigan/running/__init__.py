"""A training run of hours: watched, logged, saved, stopped, and taken up again.

    summary = train(mnist_conv.build(options), Run(output=Path("runs/digits")))

    loop.py          the loop: play a turn, and see what is due
    folder.py        what lies where in a run's folder
    state.py         what a checkpoint holds, and how a run goes on from it
    records.py       log.jsonl
    pictures.py      sheets of samples, the film, walks through noise, curves
    interruption.py  Ctrl-C and SIGTERM
    trained.py       a run's networks, opened again to draw samples
    command.py       all of it as one command line

None of it touches the numbers: a run that is watched plays the same game as `for turn in system.play()`.
"""

from minigan.running.command import error_line, main
from minigan.running.folder import Folder
from minigan.running.loop import Summary, Training, train
from minigan.running.options import Run
from minigan.running.trained import Trained, open_run, open_weights

__all__ = ["Folder", "Run", "Summary", "Trained", "Training", "error_line", "main", "open_run", "open_weights", "train"]
