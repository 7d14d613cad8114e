"""Two ways to run the same training: the same network, batches, loss and optimiser steps, with and without waste.

``reference`` is the usual practice of 2021: fp32 without TF32, one operation after another, batches from a
``DataLoader`` with workers, the loss read after every step.

``efficient`` uses what the hardware offers: crops stay in the device's memory and are augmented there, channels-last
layout, bf16 if the hardware computes in it (weights, batch normalisation, loss and optimiser stay fp32), a fused
optimiser; on a GPU nothing waits for the device within an epoch, and the step is captured once as a CUDA graph, since
narrow networks would spend most of their time on launching kernels.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from carbon_midl.lidc.crops import CropArchive
from carbon_midl.training.batches import Batches, LoadedBatches, ResidentBatches
from carbon_midl.training.data import Target

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[Tensor, Tensor], Tensor]
# Trains on one batch and returns its loss, 0-d and detached.
Step = Callable[[Tensor, Tensor], Tensor]
# Steps before the capture, in which libraries choose kernels and the optimiser creates its state.
WARM_UP_STEPS = 3


class Recipe(Protocol):
    """The interface of a recipe, as ``training.fit`` uses it."""

    name: str
    precision: str
    # Whether the loss is read after every step, which waits for the device, or once an epoch.
    reads_every_loss: bool

    def place(self, model: Network) -> Network:
        """Put the network on the device, in the recipe's memory layout."""

    def optimiser(self, model: nn.Module, learning_rate: float) -> torch.optim.Adam:
        """Return Adam for ``model``; the first call loads parts of torch for a second or two."""

    def batches(self, archive: CropArchive, rows: NDArray[np.int64], target: Target) -> Batches:
        """Return the crops in ``rows`` as batches."""

    def step(self, model: nn.Module, optimiser: torch.optim.Adam, loss: Loss, batch_size: int) -> Step:
        """Return the function that trains ``model`` on one batch."""

    def computing(self) -> AbstractContextManager[Any]:
        """Return a context that sets the number formats of a forward pass."""


class Reference:
    """The usual practice of 2021."""

    name = "reference"
    precision = "fp32"
    reads_every_loss = True

    def __init__(self, where: torch.device) -> None:
        self._where = where

    def place(self, model: Network) -> Network:
        """As ``Recipe.place``."""
        return model.to(self._where)

    def optimiser(self, model: nn.Module, learning_rate: float) -> torch.optim.Adam:
        """As ``Recipe.optimiser``."""
        return torch.optim.Adam(model.parameters(), lr=learning_rate)

    def batches(self, archive: CropArchive, rows: NDArray[np.int64], target: Target) -> Batches:
        """As ``Recipe.batches``."""
        return LoadedBatches(archive, rows, target, self._where)

    def step(self, model: nn.Module, optimiser: torch.optim.Adam, loss: Loss, batch_size: int) -> Step:
        """As ``Recipe.step``."""
        return _eager_step(model, optimiser, loss, self.computing)

    def computing(self) -> AbstractContextManager[Any]:
        """fp32 throughout; by default cuDNN would round to TF32."""
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


class Efficient:
    """The same training without waste."""

    name = "efficient"

    def __init__(self, where: torch.device) -> None:
        self._where = where
        self._on_gpu = where.type == "cuda"
        self.precision = "bf16" if computes_in_bf16(where) else "fp32"
        self.reads_every_loss = not self._on_gpu

    def place(self, model: Network) -> Network:
        """As ``Recipe.place``."""
        placed: Network = model.to(self._where, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return placed

    def optimiser(self, model: nn.Module, learning_rate: float) -> torch.optim.Adam:
        """As ``Recipe.optimiser``; a captured step reads its learning rate from the device."""
        rate = torch.tensor(learning_rate, device=self._where) if self._on_gpu else learning_rate
        return torch.optim.Adam(model.parameters(), lr=rate, fused=True, capturable=self._on_gpu)

    def batches(self, archive: CropArchive, rows: NDArray[np.int64], target: Target) -> Batches:
        """As ``Recipe.batches``."""
        return ResidentBatches(archive, rows, target, self._where)

    def step(self, model: nn.Module, optimiser: torch.optim.Adam, loss: Loss, batch_size: int) -> Step:
        """As ``Recipe.step``."""
        eager = _eager_step(model, optimiser, loss, self.computing)
        return GraphedStep(eager, optimiser, batch_size) if self._on_gpu else eager

    def computing(self) -> AbstractContextManager[Any]:
        """bf16 convolutions if the hardware has them; each weight is used once per pass, so none is cached."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._where.type, dtype=torch.bfloat16, cache_enabled=False)


RECIPES: dict[str, Callable[[torch.device], Recipe]] = {"reference": Reference, "efficient": Efficient}


def device() -> torch.device:
    """Return the device to train on: the first GPU that CUDA shows, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computes_in_bf16(where: torch.device) -> bool:
    """Whether the hardware multiplies in bf16; emulated bf16 would be slower than fp32."""
    if where.type == "cuda":
        return torch.cuda.get_device_capability(where) >= (8, 0)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def set_learning_rate(optimiser: torch.optim.Adam, rate: float) -> None:
    """Change the step size, in place if it is stored on the device."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and compute no gradients."""
    model.eval()
    with torch.inference_mode():
        yield


def _eager_step(
    model: nn.Module, optimiser: torch.optim.Adam, loss: Loss, computing: Callable[[], AbstractContextManager[Any]]
) -> Step:
    def step(images: Tensor, targets: Tensor) -> Tensor:
        optimiser.zero_grad()
        with computing():
            logits = model(images)
        value = loss(logits.float(), targets)
        value.backward()
        optimiser.step()
        return value.detach()

    return step


class GraphedStep:
    """A training step that is captured once as a CUDA graph and then replayed.

    See "Whole-network capture" in PyTorch's notes on CUDA semantics. Only batches of ``batch_size`` are replayed; the
    last of an epoch may run without the graph. The optimiser is made with ``capturable=True``, and the step does not
    wait for the device.
    """

    def __init__(
        self, step: Callable[[Tensor, Tensor], Tensor], optimiser: torch.optim.Optimizer, batch_size: int
    ) -> None:
        self._step = step
        self._optimiser = optimiser
        self._batch_size = batch_size
        self._stream = torch.cuda.Stream()
        self._warm_up = WARM_UP_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Train on one batch and return its loss, a tensor that the next call overwrites."""
        if len(images) != self._batch_size:
            return self._step(images, targets)
        if self._warm_up:
            self._warm_up -= 1
            return self._on_the_side(images, targets)
        if self._graph is None:
            self._capture(images, targets)
        self._images.copy_(images)
        self._targets.copy_(targets)
        assert self._graph is not None
        self._graph.replay()
        return self._loss

    def _on_the_side(self, images: Tensor, targets: Tensor) -> Tensor:
        """Warm up on the stream that captures, since a capture must not depend on work in the default stream."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self._step(images, targets)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _capture(self, images: Tensor, targets: Tensor) -> None:
        self._images, self._targets = images.clone(), targets.clone()
        self._optimiser.zero_grad()  # so that the graph's own memory holds the gradients
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._loss = self._step(self._images, self._targets)
