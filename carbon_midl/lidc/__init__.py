"""LIDC-IDRI: from annotations and images to a crop archive."""

READERS = 4
"""Radiologists who read each scan."""
AIR_HU = -1024
"""What lies outside the scanner's field of view, and the lowest HU that is kept."""
LUNG_HU = (-1000, 400)
"""The window that a network sees of a crop in HU."""
SMALLEST_SIZE = 32
"""Of a crop, px."""
PHANTOM_SIZE = 64
"""Of the embedded phantom's crops, px."""
