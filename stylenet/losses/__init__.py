"""The loss that both engines minimise: content, style and total variation over the named layers of a VGG.

The room owns the loss network and its weights, the terms, their calibration, and the metrics that no loss sees. It exports
``PerceptualLoss`` with its settings, ``VGG``, and the terms and metrics as plain functions of tensors.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.losses.criteria import ContentLoss as ContentLoss
    from stylenet.losses.criteria import StyleLoss as StyleLoss
    from stylenet.losses.gram import gram_matrix as gram_matrix
    from stylenet.losses.metrics import border_index as border_index
    from stylenet.losses.metrics import checkerboard_index as checkerboard_index
    from stylenet.losses.metrics import content_lost as content_lost
    from stylenet.losses.metrics import saturation as saturation
    from stylenet.losses.metrics import style_errors as style_errors
    from stylenet.losses.perceptual import PerceptualLoss as PerceptualLoss
    from stylenet.losses.settings import LossSettings as LossSettings
    from stylenet.losses.targets import Losses as Losses
    from stylenet.losses.targets import Targets as Targets
    from stylenet.losses.terms import Grams as Grams
    from stylenet.losses.terms import GramTarget as GramTarget
    from stylenet.losses.terms import content_loss as content_loss
    from stylenet.losses.terms import style_loss as style_loss
    from stylenet.losses.terms import total_variation as total_variation
    from stylenet.losses.vgg import VGG as VGG
    from stylenet.losses.vgg import layer_names as layer_names

__all__ = [
    "VGG",
    "ContentLoss",
    "GramTarget",
    "Grams",
    "LossSettings",
    "Losses",
    "PerceptualLoss",
    "StyleLoss",
    "Targets",
    "border_index",
    "checkerboard_index",
    "content_loss",
    "content_lost",
    "gram_matrix",
    "layer_names",
    "saturation",
    "style_errors",
    "style_loss",
    "total_variation",
]

__getattr__ = exporter(
    __name__,
    {
        "criteria": ["ContentLoss", "StyleLoss"],
        "gram": ["gram_matrix"],
        "metrics": ["border_index", "checkerboard_index", "content_lost", "saturation", "style_errors"],
        "perceptual": ["PerceptualLoss"],
        "settings": ["LossSettings"],
        "targets": ["Losses", "Targets"],
        "terms": ["GramTarget", "Grams", "content_loss", "style_loss", "total_variation"],
        "vgg": ["VGG", "layer_names"],
    },
)
