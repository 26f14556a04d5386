"""What a person sees of a search: progress, snapshots, the log folder, the panel."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from PIL import Image

from stylenet.images.picture import read_image
from stylenet.losses.settings import LossSettings
from stylenet.optimization import observers
from stylenet.optimization.engine import Iterate, Result
from stylenet.optimization.observers import RunLog, SearchLine, Snapshots, loss_plot, share, together
from stylenet.optimization.rendering import optimize
from stylenet.optimization.settings import OptimizeSettings

PARTS = {"content/relu4_2": 2.0, "style/relu1_1": 5.0, "style/relu2_1": 1.0, "tv": 2.0}
ITERATE = Iterate(
    scale=1,
    scales=2,
    step=1,
    steps=50,
    taken=1,
    width=64,
    height=48,
    objective=10.0,
    parts=PARTS,
    seconds=1.5,
    rate=4.0,
    remaining=65.4,
    picture=lambda: torch.full((1, 3, 8, 6), 0.5),
)
LOSS = LossSettings(vgg_weights="random", content_layers={"relu2_2": 1.0}, style_layers={"relu1_1": 1.0}, tv_weight=0.1)
SEARCH = OptimizeSettings(
    size="64x48", steps=4, device="cpu", precision="32", plateau=0.0, optimizer="adam", variables="pixels", learning_rate=0.01
)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    for name, stem in (("chelsea", "photo"), ("coffee", "style")):
        Image.fromarray(reference.to_bytes(reference.photo(name, 48, 64))).save(tmp_path / f"{stem}.png")
    return str(tmp_path / "photo.png"), str(tmp_path / "style.png")


# --- progress ---------------------------------------------------------------------------------------------------------


def test_the_line_tells_all() -> None:
    stream = io.StringIO()
    SearchLine(stream)(ITERATE)
    assert stream.getvalue() == ("64x48 (scale 1/2)  step 1/50  objective 10  content 20%  style 60%  4.00 it/s  1:05 left\n")


def test_notes_stand_above_the_line_once() -> None:
    stream = io.StringIO()
    line = SearchLine(stream, seconds=1e6)
    line(replace(ITERATE, notes=("in tiles",)))
    line(replace(ITERATE, step=2, notes=("in tiles", "with Adam\x1b")))
    line(replace(ITERATE, step=50, notes=("in tiles", "with Adam\x1b")))
    told = stream.getvalue().splitlines()
    assert [text.split("step ")[-1].split("  ")[0] for text in told] == ["in tiles", "1/50", r"with Adam\x1b", "50/50"]
    assert line.untold(["in tiles", "the budget ends", "the budget ends"]) == ["the budget ends"]


def test_names_of_photos_do_not_act_on_a_terminal() -> None:
    stream = io.StringIO()
    line = SearchLine(stream)
    line.begin("1/2 a\x1b[2J\n.png")
    line(replace(ITERATE, notes=("in tiles",)))
    assert [text.split("  ")[0] for text in stream.getvalue().splitlines()] == [r"1/2 a\x1b[2J .png"] * 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_notes_on_a_terminal() -> None:
    stream = Terminal()
    line = SearchLine(stream)
    line(ITERATE)
    line(replace(ITERATE, step=50, notes=("in tiles",)))
    line.close()
    before, _, after = stream.getvalue().partition("in tiles\n")
    assert before.endswith("\r")  # the bar has been wiped away
    assert "step 50/50" in after


def test_what_is_known_before_the_search_is_told_at_its_first_step(pictures: tuple[str, str]) -> None:
    seen: list[tuple[str, ...]] = []
    settings = replace(SEARCH, size="128x96", upscale=True, style_size="area")
    found = optimize(*pictures, LOSS, settings, observe=lambda iterate: seen.append(iterate.notes))
    assert "enlarged 2.0 times its strokes are soft" in " ".join(seen[0])
    assert list(seen[0]) == found.notes


def test_the_line_shows_first_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    line = SearchLine(stream, seconds=1e6)
    for step in (1, 2, 49, 50):
        line(replace(ITERATE, step=step))
    assert [shown.split("step ")[1].split("/")[0] for shown in stream.getvalue().splitlines()] == ["1", "50"]


def test_a_log_that_is_too_large_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RunLog(tmp_path, {})
    before(ITERATE)
    before.close(Result(ITERATE.picture(), 2.0, PARTS, 1))
    for largest, kept in ((10, 0), (10**6, 1)):
        monkeypatch.setattr(observers, "_LARGEST_LOG", largest)
        log = RunLog(tmp_path, {})
        log(replace(ITERATE, step=2, taken=2))
        assert len(log.rows) == kept + 1


def test_the_log_of_another_search_is_not_gone_on_with(tmp_path: Path) -> None:
    before = RunLog(tmp_path, {"loss": {"tv_weight": 1.0}})
    before(ITERATE)
    before.close(Result(ITERATE.picture(), 2.0, PARTS, 1))
    without_tv = {name: value for name, value in PARTS.items() if name != "tv"}
    for weight, parts, kept in ((1.0, PARTS, 1), (2.0, PARTS, 0), (1.0, without_tv, 0)):
        log = RunLog(tmp_path, {"loss": {"tv_weight": weight}})
        log(replace(ITERATE, step=2, taken=2, parts=parts))
        assert len(log.rows) == kept + 1


def test_the_plot_has_every_part() -> None:
    """A part without a layer in its name has a line too."""
    row = {"step": 1, "scale": 1, "width": 8, "height": 8, "seconds": 1.0, "objective": 2.0, "lattice": 1.0, "tv": 1.0}
    without = {name: value for name, value in row.items() if name != "lattice"}
    assert loss_plot([row]) != loss_plot([without])


@pytest.mark.parametrize(
    ("kinds", "expected"), [(["content"], 0.2), (["style"], 0.6), (["tv"], 0.2), (["other"], 0), (["style", "tv"], 0.8)]
)
def test_share(kinds: list[str], expected: float) -> None:
    assert share(PARTS, kinds, 10.0) == pytest.approx(expected)
    assert share(PARTS, kinds, 0.0) == 0


def test_together_tells_each_in_order() -> None:
    told: list[tuple[str, Iterate]] = []
    together([lambda it: told.append(("a", it)), lambda it: told.append(("b", it))])(ITERATE)
    assert told == [("a", ITERATE), ("b", ITERATE)]


# --- files ------------------------------------------------------------------------------------------------------------


def test_snapshots(tmp_path: Path) -> None:
    observe = Snapshots(tmp_path / "out.png", 3)
    for step in range(1, 8):
        shade = torch.full((1, 3, 8, 6), step / 10)
        observe(replace(ITERATE, taken=step, picture=lambda shade=shade: shade))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out_00003.png", "out_00006.png"]
    for step in (3, 6):
        assert np.asarray(Image.open(tmp_path / f"out_{step:05d}.png"))[0, 0, 0] == round(25.5 * step)


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    scalars = {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    return scalars | {f"image {tag}": [(event.step, 0.0) for event in reader.Images(tag)] for tag in reader.Tags()["images"]}


@pytest.mark.parametrize(("every", "shown"), [(2, [1, 3, 4]), (1, [1, 2, 3, 4]), (20, [1, 4])])
def test_run_log(tmp_path: Path, every: int, shown: list[int]) -> None:
    log = RunLog(tmp_path / "log", {"loss": {"style_weight": 3}}, pictures_every=every)
    for step in range(1, 5):
        log(replace(ITERATE, scale=1 + step // 3, taken=step, objective=10.0 / step))
    log.close(Result(ITERATE.picture(), 2.0, PARTS, 4, 3.21, "plateau", notes=["a note"]))
    trace = json.loads((tmp_path / "log" / "trace.json").read_text())
    assert [row["objective"] for row in trace["trace"]] == [10.0, 5.0, 10 / 3, 2.5]
    assert [row["scale"] for row in trace["trace"]] == [1, 1, 2, 2]
    assert [row["step"] for row in trace["trace"]] == [1, 2, 3, 4]
    assert trace["trace"][0]["style/relu1_1"] == 5.0
    assert trace["loss"] == {"style_weight": 3}
    assert (trace["stopped"], trace["objective"], trace["notes"]) == ("plateau", 2.0, ["a note"])
    assert trace["versions"]["torch"] == torch.__version__
    assert Image.open(tmp_path / "log" / "loss.png").size == (900, 500)
    seen = events(tmp_path / "log")
    assert seen["objective"] == [(step, pytest.approx(10.0 / step)) for step in range(1, 5)]
    assert seen["tv"] == [(step, 2.0) for step in range(1, 5)]
    assert sorted({step for step, _ in seen["image picture"]}) == shown


def test_the_log_of_a_search_that_goes_on(tmp_path: Path) -> None:
    """Steps of before stay, but for those that were taken after the state was saved; what is no log is passed over."""
    for first, last in ((1, 4), (3, 6)):
        log = RunLog(tmp_path, {})
        for step in range(first, last + 1):
            log(replace(ITERATE, taken=step, objective=10.0 * first + step))
        log.close(Result(ITERATE.picture(), 2.0, PARTS, last))
    trace = json.loads((tmp_path / "trace.json").read_text())["trace"]
    assert [(row["step"], row["objective"]) for row in trace] == [(1, 11), (2, 12), (3, 33), (4, 34), (5, 35), (6, 36)]
    (tmp_path / "trace.json").write_text('{"trace": [1]}')
    log = RunLog(tmp_path, {})
    log(replace(ITERATE, taken=3))
    assert [row["step"] for row in log.rows] == [3]


def test_run_log_of_nothing_is_still_json(tmp_path: Path) -> None:
    log = RunLog(tmp_path, {})
    log.close(Result(ITERATE.picture(), stopped="broken"))

    def refuse(word: str) -> None:
        raise AssertionError(f"JSON has no {word}")

    trace = json.loads((tmp_path / "trace.json").read_text(), parse_constant=refuse)
    assert trace["objective"] is None
    assert not (tmp_path / "loss.png").exists()


def test_loss_plot_with_zeros() -> None:
    """At the start from the photo the content is 0, which a logarithmic axis cannot show."""
    rows = [{"step": step, "scale": 1, "objective": 1.0, "content/relu4_2": 0.0, "tv": 0.5} for step in (1, 2)]
    assert Image.open(io.BytesIO(loss_plot(rows))).format == "PNG"


# --- a whole run ------------------------------------------------------------------------------------------------------


def test_everything_of_a_run(tmp_path: Path, pictures: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    photo, style = pictures
    output = tmp_path / "made" / "out.png"
    result = optimize(
        photo, [style], LOSS, SEARCH, output=output, save_every=2, log=tmp_path / "log", panel=True, observe=SearchLine()
    )
    names = sorted(path.name for path in output.parent.iterdir())
    assert names == ["out.png", "out_00002.png", "out_00004.png", "out_panel.png"]
    assert "step 1/4" in capsys.readouterr().err
    trace = json.loads((tmp_path / "log" / "trace.json").read_text())
    assert len(trace["trace"]) == 4
    assert trace["objective"] == pytest.approx(result.objective)
    assert trace["loss"]["tv_weight"] == 0.1
    assert trace["settings"]["steps"] == 4
    last = read_image(output.parent / "out_00004.png").pixels
    assert torch.equal(last, read_image(output).pixels)


def test_panel_shows_content_style_and_result(tmp_path: Path, pictures: tuple[str, str]) -> None:
    photo, style = pictures
    output = tmp_path / "out.png"
    optimize(photo, [style, photo], LOSS, SEARCH, output=output, panel=True)
    sheet = np.asarray(Image.open(tmp_path / "out_panel.png")).astype(int)
    assert sheet.shape[1] == 4 * 64 + 5 * 6
    top = sheet.shape[0] - 48 - 2 * 6
    for number, path in enumerate((photo, style, photo, output)):
        left = 6 + number * 70
        shown = sheet[6 + top : 6 + top + 48, left : left + 64]
        assert np.abs(shown - np.asarray(Image.open(path)).astype(int)).max() <= 1, path


def test_no_extras_by_default(tmp_path: Path, pictures: tuple[str, str]) -> None:
    photo, style = pictures
    optimize(photo, [style], LOSS, SEARCH, output=tmp_path / "out" / "out.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.png"]
