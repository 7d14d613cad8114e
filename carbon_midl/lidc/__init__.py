"""LIDC-IDRI: from annotations and images to a crop archive."""
