"""ONNX files: they do what the network does, at any size, or they are not written."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from foreign_nets import Numbered, Sequenced, randomised
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from stylenet.commands.cli import main
from stylenet.errors import InputError, RunError
from stylenet.network import export, onnx_graph
from stylenet.network.cards import Card
from stylenet.network.export import CHECKED_SIZES, Difference, export_style
from stylenet.network.styles import Style, load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

SETTINGS: list[dict[str, Any]] = [
    {},
    {"space": "unit", "residual_blocks": 0},
    {"space": "bytes", "residual_relu": True},
    {"space": "imagenet", "output": "relu"},
    {"upsample": "nearest"},
    {"output": "tanh", "upsample": "transposed"},
    {"norm": "batch"},
    {"stem": 2, "space": "imagenet"},
    {"norm": "batch", "output": "tanh", "upsample": "transposed", "space": "bytes"},
]


def tiny(**options: Any) -> Style:
    torch.manual_seed(0)
    net = randomised(TransformNet(NetSettings(**{"width": 4, "residual_blocks": 1, **options})))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.data.normal_()
            module.running_var.data.uniform_(0.5, 2)
    return Style(net.requires_grad_(False), Card("waves", credit="Hokusai, 1831", metrics={"val/objective": 1.5}))


def picture(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def run(path: Path, photo: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (styled,) = session.run(["styled"], {"photo": photo.numpy()})
    return torch.from_numpy(styled)


# --- it does what the network does ------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_every_network(tmp_path: Path, options: dict[str, Any]) -> None:
    style = tiny(**options)
    differences = export_style(style, tmp_path / "a.onnx")
    assert [(each.width, each.height) for each in differences] == list(CHECKED_SIZES)
    assert all(0 <= each.mean <= each.maximum < 1e-4 for each in differences)
    for shape in ((1, 8, 8), (2, 9, 13), (1, 65, 127), (3, 34, 47), (1, 12, 16)):
        photo = picture(*shape)
        assert torch.allclose(run(tmp_path / "a.onnx", photo), style(photo), atol=1e-4), shape


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_half(tmp_path: Path, options: dict[str, Any]) -> None:
    style = tiny(**options)
    export_style(style, tmp_path / "half.onnx", "16")
    photo = picture(1, 65, 127)
    assert float((run(tmp_path / "half.onnx", photo) - style(photo)).abs().mean()) < 2e-3


def test_another_runtime(tmp_path: Path) -> None:
    """onnx's own reference implementation in numpy."""
    style, photo = tiny(), picture(1, 9, 10)
    export_style(style, tmp_path / "a.onnx")
    (styled,) = ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"photo": photo.numpy()})
    assert torch.allclose(torch.from_numpy(styled), style(photo), atol=1e-4)


@pytest.mark.parametrize(
    "theirs",
    [Numbered("deconv"), Numbered("up"), Sequenced()],
    ids=["pytorch/examples", "gordicaleksa", "eriklindernoren"],
)
def test_other_repositories(tmp_path: Path, theirs: Any) -> None:
    """From their checkpoint to a file, against their network."""
    torch.save(randomised(theirs).state_dict(), tmp_path / "theirs.model")
    export_style(tmp_path / "theirs.model", tmp_path / "a.onnx")
    photo = picture(1, 28, 40)
    with torch.no_grad():
        assert torch.allclose(run(tmp_path / "a.onnx", photo), theirs.picture(photo).clamp(0, 1), atol=2e-4)


def test_values_of_half_are_rounded() -> None:
    """What a device with float16 does to values is part of what is reported: here against torch's own float16 convolutions."""
    net = tiny(width=32).net
    photo = picture(1, 32, 32)
    values = net._enter(photo).half()
    half = TransformNet(net.settings).half().requires_grad_(False)
    half.load_state_dict(net.state_dict())
    for layer in (*half.down, *half.blocks, *half.up, half.last):
        values = layer(values)
    wanted, exact = half.leave(values), net(photo)
    with export._NarrowValues():
        ours = export._rounded(net)(photo)
    rounding = float((wanted - exact).abs().mean())
    assert rounding > 0
    assert float((ours - exact).abs().mean()) == pytest.approx(rounding, rel=0.3)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["32", "16"])
