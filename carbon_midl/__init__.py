"""Carbon footprint driven deep learning model selection for medical imaging: the study's library.

One way through: annotations and CT -> crops (``lidc``) -> training with its footprint (``training``, ``footprint``)
-> results (``study``) -> selection (``selection``) -> figures (``figures``) -> book (``book``).
Importing the package loads none of torch, pylidc or pydicom; each loads where it is used.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("carbon-midl")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"
