"""Neural style transfer: per-image optimization and networks trained per style, on one perceptual loss.

``import stylenet`` is quick; torch is loaded when a name that needs it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stylenet.commands.recipes import load_recipe as load_recipe
    from stylenet.errors import InputError as InputError
    from stylenet.errors import RunError as RunError
    from stylenet.images.picture import Picture as Picture
    from stylenet.images.picture import read_image as read_image
    from stylenet.images.picture import write_image as write_image
    from stylenet.inference.stylizer import Look as Look
    from stylenet.inference.stylizer import Stylizer as Stylizer
    from stylenet.inference.stylizer import stylize as stylize
    from stylenet.losses.perceptual import LossSettings as LossSettings
    from stylenet.losses.perceptual import PerceptualLoss as PerceptualLoss
    from stylenet.losses.vgg import VGG as VGG
    from stylenet.network.blending import blend_styles as blend_styles
    from stylenet.network.cards import Card as Card
    from stylenet.network.cards import list_styles as list_styles
    from stylenet.network.styles import Style as Style
    from stylenet.network.styles import load_style as load_style
    from stylenet.network.styles import save_style as save_style
    from stylenet.network.transform_net import NetSettings as NetSettings
    from stylenet.network.transform_net import TransformNet as TransformNet
    from stylenet.optimization.settings import OptimizeSettings as OptimizeSettings
    from stylenet.video.stylize import stylize_video as stylize_video

_HOME = {
    "InputError": "errors",
    "RunError": "errors",
    "Picture": "images.picture",
    "read_image": "images.picture",
    "write_image": "images.picture",
    "LossSettings": "losses.perceptual",
    "PerceptualLoss": "losses.perceptual",
    "OptimizeSettings": "optimization.settings",
    "load_recipe": "commands.recipes",
    "blend_styles": "network.blending",
    "Card": "network.cards",
    "Style": "network.styles",
    "list_styles": "network.cards",
    "load_style": "network.styles",
    "save_style": "network.styles",
    "Look": "inference.stylizer",
    "Stylizer": "inference.stylizer",
    "stylize": "inference.stylizer",
    "NetSettings": "network.transform_net",
    "TransformNet": "network.transform_net",
    "VGG": "losses.vgg",
    "stylize_video": "video.stylize",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stylenet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"stylenet.{_HOME[name]}"), name)
