"""Decode picture files: bit depth, palette, CMYK, colour profile and transparency are settled here, and every kind of damage
told."""

from __future__ import annotations

import io
import logging
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from stylenet.devices import check_memory
from stylenet.errors import InputError, RunError, argument
from stylenet.recognition import HEAD, also, high_dynamic_range, what_begins

_logger = logging.getLogger("PIL")  # once: every picture is asked about, and asking for a logger waits for a lock

# Bytes for a pixel while a picture is decoded, measured at 24 megapixels without transparency; and pixels that any machine has
# room for.
_DECODING, _SMALL = 23, 2**22

# Pixels above which Pillow suspects a decompression bomb (89 million); asked once, before anything changes it.
HUGE = Image.MAX_IMAGE_PIXELS or 89_478_485
_pillow_limit, _stderr_lock = threading.Lock(), threading.Lock()

# What is read, as Pillow names it. An MPO is a JPEG with further pictures behind it.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")

# Markers of JPEG (ITU T.81, table B.1): 0xFF and a byte, but for stuffed zeros and restarts inside of a scan.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH = {0x01, 0xD8, 0xD9}
MOST_SCANS = 100

# Frames are counted in files up to this size; it takes a look at each of them.
_COUNTED = 1_000_000

# What Pillow's readers raise on bytes that make no sense.
DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError, ArithmeticError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)

# TIFF tags.
_BITS, _PHOTOMETRIC, _PLANES, _EXTRA_SAMPLES = 258, 262, 284, 338


def decode(name: str, data: bytes, allow_huge: bool = False) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Decode a picture file to arrays, upright and in sRGB.

    Returns:
        Colours ``[H, W, 3]`` and alpha ``[H, W]`` or None, float32 in 0..1, and notes for a person.

    Raises:
        InputError: in one line, for anything that is not a readable picture.
        RunError: if memory would not hold it.
    """
    with opened(name, data, allow_huge) as image:
        check_room(name, image)
        image.load()
        colours, alpha, notes = _to_arrays(name, data, image)
        orientation = _orientation(image)
    return _oriented(colours, orientation), None if alpha is None else _oriented(alpha, orientation), notes


def decode_opened(name: str, image: Image.Image, allow_huge: bool = False) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Return what :func:`decode` does from an image that Pillow has opened, or that was made in memory.

    Raises:
        InputError: in one line, for an image without pixels, a damaged or closed one, or values out of range.
        RunError: if memory would not hold it.
    """
    if not image.width or not image.height:
        raise InputError(f"{name} is empty ({image.width} x {image.height} pixels)")
    _check_huge(name, image, allow_huge)
    check_room(name, image)
    try:
        image.load()
        if image.mode == "I" and not 0 <= image.getextrema()[0] <= image.getextrema()[1] <= 65535:  # type: ignore[operator]
            raise InputError(f"{name} has values outside 0..65535: bring it to mode L or RGB")
        colours, alpha, notes = _to_arrays(name, b"", image)
    except (InputError, RunError):
        raise
    except DAMAGE as error:
        raise InputError(f"{name} cannot be read ({error})") from error
    orientation = _orientation(image)
    return _oriented(colours, orientation), None if alpha is None else _oriented(alpha, orientation), notes


def _check_huge(name: str, image: Image.Image, allow_huge: bool, can_allow: bool = True) -> None:
    if image.width * image.height > HUGE and not allow_huge:
        way_out = f" without {argument('allow_huge', True)}" if can_allow else ""
        raise InputError(
            f"{name} has {image.width} x {image.height} pixels,"
            f" more than the {HUGE // 1_000_000} million that are read{way_out}"
        )


def check_room(name: str, image: Image.Image) -> None:
    """Fail for a picture that would fill memory while it is decoded; how much is free is asked only where it matters.

    Raises:
        RunError: with both numbers.
    """
    pixels = image.width * image.height
    if pixels > _SMALL:
        way_out = "make it smaller with another program first, or give this one more memory"
        check_memory(f"the {image.width} x {image.height} pixels of {name}", pixels * _DECODING, way_out)


