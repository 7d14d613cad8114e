"""From DICOM and annotations to a crop archive: plan, cut series by series in parallel, put together.

What is cut is kept beside the archive until the archive stands, so that a build goes on where it was stopped.
"""
