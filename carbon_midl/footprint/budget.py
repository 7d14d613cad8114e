"""A limit on what a run may use, checked after each epoch."""

import math
from dataclasses import dataclass

from carbon_midl.errors import InputError
from carbon_midl.footprint.prediction import CONFIDENCE, Prediction, predict
from carbon_midl.footprint.record import FootprintRecord
from carbon_midl.units import carbon, energy


@dataclass(frozen=True)
class Decision:
    """Whether a run is to stop for its budget.

    Attributes:
        stop: the budget is spent, or will be in the next epoch, or the run is predicted to exceed it.
        reason: a sentence for the log and the record, with the amounts.
        limit_kwh: the budget as energy before PUE.
        spent_kwh: what the run has used, earlier attempts included.
        predicted_kwh: what it would use in all; None while that cannot be predicted.
        probability: how likely it is to exceed the budget; None while that cannot be predicted.
        prediction: of the window around the epochs, which that stands on.
    """

    stop: bool
    reason: str
    limit_kwh: float
    spent_kwh: float
    predicted_kwh: float | None = None
    probability: float | None = None
    prediction: Prediction | None = None

    @property
    def excess_kwh(self) -> float | None:
        """Predicted energy above the budget, negative below it; None while it cannot be predicted."""
        return None if self.predicted_kwh is None else self.predicted_kwh - self.limit_kwh


@dataclass(frozen=True)
class Budget:
    """What one run may use, all its attempts together: give one of the two limits.

    Attributes:
        carbon_g: gCO2eq, by the record's PUE and carbon intensity.
        energy_kwh: kWh before PUE.
        confidence: stop for a prediction only when the budget is exceeded with this probability or more. What is
            already spent, and the next epoch, need no such certainty.

    Raises:
        InputError: no limit or two, or one that cannot be.
    """

    carbon_g: float | None = None
    energy_kwh: float | None = None
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        given = {"carbon_g": self.carbon_g, "energy_kwh": self.energy_kwh}
        limits = {name: value for name, value in given.items() if value is not None}
        if len(limits) != 1:
            raise InputError(f"budget: found {len(limits)} limits, expected either carbon_g or energy_kwh")
        (name, value), *_ = limits.items()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise InputError(f"budget: found {name} = {value!r}, expected a number above 0; leave it out for no limit")
        if not 0 < self.confidence < 1:
            raise InputError(f"budget: found confidence = {self.confidence!r}, expected a number between 0 and 1")

    def limit_kwh(self, record: FootprintRecord) -> float:
        """The budget as energy before PUE; infinite where the record's electricity emits nothing."""
        if self.energy_kwh is not None:
            return self.energy_kwh
        factor = record.carbon_g(1.0)
        return (self.carbon_g or 0.0) / factor if factor else math.inf

    def check(self, record: FootprintRecord, epochs_planned: int | None = None) -> Decision:
        """Whether the run that `record` is of, taken between two epochs, is to stop.

        Args:
            record: so far, earlier attempts included.
            epochs_planned: how many epochs there are to be; None takes the record's number.
        """
        limit_kwh, spent_kwh = self.limit_kwh(record), record.energy_kwh
        prediction = predict(record, epochs_planned)
        if spent_kwh > limit_kwh:
            reason = f"the run has used {self._text(record, spent_kwh)}, more than its budget"
            return Decision(True, self._sentence(record, reason), limit_kwh, spent_kwh, prediction=prediction)
        if prediction is None:
            reason = f"{self._text(record, spent_kwh)} used so far; too few epochs to predict more"
            return Decision(False, self._sentence(record, reason), limit_kwh, spent_kwh)
        # What the run has used outside the window around its epochs counts, too.
        outside_kwh = max(0.0, spent_kwh - prediction.spent_kwh)
        predicted_kwh = outside_kwh + prediction.energy_kwh.value
        probability = prediction.probability_above(limit_kwh - outside_kwh)
        goes_on = prediction.after_epoch < prediction.epochs_planned
        predicted = (
            f"predicted after epoch {prediction.after_epoch}: {self._text(record, predicted_kwh)} "
            f"({self._text(record, outside_kwh + prediction.energy_kwh.low)} to "
            f"{self._text(record, outside_kwh + prediction.energy_kwh.high)}, {prediction.confidence:.0%} interval) "
            f"for {prediction.epochs_planned} epochs"
        )
        if goes_on and probability >= self.confidence:
            stop, reason = True, f"{predicted}, above the budget with a probability of {_percent(probability)}"
        elif goes_on and spent_kwh + prediction.epoch_kwh > limit_kwh:
            stop, reason = True, f"{self._text(record, spent_kwh)} used, and the next epoch would exceed the budget"
        else:
            stop, reason = False, f"{predicted}, above the budget with a probability of {_percent(probability)}"
        return Decision(
            stop, self._sentence(record, reason), limit_kwh, spent_kwh, predicted_kwh, probability, prediction
        )

    def _sentence(self, record: FootprintRecord, reason: str) -> str:
        return f"budget of {self._text(record, self.limit_kwh(record))}: {reason}"

    def _text(self, record: FootprintRecord, energy_kwh: float) -> str:
        if self.energy_kwh is not None:
            return energy(energy_kwh)
        return carbon(record.carbon_g(energy_kwh) if math.isfinite(energy_kwh) else self.carbon_g or 0.0)


def _percent(probability: float) -> str:
    if probability > 0.999:
        return "over 99.9 %"
    return "under 0.1 %" if probability < 0.001 else f"{100 * probability:.1f} %"
