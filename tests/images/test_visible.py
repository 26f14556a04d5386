"""What is invisible in a painting is not learnt: its visible part counts, on white, and a person is told."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import noise
from PIL import Image
from training_kit import LOSS, PAINTING, make_photos, module, photos

from stylenet.errors import InputError
from stylenet.evaluation.figures import features, reconstruct
from stylenet.evaluation.measures import evaluate
from stylenet.images.picture import Picture, read_image
from stylenet.inference.file_rules import Files
from stylenet.inference.folders import Job
from stylenet.inference.sheets import contact_sheet_of
from stylenet.inference.stylizer import Stylizer
from stylenet.losses.criteria import StyleLoss
from stylenet.network.cards import Card
from stylenet.network.styles import Style
from stylenet.network.transform_net import NetSettings, TransformNet
from stylenet.optimization.rendering import optimize
from stylenet.training.photos import Photo, open_photo
from stylenet.video.stylize import stylize_video


def cut_out(path: Path, hidden: tuple[int, int, int] = (0, 255, 0)) -> Path:
    """A painting of 64 x 64 pixels, around which nothing is seen; but invisible pixels have a colour too."""
    image = Image.new("RGBA", (128, 128), (*hidden, 0))
    image.paste(Image.fromarray(noise(64, 64, 5)), (40, 20))
    image.save(path)
    return path


def test_visible_part(tmp_path: Path) -> None:
    picture = read_image(cut_out(tmp_path / "a.png"))
    seen = picture.visible()
    assert seen.alpha is None
    assert torch.equal((seen.pixels[0].permute(1, 2, 0) * 255).round().byte(), torch.from_numpy(noise(64, 64, 5)))
    assert seen.notes == (f"{tmp_path}/a.png: 75% of it is transparent: what is visible counts, laid on white",)


def test_half_transparent_on_white() -> None:
    pixels, alpha = torch.zeros(1, 3, 8, 8), torch.full((1, 1, 8, 8), 0.25)
    assert torch.allclose(Picture(pixels, alpha).visible().pixels, torch.full((1, 3, 8, 8), 0.75))


@pytest.mark.parametrize("alpha", [None, torch.ones(1, 1, 8, 8)])
def test_opaque_pictures_stay(alpha: torch.Tensor | None) -> None:
    pixels = torch.rand(1, 3, 8, 8)
    seen = Picture(pixels, alpha).visible()
    assert torch.equal(seen.pixels, pixels)
    assert seen.notes == ()


def test_nothing_to_see() -> None:
    with pytest.raises(InputError, match="transparent everywhere"):
        Picture(torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)).visible()


def test_training_does_not_see_what_is_hidden(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    grams = []
    for hidden in ((0, 255, 0), (255, 0, 255)):
        model = module(style=str(cut_out(tmp_path / "style.png", hidden)), init=None)
        with caplog.at_level("INFO", logger="stylenet"):
            model.setup("fit")
        data = photos(make_photos(tmp_path / "photos", 8))
        data.setup()
        model.prepare(data.calibration_photos(2), torch.device("cpu"), torch.float32)
        grams.append(model.style_grams())
    assert "75% of it is transparent" in caplog.text
    one, other = grams
    assert one
    assert other
    assert all(torch.equal(one[name].matrix, other[name].matrix) for name in one)


def test_optimize_does_not_see_what_is_hidden(tmp_path: Path, content: Path) -> None:
    results = []
    for hidden in ((0, 255, 0), (255, 0, 255)):
        style = cut_out(tmp_path / "style.png", hidden)
        results.append(optimize(content, style, steps=2, device="cpu"))
    assert np.array_equal(results[0].picture.numpy(), results[1].picture.numpy())
    assert any("75% of it is transparent" in note for note in results[0].notes)


def seen(picture: Picture) -> np.ndarray:
    """What is visible of a styled cut-out."""
    return picture.numpy()[20:84, 40:104]


def tiny() -> Style:
    """A small network of any weights, which tells the painting and the loss that it might be trained on."""
    torch.manual_seed(0)
    card = Card("tiny", style=[{"file": "brush_strokes.jpg"}], loss=asdict(LOSS), training={"style_size": 96})
    return Style(TransformNet(NetSettings(width=4, residual_blocks=1)).eval(), card)


def frames(path: Path) -> np.ndarray:
    """The second of two styled frames of a folder, which follows the motion and the statistics of the first."""
    folder = path.parent / "frames"
    folder.mkdir(exist_ok=True)
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    stylize_video(folder, tiny(), folder / "out", smooth=0.5, steady=0.7, overwrite=True, device="cpu")
    return read_image(sorted((folder / "out").iterdir())[1]).numpy()


def sheet(path: Path) -> np.ndarray:
    """A contact sheet of the photo and its result."""
    out = path.with_name("sheet.png")
    contact_sheet_of([Job(str(path), ())], [Stylizer(tiny(), device="cpu")], ["tiny"], str(out), Files(overwrite=True), 64)
    return read_image(out).numpy()


def panel(path: Path) -> np.ndarray:
    """The panel beside a search."""
    optimize(path, noise(32, 32, 1), steps=1, device="cpu", output=path.with_name("out.png"), panel=True)
    return read_image(path.with_name("out_panel.png")).numpy()


def measured(path: Path) -> np.ndarray:
    """What `evaluate` finds on the photo."""
    (result,) = evaluate(tiny(), str(path), PAINTING, [64], count=1, most_iterations=0, device="cpu")
    return np.array([value for value in asdict(replace(result, equivalent=[0])).values() if isinstance(value, float)])


def started(init: str | Picture) -> np.ndarray:
    """A search that starts from the cut-out."""
    return optimize(noise(32, 32, 2), noise(32, 32, 1), init=init, steps=2, device="cpu").picture.numpy()


# Everything else that looks at a picture which may have transparent parts, or shows it.
EYES = {
    "a photo to learn from": lambda path: np.asarray(open_photo(Photo(str(path)), 16)),
    "features": lambda path: features(path).numpy(),
    "reconstruct": lambda path: reconstruct(path, steps=1, device="cpu").numpy(),
    "a photo to style": lambda path: seen(Stylizer(tiny(), device="cpu")(read_image(path))),
    "a photo to optimize": lambda path: optimize(path, noise(32, 32, 1), steps=2, device="cpu").picture.numpy(),
    "a photo to style, from Python": lambda path: seen(tiny()(read_image(path))),
    "a file to start from": lambda path: started(str(path)),
    "a picture to start from": lambda path: started(read_image(path)),
    "frames of a video": frames,
    "a photo to measure on": measured,
    "a contact sheet": sheet,
    "a panel": panel,
    "StyleLoss": lambda path: StyleLoss(path, "relu1_1")(torch.full((1, 3, 32, 32), 0.5)).numpy(),
}


@pytest.mark.parametrize("eye", EYES)
def test_nobody_sees_what_is_hidden(tmp_path: Path, eye: str) -> None:
    one, other = (EYES[eye](cut_out(tmp_path / "a.png", hidden)) for hidden in ((0, 255, 0), (255, 0, 255)))
    assert np.array_equal(one, other)


def test_a_photo_to_learn_from_is_laid_on_white(tmp_path: Path) -> None:
    photo = np.asarray(open_photo(Photo(str(cut_out(tmp_path / "a.png"))), 16))
    assert (photo[0] == 255).all()
    assert np.array_equal(photo[20:84, 40:104], noise(64, 64, 5))
