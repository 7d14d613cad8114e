"""Import pylidc 0.2.3 on today's Python and numpy, as an oracle for tests and a peer for benchmarks.

pylidc 0.2.3 (2022) asks for four things that are gone: ``pkg_resources`` (setuptools >= 81), ``numpy.int`` and
``numpy.float`` (numpy >= 1.24) and ``configparser.SafeConfigParser`` (Python >= 3.12).
"""

import configparser
import importlib
import sys
import warnings
from importlib.resources import files
from types import ModuleType

import numpy as np


def import_pylidc() -> ModuleType:
    """Return the module pylidc, which needs neither network nor ``~/.pylidcrc``."""
    resources = ModuleType("pkg_resources")
    vars(resources)["resource_filename"] = lambda package, name: str(files(package) / name)
    sys.modules.setdefault("pkg_resources", resources)
    vars(np).update(int=int, float=float)
    vars(configparser)["SafeConfigParser"] = configparser.ConfigParser
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("pylidc.utils")
    return sys.modules["pylidc"]
