"""The public functions as a guest of somebody's program: what they take, what they give, and that they leave no mode behind."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import itertools
import pkgutil
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import noise
from foreign_nets import randomised
from PIL import Image
from torch import Tensor
from training_kit import PAINTING, make_photos
from video_kit import make_video

import stylenet
from stylenet import images
from stylenet.errors import InputError

VERBS = ["optimize", "stylize", "train", "evaluate", "stylize_video", "export", "load_style", "read_image", "write_image"]
ARRAY = noise(24, 32, 0)
PHOTO = torch.from_numpy(ARRAY).permute(2, 0, 1)[None].float() / 255
LOSS = stylenet.LossSettings(vgg_weights="random", content_layers={"relu2_1": 1.0}, style_layers={"relu1_1": 1.0})
SEARCH = stylenet.OptimizeSettings(steps=3, scales=1, device="cpu", precision="32", plateau=0.0)


def make_style(seed: int = 0) -> stylenet.Style:
    torch.manual_seed(seed)
    net = randomised(stylenet.TransformNet(stylenet.NetSettings(width=4, residual_blocks=1)))
    return stylenet.Style(net.eval().requires_grad_(False), stylenet.Card("tiny"))


STYLE = make_style()
VGG = stylenet.VGG(["relu1_1", "relu2_1"], weights="random")


def search(photo: Any, painting: Any = ARRAY, **options: Any) -> stylenet.OptimizeResult:
    return stylenet.optimize(photo, painting, LOSS, SEARCH, vgg=VGG, **options)


# --- names --------------------------------------------------------------------------------------------------------------


def test_all_is_literal_and_true() -> None:
    """Type checkers read ``__all__`` and the imports of TYPE_CHECKING; tab completion calls ``__dir__``."""
    tree = ast.parse(Path(stylenet.__file__).read_text())
    (literal,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"]
    names = ast.literal_eval(literal)
    imported = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(names) == sorted(stylenet.__all__)
    assert set(names) <= imported
    assert set(names) <= set(dir(stylenet))
    assert all(getattr(stylenet, name) is not None for name in names)
    assert set(VERBS) <= set(names)


def test_verbs_are_functions_whatever_is_imported() -> None:
    code = "import stylenet, stylenet.optimization, stylenet.network.export, stylenet.training.run, stylenet.video.stylize\n"
    code += f"assert all(callable(getattr(stylenet, name)) for name in {VERBS!r})\n"
    code += "from stylenet import optimize, train, export\nassert callable(optimize) and callable(train) and callable(export)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_quick() -> None:
    code = "import sys, stylenet; dir(stylenet); sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_list_of_styles_is_quick() -> None:
    code = "import sys; from stylenet.commands.cli import main; main(['styles']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_old_name_of_a_finish() -> None:
    with pytest.warns(DeprecationWarning, match="stylenet.Look is now stylenet.Finish"):
        look = stylenet.Look
    assert look is stylenet.Finish
    with pytest.warns(DeprecationWarning, match="'look' of .* is now 'finish'"):
        old = stylenet.stylize(ARRAY, STYLE, look=look(strength=0.5), precision="32")
    assert old == stylenet.stylize(ARRAY, STYLE, finish=stylenet.Finish(strength=0.5), precision="32")
    with pytest.raises(TypeError, match="which are the same"):
        stylenet.Stylizer(STYLE, look=look(), finish=look())  # type: ignore[call-arg]


def test_the_old_word_for_observe() -> None:
    shares: list[float] = []
    with pytest.warns(DeprecationWarning, match="'report' of .* is now 'observe'"):
        stylizer = stylenet.Stylizer(STYLE, tile=8, report=shares.append)  # type: ignore[call-arg]
    stylizer(ARRAY)
    assert shares[-1] == 1


def test_dataclasses_with_tensors_can_be_compared() -> None:
    """The comparison that dataclasses make by themselves asks a tensor for its truth, and fails."""
    for module in pkgutil.walk_packages(stylenet.__path__, "stylenet."):
        if module.name.startswith(("stylenet.web", "stylenet.__main__")):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if not dataclasses.is_dataclass(kind) or not isinstance(kind, type):
                continue
            if any("Tensor" in str(field.type) or "Picture" in str(field.type) for field in dataclasses.fields(kind)):
                assert not kind.__dataclass_params__.eq, kind  # type: ignore[attr-defined]


# --- what goes in, what comes out -----------------------------------------------------------------------------------------


KINDS: dict[str, Any] = {
    "numpy": ARRAY,
    "PIL": Image.fromarray(ARRAY),
    "tensor": PHOTO[0],
    "batch of one": PHOTO,
    "bytes as tensor": torch.from_numpy(ARRAY).permute(2, 0, 1),
    "Picture": stylenet.Picture(PHOTO),
    "in a graph": PHOTO.clone().requires_grad_(True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_style_takes_and_gives(kind: str) -> None:
    given = KINDS[kind]
    for call in (STYLE, stylenet.Stylizer(STYLE, precision="32")):
        styled = call(given)
        if isinstance(given, Tensor):
            assert isinstance(styled, Tensor)
            assert styled.shape == given.shape
            assert styled.dtype == torch.float32
        else:
            assert isinstance(styled, stylenet.Picture)
        pixels = styled.pixels if isinstance(styled, stylenet.Picture) else styled.view(1, 3, 24, 32)
        assert torch.allclose(pixels, STYLE.net(PHOTO).clamp(0, 1), atol=1e-5)
        assert not pixels.requires_grad


def test_a_batch_is_styled_as_one() -> None:
    batch = torch.cat([PHOTO, PHOTO.flip(3)])
    assert torch.allclose(STYLE(batch)[1:], STYLE(batch[1:]), atol=1e-5)
    assert stylenet.Stylizer(STYLE, stylenet.Finish(strength=0.5, mask=ARRAY[..., 0]))(batch).shape == batch.shape


@pytest.mark.parametrize("kind", KINDS)
def test_optimize_takes(kind: str) -> None:
    result = search(KINDS[kind], KINDS[kind])
    assert isinstance(result.picture, stylenet.Picture)
    assert result.steps == 3
    assert result.picture.pil().size == (32, 24)
    assert result._repr_png_()


def test_optimize_from_everything() -> None:
    for init in (ARRAY, STYLE, "uniform", Image.fromarray(ARRAY)):
        assert search(ARRAY, init=init).stopped == "steps"
    two = search(ARRAY, [ARRAY, PHOTO], style_shares=[0.3, 0.7], style_weight=3.0, size="20x16", steps=1)
    assert (two.steps, two.picture.width) == (1, 20)


def test_optimize_writes_what_it_gives(tmp_path: Path) -> None:
    result = search(ARRAY, output=tmp_path / "out.png")
    assert np.array_equal(stylenet.read_image(tmp_path / "out.png").numpy(), result.picture.numpy())


MASKS: dict[str, Any] = {
    "bool array": ARRAY[..., 0] > 127,
    "bool tensor": torch.from_numpy(ARRAY[..., 0] > 127),
    "grey bytes": np.where(ARRAY[..., 0] > 127, 255, 0).astype(np.uint8),
    "float tensor": torch.from_numpy(ARRAY[..., 0] > 127).float(),
    "PIL": Image.fromarray(np.where(ARRAY[..., 0] > 127, 255, 0).astype(np.uint8)),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks(kind: str) -> None:
    styled = stylenet.Stylizer(STYLE, stylenet.Finish(mask=MASKS[kind]), precision="32")(PHOTO)
    where = torch.from_numpy(ARRAY[..., 0] > 127)
    assert torch.equal(styled[..., ~where], PHOTO[..., ~where])
    assert torch.allclose(styled[..., where], STYLE(PHOTO)[..., where], atol=1e-6)


BAD: dict[str, Any] = {"None": None, "to 255": PHOTO * 255, "four channels": torch.zeros(1, 4, 24, 32), "a list": [3], "3": 3}
# Ways out of a picture, and functions on tensors, which take what networks leave a little outside 0..1, and nothing else.
VALUES: dict[str, Any] = {"to 255": PHOTO * 255, "NaN": PHOTO * float("nan"), "infinite": PHOTO / 0, "far below 0": PHOTO - 2}
WAYS_OUT: dict[str, Callable[[Any, Path], Any]] = {
    "pil": lambda pixels, _: stylenet.Picture(pixels).pil(),
    "numpy": lambda pixels, _: stylenet.Picture(pixels).numpy(),
    "a notebook": lambda pixels, _: stylenet.Picture(pixels)._repr_png_(),
    "resized": lambda pixels, _: stylenet.Picture(pixels).resized(16),
    "resized, alpha": lambda pixels, _: stylenet.Picture(PHOTO, pixels[:, :1]).resized(16),
    "pil, alpha": lambda pixels, _: stylenet.Picture(PHOTO, pixels[:, :1]).pil(),
    "resize": lambda pixels, _: images.resize(pixels, 12, 16),
    "resize, a mask": lambda pixels, _: images.resize(pixels[:, :1], 12, 16),
    "encode_image": lambda pixels, _: images.encode_image(stylenet.Picture(pixels), "PNG"),
    "contact_sheet": lambda pixels, _: images.contact_sheet([pixels], [""], 1),
    "write_image": lambda pixels, folder: stylenet.write_image(pixels, folder / "a.png"),
    "write_image, alpha": lambda pixels, folder: stylenet.write_image(PHOTO, folder / "a.png", alpha=pixels[:, :1]),
}


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("values", VALUES)
def test_every_way_out_checks_values(way: str, values: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"NaN or infinite|lies in 0\.\.1") as caught:
        WAYS_OUT[way](VALUES[values], tmp_path)
    assert "\n" not in str(caught.value)
    WAYS_OUT[way](PHOTO, tmp_path)
    WAYS_OUT[way](PHOTO * 1.2 - 0.1, tmp_path)


ENTRANCES: dict[str, Callable[[Any, Path], Any]] = {
    "read_image": lambda bad, _: stylenet.read_image(bad),
    "write_image": lambda bad, folder: stylenet.write_image(bad, folder / "a.png"),
    "Style": lambda bad, _: STYLE(bad),
    "Stylizer": lambda bad, _: stylenet.Stylizer(STYLE)(bad),
    "stylize": lambda bad, _: stylenet.stylize(bad, STYLE),
    "mask": lambda bad, _: stylenet.Stylizer(STYLE, stylenet.Finish(mask=bad or "nowhere.png" if bad is None else bad)),
    "optimize, photo": lambda bad, _: search(bad),
    "optimize, painting": lambda bad, _: search(ARRAY, bad),
    "optimize, one of two": lambda bad, _: search(ARRAY, [ARRAY, bad]),
    "features": lambda bad, _: stylenet.features(bad, vgg_weights="random"),
    "reconstruct": lambda bad, _: stylenet.reconstruct(bad, vgg_weights="random"),
    "PerceptualLoss": lambda bad, _: stylenet.PerceptualLoss(LOSS, VGG)(PHOTO, bad),
    "targets, content": lambda bad, _: stylenet.PerceptualLoss(LOSS, VGG).targets(bad, [PHOTO]),
    "targets, style": lambda bad, _: stylenet.PerceptualLoss(LOSS, VGG).targets(PHOTO, [bad]),
    "StyleLoss": lambda bad, _: stylenet.StyleLoss(3 if bad is None else bad, "relu1_1", vgg_weights="random"),
    "stylize_video": lambda bad, folder: stylenet.stylize_video(bad, STYLE, folder / "a.mp4"),
    "train": lambda bad, folder: stylenet.train(bad, folder, run=folder / "run", output=folder / "a.safetensors"),
    "load_style": lambda bad, _: stylenet.load_style(bad),
    "export": lambda bad, folder: stylenet.export(bad, folder / "a.onnx"),
    "evaluate": lambda bad, folder: stylenet.evaluate(bad, str(folder)),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("bad", BAD)
def test_every_entrance_checks(entrance: str, bad: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        ENTRANCES[entrance](BAD[bad], tmp_path)
    assert "\n" not in str(caught.value)


# --- a guest --------------------------------------------------------------------------------------------------------------


def modes() -> dict[str, Any]:
    """Everything of a process that a library could leave changed."""
    import matplotlib

    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast dtype": torch.get_autocast_dtype("cpu"),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "seed of torch": torch.get_rng_state().tolist(),
        "seed of numpy": np.random.get_state()[1].tolist(),  # type: ignore[index, union-attr]
        "seed of random": random.getstate(),
        "warnings": list(warnings.filters),
        "matplotlib": matplotlib.get_backend(),
        "Pillow's limit": Image.MAX_IMAGE_PIXELS,
    }


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kit")
    make_photos(folder / "photos", 6)
    make_video(folder / "video.mp4")
    stylenet.save_style(STYLE.net, STYLE.card, folder / "tiny.safetensors")
    stylenet.write_image(ARRAY, folder / "photo.png")
    return folder


RUNS = itertools.count()


def train(folder: Path) -> Tensor:
    style = stylenet.train(
        PAINTING,
        folder / "photos",
        folder / "trained.safetensors",
        steps=2,
        network=stylenet.NetSettings(width=4, residual_blocks=1),
        run=folder / f"run{next(RUNS)}",
        size=48,
        style_size=64,
        model={"loss": LOSS, "calibration_photos": 2},
        data={"workers": 0, "val_count": 1},
        trainer={"accelerator": "cpu", "precision": "32-true", "logger": False, "enable_progress_bar": True},
    )
    return style(PHOTO)


CALLS: dict[str, Callable[[Path], Any]] = {
    "read_image": lambda kit: stylenet.read_image(kit / "photo.png").pixels,
    "write_image": lambda kit: stylenet.read_image(stylenet.write_image(PHOTO, kit / "written.png")).pixels,
    "load_style": lambda kit: stylenet.load_style(kit / "tiny.safetensors").net.last.conv.weight,
    "style": lambda _: STYLE(PHOTO),
    "stylize": lambda kit: stylenet.stylize(PHOTO, kit / "tiny.safetensors", precision="32").pixels,
    "optimize": lambda _: search(PHOTO).picture.pixels,
    "features": lambda _: stylenet.features(PHOTO),
    "reconstruct": lambda _: stylenet.reconstruct(PHOTO, steps=1, device="cpu"),
    "stylize_video": lambda kit: (
        stylenet.stylize_video(kit / "video.mp4", STYLE, kit / "video.gif", overwrite=True, precision="32", device="cpu"),
        stylenet.read_image(kit / "video.gif").pixels,
    )[1],
    "export": lambda kit: [one.maximum for one in stylenet.export(STYLE, kit / "a.onnx")],
    "train": train,
}


def host_of_float64() -> Any:
    torch.set_default_dtype(torch.float64)
    return lambda: torch.set_default_dtype(torch.float32)


def host_on_meta() -> Any:
    torch.set_default_device("meta")
    return lambda: torch.set_default_device(None)


def entered(make: Callable[[], Any]) -> Callable[[], Any]:
    def host() -> Any:
        context = make()
        context.__enter__()
        return lambda: context.__exit__(None, None, None)

    return host


HOSTS: dict[str, Callable[[], Any]] = {
    "float64": host_of_float64,
    "another default device": host_on_meta,
    "inference mode": entered(torch.inference_mode),
    "no_grad": entered(torch.no_grad),
    "autocast": entered(lambda: torch.autocast("cpu", torch.bfloat16)),
}


@pytest.mark.parametrize("call", CALLS)
def test_leaves_nothing(call: str, kit: Path) -> None:
    CALLS[call](kit)  # what is imported for the first time may set things up
    before = modes()
    CALLS[call](kit)
    after = modes()
    assert {name for name in before if before[name] != after[name]} == set()


@pytest.fixture(scope="module")
def alone(kit: Path) -> Callable[[str], Any]:
    """What a call gives in a plain process, worked out once for all hosts."""
    return functools.cache(lambda call: CALLS[call](kit))


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("call", CALLS)
def test_the_host_has_no_say(call: str, host: str, kit: Path, alone: Callable[[str], Any]) -> None:
    expected = alone(call)
    leave = HOSTS[host]()
    try:
        found = CALLS[call](kit)
    finally:
        leave()
    if isinstance(found, list):
        assert found == expected
        return
    assert found.dtype == torch.float32
    assert found.device.type == "cpu"
    assert not found.is_inference()
    assert torch.equal(found, expected)


def test_results_take_part_in_a_graph() -> None:
    convolution = torch.nn.Conv2d(3, 3, 1)
    for pixels in (STYLE(PHOTO), stylenet.Stylizer(STYLE)(PHOTO), search(PHOTO).picture.pixels):
        convolution(pixels).sum().backward()
    assert convolution.weight.grad is not None


def test_a_stylizer_leaves_the_network_of_its_caller() -> None:
    style = make_style()
    style.net.train().requires_grad_(True)
    weight = style.net.down1.conv.weight
    before = {name: value.clone() for name, value in style.net.state_dict().items()}
    stylizer = stylenet.Stylizer(style, precision="bf16")
    stylizer(PHOTO)
    assert stylizer.style.net is not style.net
    assert style.net.training
    assert weight.requires_grad
    assert style.net.down1.conv.weight is weight
    assert weight.is_contiguous()
    assert all(torch.equal(value, style.net.state_dict()[name]) for name, value in before.items())


def test_training_from_python_is_that_of_the_command(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arguments give the same weights and the same card."""
    from stylenet.commands.cli import main

    monkeypatch.chdir(tmp_path)
    words = ["--style", PAINTING, "--photos", str(kit / "photos"), "--output", "command.safetensors", "--run", "one"]
    words += ["--network", "quarter", "--steps", "2", "--data.size", "64", "--data.workers", "0", "--data.val_count", "1"]
    assert main(["train", *words, "--model.style_size", "96", "--trainer.accelerator", "cpu"]) == 0
    style = stylenet.train(
        PAINTING,
        kit / "photos",
        "python.safetensors",
        run="two",
        network="quarter",
        steps=2,
        size=64,
        style_size=96,
        data={"workers": 0, "val_count": 1},
        trainer={"accelerator": "cpu"},
    )
    command = stylenet.load_style("command.safetensors")
    for name, value in command.net.state_dict().items():
        assert torch.equal(value, style.net.state_dict()[name]), name
    cards = [dataclasses.asdict(one.card) for one in (command, style)]
    for card in cards:
        del card["training"]["seconds"]
        card["training"]["style_size"] = int(card["training"]["style_size"])
    assert cards[0] == cards[1]
