"""Names of kinds of files by their first bytes, for messages about files that are something else than they should be."""

from __future__ import annotations

from pathlib import Path

HEAD = 512  # bytes

# Files of weights are far below it: those of the largest loss network have 0.6 GB.
LARGEST_WEIGHTS = 2_000_000_000

# The first bytes of a file, and what begins so. Those of pictures come first: they are what is confused most often.
_BEGINNINGS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"\x89PNG\r\n",), "a picture (PNG)"),
    ((b"\xff\xd8\xff",), "a picture (JPEG)"),
    ((b"GIF87a", b"GIF89a"), "a picture (GIF)"),
    ((b"II*\0", b"MM\0*"), "a picture (TIFF)"),
    ((b"\x1a\x45\xdf\xa3",), "a video (Matroska or WebM)"),
    ((b"%!PS", b"\xc5\xd0\xd3\xc6"), "PostScript"),
    ((b"%PDF",), "a PDF"),
    ((b"version https://git-lfs",), "a pointer of Git LFS, not the file itself, which  git lfs pull  fetches"),
    (
        (b"\x03\0\0\0\x01\0\0\0", b"\x04\0\0\0\x01\0\0\0", b"4\n1\n", b"3\n1\n"),
        "a Torch 7 file (.t7), which Lua alone reads",
    ),
    ((b"\x89HDF",), "an HDF5 file, such as Keras writes"),
    ((b"PK\x03\x04", b"PK\x05\x06"), "a zip archive or a file that torch saved"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a pickle"),
    ((b"\x1f\x8b",), "compressed by gzip"),
    ((b"BM",), "a picture (BMP)"),
)

# Brands of the ISO base media format (bytes 8 to 12, behind ``ftyp``) that are pictures.
_STILL = {b"avif": "a picture (AVIF)", b"heic": "a picture (HEIC)", b"heix": "a picture (HEIC)", b"mif1": "a picture (HEIC)"}

# Where pictures say how their numbers grow with light: a chunk of PNG, a box of AVIF and HEIC, and how far behind its name. The
# numbers are those of ITU-T H.273, table 3; these two are for what is brighter than most screens.
_TRANSFERS = ((b"cICP", 5), (b"colrnclx", 11))
_HDR = {16: "PQ", 18: "HLG"}
_BEGINNING = 4096


def what_is(path: str | Path) -> str:
    """Return in words what a file is, such as ``a picture (PNG)``; empty where that cannot be told."""
    if Path(path).suffix.lower() == ".onnx":
        return "an ONNX file"
    try:
        with Path(path).open("rb") as opened:
            return what_begins(opened.read(HEAD))
    except OSError:
        return ""


def what_begins(head: bytes) -> str:
    """Return in words what a file is that begins with these bytes; empty where that cannot be told."""
    if not head:
        return "empty"
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page, as a download that failed leaves one"
    for beginnings, what in _BEGINNINGS:
        if head.startswith(beginnings):
            return what
    if head[4:8] == b"ftyp":
        return _STILL.get(head[8:12], "a video (MP4)")
    if head[:4] == b"RIFF":
        return "a picture (WebP)" if head[8:12] == b"WEBP" else "a video (AVI) or sound"
    if head[6:9] == b"\0\0{":  # a length of eight bytes, then JSON
        return "a safetensors file"
    if head[257:262] == b"ustar":
        return "a tar archive"
    return "text" if b"\0" not in head else ""


def no_weights(path: Path) -> str:
    """Return why a file cannot be one of weights, for the end of ``PATH is``; empty where it may be one.

    It is asked before any of the file is mapped into memory: of a sparse one of many gigabytes its readers say no more than
    that memory is short.

    Raises:
        OSError: if it cannot be read.
    """
    size = path.stat().st_size
    if size > LARGEST_WEIGHTS:
        return f"no file of weights: it has {size:,} bytes, and {LARGEST_WEIGHTS:,} are the limit"
    if path.suffix.lower() != ".safetensors":
        return ""
    with path.open("rb") as opened:
        head = opened.read(9)
    length = int.from_bytes(head[:8], "little")
    if size < 9 or what_begins(head) or (head[8:] == b"{" and length + 8 <= size):
        return ""
    return "no safetensors file, or is damaged: it does not begin as one"


def also(what: str) -> str:
    """Return ``: it is WHAT`` for the end of a message; empty where that is not known."""
    return f": it is {what}" if what else ""


def high_dynamic_range(data: bytes) -> str:
    """Return ``PQ`` or ``HLG`` for a picture file that says at its beginning that it is HDR; else nothing."""
    head = data[:_BEGINNING]
    for mark, offset in _TRANSFERS:
        place = head.find(mark) + offset
        if offset <= place < len(head) and head[place] in _HDR:
            return _HDR[head[place]]
    return ""
