"""Wrong input ends in exit code 2, one line that names the trouble, and no file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylenet.commands.cli import main
from stylenet.images import decoding

BASIC = ["content.png", "style.png"]
OUT = ["--output", "out.png"]
# No step is taken: every row has to fail before or while the search is prepared.
QUICK = ["--device", "cpu", "--steps", "0"]


@pytest.fixture
def folder(tmp_path: Path, content: Path, style: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a picture for every kind of trouble."""
    monkeypatch.chdir(tmp_path)
    Path("empty.png").write_bytes(b"")
    Path("text.jpg").write_text("This is not a picture.\n")
    Path("folder.png").mkdir()
    Path("broken.pth").write_text("not weights")
    Path("broken.yaml").write_text("steps: [1\n")
    Path("unknown.yaml").write_text("nonsense: 3\n")
    Path("wrong.yaml").write_text("steps: many\n")
    with Image.open(content) as image:
        image.save("whole.jpg")
    Path("cut.jpg").write_bytes(Path("whole.jpg").read_bytes()[:800])
    Image.new("RGB", (1, 40)).save("thin.png")
    Image.new("RGB", (8, 8)).save("small.png")
    Image.fromarray(np.full((20, 20), np.nan, np.float32)).save("nan.tiff")
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def check(words: list[str], message: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Runs a command in this process and looks at all that it leaves."""
    before = files(folder)
    code = main(words)
    out, err = capfd.readouterr()
    assert err.startswith("stylenet: "), err
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert re.search(message, err), err
    assert out == ""
    assert code == 2
    assert files(folder) == before


PICTURES = {
    "missing": ("none.png", r"none\.png does not exist"),
    "a folder": ("folder.png", r"folder\.png (is a folder, not a picture|holds no pictures)"),
    "empty": ("empty.png", r"empty\.png is empty \(0 bytes\)"),
    "cut short": ("cut.jpg", r"cut\.jpg is cut short"),
    "text": ("text.jpg", r"text\.jpg is not a picture .*it looks like text"),
    "one pixel wide": ("thin.png", r"thin\.png is 1 x 40 pixels: a picture needs at least 2"),
    "NaN": ("nan.tiff", r"nan\.tiff has pixels that are NaN or infinite"),
    "no such scheme": ("ftp://127.0.0.1/x.png", "only http and https addresses"),
    "no answer": ("http://127.0.0.1:1/x.png", r"cannot download http://127\.0\.0\.1:1/x\.png"),
    "no address": ("http://[::1/x.png", "cannot download"),
    "a long name": ("n" * 300, "File name too long"),
}


@pytest.mark.parametrize("place", ["content", "style", "init"])
@pytest.mark.parametrize("trouble", list(PICTURES))
def test_picture(folder: Path, capfd: pytest.CaptureFixture[str], trouble: str, place: str) -> None:
    name, message = PICTURES[trouble]
    words = {"content": [name, "style.png"], "style": ["content.png", name], "init": [*BASIC, "--init", name]}[place]
    check(["optimize", *words, *OUT, *QUICK], message, folder, capfd)


OPTIONS = [
    (["--size", "huge"], "size 'huge' is not understood"),
    (["--size", "0"], "size '0' is empty"),
    (["--size", "9" * 400], "is not understood"),
    (["--style_size", "huge"], "size 'huge' is not understood"),
    (["--budget", "soon"], "budget 'soon' is not understood"),
    (["--budget", "0"], "budget '0' is not understood"),
    (["--steps", "-1"], "steps is -1: it must be 0 or more"),
    (["--steps", "many"], '"steps"'),
    (["--steps", "1.5"], '"steps"'),
    (["--history", "0"], "history is 0: it must be 1 or more"),
    (["--learning_rate", "-1"], "learning_rate is -1"),
    (["--scales", "0"], "scales is 0"),
    (["--scales", "1000000000"], "scales is 1000000000: it must be from 1 to 16"),
    (["--size", "20000x20000"], "20000 x 20000 pixels: that many need --allow_huge"),
    (
        ["--init", "nonsense"],
        r"nonsense does not exist \(init is one of content, uniform, normal, style, a picture, .*udnie, .*, wheat_field_\w+\)",
    ),
    (["--init", "none.safetensors"], r"no style 'none\.safetensors': give the path of a style file, or one .*udnie"),
    (["--init", "broken.pth"], r"broken\.pth cannot be read as weights"),
    (["--style_shares", "[-1]"], r"style shares \[-1.0\]: each must be"),
    (["--style_layers", "{relu1_1: -1}"], "the weight of relu1_1 is -1"),
    (["--device", "meta"], "device 'meta' is not to be had"),
    (["--save_every", "-1"], "save_every is -1"),
    (["--quality", "0"], "quality is 0"),
    (["--quality", "101"], "quality is 101"),
    (["--bits", "12"], "12 bits are not possible"),
    (["--style_form", "nonsense"], '"style_form".*gatys.*johnson'),
    (["--style_weight", "-1"], "style_weight is -1"),
    (["--style_shares", "[1, 2]"], "2 style shares for 1 style picture"),
    (["--content_layers", "{relu9_9: 1}"], "vgg19 has no layer 'relu9_9'"),
    (["--style_layers", "{relu1_1: x}"], '"style_layers'),
    (["--content_layers", "{}", "--style_layers", "{}"], "nothing to minimise"),
    (["--device", "nonsense"], "device 'nonsense' is not to be had"),
    (["--vgg_weights", "none.pth"], r"no VGG weights 'none\.pth'"),
    (["--vgg_weights", "broken.pth"], r"broken\.pth cannot be read as weights alone: .* it is text"),
    (["--vgg", "vgg16", "--vgg_weights", "caffe"], "'caffe' weights exist for vgg19 alone"),
    (["--recipe", "nonsense"], "no recipe 'nonsense': use one of .*gatys2016"),
    (["--recipe"], "no recipe|--recipe"),
    (["--recipe", "broken.yaml"], "parsing"),
    (["--recipe", "unknown.yaml"], "nonsense"),
    (["--recipe", "wrong.yaml"], '"steps"'),
    (["--recipe", "content.png"], "not text"),
    (["--config", "none.yaml"], r"none\.yaml"),
    (["--nonsense", "3"], "--nonsense"),
    (["--nonsense"], "--nonsense"),
    (["--panel", "--nonsense=3"], "--nonsense"),
    (["--log", "content.png"], r"cannot write content\.png/trace\.json"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS, ids=[" ".join(options)[:40] for options, _ in OPTIONS])
def test_option(folder: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    check(["optimize", *BASIC, *OUT, *QUICK, *options], message, folder, capfd)


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("out.xyz", [], r"cannot write out\.xyz: its ending must be one of \.png"),
        ("out", [], "its ending must be one of"),
        ("folder.png", [], r"cannot write folder\.png: it is a folder"),
        ("content.png/out.png", [], "a part of that path is a file"),
        ("content.png/deeper/out.png", [], "a part of that path is a file"),
        ("/proc/none/out.png", [], "cannot write /proc/none/out.png"),
        ("n" * 300 + ".png", [], "File name too long"),
        ("out.jpg", ["--bits", "16"], r"cannot write 16 bits to out\.jpg"),
    ],
)
def test_output(folder: Path, capfd: pytest.CaptureFixture[str], output: str, options: list[str], message: str) -> None:
    check(["optimize", *BASIC, "--output", output, *QUICK, *options], message, folder, capfd)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small.png", "style.png", *OUT], "8 x 8 pixels is too small for layer relu5_1, which needs 16 pixels"),
        (["content.png", "small.png", *OUT], "8 x 8 pixels is too small for layer relu5_1"),
        ([*BASIC, *OUT, "--size", "12"], "12 x 10 pixels is too small for layer relu5_1"),
        (["small.png", "style.png", *OUT, "--style_layers", "{relu1_1: 1}", "--content_layers", "{pool4: 1}"], "layer pool4"),
    ],
)
def test_too_small_for_a_layer(folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    check(["optimize", *words, *QUICK], message, folder, capfd)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "no command 'nonsense': use one of stylize, optimize"),
        (["--nonsense"], "no command '--nonsense'"),
        (["optimize"], "required.*content"),
        (["optimize", "content.png", *OUT], "required.*style"),
        (["optimize", *BASIC, "--style", "style.png", "--output", "content.png"], "content.png is a file: several pictures"),
        (["optimize", *BASIC, "--style", "style.png", "--output", "out", "--log", "log"], "leave --log out for several photos"),
        (["optimize", *BASIC, "--style", "style.png"], "several photos need a folder"),
        (["optimize", "--style", "style.png", *OUT], "required.*content"),
        (["optimize", "content.png", *OUT, "--style"], "--style/-s: expected at least one"),
        (["optimize", "content.png", *OUT, "--style", "none.png"], r"none\.png does not exist"),
        (["features", *OUT], "required.*photo"),
        (["features", "none.png", *OUT], r"none\.png does not exist"),
        (["features", "content.png", "--output", "out.xyz"], "its ending must be one of"),
        (["reconstruct", "content.png", "--output", "folder.png"], "it is a folder"),
        (["reconstruct", "content.png", *OUT, "--style", "text.jpg"], "it looks like text"),
    ],
)
def test_command(folder: Path, capfd: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    check(words, message, folder, capfd)


def test_huge(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "HUGE", 40 * 48 - 1)
    check(["optimize", *BASIC, *OUT, *QUICK], "content.png has 48 x 40 pixels, more than .* --allow_huge", folder, capfd)
    assert main(["optimize", *BASIC, *OUT, *QUICK, "--allow_huge"]) == 0
    assert (folder / "out.png").is_file()


def test_an_old_picture_survives(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "out.png").write_bytes(b"old")
    check(["optimize", "cut.jpg", "style.png", *OUT, *QUICK], "cut short", folder, capfd)
    assert (folder / "out.png").read_bytes() == b"old"


@pytest.mark.parametrize(("words", "code", "stream"), [([], 2, 0), (["--help"], 0, 0), (["-h"], 0, 0)])
def test_overview(capsys: pytest.CaptureFixture[str], words: list[str], code: int, stream: int) -> None:
    assert main(words) == code
    assert "usage: stylenet COMMAND" in capsys.readouterr()[stream]


def test_verbose_shows_where(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "none.png", "style.png", *OUT, "--verbose"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "stylenet: none.png does not exist"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*BASIC, *OUT, "--size", "huge"], "size 'huge' is not understood"),
        (["exif.png", "none.png", *OUT], r"none\.png does not exist"),
    ],
)
def test_as_a_program(folder: Path, words: list[str], message: str) -> None:
    """In a process of its own, where Pillow's warning of damaged EXIF data would be seen."""
    with Image.open("content.png") as image:
        image.save("exif.png", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0")
    run = subprocess.run([sys.executable, "-m", "stylenet", "optimize", *words], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stdout == ""
    assert re.fullmatch(f"stylenet: .*{message}.*\n", run.stderr), run.stderr
    assert not (folder / "out.png").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("word", ["--help", "styles"])
def test_nobody_reads(word: str, unbuffered: str) -> None:
    """As in ``stylenet --help | head -1``, with a reader that has gone already: printing fails at once, or at the end."""
    reader, writer = os.pipe()
    os.close(reader)
    command, environment = [sys.executable, "-m", "stylenet", word], {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writer)
    assert (run.stderr, run.returncode) == (b"", 141)
