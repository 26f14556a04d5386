"""Neural style transfer: per-image optimization and networks trained per style, on one perceptual loss.

``import stylenet`` is quick; torch is loaded when a name that needs it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stylenet.cards import Card as Card
    from stylenet.cards import list_styles as list_styles
    from stylenet.errors import InputError as InputError
    from stylenet.errors import RunError as RunError
    from stylenet.images import Picture as Picture
    from stylenet.images import read_image as read_image
    from stylenet.images import write_image as write_image
    from stylenet.losses import LossSettings as LossSettings
    from stylenet.losses import PerceptualLoss as PerceptualLoss
    from stylenet.recipes import load_recipe as load_recipe
    from stylenet.settings import OptimizeSettings as OptimizeSettings
    from stylenet.styles import Style as Style
    from stylenet.styles import load_style as load_style
    from stylenet.styles import save_style as save_style
    from stylenet.stylizer import Look as Look
    from stylenet.stylizer import Stylizer as Stylizer
    from stylenet.stylizer import stylize as stylize
    from stylenet.transform_net import NetSettings as NetSettings
    from stylenet.transform_net import TransformNet as TransformNet
    from stylenet.vgg import VGG as VGG
    from stylenet.video import stylize_video as stylize_video

_HOME = {
    "InputError": "errors",
    "RunError": "errors",
    "Picture": "images",
    "read_image": "images",
    "write_image": "images",
    "LossSettings": "losses",
    "PerceptualLoss": "losses",
    "OptimizeSettings": "settings",
    "load_recipe": "recipes",
    "Card": "cards",
    "Style": "styles",
    "list_styles": "cards",
    "load_style": "styles",
    "save_style": "styles",
    "Look": "stylizer",
    "Stylizer": "stylizer",
    "stylize": "stylizer",
    "NetSettings": "transform_net",
    "TransformNet": "transform_net",
    "VGG": "vgg",
    "stylize_video": "video",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stylenet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"stylenet.{_HOME[name]}"), name)
