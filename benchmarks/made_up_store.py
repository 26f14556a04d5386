"""A store that makes small pictures on demand and forgets what is written, for measuring what numbers of names cost."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import fsspec
import numpy as np
from fsspec.spec import AbstractFileSystem
from PIL import Image

from stylenet.storage import stores

SCHEME = "madeup"
_A_FOLDER = 1000  # names


class MadeUpStore(AbstractFileSystem):  # type: ignore[misc]
    """``madeup://COUNT`` holds so many photos of 16 x 16 pixels in folders of a thousand; all else is empty.

    Attributes:
        kept: files that are kept, such as the notes of what is finished; photos are only counted.
        written: photos that were written.
    """

    protocol = SCHEME
    kept: ClassVar[dict[str, bytes]] = {}
    written = 0

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return the names in a folder."""
        root, _, folder = self._strip_protocol(path).strip("/").partition("/")
        if not root.isdigit():
            found = [self._file(name, len(content)) for name, content in self.kept.items() if name.startswith(f"{root}/")]
        elif folder:
            first = int(folder) * _A_FOLDER
            found = [self._file(f"{root}/{folder}/{n:09d}.jpg") for n in range(first, min(first + _A_FOLDER, int(root)))]
        else:
            folders = range(-(-int(root) // _A_FOLDER))
            found = [{"name": f"{root}/{number:06d}", "size": 0, "type": "directory"} for number in folders]
        return found if detail else [entry["name"] for entry in found]

    @staticmethod
    def _file(name: str, size: int = 0) -> dict[str, Any]:
        return {"name": name, "size": size or len(PHOTO), "type": "file"}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return what is known of a file."""
        name = self._strip_protocol(path)
        if name in self.kept or name.split("/")[0].isdigit():
            return self._file(name)
        if any(other.startswith(f"{name}/") for other in self.kept):
            return {"name": name, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the photo, or a file that is kept."""
        return self.kept.get(self._strip_protocol(path), PHOTO)[start:end]

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        """Count a photo; keep notes."""
        if path.endswith(".jsonl"):
            type(self).kept[self._strip_protocol(path)] = value
        elif path.endswith(".jpg"):
            type(self).written += 1

    def rm_file(self, path: str) -> None:
        """Forget a file."""
        self.kept.pop(self._strip_protocol(path), None)


def _photo() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(content, "JPEG")
    return content.getvalue()


PHOTO = _photo()


def register() -> None:
    """Make the store known to fsspec and to stylenet."""
    fsspec.register_implementation(SCHEME, MadeUpStore, clobber=True)
    stores.DRIVERS[SCHEME] = ""
