"""What a training makes small."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over all pixels of the batch."""
    return binary_cross_entropy_with_logits(logits, targets)


def soft_dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """One minus soft Dice, crop by crop (Milletari et al., arXiv:1606.04797).

    Summed over a batch instead, soft Dice would be that of its largest nodules, while the score is a mean over slices.
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * targets).sum(dim=(1, 2, 3))
    total = probabilities.sum(dim=(1, 2, 3)) + targets.sum(dim=(1, 2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1)).mean()


def both(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum of the two: cross-entropy guides where nothing overlaps yet, soft Dice weighs small nodules fairly."""
    return cross_entropy(logits, targets) + soft_dice_loss(logits, targets)


# By the name that a study declares. Each takes logits ``(N, 1, H, W)`` and targets of that shape in [0, 1].
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce+dice": both,
    "bce": cross_entropy,
    "dice": soft_dice_loss,
}
