"""The steps suite: one training step of each system that is larger than the toy. What a step is: see `systems.py`.

On a GPU (`--device cuda`) CUDA events are the clock, and beside the ratio stands the share of the GPU's peak: the
operations that a step needs, in its time, against those of a large matrix product in the same precision.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from benchmarks import layers
from benchmarks import report as common
from benchmarks.harness import Arguments, Case, Restarted, Turn
from minigan.arrays import Device


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
        "cupy-tf32": "benchmarks.contenders.steps_cupy:Tf32",
        "cupy-kernels": "benchmarks.contenders.steps_cupy:Kernels",
        "cupy-kernels-tf32": "benchmarks.contenders.steps_cupy:KernelsTf32",
        "torch-tuned": "benchmarks.contenders.steps_torch_cuda:CudaTuned",
        "torch-tuned-tf32": "benchmarks.contenders.steps_torch_cuda:TunedTf32",
        "torch-compile": "benchmarks.contenders.steps_torch_cuda_compile:CudaCompiled",
        "torch-compile-tf32": "benchmarks.contenders.steps_torch_cuda_compile:CompiledTf32",
        "torch-tf32": "benchmarks.contenders.steps_torch_cuda:Tf32",
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
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**26),
}

# Of the way that an array has gone after two steps; a fault makes about 1. See `harness.distance`.
TOLERANCE = 0.2
TF32_TOLERANCE = 0.5  # with factors rounded to TF32 on a CPU, the DCGAN was 0.18 to 0.22 away


@dataclass(frozen=True)
class Steps(Restarted):
    """Training steps of the MLP, the convolutional GAN and the DCGAN."""

    systems: tuple[Name, ...] = ("mlp", "conv28", "dcgan64", "dcgan256")
    """Which; a number in a name is the size of the minibatch."""
    device: Device = "cpu"
    """Where: on the host, or minigan with CuPy beside PyTorch with cuDNN."""
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
        unasked = set() if self.compile else {"torch-compile", "torch-compile-tf32"}
        if arguments["system"] == "dcgan" and not self.plain_dcgan:
            unasked.add("minigan-plain")
        return Case(
            name=f"{arguments['system']}, batch {arguments['batch']}",
            arguments=arguments,
            contenders={k: v for k, v in CONTENDERS[self.device].items() if k not in unasked or k in self.only},
            dtype="float32",
            tolerance=TOLERANCE,
            distance="share",
            looser=TF32_TOLERANCE if on_gpu else 0.0,
            turn=turn._replace(steps=self.steps or turn.steps),
            environment={} if on_gpu else {"torch-tuned": KEEP_MEMORY, "torch-compile": KEEP_MEMORY},
            device=self.device,
        )


def report(settings: Steps) -> None:
    """Measure, print the tables, and write the files; on a GPU with shares of its peak."""
    if settings.device == "cpu":
        common.report(settings)
        return
    results = common.opened(settings)
    with ExitStack() as stack:
        rates = layers.measured(layers.started_peaks("cuda", settings.threads[0], stack), "cuda")
    results["peak_gflop_per_second"] = {name: round(rate / 1e9, 1) for name, rate in rates.items()}
    print("".join(f"\n{name}: {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items()))

    def finish(result: dict[str, Any]) -> None:
        result["flop"] = flop(result["arguments"]["system"], result["arguments"]["batch"])
        for name, row in result["contenders"].items():
            row["share_of_peak"] = layers.share(result["flop"], row, name, rates)

    common.measure_cases(settings, results, finish)
    common.close(settings, results)


def flop(system: layers.System, batch: int) -> int:
    """Floating-point operations that a step needs in its products, by the formula; layers with one output left out.

    D's step takes G forwards, D forwards on real and on generated images, and back to its weights; G's step takes both
    forwards, D back to the images, and G back to its weights. A layer back to its input costs what it costs forwards,
    and so does one back to its weights. Nobody asks for gradients of images in D's step, or of noise.
    """
    costs = [(layer.name[0], layer.flop(batch)) for layer in layers.LAYERS[system]]
    G, D = ([cost for player, cost in costs if player == wanted and cost is not None] for wanted in "GD")
    d_step = sum(G) + 2 * (3 * sum(D) - D[0])
    g_step = 3 * sum(G) - G[0] + 2 * sum(D)
    return d_step + g_step