@contextmanager
def opened(name: str, data: bytes, allow_huge: bool = False, can_allow: bool = True) -> Iterator[Image.Image]:
    """Open an encoded picture, whose pixels are not decoded yet; photos for training are opened by this too.

    Whatever goes wrong inside the ``with`` block becomes one line. Formats beside the documented ones are not tried: Pillow
    hands PostScript to Ghostscript, whatever the ending of the file says.

    Args:
        name: what messages call it.
        data: bytes of the file.
        allow_huge: accept more than 89 million pixels.
        can_allow: whether ``allow_huge`` is an option where this is called from.

    Raises:
        InputError: for bytes that are no picture or damaged, too many pixels, too many scans, or a side of one pixel.
    """
    register_formats()
    try:
        with _pillow_limit, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
            finally:
                Image.MAX_IMAGE_PIXELS = before
        _check_huge(name, image, allow_huge, can_allow)
        if min(image.size) < 2:
            raise InputError(f"{name} is {image.width} x {image.height} pixels: a picture needs at least 2 pixels a side")
        if image.format in ("JPEG", "MPO") and count_scans(data) > MOST_SCANS:
            raise InputError(f"{name} is a JPEG of more than {MOST_SCANS} scans, which would take minutes: save it anew")
        with image, _quiet() if image.format == "TIFF" else nullcontext():
            yield image
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not a picture in a format that is known here{hint(data)}") from error
    except (InputError, RunError):
        raise
    except DAMAGE as error:
        kind = "cut short" if "truncated" in str(error).lower() else "damaged"
        raise InputError(f"{name} is {kind} ({error})") from error


def is_known(head: bytes) -> bool:
    """Return whether a file that begins with these bytes may be a picture, so that nothing else is read to its end."""
    register_formats()
    accepts = [accept for _, accept in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN) if accept is not None]
    return any(accept(head[:16]) for accept in accepts)


def count_scans(data: bytes) -> int:
    """Return how many scans a JPEG has, or enough to know that they are too many.

    A progressive JPEG decodes the whole picture again with each scan. Encoders make about ten; a file of half a megabyte can
    hold thousands.
    """
    place, scans = 2, 0
    while scans <= MOST_SCANS and (found := _MARKER.search(data, place)) is not None:
        marker, place = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker not in _WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2])
    return scans


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what libtiff writes to stderr by itself from it: Pillow reports the same as an error."""
    with _stderr_lock:
        try:
            before = os.dup(2)
        except OSError:  # a process without stderr
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def register_formats() -> None:
    """Let Pillow know its formats, and HEIC where the package ``pillow-heif`` is installed."""
    Image.init()
    # What Pillow logs comes as an error too; without a handler Python would write it to stderr.
    if not _logger.handlers:
        _logger.addHandler(logging.NullHandler())
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def hint(data: bytes) -> str:
    """Return what a person can do about bytes that are no known picture, to be added to a message; empty if nothing."""
    what = what_begins(data[:HEAD])
    if what == "a picture (HEIC)":
        return ": it is HEIC, which needs pip install pillow-heif"
    if what == "a picture (TIFF)":
        return ": it is a kind of TIFF that is not read (such as colour in floating point); save it with 8 or 16 bits"
    if what == "text":
        return ": it looks like text"
    return also(what)


def _to_arrays(name: str, data: bytes, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Return colours ``[H, W, 3]`` and alpha ``[H, W]`` or None, float32 in 0..1, and notes."""
    notes = []
    if getattr(image, "is_animated", False):
        count = str(getattr(image, "n_frames", "")) if len(data) <= _COUNTED else "several"
        notes.append(f"{name}: the first of {count} frames is used")
    if kind := high_dynamic_range(data):
        notes.append(f"{name} is HDR ({kind}): it is read as if it were not, and may look flat")
    array = _deep(name, data, image)
    if array is None:
        return *_shallow(image, notes, name), notes
    alpha = array[..., -1] if array.shape[2] in (2, 4) else None
    array = array[..., :3] if array.shape[2] >= 3 else array[..., :1]
    if _foreign_profile(image):
        notes.append(f"{name}: its colour profile is applied at 8 bits")
        eight = (array * 255 + 0.5).astype(np.uint8)
        converted = Image.fromarray(eight if eight.shape[2] == 3 else eight[..., 0])
        converted.info["icc_profile"] = image.info["icc_profile"]
        array = _bytes_to_float(_to_srgb(converted, notes, name))
    return array if array.shape[2] == 3 else np.repeat(array, 3, axis=2), alpha, notes


