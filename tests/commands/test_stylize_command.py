"""``stylenet stylize`` as people call it: folders, streams, sheets, faults."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image

from stylenet.commands.cli import main
from stylenet.images.picture import Picture
from stylenet.inference import batch, stylizer
from stylenet.inference.folders import Job
from stylenet.network.cards import Card
from stylenet.network.styles import load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two styles and a tree of photos of mixed sizes and formats."""
    for seed, name in enumerate(("waves", "stars")):
        torch.manual_seed(seed)
        net = randomised(TransformNet(NetSettings(width=4, residual_blocks=1)))
        save_style(net, Card(name), tmp_path / f"{name}.safetensors", bits=32)
    for number, name in enumerate(("a.png", "b.jpg", "deep/c.webp", "deep/er/d.gif")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(20 + 3 * number, 30 - number, number)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def stylize(*words: str) -> int:
    return main(["stylize", *words])


def stylize_aside(here: Path, *words: str, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stylenet", "stylize", *words]
    return subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


# --- what goes in and comes out ---------------------------------------------------------------------------------------


def test_one_photo(here: Path) -> None:
    assert stylize("photos/a.png", "--style", "waves.safetensors", "-o", "out.png", "--precision", "32") == 0
    photo = torch.from_numpy(np.asarray(Image.open("photos/a.png"))).permute(2, 0, 1)[None].float() / 255
    expected = (load_style("waves.safetensors").net(photo).clamp(0, 1) * 255).round()
    result = torch.from_numpy(np.asarray(Image.open("out.png")).copy()).permute(2, 0, 1)[None].float()
    assert float((result - expected).abs().max()) <= 1


def test_a_folder_of_mixed_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stylize("photos", "--style", "waves.safetensors", "-o", "out") == 0
    assert files(here / "out") == {"a.png", "b.jpg", "deep/c.webp", "deep/er/d.gif.png"}
    for name in ("a.png", "b.jpg", "deep/c.webp"):
        assert Image.open(f"out/{name}").size == Image.open(f"photos/{name}").size
    told = capsys.readouterr().err
    assert "out: 4 of 4 styled in" in told
    assert "4/4 pictures" in told


def test_several_styles(here: Path) -> None:
    assert stylize("photos/a.png", "-s", "waves.safetensors", "stars.safetensors", "-o", "out") == 0
    assert files(here / "out") == {"waves/a.png", "stars/a.png"}
    assert Path("out/waves/a.png").read_bytes() != Path("out/stars/a.png").read_bytes()


def test_a_sheet(here: Path) -> None:
    assert stylize("photos", "-s", "waves.safetensors", "stars.safetensors", "--sheet", "-o", "sheet.png") == 0
    width, height = Image.open("sheet.png").size
    assert height > 4 * 360
    assert width > 3 * 360
    assert files(here / "photos") == {"a.png", "b.jpg", "deep/c.webp", "deep/er/d.gif"}


def test_size_and_bits(here: Path) -> None:
    assert stylize("photos/a.png", "-s", "waves.safetensors", "-o", "out.tif", "--size", "15", "--bits", "16") == 0
    assert max(Image.open("out.tif").size) == 15


def test_stdin_to_stdout(here: Path) -> None:
    process = stylize_aside(here, "-", "-s", "waves.safetensors", "-o", "-", stdin=subprocess.PIPE)
    out, told = process.communicate(Path("photos/b.jpg").read_bytes(), timeout=120)
    assert process.returncode == 0, told
    assert Image.open(io.BytesIO(out)).size == Image.open("photos/b.jpg").size


def test_an_address(here: Path) -> None:
    content = Path("photos/b.jpg").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert stylize(f"http://127.0.0.1:{server.server_port}/x/cat.jpg?big=1", "-s", "waves.safetensors", "-o", "out/") == 0
    finally:
        server.shutdown()
    assert files(here / "out") == {"cat.jpg"}


def test_what_is_there_is_skipped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stylize("photos", "-s", "waves.safetensors", "-o", "out") == 0
    before = {name: (here / "out" / name).stat().st_mtime_ns for name in files(here / "out")}
    Path("out/a.png").unlink()
    assert stylize("photos", "-s", "waves.safetensors", "-o", "out") == 0
    assert "1 of 4 styled" in capsys.readouterr().err
    after = {name: (here / "out" / name).stat().st_mtime_ns for name in files(here / "out")}
    assert {name for name in after if after[name] != before[name]} == {"a.png"}
    assert stylize("photos", "-s", "waves.safetensors", "-o", "out", "--overwrite") == 0
    again = {name: (here / "out" / name).stat().st_mtime_ns for name in files(here / "out")}
    assert all(again[name] != after[name] for name in again)


def test_every_file_once_on_two_devices(here: Path) -> None:
    pytest.importorskip("ray")
    (here / "photos/broken.png").write_bytes(b"no picture")
    # In 16 bits the number of threads decides how a sum is rounded, and lossy WebP makes 10 levels of one.
    words = ["photos", "-s", "waves.safetensors", "--precision", "32"]
    process = stylize_aside(here, *words, "-o", "out", "--devices", "2", "--device", "cpu")
    _, told = process.communicate(timeout=180)
    assert process.returncode == 1
    assert "out: 4 of 5 styled" in told.decode()
    assert told.decode().count("not styled: photos/broken.png") == 1
    stylize(*words, "-o", "alone")
    for name in files(here / "alone"):
        one, other = (np.asarray(Image.open(folder / name)).astype(int) for folder in (here / "out", here / "alone"))
        assert np.abs(one - other).max() <= 1


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_bad_file_does_not_stop_the_rest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photos/aa.png").write_bytes(b"no picture")
    whole = (here / "photos/a.png").read_bytes()
    (here / "photos/cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(noise(5, 5, 0)).save(here / "photos/tiny.png")
    assert stylize("photos", "gone.jpg", "-s", "waves.safetensors", "-o", "out") == 1
    told = capsys.readouterr().err
    assert "out: 4 of 8 styled" in told
    for source, reason in (("aa.png", "not a picture"), ("cut.png", "cut short"), ("tiny.png", "each side needs 8")):
        assert any(f"photos/{source}" in line and reason in line for line in told.splitlines()), told
    assert "not styled: gone.jpg: gone.jpg does not exist" in told
    assert files(here / "out") == {"a.png", "b.jpg", "deep/c.webp", "deep/er/d.gif.png"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "safetensors"),
        (b"no style at all", "safetensors"),
        ("cut", "damaged"),
        ("nan", "not finite"),
    ],
)
def test_a_style_that_is_none(here: Path, content: bytes | str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = (here / "waves.safetensors").read_bytes()
    if content == "nan":
        content = good[:-400] + np.full(100, np.nan, np.float32).tobytes()
    data = good[: len(good) // 2] if content == "cut" else content
    assert isinstance(data, bytes)
    (here / "bad.safetensors").write_bytes(data)
    assert stylize("photos/a.png", "-s", "bad.safetensors", "-o", "out.png") == 2
    assert message in capsys.readouterr().err
    assert not (here / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gone.jpg -s waves.safetensors -o out.png", "gone.jpg does not exist"),
        ("photos/a.png -s nothing -o out.png", "no style 'nothing'"),
        ("photos/a.png -s waves.safetensors -o out.xyz", "its ending must be one of"),
        ("photos/a.png -s waves.safetensors -o photos/a.png", "is one of the photos"),
        ("photos/a.png -s waves.safetensors -o a.png/b.png", "is a file, not a folder"),
        ("photos/a.png -s waves.safetensors -o out.png --strength 2", "strength is 2"),
        ("photos/a.png -s waves.safetensors -o out.png --tile -4", "tile is -4"),
        ("photos/a.png -s waves.safetensors -o out.png --mask gone.png", "gone.png does not exist"),
        ("photos/a.png -s waves.safetensors -o out.png --keep_colors all", "keep_colors"),
        ("- photos/a.png -s waves.safetensors -o out --devices 2", "one photo, which one device styles: leave out --devices 2"),
        (
            "photos -s waves.safetensors -o out.png --sheet --shard 2/3",
            "a sheet is one picture of few photos, made by one device",
        ),
        ("photos -s waves.safetensors -o out.png --sheet --shard 2/3", ": leave out --shard 2/3"),
        ("gone.jpg -s waves.safetensors -o out.png --shard 2/3", "gone.jpg does not exist"),
    ],
)
def test_wrong_words(here: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.png").write_bytes(b"")
    before = files(here)
    assert stylize(*words.split()) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) == 1
    assert files(here) == before


def test_pictures_of_one_pixel_and_of_a_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (1, 1)).save("dot.png")
    Image.fromarray(noise(8, 20000, 0)).save("line.png")
    assert stylize("dot.png", "-s", "waves.safetensors", "-o", "out.png") == 2
    assert "dot.png is 1 x 1 pixels" in capsys.readouterr().err
    assert stylize("line.png", "-s", "waves.safetensors", "-o", "out.png") == 0
    assert Image.open("out.png").size == (20000, 8)


def test_one_size_that_a_format_cannot_hold(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(8, 16400, 0)).save("photos/z.png")
    Path("photos/z.png").rename("photos/z.webp")  # the name picks the format to write
    assert stylize("photos", "-s", "waves.safetensors", "-o", "out") == 1
    told = capsys.readouterr().err
    assert "out: 4 of 5 styled" in told
    assert "16400 x 8 pixels as WEBP" in told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = here / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    try:
        for number in range(20):
            Image.fromarray(noise(60, 60, number)).save(here / f"photos/n{number:02}.png")
        assert stylize("photos", "-s", "waves.safetensors", "-o", str(disk / "out")) == 1
        told = capsys.readouterr().err
        assert "No space left on device" in told
        assert "stopped early, what is written is whole" in told
        left = files(disk)
        assert 0 < len(left) < 20
        for name in left:
            Image.open(disk / name).load()
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_place_that_cannot_be_written(here: Path, devices: str) -> None:
    """That of one folder of the tree: a file is in its way. The rest is styled, and all failures are listed."""
    if devices != "1":
        pytest.importorskip("ray")
    (here / "out").mkdir()
    (here / "out/deep").write_bytes(b"")
    (here / "photos/broken.png").write_bytes(b"no picture")
    words = f"photos -s waves.safetensors -o out --devices {devices} --device cpu".split()
    process = stylize_aside(here, *words)
    told = process.communicate(timeout=180)[1].decode()
    assert process.returncode == 1
    assert "out: 2 of 5 styled" in told
    for name in ("broken.png", "deep/c.webp", "deep/er/d.gif"):
        assert told.count(f"not styled: photos/{name}") == 1, told
    assert {name for name in files(here / "out") if ".stylenet" not in name} == {"a.png", "b.jpg", "deep"}


@pytest.mark.parametrize(
    "asked", ["--engine ray", "--devices 4", "--address auto", "--shard 2/3", "--resume", "--shard 1/3 and --resume"]
)
def test_one_photo_is_not_shared(here: Path, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each task of an array would style it."""
    words = ["photos/a.png", "-s", "waves.safetensors", "-o", "out.png", *asked.replace("and", "").split()]
    assert stylize(*words) == 2
    told = capsys.readouterr().err
    assert told.strip().endswith(f"photos/a.png is one photo, which one device styles: leave out {asked}")
    assert not (here / "out.png").exists()
    assert stylize("photos/a.png", "-s", "waves.safetensors", "-o", "out.png", "--engine", "here", "--devices", "1") == 0


def told_by(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    return stylize(*words), capsys.readouterr().err


def test_what_notes_call_finished_is_not_styled_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not by overwriting either, but by a run that does not go on from them."""
    words = ["photos", "-s", "waves.safetensors", "-o", "out"]
    assert "4 of 4 styled" in told_by([*words, "--resume"], capsys)[1]
    told = told_by([*words, "--resume", "--overwrite"], capsys)[1]
    assert "0 of 4 styled" in told
    assert "4 were there already (--overwrite without --resume styles them again)" in told
    told = told_by([*words, "--shard", "1/1"], capsys)[1]
    assert "4 were there already (--overwrite styles them again)" in told
    assert "4 of 4 styled" in told_by([*words, "--shard", "1/1", "--overwrite"], capsys)[1]


def test_notes_know_what_was_done(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another style outside the mask, or one that was trained anew, is other work; a file of another name is not."""
    words = ["photos", "-o", "out", "--resume", "--mask", "photos/a.png"]
    assert told_by([*words, "-s", "waves.safetensors", "--outside", "stars.safetensors"], capsys)[0] == 0
    (here / "copy.safetensors").write_bytes((here / "stars.safetensors").read_bytes())
    code, told = told_by([*words, "-s", "waves.safetensors", "--outside", "copy.safetensors"], capsys)
    assert (code, "4 were there already" in told) == (0, True)
    for more in ([], ["--outside", "waves.safetensors"]):
        code, told = told_by([*words, "-s", "waves.safetensors", *more], capsys)
        assert code == 2
        assert "was of another style or other settings" in told
    (here / "waves.safetensors").write_bytes((here / "stars.safetensors").read_bytes())
    code, told = told_by([*words, "-s", "waves.safetensors", "--outside", "stars.safetensors"], capsys)
    assert code == 2
    assert "was of another style or other settings" in told


@pytest.mark.parametrize("wrong", ["--size big", "--mask gone.png", "--tile -4", "--quality 500", "--feather 3", "--devices 0"])
def test_wrong_options_are_found_before_any_picture(here: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert stylize(*["photos", "-s", "waves.safetensors", "-o", "out"], *wrong.split()) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (here / "out").exists()


def test_a_sheet_is_not_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "sheet.png").write_bytes(b"mine")
    words = ["photos", "-s", "waves.safetensors", "--sheet", "-o", "sheet.png"]
    assert stylize(*words) == 2
    assert "sheet.png exists: --overwrite replaces it" in capsys.readouterr().err
    assert (here / "sheet.png").read_bytes() == b"mine"
    assert stylize(*words, "--overwrite") == 0


def test_ctrl_c_while_stdin_is_read(here: Path) -> None:
    process = stylize_aside(here, *["-", "-s", "waves.safetensors", "-o", "out.png"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"the beginning of a picture")
    process.stdin.flush()
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert not (here / "out.png").exists()


def test_a_picture_that_memory_does_not_hold(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stylizer.style_picture

    def scarce(net: object, photo: torch.Tensor, *others: object, **options: object) -> torch.Tensor:
        if photo.shape[-1] == 29:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        return plain(net, photo, *others, **options)

    monkeypatch.setattr(stylizer, "style_picture", scarce)
    assert stylize("photos", "-s", "waves.safetensors", "-o", "out") == 1
    told = capsys.readouterr().err
    assert "3 of 4 styled" in told
    assert "not enough memory to style it: try --tile 64" in told


@pytest.mark.parametrize("styles", [["waves"], ["waves", "stars"]])
def test_a_photo_is_let_go_before_its_last_result_is_written(
    here: Path, styles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a result of 100 megapixels its photo would be another 1.2 GB."""
    photos: list[weakref.ref[torch.Tensor]] = []
    held: dict[str, bool] = {}
    plain = batch.Files.read

    def read(self: batch.Files, job: Job) -> Picture:
        picture = plain(self, job)
        photos.append(weakref.ref(picture.pixels))
        return picture

    monkeypatch.setattr(batch.Files, "read", read)
    monkeypatch.setattr(batch.Files, "write", lambda self, picture, output: held.update({output: photos[0]() is not None}))
    stylizers = [stylizer.Stylizer(f"{name}.safetensors") for name in styles]
    batch.stylize_many([Job("photos/a.png", tuple(f"{name}.png" for name in styles))], stylizers)
    assert held[f"{styles[-1]}.png"] is False


def test_notes_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [Image.fromarray(noise(20, 20, seed)) for seed in range(3)]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    assert stylize("moving.gif", "-s", "waves.safetensors", "-o", "out.png") == 0
    assert "moving.gif: the first of 3 frames is used" in capsys.readouterr().err


def test_ctrl_c_leaves_whole_files(here: Path) -> None:
    for number in range(60):
        Image.fromarray(noise(200, 300, number)).save(here / f"photos/n{number:02}.png")
    process = stylize_aside(here, "photos", "-s", "waves.safetensors", "-o", "out")
    deadline = time.monotonic() + 100
    while len(list((here / "out").glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert b"interrupted" in told
    assert b" of 64 styled" in told
    left = files(here / "out")
    assert 3 <= len(left) < 64
    assert not [name for name in left if name.endswith(".part")]
    for name in left:
        Image.open(here / "out" / name).load()


def test_two_processes_write_the_same_folder(here: Path) -> None:
    for number in range(20):
        Image.fromarray(noise(100, 100, number)).save(here / f"photos/n{number:02}.png")
    pair = [stylize_aside(here, "photos", "-s", "waves.safetensors", "-o", "out") for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], told
    assert len(files(here / "out")) == 24
    for name in files(here / "out"):
        Image.open(here / "out" / name).load()
