"""What commands print: a line a message, and nothing that acts on the terminal, whatever files are called."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from training_kit import PAINTING, make_photos
from video_kit import make_video
from world_kit import LAYERS, TRAINING

from stylenet.commands.cli import main
from stylenet.logs import shown_messages
from stylenet.network.cards import Card
from stylenet.network.styles import save_style
from stylenet.network.transform_net import NetSettings, TransformNet

NAME = "\x1b[31mred\x07\u202egnp"
WORDS: dict[str, list[str]] = {
    "stylize": ["photos", "--style", f"{NAME}.safetensors", "--device", "cpu"],
    "stylize one": [f"photos/{NAME}1.png", "--style", f"{NAME}.safetensors", "--device", "cpu"],
    "optimize": [f"photos/{NAME}1.png", f"photos/{NAME}2.png", "--size", "32", "--steps", "1", "--device", "cpu", *LAYERS],
    "train": ["--style", f"photos/{NAME}1.png", "--photos", "photos", "--steps", "5", *TRAINING],
    "train from": ["--style", PAINTING, "--photos", "photos", "--steps", "5", *TRAINING, "--init", f"{NAME}.safetensors"],
    "video": [f"{NAME}.mp4", "--style", f"{NAME}.safetensors", "--device", "cpu"],
    "video of a folder": ["photos", "--style", f"{NAME}.safetensors", "--device", "cpu", "--output", "out"],
    "export": [f"{NAME}.safetensors"],
    "styles": [f"{NAME}.safetensors"],
    "features": [f"photos/{NAME}1.png"],
    "evaluate": [f"{NAME}.safetensors", "--photos", "photos"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, some of them damaged, and other files, all with names that act on terminals."""
    for index, path in enumerate(sorted(make_photos(tmp_path / "photos", 24).iterdir())):
        path.rename(path.with_name(f"{NAME}{index}.png"))
    for index in range(24, 40, 2):
        (tmp_path / "photos" / f"{NAME}{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    (tmp_path / "photos" / f"a.{NAME}").touch()
    make_video(tmp_path / f"{NAME}.mp4")
    card = Card(NAME, credit=NAME, style=[{"file": NAME, "sha256": ""}])
    save_style(TransformNet(NetSettings(width=4, residual_blocks=1)), card, tmp_path / f"{NAME}.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("case", WORDS)
def test_nothing_acts_on_the_terminal(folder: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = main([case.split(maxsplit=1)[0], *WORDS[case]])
    out, error = capfd.readouterr()
    assert code in ((2,) if case == "evaluate" else (0, 1)), error
    assert "red" in out + error
    acting = [line for line in (out + error).splitlines() if not line.isprintable()]
    assert acting == []
    assert [line for line in (out + error).splitlines() if ".py:" in line or "Traceback" in line] == []


def test_warnings_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's own way shows the file of the program and a line of its code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with shown_messages():
            warnings.warn("a photo\x1b[2J\nis odd", UserWarning, stacklevel=1)
        assert capsys.readouterr().err == "a photo\\x1b[2J is odd\n"
        before = warnings.showwarning
        with shown_messages(where=True):
            assert warnings.showwarning is before
