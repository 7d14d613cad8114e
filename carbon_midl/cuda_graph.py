"""A training step that is captured once as a CUDA graph and then replayed.

A narrow U-Net has some hundred small kernels a step; launched one by one, they keep the processor busy and the GPU
idle.
See "Whole-network capture" in PyTorch's notes on CUDA semantics.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# Steps before the capture, in which libraries choose kernels and the optimiser makes its state.
WARM_UP_STEPS = 3


class GraphedStep:
    """``step``, replayed for batches of ``batch_size``; others, such as an epoch's last, run as they are.

    Args:
        step: trains on one batch and returns its loss, without waiting for the device.
        optimiser: of the step, made with ``capturable=True``.
        batch_size: of the batches that are replayed.
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
        """Train on one batch and return its loss; it is overwritten by the next call."""
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
        """Warm up on the stream that captures, as a capture must find nothing of the default stream."""
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
