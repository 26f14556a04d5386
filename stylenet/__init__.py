"""Neural style transfer: per-image optimization and networks trained per style, on one perceptual loss.

``import stylenet`` is quick; torch is loaded when a name that needs it is first used. The verbs are :func:`stylize`,
:func:`optimize`, :func:`train`, :func:`evaluate`, :func:`stylize_video` and :func:`export`. They take what people have: a path,
an address, bytes, a PIL image, a numpy array or a tensor (``stylenet.images.inputs`` has the rule).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from stylenet.commands.recipes import load_recipe as load_recipe
    from stylenet.errors import InputError as InputError
    from stylenet.errors import Interrupted as Interrupted
    from stylenet.errors import RunError as RunError
    from stylenet.evaluation.figures import features as features
    from stylenet.evaluation.figures import reconstruct as reconstruct
    from stylenet.evaluation.measures import SizeResult as SizeResult
    from stylenet.evaluation.measures import evaluate as evaluate
    from stylenet.images.picture import Picture as Picture
    from stylenet.images.picture import read_image as read_image
    from stylenet.images.picture import read_size as read_size
    from stylenet.images.picture import write_image as write_image
    from stylenet.inference.finish import Finish as Finish
    from stylenet.inference.stylizer import Stylizer as Stylizer
    from stylenet.inference.stylizer import stylize as stylize
    from stylenet.losses.criteria import ContentLoss as ContentLoss
    from stylenet.losses.criteria import StyleLoss as StyleLoss
    from stylenet.losses.perceptual import PerceptualLoss as PerceptualLoss
    from stylenet.losses.settings import LossSettings as LossSettings
    from stylenet.losses.vgg import VGG as VGG
    from stylenet.network.cards import Card as Card
    from stylenet.network.export import export_style as export
    from stylenet.network.look_blends import blend_styles as blend_styles
    from stylenet.network.shipped import list_styles as list_styles
    from stylenet.network.styles import Style as Style
    from stylenet.network.styles import load_style as load_style
    from stylenet.network.styles import save_style as save_style
    from stylenet.network.transform_net import NetSettings as NetSettings
    from stylenet.network.transform_net import TransformNet as TransformNet
    from stylenet.optimization.rendering import OptimizeResult as OptimizeResult
    from stylenet.optimization.rendering import optimize as optimize
    from stylenet.optimization.settings import OptimizeSettings as OptimizeSettings
    from stylenet.training.run import train as train
    from stylenet.video.stylize import VideoResult as VideoResult
    from stylenet.video.stylize import stylize_video as stylize_video

__all__ = [
    "VGG",
    "Card",
    "ContentLoss",
    "Finish",
    "InputError",
    "Interrupted",
    "LossSettings",
    "NetSettings",
    "OptimizeResult",
    "OptimizeSettings",
    "PerceptualLoss",
    "Picture",
    "RunError",
    "SizeResult",
    "Style",
    "StyleLoss",
    "Stylizer",
    "TransformNet",
    "VideoResult",
    "blend_styles",
    "evaluate",
    "export",
    "features",
    "list_styles",
    "load_recipe",
    "load_style",
    "optimize",
    "read_image",
    "read_size",
    "reconstruct",
    "save_style",
    "stylize",
    "stylize_video",
    "train",
    "write_image",
]

# Where each name is, as ``module.name``.
_HOME = {
    "Card": "network.cards.Card",
    "ContentLoss": "losses.criteria.ContentLoss",
    "StyleLoss": "losses.criteria.StyleLoss",
    "Finish": "inference.finish.Finish",
    "InputError": "errors.InputError",
    "Interrupted": "errors.Interrupted",
    "LossSettings": "losses.settings.LossSettings",
    "NetSettings": "network.transform_net.NetSettings",
    "OptimizeResult": "optimization.rendering.OptimizeResult",
    "OptimizeSettings": "optimization.settings.OptimizeSettings",
    "PerceptualLoss": "losses.perceptual.PerceptualLoss",
    "Picture": "images.picture.Picture",
    "RunError": "errors.RunError",
    "SizeResult": "evaluation.measures.SizeResult",
    "Style": "network.styles.Style",
    "Stylizer": "inference.stylizer.Stylizer",
    "TransformNet": "network.transform_net.TransformNet",
    "VGG": "losses.vgg.VGG",
    "VideoResult": "video.stylize.VideoResult",
    "blend_styles": "network.look_blends.blend_styles",
    "evaluate": "evaluation.measures.evaluate",
    "export": "network.export.export_style",
    "features": "evaluation.figures.features",
    "list_styles": "network.shipped.list_styles",
    "load_recipe": "commands.recipes.load_recipe",
    "load_style": "network.styles.load_style",
    "optimize": "optimization.rendering.optimize",
    "read_image": "images.picture.read_image",
    "read_size": "images.picture.read_size",
    "reconstruct": "evaluation.figures.reconstruct",
    "save_style": "network.styles.save_style",
    "stylize": "inference.stylizer.stylize",
    "stylize_video": "video.stylize.stylize_video",
    "train": "training.run.train",
    "write_image": "images.picture.write_image",
}

# Names of before, which still work.
_OLD = {"Look": "inference.stylizer.Look"}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name) or _OLD.get(name)
    if home is None:
        raise AttributeError(f"module 'stylenet' has no attribute {name!r}")
    module, _, attribute = home.rpartition(".")
    return getattr(importlib.import_module(f"stylenet.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
