"""Every room reads and writes the same formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image, features

from stylenet import formats
from stylenet.errors import InputError
from stylenet.images.picture import read_image, write_image
from stylenet.inference.folders import plan_jobs
from stylenet.training.module import find_pictures
from stylenet.training.photos import find_photos, open_photo
from stylenet.video.reader import PictureFolder, open_video, parse_rate

ENDINGS = sorted(formats.READ_PICTURES)
NO_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
WRITTEN = [pytest.param(ending, marks=NO_AVIF if ending == ".avif" else ()) for ending in formats.WRITTEN_PICTURES]


@pytest.mark.parametrize("ending", [*ENDINGS, *(ending.upper() for ending in ENDINGS)])
def test_all_rooms_find_a_picture(ending: str, tmp_path: Path) -> None:
    """To be styled, to be learned from, as a style and as a frame."""
    path = tmp_path / f"a{ending}"
    path.touch()
    for name in ("notes.txt", "._a.jpg", ".hidden.png", "b.mp4"):
        (tmp_path / name).touch()
    assert [job.source for job in plan_jobs([str(tmp_path)], "out", ["style"])] == [str(path)]
    assert [photo.path for photo in find_photos(tmp_path)] == [str(path)]
    assert find_pictures(str(tmp_path), []) == [str(path)]
    assert PictureFolder(tmp_path, parse_rate(25)).names == [path.name]


@pytest.mark.parametrize("ending", WRITTEN)
def test_all_rooms_open_what_is_written(ending: str, tmp_path: Path) -> None:
    picture = torch.linspace(0, 1, 3 * 16 * 24).view(1, 3, 16, 24)
    path = write_image(picture, tmp_path / f"a{ending}")
    wanted = read_image(path).pixels
    assert (wanted - picture).abs().max() < 0.1
    (photo,) = find_photos(path)
    assert open_photo(photo, 16).size == (24, 16)
    (frame,) = PictureFolder(tmp_path, parse_rate(25))
    assert torch.equal(frame.picture.pixels, wanted)


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending not in formats.WRITTEN_VIDEOS])
def test_a_picture_is_no_video(ending: str, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / f"a{ending}", "PNG")  # the bytes count, not the name
    with pytest.raises(InputError, match="is a single picture"):
        open_video(tmp_path / f"a{ending}")
