"""Engine 1: the pixels of one picture are the variables (Gatys, Ecker & Bethge, CVPR 2016).

The room owns the settings of the search, its variables, scales and time, and the way from pictures to a picture. It exports
``optimize`` with its settings and result, ``Iterate`` for observers, and ``optimize_pixels``, the same of tensors alone.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.optimization.engine import Iterate as Iterate
    from stylenet.optimization.engine import Observer as Observer
    from stylenet.optimization.engine import Result as Result
    from stylenet.optimization.engine import optimize_pixels as optimize_pixels
    from stylenet.optimization.rendering import OptimizeResult as OptimizeResult
    from stylenet.optimization.rendering import optimize as optimize
    from stylenet.optimization.settings import OptimizeSettings as OptimizeSettings

__all__ = [
    "Iterate",
    "Observer",
    "OptimizeResult",
    "OptimizeSettings",
    "Result",
    "optimize",
    "optimize_pixels",
]

__getattr__ = exporter(
    __name__,
    {
        "engine": ["Iterate", "Observer", "Result", "optimize_pixels"],
        "rendering": ["OptimizeResult", "optimize"],
        "settings": ["OptimizeSettings"],
    },
)
