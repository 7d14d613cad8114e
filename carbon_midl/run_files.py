"""The files in a run's directory.

==========================  ==========================================================================================
``parameters.yaml``         what a study asked for, as papermill gets it
``notebook.ipynb``          the executed notebook
``papermill.log``           what papermill and the notebook's kernel wrote to their standard output and error
``weights.safetensors``     best-validation weights
``checkpoint.safetensors``  where an unfinished training goes on; gone when it is finished
``epochs.csv``              a row an epoch, rewritten after each
``slices.csv.gz``           a row a validation and test slice
``footprint.json``          the footprint so far, rewritten after each epoch, so that it counts even without a result
``footprint/``              carbontracker's logs
``result.json``             everything else; written last, so it marks the run as done
``.lock``                   held by the process that writes the run, as long as it lives
==========================  ==========================================================================================

While papermill executes it, the notebook is ``.partial-notebook.ipynb``; one that gave no result stays as
``failed-notebook.ipynb``.
"""

PARAMETERS = "parameters.yaml"
NOTEBOOK = "notebook.ipynb"
PARTIAL_NOTEBOOK = f".partial-{NOTEBOOK}"
FAILED_NOTEBOOK = f"failed-{NOTEBOOK}"
LOG = "papermill.log"
WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.safetensors"
EPOCHS = "epochs.csv"
SLICES = "slices.csv.gz"
FOOTPRINT = "footprint.json"
CARBONTRACKER_LOGS = "footprint"
RESULT = "result.json"
LOCK = ".lock"
RUN_FILES = (PARAMETERS, WEIGHTS, CHECKPOINT, EPOCHS, SLICES, FOOTPRINT, CARBONTRACKER_LOGS, RESULT, LOCK)
"""Beside notebooks and logs, which may have any name."""
