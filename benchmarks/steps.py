"""The steps suite: one training step of each system that is larger than the toy. What a step is: see `systems.py`.

With `--device cuda` minigan runs on CuPy's arrays, beside PyTorch on the same GPU; CUDA events are the clock then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from benchmarks.harness import Arguments, Case, Restarted, Turn
from minigan.devices import Device


class System(NamedTuple):
    """One problem of the suite."""

    arguments: Arguments
    turn: Turn


Name = Literal["mlp", "conv28", "dcgan64", "dcgan256"]
GANS: dict[Name, System] = {
    "mlp": System({"system": "mlp", "batch": 64}, Turn(30, 5)),
    "conv28": System({"system": "conv28", "batch": 128}, Turn(4, 1)),
    "dcgan64": System({"system": "dcgan", "batch": 64}, Turn(2, 1)),
    "dcgan256": System({"system": "dcgan", "batch": 256}, Turn(1, 1)),
}

CONTENDERS: dict[Device, dict[str, str]] = {
    "cpu": {
        "minigan": "benchmarks.contenders.steps_minigan:Minigan",
        "minigan-plain": "benchmarks.contenders.steps_minigan:Plain",
        "torch-tuned": "benchmarks.contenders.steps_torch:Tuned",
        "torch-compile": "benchmarks.contenders.steps_torch_compile:Compiled",
        "torch": "benchmarks.contenders.steps_torch:Torch",
    },
    "cuda": {
        "cupy": "benchmarks.contenders.steps_cupy:Cupy",
        "torch-tuned": "benchmarks.contenders.steps_torch_cuda:CudaTuned",
        "torch-compile": "benchmarks.contenders.steps_torch_cuda_compile:CudaCompiled",
        "torch": "benchmarks.contenders.steps_torch_cuda:Cuda",
    },
}

# Steps are short on a GPU, and what is asked for must keep the GPU busy before it is timed.
GPU_TURNS: dict[Name, Turn] = {
    "mlp": Turn(100, 20),
    "conv28": Turn(50, 10),
    "dcgan64": Turn(20, 5),
    "dcgan256": Turn(10, 3),
}

# To the system glibc gives back what is freed above a threshold, and every step pays for the pages once more. No mmap,
# no trimming: freed memory stays with the process.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26)}

# With 1, CuPy would cut factors of matrix products off after 10 bits. PyTorch is told in `cuda_torch.py`.
FLOAT32 = {"CUPY_TF32": "0"}

# Of the way that an array has gone after two steps; a fault makes about 1. See `harness.distance`.
TOLERANCE = 0.2


@dataclass(frozen=True)
class Steps(Restarted):
    """Training steps of the MLP, the convolutional GAN and the DCGAN."""

    systems: tuple[Name, ...] = ("mlp", "conv28", "dcgan64", "dcgan256")
    """Which; a number in a name is the size of the minibatch."""
    device: Device = "cpu"
    """Where: on the host, or on a GPU, minigan with CuPy beside PyTorch with cuDNN."""
    repeats: int = 1
    starts: int = 6
    steps: int = 0
    """Timed steps in a turn; 0: as many as suit the system."""
    threads: tuple[int, ...] = (2,)
    agreement_steps: int = 2
    compile: bool = False
    """Also torch.compile, which takes minutes to warm up; the same as naming torch-compile with --only."""
    plain_dcgan: bool = False
    """Also minigan-plain on the DCGAN, where a step takes many seconds; as naming minigan-plain with --only."""

    def cases(self) -> Sequence[Case]:
        """One a system."""
        return [self._case(name) for name in self.systems]

    def _case(self, name: Name) -> Case:
        arguments, turn = GANS[name]
        on_gpu = self.device == "cuda"
        if on_gpu:
            turn = GPU_TURNS[name]
        unasked = set() if self.compile else {"torch-compile"}
        if arguments["system"] == "dcgan" and not self.plain_dcgan:
            unasked.add("minigan-plain")
        return Case(
            name=f"{arguments['system']}, batch {arguments['batch']}",
            arguments=arguments,
            contenders={k: v for k, v in CONTENDERS[self.device].items() if k not in unasked or k in self.only},
            dtype="float32",
            tolerance=TOLERANCE,
            distance="share",
            turn=turn._replace(steps=self.steps or turn.steps),
            environment={"cupy": FLOAT32} if on_gpu else {"torch-tuned": KEEP_MEMORY, "torch-compile": KEEP_MEMORY},
            device=self.device,
        )
