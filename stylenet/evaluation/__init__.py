"""Measure how good a trained style is, and show what the loss network sees.

The room owns the numbers of a style on photos that it has not seen, and the two figures of the loss network.
It exports ``evaluate`` with its result, ``features`` and ``reconstruct``.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.evaluation.figures import features as features
    from stylenet.evaluation.figures import reconstruct as reconstruct
    from stylenet.evaluation.measures import SizeResult as SizeResult
    from stylenet.evaluation.measures import evaluate as evaluate

__all__ = [
    "SizeResult",
    "evaluate",
    "features",
    "reconstruct",
]

__getattr__ = exporter(
    __name__,
    {
        "figures": ["features", "reconstruct"],
        "measures": ["SizeResult", "evaluate"],
    },
)
