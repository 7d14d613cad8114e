"""LIDC-IDRI: from annotations and images to a crop archive."""

READERS = 4
"""Radiologists who read each scan."""