def test_what_a_program_sees(tmp_path: Path, precision: Any) -> None:
    export_style(tiny(), tmp_path / "a.onnx", precision)
    model = onnx.load(tmp_path / "a.onnx")
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    for value, name in ((model.graph.input[0], "photo"), (model.graph.output[0], "styled")):
        tensor = value.type.tensor_type
        assert (value.name, tensor.elem_type) == (name, onnx.TensorProto.FLOAT)
        assert [dim.dim_param or dim.dim_value for dim in tensor.shape.dim] == ["batch", 3, "height", "width"]
    card = json.loads({entry.key: entry.value for entry in model.metadata_props}["stylenet"])
    assert (card["name"], card["credit"], card["metrics"]) == ("waves", "Hokusai, 1831", {"val/objective": 1.5})
    kernels = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[2] > 1]
    assert {tensor.data_type for tensor in kernels} == {getattr(onnx.TensorProto, {"32": "FLOAT", "16": "FLOAT16"}[precision])}
    assert {node.domain for node in model.graph.node} == {""}


def test_normalisation_of_half_is_float32(tmp_path: Path) -> None:
    """The sum of the squares of one channel of 100 x 100 pixels can be beyond 65504."""
    export_style(tiny(), tmp_path / "a.onnx", "16")
    model = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "a.onnx"))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    assert len(norms) == 7
    assert {types[node.input[0]] for node in norms} == {onnx.TensorProto.FLOAT}


def test_size_of_the_standard_network(tmp_path: Path) -> None:
    style = Style(TransformNet().eval().requires_grad_(False), Card("a"))
    differences = export_style(style, tmp_path / "half.onnx", "16")
    assert all(each.maximum < 5e-3 for each in differences)
    assert (tmp_path / "half.onnx").stat().st_size == pytest.approx(3.38e6, rel=0.01)


def test_bytes_are_always_the_same(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export_style(tiny(), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# --- it is refused ----------------------------------------------------------------------------------------------------


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_graph._leave
    monkeypatch.setattr(onnx_graph, "_leave", lambda graph, *rest: graph.affine(right(graph, *rest), [1.0], [0.002]))
    (tmp_path / "a.onnx").write_text("old")
    with pytest.raises(RunError, match=r"is not written, because it would differ from the network: 8 x 8: .* 0\.001"):
        export_style(tiny(), tmp_path / "a.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_text() == "old"


@pytest.mark.parametrize("factor", [1e4, 1e7, float("nan")], ids=["values", "weights", "NaN"])
def test_too_large_for_half(tmp_path: Path, factor: float) -> None:
    """In float32 the normalisation that follows makes up for any factor."""
    style = tiny()
    style.net.down2.conv.weight *= factor
    if np.isfinite(factor):
        assert export_style(style, tmp_path / "wide.onnx")
        (tmp_path / "wide.onnx").unlink()
    with pytest.raises(InputError, match="float16 does not suit this style: use precision 32"):
        export_style(style, tmp_path / "a.onnx", "16")
    assert list(tmp_path.iterdir()) == []


def test_nan_does_not_pass() -> None:
    with pytest.raises(RunError, match="nan"):
        export._check_agreement([Difference(8, 8, float("nan"), float("nan"))], "32", Path("a.onnx"))


@pytest.mark.parametrize("missing", [["onnx"], ["onnxruntime"], ["onnx", "onnxruntime"]], ids=str)
def test_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: list[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found(name))
    with pytest.raises(InputError, match=rf"{' and '.join(missing)}: pip install 'stylenet\[export\]'"):
        export_style(tiny(), tmp_path / "a.onnx")


# --- the command ------------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path) -> None:
    save_style(tiny().net, Card("a"), tmp_path / "a.safetensors")
    words = [sys.executable, "-m", "stylenet", "export", "a.safetensors", "--format", "onnx", "-o", "new/a.onnx"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == ["8 x 8", "127 x 65", "256 x 256", "333 x 251"]
    assert lines[4].startswith("new/a.onnx: 0.0 MB, precision 32")
    assert done.stderr == ""
    photo = picture(1, 31, 22)
    assert torch.allclose(run(tmp_path / "new/a.onnx", photo), load_style(tmp_path / "a.safetensors")(photo), atol=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.safetensors", "-o", "a.pt"], r"cannot write a\.pt: its ending must be \.onnx"),
        (["a.safetensors", "-o", "a.safetensors/a.onnx"], "a part of that path is a file"),
        (["a.safetensors", "-o", "a.onnx", "--precision", "8"], "precision"),
        (["a.safetensors", "-o", "a.onnx", "--format", "coreml"], "format"),
        (["monet", "-o", "a.onnx"], "no style 'monet'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_style(tiny().net, Card("a"), tmp_path / "a.safetensors")
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message.replace("\\", "") in error
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
