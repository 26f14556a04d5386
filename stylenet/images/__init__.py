"""Pictures: files, addresses, bytes and file objects to tensors ``[B, 3, H, W]`` in 0..1, and back.

The room owns decoding, sizes, colours, masks and contact sheets. It exports the picture, its reader and its writer, the size
rule, and the functions that work on colours.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.images.color import KeepColors as KeepColors
    from stylenet.images.color import blend as blend
    from stylenet.images.color import keep_colors as keep_colors
    from stylenet.images.color import luminance as luminance
    from stylenet.images.color import match_colors as match_colors
    from stylenet.images.fetching import Source as Source
    from stylenet.images.masks import read_mask as read_mask
    from stylenet.images.picture import Picture as Picture
    from stylenet.images.picture import PictureLike as PictureLike
    from stylenet.images.picture import as_picture as as_picture
    from stylenet.images.picture import encode_image as encode_image
    from stylenet.images.picture import read_image as read_image
    from stylenet.images.picture import read_size as read_size
    from stylenet.images.picture import resize as resize
    from stylenet.images.picture import write_image as write_image
    from stylenet.images.sheets import contact_sheet as contact_sheet
    from stylenet.images.sizes import SizeRule as SizeRule

__all__ = [
    "KeepColors",
    "Picture",
    "PictureLike",
    "SizeRule",
    "Source",
    "as_picture",
    "blend",
    "contact_sheet",
    "encode_image",
    "keep_colors",
    "luminance",
    "match_colors",
    "read_image",
    "read_mask",
    "read_size",
    "resize",
    "write_image",
]

__getattr__ = exporter(
    __name__,
    {
        "color": ["KeepColors", "blend", "keep_colors", "luminance", "match_colors"],
        "fetching": ["Source"],
        "masks": ["read_mask"],
        "picture": ["Picture", "PictureLike", "as_picture", "encode_image", "read_image", "read_size", "resize", "write_image"],
        "sheets": ["contact_sheet"],
        "sizes": ["SizeRule"],
    },
)
