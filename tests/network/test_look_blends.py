"""Blends of looks: as styles, on the way in from words, and in ONNX files."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from foreign_nets import randomised

from stylenet.commands.cli import main
from stylenet.errors import InputError, RunError
from stylenet.images.picture import read_image, write_image
from stylenet.network import onnx_graph
from stylenet.network.cards import Card
from stylenet.network.export import export_style
from stylenet.network.look_blends import blend_styles, mix_looks, parse_blend
from stylenet.network.look_files import save_look
from stylenet.network.looks import Learns, look_names
from stylenet.network.styles import load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet


@pytest.fixture(params=["norms", "norms+ends"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A body, three looks on it, and a network of its own."""
    learns: Learns = request.param
    torch.manual_seed(0)
    settings = NetSettings(width=4, residual_blocks=1)
    body = tmp_path / "body.safetensors"
    save_style(randomised(TransformNet(settings)), Card("body"), body)
    for name in "abc":
        net = load_style(body).net
        with torch.no_grad():
            for parameter in look_names(net, learns):
                net.get_parameter(parameter).add_(0.3 * torch.randn_like(net.get_parameter(parameter)))
        save_look(net, learns, body, Card(name, credit=f"painter of {name}"), tmp_path / f"{name}.safetensors")
    save_style(randomised(TransformNet(settings)), Card("other"), tmp_path / "other.safetensors")
    return tmp_path


def path(folder: Path, name: str) -> str:
    return str(folder / f"{name}.safetensors")


def test_ends_and_middle(folder: Path) -> None:
    a, b = (load_style(path(folder, name)).net for name in "ab")
    picture = torch.rand(1, 3, 40, 36)
    for shares, wanted in (((1, 0), a), ((0, 3), b)):
        blend = blend_styles({path(folder, "a"): shares[0], path(folder, "b"): shares[1]})
        assert torch.equal(blend.net(picture), wanted(picture))
    blend = blend_styles({path(folder, "a"): 0.6, path(folder, "b"): 0.2})
    for name, value in blend.net.named_parameters():
        assert torch.allclose(value, 0.75 * a.get_parameter(name) + 0.25 * b.get_parameter(name), atol=1e-6)
    assert not torch.allclose(blend.net(picture), a(picture), atol=1e-3)
    assert blend.card.name == "a_0.75_b_0.25"
    assert blend.card.credit == "0.75 x painter of a + 0.25 x painter of b"
    assert not any(parameter.requires_grad for parameter in blend.net.parameters())


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"a": 0.5, "other": 0.5}, "only looks on one body can"),
        ({"a": 0.0, "b": 0.0}, "one of them above 0"),
        ({"a": -1.0, "b": 2.0}, "numbers of 0 or more"),
        ({"a": float("nan")}, "numbers of 0 or more"),
        ({}, "numbers of 0 or more"),
    ],
    ids=str,
)
def test_what_cannot_be_blended(folder: Path, shares: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        blend_styles({path(folder, name): share for name, share in shares.items()})


def test_shipped_networks_of_their_own() -> None:
    with pytest.raises(InputError, match=r"great_wave cannot be blended: .* these can: capo_di_noli, .*, wheat_field"):
        blend_styles({"starry_night": 0.5, "great_wave": 0.5})


def test_words(tmp_path: Path) -> None:
    assert parse_blend(["starry_night", "udnie"]) is None
    assert parse_blend(["a:0.6", "b:.4"]) == {"a": 0.6, "b": 0.4}
    assert parse_blend(["styles/a.safetensors:1", "b:2."]) == {"styles/a.safetensors": 1.0, "b": 2.0}
    odd = tmp_path / "a:1"
    odd.touch()
    assert parse_blend([str(odd)]) is None
    with pytest.raises(InputError, match="b has no share"):
        parse_blend(["a:0.5", "b"])
    with pytest.raises(InputError, match="named twice"):
        parse_blend(["a:0.5", "a:0.2"])
    with pytest.raises(InputError, match=r"a:0\.5 is a blend of one style: name another, or write a alone"):
        parse_blend(["a:0.5"])


@pytest.mark.parametrize("precision", ["32", "16"])
def test_one_file_for_all(folder: Path, precision: str) -> None:
    names = "abc"
    target = folder / "abc.onnx"
    differences = export_style([path(folder, name) for name in names], target, precision)  # type: ignore[arg-type]
    assert len(differences) == 4
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    assert [(node.name, node.shape) for node in session.get_inputs()][1] == ("shares", [3])
    nets = [load_style(path(folder, name)).net for name in names]
    picture = torch.rand(2, 3, 45, 38)
    for shares in ([0.0, 1.0, 0.0], [0.2, 0.3, 0.5], [2.0, 3.0, 5.0], [1.0, 3.0, -7.0]):
        net = copy.deepcopy(nets[0])
        parts = [max(share, 0.0) for share in shares]  # less than nothing is nothing
        mix_looks(net, nets, [part / sum(parts) for part in parts])
        found = session.run(None, {"photo": picture.numpy(), "shares": np.array(shares, dtype=np.float32)})[0]
        wanted = net(picture).detach().clamp(0, 1).numpy()
        assert float(np.abs(found - wanted).max()) <= (1e-3 if precision == "32" else 0.1)
    nothing = session.run(None, {"photo": picture.numpy(), "shares": np.zeros(3, dtype=np.float32)})[0]
    assert np.isfinite(nothing).all()
    about = {entry.key: entry.value for entry in onnx.load(target).metadata_props}["stylenet"]
    assert [card["name"] for card in json.loads(about)] == ["a", "b", "c"]


def test_a_file_that_mixes_wrongly_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph._Graph, "_normalised_shares", lambda graph: graph.add("Neg", "shares"))
    with pytest.raises(RunError, match="would differ"):
        export_style([path(folder, name) for name in "ab"], folder / "ab.onnx")
    assert not (folder / "ab.onnx").exists()


def test_networks_of_their_own_make_no_file(folder: Path) -> None:
    with pytest.raises(InputError, match="only looks on one body"):
        export_style([path(folder, "a"), path(folder, "other")], folder / "both.onnx")
    with pytest.raises(InputError, match="no style to export"):
        export_style([], folder / "none.onnx")


def test_from_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One picture of the blend, what a blend cannot be in one line, and one ONNX file."""
    photo = tmp_path / "photo.png"
    picture = torch.rand(1, 3, 40, 36)
    write_image(picture, photo)
    shares = [f"{path(folder, 'a')}:0.6", f"{path(folder, 'b')}:0.4"]
    assert main(["stylize", str(photo), "--style", *shares, "--output", str(tmp_path / "out.png")]) == 0
    wanted = blend_styles({path(folder, "a"): 0.6, path(folder, "b"): 0.4})(read_image(photo).pixels)
    assert float((read_image(tmp_path / "out.png").pixels - wanted).abs().max()) <= 0.51 / 255
    assert main(["stylize", str(photo), "--style", shares[0], path(folder, "b"), "--output", str(tmp_path / "no.png")]) == 2
    assert "has no share beside styles that have one" in capsys.readouterr().err
    both = [path(folder, "a"), path(folder, "b")]
    assert main(["video", str(photo.parent), "--style", *both, "-o", str(tmp_path / "video")]) == 2
    assert "there is room for one style here, and 2 are named" in capsys.readouterr().err
    onnx_file = str(tmp_path / "ab.onnx")
    assert main(["export", "--styles", *both, "-o", onnx_file]) == 0
    assert Path(onnx_file).is_file()
    assert main(["export", "-o", onnx_file]) == 2
    assert "name one style to export, or several by --styles" in capsys.readouterr().err
