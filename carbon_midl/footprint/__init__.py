"""The footprint of a run: energy by component, how it was obtained, and the carbon derived from it.

Energy before PUE, in kWh, is the primary record. gCO2eq = kWh × PUE × carbon intensity is derived from it and can be
derived again for any grid. A `Tracker` makes a `FootprintRecord` while a program runs; `describe` tells it to people.

Windows nest. Before a window opens or closes, queued work on the GPU is waited for. Each figure says how it was
obtained, best first:

=================================  =====================================================================
``measured: NVML energy counter``  what a GPU has counted
``measured: RAPL``                 what the processor has counted for itself and its memory
``sampled: NVML power``            an older GPU's power, read four times a second
``estimated: TDP × utilisation``   no sensor: the processor's TDP times its share that was kept busy
``estimated: W per core``          no sensor, processor not known: a typical power of each core that was kept busy
``estimated: W per GB``            no sensor: a typical power of memory
=================================  =====================================================================

A run that goes on another day is given `earlier=read_footprint(run_directory)`, so that lost work counts, too. Between
two epochs, `reason_to_stop(tracker.record, carbon_g=100)` says whether it is to stop early. Afterwards,
`read_footprint(run_directory).recost("FR", pue=1.2)` is the same run on another grid. Nothing here uses the network.
"""

from carbon_midl.footprint.grid import DEFAULT_PUE, CarbonIntensity, carbon_intensity
from carbon_midl.footprint.meter import Sensor
from carbon_midl.footprint.record import NOT_SEPARABLE, ComponentEnergy, FootprintRecord, Window, read_footprint
from carbon_midl.footprint.report import describe
from carbon_midl.footprint.tracker import Tracker, reason_to_stop

__all__ = [
    "DEFAULT_PUE",
    "NOT_SEPARABLE",
    "CarbonIntensity",
    "ComponentEnergy",
    "FootprintRecord",
    "Sensor",
    "Tracker",
    "Window",
    "carbon_intensity",
    "describe",
    "read_footprint",
    "reason_to_stop",
]
