"""Studies: many runs from one file, executed as notebooks and collected into tables."""
