"""The files in a run's directory.

==========================  ==========================================================================================
``weights.safetensors``     best-validation weights
``checkpoint.safetensors``  where an unfinished training goes on; gone when it is finished
``epochs.csv``              a row an epoch, rewritten after each
``slices.csv.gz``           a row a validation and test slice
``footprint.json``          the footprint so far, rewritten after each epoch, so that it counts even without a result
``footprint/``              carbontracker's logs
``result.json``             everything else; written last, so it marks the run as done
==========================  ==========================================================================================
"""

WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.safetensors"
EPOCHS = "epochs.csv"
SLICES = "slices.csv.gz"
FOOTPRINT = "footprint.json"
CARBONTRACKER_LOGS = "footprint"
RESULT = "result.json"
RUN_FILES = (WEIGHTS, CHECKPOINT, EPOCHS, SLICES, FOOTPRINT, CARBONTRACKER_LOGS, RESULT)
