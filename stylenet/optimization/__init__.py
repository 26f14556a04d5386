"""Engine 1: the pixels of one picture are the variables (Gatys, Ecker & Bethge, CVPR 2016).

The room owns the settings of the search, its variables, scales and time, and the way from picture files to a picture file.
It exports ``optimize`` with its settings, ``Iterate`` for observers, and ``Result``.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.optimization.engine import Iterate as Iterate
    from stylenet.optimization.engine import Result as Result
    from stylenet.optimization.engine import optimize as optimize
    from stylenet.optimization.rendering import render as render
    from stylenet.optimization.settings import OptimizeSettings as OptimizeSettings

__all__ = [
    "Iterate",
    "OptimizeSettings",
    "Result",
    "optimize",
    "render",
]

__getattr__ = exporter(
    __name__,
    {
        "engine": ["Iterate", "Result", "optimize"],
        "rendering": ["render"],
        "settings": ["OptimizeSettings"],
    },
)
