"""The version of this package, below all of it, because ranks say it before anything else."""

__version__ = "0.1.0"
