"""Every room reads and writes the same formats, and the documents name them."""

from __future__ import annotations

import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from documents_kit import ROOT
from PIL import Image, features
from training_kit import LOSS, PAINTING, make_photos, photos

from stylenet import formats, storage
from stylenet.errors import InputError
from stylenet.evaluation.measures import evaluate
from stylenet.images.decoding import FORMATS, register_formats
from stylenet.images.picture import read_image, write_image
from stylenet.inference.at_scale import Scale
from stylenet.inference.folders import plan_jobs
from stylenet.inference.stylize_files import stylize_files
from stylenet.network.cards import Card
from stylenet.network.styles import Style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.training.paintings import find_paintings
from stylenet.training.photos import find_photos, open_photo, survey_photos
from stylenet.video.reader import PictureFolder, open_video, parse_rate

ENDINGS = sorted(formats.READ_PICTURES)
NO_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
WRITTEN = [pytest.param(ending, marks=NO_AVIF if ending == ".avif" else ()) for ending in formats.WRITTEN_PICTURES]


# What a format is called where its name and Pillow's differ. An MPO is a JPEG with further pictures behind it.
NAMES = {"WEBP": "WebP", "HEIF": "HEIC", "MPO": "JPEG"}


def test_documents_name_every_format() -> None:
    sentence = (ROOT / "docs" / "styling.md").read_text().partition("A photo can be")[2].partition("- Orientation")[0]
    for text in (sentence, str(read_image.__doc__)):
        assert [name for name in FORMATS if NAMES.get(name, name) not in text] == []


def test_every_format_has_an_ending_and_every_ending_a_format() -> None:
    register_formats()
    kinds = {ending: Image.registered_extensions().get(ending, "HEIF") for ending in ENDINGS}
    assert set(kinds.values()) == set(FORMATS) - {"MPO"}


@pytest.mark.parametrize("ending", [*ENDINGS, *(ending.upper() for ending in ENDINGS)])
def test_all_rooms_find_a_picture(ending: str, tmp_path: Path) -> None:
    """To be styled, to be learned from, as a style and as a frame."""
    path = tmp_path / f"a{ending}"
    path.touch()
    for name in ("notes.txt", "._a.jpg", ".hidden.png", "b.mp4"):
        (tmp_path / name).touch()
    assert [job.source for job in plan_jobs([str(tmp_path)], "out", ["style"])] == [str(path)]
    assert [photo.path for photo in find_photos(tmp_path)] == [str(path)]
    assert find_paintings(str(tmp_path), []) == [str(path)]
    assert PictureFolder(tmp_path, parse_rate(25)).names == [path.name]


# Where the files to be styled lie elsewhere, and how a set of any size is styled.
PACKED = ("in an archive", "in an archive, at scale", "in a store", "in a folder, at scale")


@pytest.mark.parametrize(
    "room",
    ["to be styled", *PACKED, "as styles", "as frames", "to be learned from", "to be validated on", "to be measured on"],
)
def test_all_rooms_tell_what_they_leave_out(room: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder whose photos are of kinds that are not read does not pass for a small one."""
    for name in ("a.png", "b.cr3", "c.CR3", "d.jxl", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    told_of_photos = "4 files are left out beside the 1 photos%s: 2 .cr3, 1 hidden, 1 .jxl"
    match room:
        case room if room in PACKED:
            save_style(TransformNet(NetSettings(width=4, residual_blocks=1)), Card("a"), tmp_path.with_suffix(".safetensors"))
            scale = Scale(resume=True) if "scale" in room else None
            out = str(tmp_path / "out")
            inputs = [pack(tmp_path, room)]
            summary = stylize_files(inputs, [str(tmp_path.with_suffix(".safetensors"))], out, scale=scale, device="cpu")
            assert "\n".join(summary.notes) == "3 files are left out beside the 1 pictures: 2 .cr3, 1 .jxl"
        case "to be validated on":
            make_photos(tmp_path / "photos", 3)
            photos(tmp_path / "photos", val_photos=[str(pack(tmp_path, "in an archive"))]).setup()
            assert told_of_photos % " to measure on" in capsys.readouterr().err
        case "to be measured on":
            lines: list[str] = []
            torch.manual_seed(0)
            card = Card("a", style=[{"file": "brush_strokes.jpg"}], loss=asdict(LOSS), training={"style_size": 64})
            style = Style(TransformNet(NetSettings(width=4, residual_blocks=1)), card)
            evaluate(style, str(tmp_path), PAINTING, [64], 1, 0, "cpu", lines.append)
            assert lines[0] == told_of_photos % ""
        case "to be styled":
            save_style(TransformNet(NetSettings(width=4, residual_blocks=1)), Card("a"), tmp_path / "a.safetensors")
            summary = stylize_files([str(tmp_path)], [str(tmp_path / "a.safetensors")], str(tmp_path / "out"), device="cpu")
            assert summary is not None
            told = "\n".join(summary.notes)
            assert told == "4 files are left out beside the 1 pictures: 2 .cr3, 1 .safetensors, 1 .jxl"
        case "as styles":
            assert find_paintings(str(tmp_path), []) == [str(tmp_path / "a.png")]
            assert capsys.readouterr().err == "3 files are left out beside the 1 style pictures: 2 .cr3, 1 .jxl\n"
        case "as frames":
            assert PictureFolder(tmp_path, parse_rate(25)).notes == [
                "3 files are left out beside the 1 frames: 2 .cr3, 1 .jxl",
            ]
        case _:
            counted = survey_photos(tmp_path)[1]
            assert counted == {".cr3": 2, ".jxl": 1, "hidden": 1}


def pack(folder: Path, room: str) -> str:
    """Put the files of a folder where they are to be found, and return its name."""
    if "folder" in room:
        return str(folder)
    content = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    if "store" in room:
        for name, data in content.items():
            storage.write(f"memory://{folder.name}/{name}", data)
        return f"memory://{folder.name}"
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return str(folder.with_suffix(".zip"))


def test_paintings_by_a_pattern_in_quotes(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "a.txt", "c.jpg"):
        (tmp_path / name).touch()
    assert find_paintings([str(tmp_path / "*.png"), "https://example.org/a?b=*"], []) == [
        *(str(tmp_path / name) for name in ("a.png", "b.png")),
        "https://example.org/a?b=*",
    ]
    with pytest.raises(InputError, match=r"no style pictures at .*\*\.tif': nothing fits that pattern"):
        find_paintings(str(tmp_path / "*.tif"), [])


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
