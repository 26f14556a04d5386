"""Measuring a style: against the optimizer run by hand, and what cannot be measured."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest
import torch
from foreign_nets import Numbered, randomised
from training_kit import LOSS, PAINTING, TINY, make_photos

from stylenet.commands.cli import main
from stylenet.errors import InputError, Interrupted
from stylenet.evaluation import measures
from stylenet.evaluation.measures import STYLE_LAYERS, SizeResult, equivalent_iterations, evaluate
from stylenet.evaluation.tables import as_dictionary, as_table
from stylenet.files import sha256
from stylenet.images.picture import read_image
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import VGG
from stylenet.network.cards import Card
from stylenet.network.shipped import shipped_styles
from stylenet.network.styles import load_grams, load_style, save_style
from stylenet.network.transform_net import TransformNet
from stylenet.optimization.descent import Descent
from stylenet.optimization.settings import OptimizeSettings


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("styles") / "brushes.safetensors"
    torch.manual_seed(0)
    card = Card(
        "brushes",
        style=[{"file": "brush_strokes.jpg", "sha256": sha256(PAINTING)}],
        loss=dataclasses.asdict(LOSS),
        training={"style_size": 96},
    )
    save_style(TransformNet(TINY), card, path, bits=32)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"), 5)


def test_equivalent_iterations_are_those_of_the_optimizer(photos: Path) -> None:
    photo = read_image(photos / "000.png", 64).pixels
    painting = read_image(PAINTING, 96).pixels
    loss = PerceptualLoss(LOSS)
    plain = OptimizeSettings(variables="input_space", history=100, clamp=True)
    descent = Descent(loss, loss.targets(photo, [painting]), photo, plain, torch.contiguous_format)
    objectives = [float(descent.step().total) for _ in range(8)]
    best = objectives.index(min(objectives))
    assert best > 0
    goal = (objectives[best] + min(objectives[:best])) / 2
    assert equivalent_iterations(photo, [painting], LOSS, goal, 20, "32") == (best, True)
    assert equivalent_iterations(photo, [painting], LOSS, objectives[0] * 1.1, 20, "32") == (0, True)
    assert equivalent_iterations(photo, [painting], LOSS, objectives[best] / 100, 3, "32") == (3, False)


def test_a_search_that_breaks_is_worth_what_it_had(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for curve, expected in (([3.0, 2.0], (1, False)), ([], (0, False)), ([3.0, 0.5], (1, True))):
        monkeypatch.setattr("stylenet.evaluation.measures.objective_curve", lambda *_, curve=curve, **__: curve)
        assert equivalent_iterations(torch.zeros(1, 3, 64, 64), [], LOSS, 1.0, 20) == expected


def test_numbers(style: Path, photos: Path) -> None:
    lines: list[str] = []
    small, large = evaluate(str(style), str(photos), PAINTING, [64, 120], 3, 4, "cpu", lines.append)
    assert (small.size, large.size, small.photos, len(small.equivalent)) == (64, 120, 3, 3)
    assert len(lines) == 12
    assert large.not_reached == sum("and more" in line for line in lines[6:])
    # The same by hand, for the middle one of three photos.
    values = []
    network = load_style(style)
    vgg = VGG(["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2"])
    layers = [f"relu{block}_1" for block in range(1, 6)]
    for index in (0, 1, 3):
        photo = read_image(photos / f"{index:03d}.png", 120, upscale=True).pixels  # of 96 x 80 pixels
        pictures = [network(photo), photo, read_image(PAINTING, 96).pixels]
        features = [vgg(picture) for picture in pictures]
        grams = [
            [f[n][0].flatten(1).double() @ f[n][0].flatten(1).double().T / f[n][0][0].numel() for n in layers] for f in features
        ]
        errors = [
            ((ours - wanted) ** 2).sum() / ((theirs - wanted) ** 2).sum() for ours, theirs, wanted in zip(*grams, strict=True)
        ]
        values.append(float(sum(errors) / 5))
    assert large.style_error == pytest.approx(sorted(values)[1], rel=1e-3)


def test_table() -> None:
    result = SizeResult(256, 4, 1.5, 0.25, 1.0, 1.25, 0.01, 0.0, [10, 20, 30, 40], 1)
    assert result.quartiles == (17.5, 25.0, 32.5)
    assert as_table([result]).splitlines()[1].split() == [
        "256",
        "4",
        "1.5",
        "0.250",
        "1.000",
        "1.25",
        "0.010",
        "25",
        "(17.5",
        "to",
        "32.5,",
        "not",
        "reached",
        "by",
        "1)",
    ]
    assert dataclasses.replace(result, equivalent=[7]).quartiles == (7, 7, 7)
    unsearched = dataclasses.replace(result, equivalent=[], not_reached=0)
    assert "Gatys" not in as_table([unsearched])
    assert "equivalent_quartiles" not in as_dictionary(unsearched)


def test_command(style: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        str(style),
        "--photos",
        str(photos),
        "--picture",
        PAINTING,
        "--sizes",
        "64",
        "72",
        "--count",
        "2",
        "--most_iterations",
        "2",
    ]
    assert main(["evaluate", *words, "--device", "cpu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["size"], row["photos"], len(row["equivalent"])) for row in rows] == [(64, 2, 2), (72, 2, 2)]
    assert main(["evaluate", *words, "--device", "cpu"]) == 0
    assert "iterations of Gatys' from the photo" in capsys.readouterr().out


def test_what_is_measured_outlives_ctrl_c(
    style: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure, calls = measures._of_photo, []

    def interrupted(*arguments: object) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(measures, "_of_photo", interrupted)
    words = ["--photos", str(photos), "--picture", PAINTING, "--sizes", "64", "72", "--count", "2", "--most_iterations", "0"]
    assert main(["evaluate", str(style), *words, "--device", "cpu"]) == 130
    out, error = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["size", "64"]
    assert error.splitlines()[-1] == "stylenet: interrupted: 1 of 2 sizes are measured"
    calls.clear()
    with pytest.raises(Interrupted) as caught:
        evaluate(style, str(photos), PAINTING, sizes=(64, 72), count=2, most_iterations=0, device="cpu")
    assert [result.size for result in caught.value.result] == [64]


def test_a_photo_that_cannot_be_read(style: Path, photos: Path, tmp_path: Path) -> None:
    """The next one stands in for it, which is told at the beginning."""
    told: list[str] = []
    mixed = make_photos(tmp_path / "mixed", 4)
    for index in (0, 2):
        (mixed / f"{index:03d}.png").write_bytes(b"no picture")
    (result,) = evaluate(
        style, str(mixed), PAINTING, sizes=(64,), count=2, most_iterations=0, device="cpu", observe=told.append
    )
    assert result.photos == 2
    assert [line.partition(": ")[0] for line in told[:2]] == ["left out", "left out"]
    assert [Path(line.split()[1]).name for line in told[2:]] == ["001.png", "003.png"]
    for path in mixed.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="none of 4 photos can be read, for example"):
        evaluate(style, str(mixed), PAINTING, sizes=(64,), count=2, most_iterations=0, device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--picture", PAINTING.replace("brush_strokes", "woodcut")], "its hash is not the card's"),
        (["--picture", "missing.jpg"], "missing.jpg"),
        (["--sizes", "8", "64"], "every size 64 or more"),
        (["--count", "0"], "count must be 1 or more"),
        (["--photos", "missing"], "no photos at 'missing'"),
        (["--device", "tpu9"], "tpu9"),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else "",
)
def test_wrong_input(style: Path, photos: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str) -> None:
    words = ["evaluate", str(style), "--photos", str(photos), "--picture", PAINTING, "--sizes", "64"]
    assert main([*words, *change]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert message in error[0]


def test_what_has_no_card_cannot_be_measured(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(randomised(Numbered("deconv")).state_dict(), tmp_path / "theirs.pth")
    assert main(["evaluate", str(tmp_path / "theirs.pth"), "--photos", str(photos), "--picture", PAINTING]) == 2
    assert "has no card of stylenet" in capsys.readouterr().err


def test_picture_is_asked_for(style: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(style), "--photos", str(photos)]) == 2
    assert "brush_strokes.jpg) as --picture" in capsys.readouterr().err


def test_gram_matrices_in_the_file_stand_for_the_picture(style: Path, photos: Path, tmp_path: Path) -> None:
    loaded = load_style(style)
    settings = LossSettings(**loaded.card.loss)
    painting = read_image(PAINTING, loaded.card.training["style_size"]).pixels
    grams = PerceptualLoss(dataclasses.replace(settings, style_layers=dict.fromkeys(STYLE_LAYERS, 1.0))).grams(painting)
    save_style(loaded.net, loaded.card, tmp_path / "measurable.safetensors", grams=grams)
    assert load_grams(style) == {}
    kept = load_grams(tmp_path / "measurable.safetensors")
    for name, target in grams.items():
        assert kept[name].positions == target.positions
        assert torch.allclose(kept[name].matrix, target.matrix, rtol=1e-3, atol=1e-6 * float(target.matrix.max()))
    options = {"sizes": [64], "count": 2, "most_iterations": 3, "device": "cpu"}
    (given,) = evaluate(str(style), str(photos), PAINTING, **options)
    (own,) = evaluate(str(tmp_path / "measurable.safetensors"), str(photos), **options)
    assert own.style_error == pytest.approx(given.style_error, rel=1e-2)
    assert own.objective == pytest.approx(given.objective, rel=1e-2)
    assert own.equivalent == given.equivalent


def test_photos_in_an_archive(style: Path, photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(photos.iterdir()):
            archive.write(path, path.name)
    options = {"sizes": [64], "count": 2, "most_iterations": 0, "device": "cpu"}
    assert evaluate(str(style), str(tmp_path / "photos.zip"), PAINTING, **options) == evaluate(
        str(style), str(photos), PAINTING, **options
    )


# --- stylenet styles ----------------------------------------------------------------------------------------------------


def test_styles_shows_a_card(style: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["styles", str(style)]) == 0
    card = json.loads(capsys.readouterr().out)
    assert (card["name"], card["network"]["width"]) == ("brushes", 4)
    assert main(["styles", "monet"]) == 2
    assert "no style 'monet'" in capsys.readouterr().err


def test_styles_lists(style: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("stylenet.network.shipped.style_folder", lambda: style.parent)
    assert main(["styles"]) == 0
    assert capsys.readouterr().out.split() == ["brushes"]


def test_every_style_that_comes_along_can_be_measured() -> None:
    """Their cards were written by versions whose losses had other fields. Looks, which are small, need their painting."""
    measured = set()
    for name in shipped_styles():
        style = load_style(name)
        if load_grams(style.path):
            measured.add(measures.trained_on(style)[0].style_distance)
        else:
            with pytest.raises(InputError, match=f"give the picture that {name} was trained on"):
                measures.trained_on(style)
    assert measured == {"gram"}