def _shallow(image: Image.Image, notes: list[str], name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode everything that Pillow holds in 8 bits."""
    alpha = None
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        profile, colours = image.info.get("icc_profile"), "L" if image.mode in ("L", "LA", "La") else "RGB"
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
        image = image.convert(colours)
        image.info["icc_profile"] = profile
    elif image.mode in ("1", "P"):
        profile = image.info.get("icc_profile")
        image = image.convert("RGB")
        image.info["icc_profile"] = profile
    return _bytes_to_float(_to_srgb(image, notes, name)), alpha


def _bytes_to_float(image: Image.Image) -> np.ndarray:
    array = np.array(image, dtype=np.float32)
    array /= 255  # in place: of 100 megapixels each copy is 1.2 GB
    return array


def _deep(name: str, data: bytes, image: Image.Image) -> np.ndarray | None:
    """Decode pictures of more than 8 bits as ``[H, W, C]``, float32 in 0..1; return None for the others."""
    tags: Any = image.tag_v2 if image.format == "TIFF" and hasattr(image, "tag_v2") else {}
    bits: int = max(tags.get(_BITS, (8,))) if tags else data[24] if image.format == "PNG" and data else 8
    grey = image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
    if not grey and bits <= 8:
        return None
    if tags and (image.mode == "I" or (not grey and tags.get(_PLANES) == 2)):
        what = "signed or 32-bit whole numbers" if grey else f"{bits}-bit colours plane by plane"
        raise InputError(f"{name} holds {what}, which are not read: save it with 8 bits")
    array = np.asarray(image)[..., None] if grey else _by_opencv(data) if data else None
    if array is None:
        return None
    array = _unit_range(array, bits, name)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        array = 1 - array
    if 1 in tags.get(_EXTRA_SAMPLES, ()) and array.shape[2] == 4:  # colours are multiplied by alpha
        array[..., :3] = (array[..., :3] / np.maximum(array[..., 3:], 1 / 65535)).clip(0, 1)
    if grey and isinstance(clear := image.info.get("transparency"), int):
        opaque = np.asarray(image)[..., None] != clear
        array = np.concatenate([array, opaque.astype(np.float32)], axis=2)
    return array


def _by_opencv(data: bytes) -> np.ndarray | None:
    """Return colours of 16 bits ``[H, W, 3 or 4]``, which Pillow cuts to 8; None if OpenCV cannot read them either."""
    import cv2

    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(before)
    return None if array is None or array.ndim != 3 else array[..., [2, 1, 0, 3][: array.shape[2]]]


def _unit_range(array: np.ndarray, bits: int, name: str) -> np.ndarray:
    """Convert any sample type to float32 in 0..1."""
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(f"{name} has pixels that are NaN or infinite")
        if array.min() < 0 or array.max() > 1:
            raise InputError(
                f"{name} has values from {array.min():g} to {array.max():g}: a floating-point picture must lie within 0..1"
            )
        return array.astype(np.float32)
    # Pillow reads some kinds of 16-bit files into its 32-bit mode "I".
    top = 4095 if bits == 12 else 65535 if array.dtype.itemsize >= 2 else 255
    return np.clip(array.astype(np.float32) / top, 0, 1)


def _foreign_profile(image: Image.Image) -> bool:
    """Return whether the picture has a colour profile other than sRGB."""
    profile = image.info.get("icc_profile")
    if not profile:
        return False
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return True
    return not description.strip().lower().startswith("srgb")


def _to_srgb(image: Image.Image, notes: list[str], name: str) -> Image.Image:
    """Convert to sRGB through the picture's own profile; without one, by Pillow's plain conversion."""
    if _foreign_profile(image):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB", flags=flags)
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            notes.append(f"{name}: its colour profile does not fit the picture and is ignored")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) where the EXIF data are damaged."""
    try:
        value = image.getexif().get(0x0112, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) else 1


# EXIF orientation (tag 0x0112) to what makes the picture upright, on arrays [H, W, ...].
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def _oriented(array: np.ndarray, orientation: int) -> np.ndarray:
    upright = _UPRIGHT.get(orientation)
    return array if upright is None else upright(array)
