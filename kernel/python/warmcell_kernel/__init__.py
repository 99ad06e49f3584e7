"""The Python interpreter of a warmcell kernel: an IPython shell behind the link."""

from __future__ import annotations

__version__ = "0.1.0"
