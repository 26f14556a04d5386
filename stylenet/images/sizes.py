"""Size rules: how large a picture is to be, in a word that fits a command line and a YAML file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from stylenet.choices import check_choices
from stylenet.errors import InputError

_GRAMMAR = "512 (longest side), short:400 (shortest side), 640x480 (exactly, width x height), 0.25mp (megapixels) or full"


@dataclass(frozen=True)
class SizeRule:
    """A parsed size rule; ``kind`` tells what ``value`` (pixels, or megapixels) and ``height`` mean."""

    kind: Literal["longest", "shortest", "exact", "megapixels", "full"]
    value: float = 0
    height: int = 0

    def __post_init__(self) -> None:
        check_choices(self)

    @classmethod
    def parse(cls, text: str | int | SizeRule) -> SizeRule:
        """Read ``512``, ``short:400``, ``640x480``, ``0.25mp`` or ``full``.

        Raises:
            InputError: for anything else.
        """
        if isinstance(text, SizeRule):
            return text
        word = str(text).strip().lower()
        if word == "full":
            return cls("full")
        if match := re.fullmatch(r"(?:long:)?(\d{1,6})", word):
            rule = cls("longest", int(match[1]))
        elif match := re.fullmatch(r"short:(\d{1,6})", word):
            rule = cls("shortest", int(match[1]))
        elif match := re.fullmatch(r"(\d{1,6})x(\d{1,6})", word):
            rule = cls("exact", int(match[1]), int(match[2]))
            if rule.height < 1:
                raise InputError(f"size {text!r} is empty: use {_GRAMMAR}")
        elif match := re.fullmatch(r"(\d{0,6}\.\d+|\d{1,6})mp", word):
            rule = cls("megapixels", float(match[1]))
        else:
            raise InputError(f"size {text!r} is not understood: use {_GRAMMAR}")
        if rule.value <= 0:
            raise InputError(f"size {text!r} is empty: use {_GRAMMAR}")
        return rule

    def apply(self, width: int, height: int, upscale: bool = False) -> tuple[int, int]:
        """Return the width and height that a picture gets, each at least 1. It grows only by ``upscale`` or an exact size."""
        if self.kind == "full":
            return width, height
        if self.kind == "exact":
            return int(self.value), self.height
        if self.kind == "longest":
            scale = self.value / max(width, height)
        elif self.kind == "shortest":
            scale = self.value / min(width, height)
        else:
            scale = math.sqrt(self.value * 1e6 / (width * height))
        if scale >= 1 and not upscale:
            return width, height
        return max(round(width * scale), 1), max(round(height * scale), 1)
