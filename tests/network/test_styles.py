"""Style files: what is written is what is read; other repositories' checkpoints; what is none."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_nets import Numbered, Sequenced, randomised
from safetensors.torch import save_file

from stylenet.errors import InputError
from stylenet.images.picture import Picture
from stylenet.network import shipped
from stylenet.network.cards import Card
from stylenet.network.shipped import list_styles
from stylenet.network.styles import Bits, load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

PICTURES = torch.rand(1, 3, 29, 42, generator=torch.Generator().manual_seed(3))


def network(**options: Any) -> TransformNet:
    return randomised(TransformNet(NetSettings(width=4, residual_blocks=1, **options)))


# --- our own ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"output": "tanh", "upsample": "transposed"}, {"norm": "batch"}], ids=str)
def test_written_is_read(tmp_path: Path, options: dict[str, Any]) -> None:
    net = network(**options)
    card = Card("waves", credit="Hokusai, 1831", metrics={"val/objective": 1.5}, training={"steps": 7})
    save_style(net, card, tmp_path / "waves.safetensors", bits=32)
    style = load_style(tmp_path / "waves.safetensors")
    assert (style.card.name, style.card.credit, style.card.metrics) == ("waves", "Hokusai, 1831", {"val/objective": 1.5})
    assert NetSettings(**style.card.network) == net.settings
    assert all(torch.equal(value, style.net.state_dict()[name]) for name, value in net.state_dict().items())
    assert torch.allclose(style(PICTURES), net(PICTURES).clamp(0, 1), atol=1e-4)


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    net = network()
    state = {**net.state_dict(), "last.conv.weight": torch.full_like(net.last.conv.weight, float("nan"))}
    card = dataclasses.asdict(Card("a", network=dataclasses.asdict(net.settings)))
    save_file(state, tmp_path / "a.safetensors", {"stylenet": json.dumps(card)})
    with pytest.raises(InputError, match=r"a\.safetensors holds weights that are not finite \(last\.conv\.weight\)"):
        load_style(tmp_path / "a.safetensors")


@pytest.mark.parametrize(("bits", "size", "apart"), [(8, 1.7e6, 0.06), (16, 3.4e6, 3e-3), (32, 6.7e6, 1e-6)])
@pytest.mark.parametrize("upsample", ["bilinear", "transposed"])
def test_bits(tmp_path: Path, bits: Bits, size: float, apart: float, upsample: Any) -> None:
    net = randomised(TransformNet(NetSettings(upsample=upsample)))
    save_style(net, Card("a"), tmp_path / "a.safetensors", bits)
    assert (tmp_path / "a.safetensors").stat().st_size == pytest.approx(size, rel=0.02)
    read = load_style(tmp_path / "a.safetensors").net
    for name, value in net.state_dict().items():
        assert read.state_dict()[name].dtype == torch.float32
        assert torch.allclose(read.state_dict()[name], value, atol=float(value.abs().max()) / 254 if bits == 8 else 1e-3)
    error = (read(PICTURES) - net(PICTURES)).abs().mean() / net(PICTURES).std()
    assert error < apart


def test_eight_bits_are_the_default_and_hold_the_largest_weight(tmp_path: Path) -> None:
    net = network()
    save_style(net, Card("a"), tmp_path / "a.safetensors")
    kernel, read = net.up1.conv.weight, load_style(tmp_path / "a.safetensors").net.up1.conv.weight
    largest = kernel.abs().amax(dim=(1, 2, 3))
    assert torch.allclose(read.abs().amax(dim=(1, 2, 3)), largest, rtol=1e-5)
    assert ((read - kernel).abs() <= largest[:, None, None, None] / 253).all()
    assert not torch.equal(read, kernel)
    net.up1.conv.weight.data.zero_()
    save_style(net, Card("a"), tmp_path / "zero.safetensors")
    assert not load_style(tmp_path / "zero.safetensors").net.up1.conv.weight.any()


def test_picture_keeps_size_and_alpha(tmp_path: Path) -> None:
    save_style(network(), Card("a"), tmp_path / "a.safetensors")
    alpha = torch.rand(1, 1, 29, 42)
    styled = load_style(tmp_path / "a.safetensors")(Picture(PICTURES, alpha, "photo"))
    assert styled.pixels.shape == PICTURES.shape
    assert 0 <= styled.pixels.min() <= styled.pixels.max() <= 1
    assert styled.alpha is alpha


@pytest.mark.parametrize(("value", "bits"), [(float("nan"), 8), (float("inf"), 8), (float("nan"), 32), (1e6, 16)])
def test_broken_weights_are_not_written(tmp_path: Path, value: float, bits: Bits) -> None:
    net = network()
    net.up1.conv.weight.data[0, 0, 0, 0] = value
    with pytest.raises(InputError, match=r"up1\.conv\.weight holds numbers that are not finite"):
        save_style(net, Card("a"), tmp_path / "a.safetensors", bits)
    assert list(tmp_path.iterdir()) == []


def test_shipped_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "style_folder", lambda: tmp_path)
    for name in ("waves", "amber"):
        save_style(network(), Card(name), tmp_path / f"{name}.safetensors")
    assert [card.name for card in list_styles()] == ["amber", "waves"]
    assert load_style("waves").card.name == "waves"
    with pytest.raises(InputError, match=r"no style 'monet'.*amber, waves"):
        load_style("monet")


# --- others' ----------------------------------------------------------------------------------------------------------

FOREIGN = {
    "pytorch/examples": lambda: Numbered("deconv"),
    "gordicaleksa/pytorch-neural-style-transfer-johnson": lambda: Numbered("up"),
    "eriklindernoren/Fast-Neural-Style-Transfer": Sequenced,
}


@pytest.mark.parametrize("repository", FOREIGN)
@pytest.mark.parametrize("wrapping", ["plain", "metadata", "parallel", "old statistics", "safetensors"])
def test_foreign(tmp_path: Path, repository: str, wrapping: str) -> None:
    theirs = randomised(FOREIGN[repository]())
    state: dict[str, Any] = dict(theirs.state_dict())
    path = tmp_path / ("theirs.safetensors" if wrapping == "safetensors" else "theirs.model")
    if wrapping == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    if wrapping == "old statistics":
        norms = [name for name in state if name.endswith(".weight") and state[name].dim() == 1]
        for name in norms:
            for kind in ("running_mean", "running_var"):
                state[name.replace("weight", kind)] = torch.zeros(len(state[name]))
    if wrapping == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 2, "commit": "abc"} if wrapping == "metadata" else state, path)
    style = load_style(path)
    assert style.card.source == repository
    assert style.net.settings.width == 8
    with torch.no_grad():
        # Bytes are 255 times larger, and so is the rounding.
        assert torch.allclose(style.net(PICTURES[..., :28, :40]), theirs.picture(PICTURES[..., :28, :40]), atol=2e-4)


# --- neither ----------------------------------------------------------------------------------------------------------


def damaged(path: Path) -> None:
    save_style(network(), Card("a"), path)
    path.write_bytes(path.read_bytes()[:200])


def newer(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, {"stylenet": json.dumps({"name": "a", "hologram": 1})})


def misfit(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, {"stylenet": json.dumps({"name": "a", "network": {"width": 4}})})


def incomplete(path: Path) -> None:
    state = Numbered("deconv").state_dict()
    del state["res3.in1.bias"]
    torch.save(state, path)


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("code was run",))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.safetensors", damaged, "damaged"),
        ("a.safetensors", newer, "newer version"),
        ("a.safetensors", misfit, "does not fit"),
        ("a.safetensors", lambda path: path.write_bytes(b""), "no safetensors file"),
        ("a.pth", lambda path: path.write_text("hello"), "cannot be read as weights"),
        ("a.pth", lambda path: path.write_bytes(pickle.dumps(Evil())), "cannot be read as weights"),
        ("a.pth", lambda path: torch.save([1, 2], path), "no style that is known"),
        ("a.pth", lambda path: torch.save({"fc.weight": torch.zeros(2)}, path), r"expected a file of stylenet.*fc\.weight"),
        ("a.pth", incomplete, r"pytorch/examples, but has no res3\.in1\.bias"),
        ("a.pth", str, "no style"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_style(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, make: Any, message: str) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        load_style(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "code was run" not in capfd.readouterr().out


# --- checkpoints of a training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("averaged", [False, True])
def test_a_checkpoint_is_a_style(tmp_path: Path, averaged: bool) -> None:
    """With the averaged weights, where there are any."""
    from lightning.pytorch.callbacks import ModelCheckpoint
    from training_kit import TINY, fit, make_photos, module, photos

    from stylenet.training.averaging import AveragedWeights

    model = module(network=TINY, init=None)
    keep = ModelCheckpoint(tmp_path / "run", "last", every_n_train_steps=2)
    more = [AveragedWeights(0.9)] if averaged else []
    fit(model, photos(make_photos(tmp_path / "photos")), 2, keep, *more, enable_checkpointing=True)
    (path,) = (tmp_path / "run").glob("*.ckpt")
    saved = torch.load(path, weights_only=True)
    assert ("current_model_state" in saved) == averaged
    style = load_style(path)
    assert (style.card.name, style.card.source, style.card.training["steps"]) == ("brush_strokes", "stylenet", 2)
    assert style.net.settings == TINY
    for name, value in style.net.state_dict().items():
        assert torch.equal(value, saved["state_dict"][f"network.{name}"]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hyper_parameters": {"network": {"width": 10**9}}}, "another version of stylenet, or is damaged.*width must be"),
        ({"hyper_parameters": {"network": {"upsample": "evil"}}}, "Invalid enum value 'evil'"),
        ({"hyper_parameters": {"network": "none"}}, "another version of stylenet, or is damaged"),
        ({"hyper_parameters": {"network": "standard", "loss": {"vgg": 3}}}, "another version of stylenet, or is damaged"),
        ({"hyper_parameters": {"network": "standard"}}, "does not fit the network"),
        ({"state_dict": {"network.down1.conv.weight": torch.zeros(1).expand(10**9)}}, "claims 4,000,000,000 bytes"),
        ({"state_dict": {}}, "does not fit the network"),
        ({"global_step": {"a": 1}, "training": None}, "does not fit the network"),
    ],
    ids=["wide", "evil", "no preset", "loss", "another network", "stride 0", "empty", "odd counters"],
)
def test_hostile_checkpoints(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    whole = {
        "pytorch-lightning_version": "2.6.0",
        "hyper_parameters": {"network": "quarter"},
        "state_dict": {},
        "global_step": 3,
    }
    torch.save({**whole, **changes}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=message):
        load_style(tmp_path / "a.ckpt")
