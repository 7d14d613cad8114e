"""Train without loading torch's compiler.

The first step of any optimiser imports ``torch._dynamo``, only to tell a compiler what not to compile. No run compiles,
and the import takes as long as that of torch itself: one to two seconds of each run, in which nothing is trained.
"""

import functools
import inspect
from typing import Any

import torch
from torch.optim import Adam, Optimizer


def without_compiler() -> None:
    """Let Adam work without the wrappers that import the compiler, in this process.

    What they do besides stays: a step is made without gradients. The numbers are the same to the last bit. A network of
    one's own may still be compiled; its optimiser steps eagerly, as it would anyway.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        setattr(Optimizer, name, inspect.unwrap(getattr(Optimizer, name)))
    plain = inspect.unwrap(Adam.step)

    @functools.wraps(plain)
    def step(self: Adam, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return plain(self, *args, **kwargs)

    Adam.step = step  # type: ignore[method-assign]
