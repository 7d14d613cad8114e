"""CT-like crops around the real nodules of LIDC-IDRI, for studies without the images.

What is real: each nodule's shape on each slice as up to four radiologists outlined it, its place in the scan, the
scan's pixel spacing, slice positions and thickness, and the readers' ratings. What is invented: every grey value.
`nodule` gives the nodule its density, `anatomy` draws chest wall, bones and mediastinum, `vessels` the tree, `noise`
the texture and the scanner's noise; `scan` puts them together, and `archive` cuts the crops of many patients.
"""

from carbon_midl.lidc.phantom.archive import render_phantom
from carbon_midl.lidc.phantom.scan import VERSION, ScanPhantom

__all__ = ["VERSION", "ScanPhantom", "render_phantom"]
