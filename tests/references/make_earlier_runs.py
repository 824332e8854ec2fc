"""Write earlier_runs.zip next to this file: runs of commit 2056642, stopped after 13 turns, and where they ended.

    cd A_CHECKOUT_OF_2056642 && PYTHONPATH=. python THIS_FILE

It has to be run in that commit, whose checkpoints and names of options it is about. In the zip are, of each GAN,

    NAME/run.json  NAME/log.jsonl  NAME/checkpoints/step-00000013/...     what a run leaves when it is stopped
    NAME.npz                                                              all numbers of the players after 24 turns

Images are drawn by tests/running/test_earlier_runs.py again, so no file of the zip says where they were.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from unittest.mock import patch

import numpy as np
from minigan.systems import SYSTEMS, dcgan, mnist_conv, mnist_mlp, toy

from minigan.running import Run, train  # of that commit
from tests.small_systems import draw_images

TURNS, STOP = 24, 13
OPTIONS = {
    "toy": toy.Options(batch=16, hidden=4, epochs=TURNS),
    "mnist_mlp": mnist_mlp.Options(images=50, batch=8, noise=4, widths=(3, 2), epochs=4),
    "mnist_conv": mnist_conv.Options(images=50, batch=8, noise=4, width=2, hidden=6, epochs=4, average=0.5),
    "dcgan": dcgan.Options(data=Path("images"), image_size=32, batch=8, noise=4, width=1, epochs=4, g_every=2),
}


def digits(*_: object) -> tuple[np.ndarray, np.ndarray]:
    """50 images of noise: what fonts look like depends on a library's version."""
    return np.random.default_rng(0).integers(0, 256, (50, 28, 28), np.uint8), np.zeros(50, np.uint8)


def main() -> None:
    """Train them twice, whole and stopped."""
    target = Path(__file__).with_name("earlier_runs.zip")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        os.chdir(folder)
        draw_images(Path("images"))
        for name, options in OPTIONS.items():
            with (
                patch.object(mnist_mlp, "digits", digits),
                patch.object(mnist_conv, "digits", digits),
                redirect_stdout(StringIO()),
            ):
                run = Run(Path(name), log_every=4, sample_every=100, checkpoint_every=100, gif=False, progress=False)
                train(SYSTEMS[name].build(options), run.__class__(**{**vars(run), "stop_after": STOP}))
                whole = SYSTEMS[name].build(options)
                train(whole, run.__class__(**{**vars(run), "output": Path("whole") / name}))
            kept = [Path(name) / "run.json", Path(name) / "log.jsonl", *sorted((Path(name) / "checkpoints").rglob("*"))]
            for path in kept:
                if path.is_file():
                    archive.write(path)
            numbers = {f"{who}.{key}": a for who in "GD" for key, a in getattr(whole, who).params.state_dict().items()}
            if whole.average:
                numbers |= {f"average.{key}": a for key, a in whole.average.params.state_dict().items()}
            content = BytesIO()
            np.savez(content, **numbers)
            archive.writestr(f"{name}.npz", content.getvalue())
    print(f"{target.name}: {target.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
