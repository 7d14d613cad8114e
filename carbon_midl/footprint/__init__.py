"""The footprint of a run: energy by component, how it was obtained, and the carbon derived from it.

Energy before PUE, in kWh, is the primary record. gCO2eq = kWh × PUE × carbon intensity is derived from it and can
be derived again for any grid. A `Tracker` makes a `FootprintRecord` while a program runs:

    tracker = Tracker(log_dir, epochs=10, intensity=carbon_intensity("DK"))
    with tracker, tracker.window("training"):
        for epoch in range(1, 11):
            with tracker.epoch(epoch):
                ...
    print(tracker.record.describe())

Nothing here uses the network.
"""

from carbon_midl.footprint.grid import DEFAULT_PUE, DEFAULT_PUE_SOURCE, CarbonIntensity, carbon_intensity
from carbon_midl.footprint.record import CarbontrackerFigures, ComponentEnergy, FootprintRecord, Window
from carbon_midl.footprint.sensors import Sensor, SensorError
from carbon_midl.footprint.tracker import Tracker

__all__ = [
    "DEFAULT_PUE",
    "DEFAULT_PUE_SOURCE",
    "CarbonIntensity",
    "CarbontrackerFigures",
    "ComponentEnergy",
    "FootprintRecord",
    "Sensor",
    "SensorError",
    "Tracker",
    "Window",
    "carbon_intensity",
]
