"""Results have a place when nobody names one, and it is never that of a file that is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import noise
from PIL import Image
from training_kit import PAINTING, make_photos
from video_kit import make_video

from stylenet.commands.cli import main
from stylenet.commands.outputs import default_picture, default_results, default_video
from stylenet.errors import InputError
from stylenet.inference.stylizer import stylize
from stylenet.network.shipped import shipped_styles
from stylenet.storage.places import is_pattern


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("photo", "style", "expected"),
    [
        ("photo.jpg", "starry_night", "photo_starry_night.jpg"),
        ("deep/er/photo.PNG", "styles/my_style.safetensors", "photo_my_style.png"),
        ("phone.heic", "painting.tif", "phone_painting.jpg"),
        ("https://example.org/x/my%20cat.webp?big=1", "udnie", "my cat_udnie.webp"),
        ("photo.jpg", "https://example.org/painting.jpg", "photo_painting.jpg"),
        ("-", "udnie", "stdin_udnie.jpg"),
    ],
)
def test_pictures(photo: str, style: str, expected: str, here: Path) -> None:
    assert default_picture(photo, style) == expected
    Path(expected).touch()
    stem, suffix = Path(expected).stem, Path(expected).suffix
    assert default_picture(photo, style) == f"{stem}_2{suffix}"
    Path(f"{stem}_2{suffix}").touch()
    assert default_picture(photo, style) == f"{stem}_3{suffix}"


@pytest.mark.parametrize(
    ("inputs", "styles", "sheet", "expected"),
    [
        (["photo.jpg"], ["udnie"], False, "photo_udnie.jpg"),
        (["photo.jpg"], ["udnie:0.6", "the_scream:0.4"], False, "photo_udnie_the_scream.jpg"),
        (["photo.jpg"], ["udnie", "the_scream"], False, "photo_styled"),
        (["photos"], ["udnie"], False, "photos_udnie"),
        (["photos/"], ["udnie", "the_scream"], False, "photos_styled"),
        (["a.jpg", "b.jpg"], ["udnie"], False, "styled"),
        (["photos/*.jpg"], ["udnie"], False, "styled"),
        (["photos"], ["udnie", "the_scream"], True, "photos_sheet.jpg"),
    ],
)
def test_several(inputs: list[str], styles: list[str], sheet: bool, expected: str, here: Path) -> None:
    assert default_results(inputs, styles, sheet) == expected


def test_a_name_that_looks_like_a_pattern(here: Path) -> None:
    Path("photo[1].jpg").touch()
    assert default_results(["photo[1].jpg"], ["udnie"], False) == "photo[1]_udnie.jpg"
    assert default_results(["photo[12].jpg"], ["udnie"], False) == "styled"
    assert [is_pattern(word) for word in ("photo[1].jpg", "photo?.jpg", "*.jpg", "photo.jpg")] == [False, True, True, False]


def test_a_folder_is_that_of_the_run_before(here: Path) -> None:
    Path("photos_udnie").mkdir()
    assert default_results(["photos"], ["udnie"], False) == "photos_udnie"


@pytest.mark.parametrize(
    ("source", "expected"), [("clip.mov", "clip_udnie.mov"), ("clip.avi", "clip_udnie.mp4"), ("photos", "photos_udnie")]
)
def test_videos(source: str, expected: str, here: Path) -> None:
    assert default_video(source, ["udnie"]) == expected


def test_commands_write_there_and_say_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (32, 24), (90, 140, 200)).save("photo.png")
    Image.new("RGB", (32, 24), (1, 2, 3)).save("photo_udnie_swift.png")
    mine = Path("photo_starry_night_swift.png")
    mine.write_bytes(b"mine")
    assert main(["stylize", "photo.png", "--style", "starry_night_swift", "--device", "cpu"]) == 0
    assert "photo_starry_night_swift_2.png: 1 of 1 styled" in capsys.readouterr().err
    assert mine.read_bytes() == b"mine"
    words = ["optimize", "photo.png", "photo_udnie_swift.png", "--steps", "0", "--device", "cpu"]
    assert main(words) == 0
    assert "photo_photo_udnie_swift.png: 0 steps" in capsys.readouterr().out
    assert main(["features", "photo.png", "--size", "32"]) == 0
    assert "photo_features.png" in capsys.readouterr().out
    for name in ("photo_starry_night_swift_2.png", "photo_photo_udnie_swift.png", "photo_features.png"):
        Image.open(name).load()


def test_one_device_cannot_be_two(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (32, 24)).save("photo.png")
    assert main(["stylize", "photo.png", "--style", "udnie", "--device", "cuda:1", "--devices", "2"]) == 2
    assert "device 'cuda:1' is a single one, and devices is 2" in capsys.readouterr().err


# Each line names a file that is read, and has a result written to it.
OVERWRITING = [
    "optimize photo.png painting.png --output photo.png",
    "optimize photo.png painting.png --output ./painting.png",
    "optimize photo.png painting.png --output link.png",
    "optimize photo.png painting.png --init start.png --output start.png",
    "optimize photo.png painting.png --vgg_weights start.png --output start.png",
    "optimize photo.png out_panel.png --output out.png --panel",
    "optimize out_00010.png painting.png --output out.png --save_every 10",
    "optimize photo.png painting.png --init linked_00010.png --output linked.png --save_every 5",
    "optimize photo.png log/loss.png --output out.png --log log",
    "reconstruct photo.png --output photo.png",
    "reconstruct photo.png --style painting.png --output painting.png",
    "reconstruct photo.png --vgg_weights start.png --output start.png",
    "features photo.png --output photo.png",
    "features photo.png --vgg_weights start.png --output start.png",
    "stylize photo.png --style udnie --output photo.png --overwrite",
    "stylize photo.png --style udnie --mask start.png --output start.png --overwrite",
    "stylize photo.png --style udnie --mask start.png --output ./link/../start.png --overwrite --size 16",
    "stylize photo.png --style udnie --outside start.png --mask painting.png --output start.png --overwrite",
    "stylize photo.png --style start.png --output start.png --overwrite",
    "stylize photo.png painting.png --style udnie --mask start.png --output start.png --sheet --overwrite",
    "stylize photo.png painting.png --style udnie --mask out/photo.png --output out --overwrite",
    "video clip.mp4 --style udnie --output clip.mp4 --overwrite",
    "video clip.mp4 --style other.mp4 --output other.mp4 --overwrite",
    "export style.onnx --output ./style.onnx",
]


@pytest.mark.parametrize("words", OVERWRITING)
def test_no_result_takes_the_place_of_what_it_is_made_from(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("out", "log", "link"):
        Path(folder).mkdir()
    names = ["photo.png", "painting.png", "start.png", "out_panel.png", "out_00010.png", "log/loss.png", "out/photo.png"]
    for number, name in enumerate(names):
        Image.fromarray(noise(16, 16, number)).save(name)
    Path("link.png").symlink_to("photo.png")
    Path("linked_00010.png").symlink_to("start.png")
    make_video(Path("clip.mp4"))
    for name in ("other.mp4", "style.onnx"):
        shutil.copy(shipped_styles()["starry_night_swift"], name)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert "would be overwritten" in told or "is the video itself" in told
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_result_of_many_that_would_take_the_place_of_a_mask_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where photos are not listed before the work begins."""
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "out"):
        Path(folder).mkdir()
    for number, name in enumerate(("photos/a.png", "photos/b.png", "out/a.png")):
        Image.fromarray(noise(16, 16, number)).save(name)
    before = Path("out/a.png").read_bytes()
    words = "stylize photos --style starry_night_swift --mask out/a.png --output out --overwrite --resume --device cpu"
    assert main(words.split()) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert Path("out/a.png").read_bytes() == before
    assert Path("out/b.png").is_file()


def test_a_training_keeps_the_style_that_it_starts_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(shipped_styles()["starry_night_swift"], "mine.safetensors")
    before = Path("mine.safetensors").read_bytes()
    words = ["train", "--recipe", "debug", "--network", "swift", "--style", str(PAINTING)]
    words += ["--photos", str(make_photos(Path("photos"), 4))]
    assert main([*words, "--init", "mine.safetensors", "--output", "./mine.safetensors"]) == 2
    assert "./mine.safetensors is what the result is made from, and would be overwritten by it" in capsys.readouterr().err
    assert Path("mine.safetensors").read_bytes() == before


def test_the_function_keeps_what_it_styles(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(noise(16, 16, 1)).save(photo)
    before = photo.read_bytes()
    with pytest.raises(InputError, match="would be overwritten"):
        stylize(photo, "udnie", photo)
    assert photo.read_bytes() == before
