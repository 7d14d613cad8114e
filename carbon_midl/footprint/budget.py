"""Predict what a whole run will use, and stop it before it exceeds its budget.

The epochs to come are taken to be drawn like those that are done, so the sum of `m` of them has Student's prediction
interval: with `k` epochs of mean `x` and standard deviation `s`, `m x ± t(k − 1) · s · √(m + m²/k)`. The first epoch of
an attempt warms up (caches, clocks, memory): from the third on it counts as spent but not as an example. The interval
knows of no epoch unlike those so far, such as those beside another program that starts later.
"""

import math
import statistics
from dataclasses import dataclass

from carbon_midl.footprint.record import FootprintRecord
from carbon_midl.units import carbon, energy

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Prediction:
    """Energy of a whole run before PUE, predicted between two epochs; work lost in earlier attempts is in it."""

    after_epoch: int  #: the last epoch that was finished.
    energy_kwh: float  #: when all planned epochs are done.
    low_kwh: float  #: lower end of the 95 % interval, and at least what is spent.
    high_kwh: float  #: upper end of the interval.
    epoch_kwh: float  #: energy of each epoch to come.
    scale_kwh: float  #: standard error of `energy_kwh`.
    freedom: int  #: degrees of freedom of Student's t.

    def probability_above(self, limit_kwh: float) -> float:
        """How likely it is that the run uses more than so many kWh before PUE."""
        from scipy.special import stdtr

        excess_kwh = self.energy_kwh - limit_kwh
        if self.scale_kwh <= 0:
            return float(excess_kwh > 0)
        return float(stdtr(self.freedom, excess_kwh / self.scale_kwh))


def predict(record: FootprintRecord) -> Prediction | None:
    """Energy of the whole run from its record between two epochs; None until two of the last attempt are finished."""
    from scipy.special import stdtrit

    epochs = record.finished_epochs
    latest_kwh = [window.energy_kwh for window in epochs.values() if window.attempt == record.attempts]
    if len(latest_kwh) < 2:
        return None
    examples_kwh = latest_kwh[1:] if len(latest_kwh) > 2 else latest_kwh
    count, done, spent_kwh = len(examples_kwh), max(epochs), record.energy_kwh
    remaining = max(0, record.epochs_planned - done)
    mean_kwh = statistics.fmean(examples_kwh)
    scale_kwh = statistics.stdev(examples_kwh) * math.sqrt(remaining + remaining**2 / count)
    energy_kwh = spent_kwh + remaining * mean_kwh
    half_kwh = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2)) * scale_kwh
    low_kwh = max(spent_kwh, energy_kwh - half_kwh)
    return Prediction(done, energy_kwh, low_kwh, energy_kwh + half_kwh, mean_kwh, scale_kwh, count - 1)


def reason_to_stop(record: FootprintRecord, carbon_g: float = 0.0, energy_kwh: float = 0.0) -> str:
    """Why a run is to stop, by its record between two epochs: a sentence, or nothing where it may go on.

    It stops when the budget for all its attempts is spent, or will be in the next epoch, or when the run is predicted
    to exceed it with a probability of 95 % or more. A budget is either in grams of CO2eq, by the record's PUE and
    carbon intensity, or in kWh before PUE; 0 is no budget.
    """
    # A budget of carbon is told in carbon; electricity that emits nothing leaves it untouched.
    unit_per_kwh, text, limit = (record.carbon_g(1.0), carbon, carbon_g) if carbon_g else (1.0, energy, energy_kwh)
    limit_kwh = limit / unit_per_kwh if limit and unit_per_kwh else math.inf

    def told(kwh: float) -> str:
        return text(kwh * unit_per_kwh)

    budget, spent_kwh, prediction = f"budget of {text(limit)}", record.energy_kwh, predict(record)
    if spent_kwh > limit_kwh:
        return f"{budget}: the run has used {told(spent_kwh)}, more than its budget"
    if prediction is None or prediction.after_epoch >= record.epochs_planned:
        return ""
    if (probability := prediction.probability_above(limit_kwh)) >= CONFIDENCE:
        percent = min(99.9, 100 * probability)  # no prediction is certain
        return (
            f"{budget}: predicted after epoch {prediction.after_epoch}: {told(prediction.energy_kwh)} "
            f"({told(prediction.low_kwh)} to {told(prediction.high_kwh)}, {CONFIDENCE:.0%} interval) for "
            f"{record.epochs_planned} epochs, above the budget with a probability of {percent:.1f} %"
        )
    if spent_kwh + prediction.epoch_kwh > limit_kwh:
        return f"{budget}: {told(spent_kwh)} used, and the next epoch would exceed the budget"
    return ""
