"""The image transformation network (Johnson, Alahi & Fei-Fei, ECCV 2016), and trained styles as files.

The room owns ``TransformNet``, pictures of any size through it strip by strip, style files with their cards, looks that share a
body and their blends, other repositories' checkpoints, and ONNX. It exports the network, ``Style``, and what loads, saves,
lists, blends and exports styles.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.network.cards import Card as Card
    from stylenet.network.export import export_style as export_style
    from stylenet.network.look_blends import blend_styles as blend_styles
    from stylenet.network.shipped import list_styles as list_styles
    from stylenet.network.shipped import shipped_styles as shipped_styles
    from stylenet.network.styles import Style as Style
    from stylenet.network.styles import load_style as load_style
    from stylenet.network.styles import save_style as save_style
    from stylenet.network.tiling import style_picture as style_picture
    from stylenet.network.transform_net import NetSettings as NetSettings
    from stylenet.network.transform_net import TransformNet as TransformNet

__all__ = [
    "Card",
    "NetSettings",
    "Style",
    "TransformNet",
    "blend_styles",
    "export_style",
    "list_styles",
    "load_style",
    "save_style",
    "shipped_styles",
    "style_picture",
]

__getattr__ = exporter(
    __name__,
    {
        "look_blends": ["blend_styles"],
        "cards": ["Card"],
        "shipped": ["list_styles", "shipped_styles"],
        "export": ["export_style"],
        "styles": ["Style", "load_style", "save_style"],
        "tiling": ["style_picture"],
        "transform_net": ["NetSettings", "TransformNet"],
    },
)
