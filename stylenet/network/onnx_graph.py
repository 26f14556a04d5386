"""Build the transformation network as an ONNX graph, node by node from plain operators.

It is not traced: height and width stay free (padding to a multiple of 4 and cropping are arithmetic on the shape inside the
graph), the graph does not depend on the version of an exporter, and every :class:`~stylenet.network.NetSettings` has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from stylenet import __version__
from stylenet.network.transform_net import ConvLayer, InstanceNorm, TransformNet

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

INPUT, SHARES, OUTPUT = "photo", "shares", "styled"

# The operator set of 2022, so that older runtimes read the file; nothing here needs a newer one.
_OPSET, _IR_VERSION = 17, 8


def network_model(nets: Sequence[TransformNet], about: str, float16: bool = False) -> ModelProto:
    """Return a network as ONNX: input ``photo``, output ``styled``, both ``[batch, 3, height, width]``, float32, RGB, 0..1.

    Several networks that differ in their looks alone become one file, with a second input ``shares [K]``: how much of each
    style the picture has. They are divided by their sum.

    Args:
        nets: on the processor, in float32.
        about: kept in the metadata under ``stylenet``.
        float16: weights and convolutions in float16; input, output and normalisations stay float32.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph(float16, nets)
    _build(graph, nets[0])
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    photo, styled = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in (INPUT, OUTPUT))
    inputs = [photo, helper.make_tensor_value_info(SHARES, TensorProto.FLOAT, [len(nets)])] if len(nets) > 1 else [photo]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "stylenet", inputs, [styled], graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="stylenet",
        producer_version=__version__,
        doc_string="RGB, sRGB-encoded, 0..1, [batch, 3, height, width]; each side 8 pixels or more",
    )
    helper.set_model_props(model, {"stylenet": about})
    checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants in the order of their making; values go by name."""

    def __init__(self, float16: bool, nets: Sequence[TransformNet]) -> None:
        self.float16 = float16
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        # Each parameter of the first network, with those of the others in its place.
        own = [dict(net.named_parameters()) for net in nets]
        self.twins = {id(value): [others[name] for others in own] for name, value in own[0].items()}
        self.shares = self._normalised_shares() if len(nets) > 1 else ""

    def _normalised_shares(self) -> str:
        """Return shares that add up to 1. Negative ones count as 0, and where all are 0 they stay so, because 0
        divided by 0 is no number."""
        shares = self.add("Max", SHARES, self.constant(np.zeros(1, np.float32)))
        least = self.constant(np.full(1, np.finfo(np.float32).tiny, np.float32))
        return self.add("Div", shares, self.add("Max", self.add("ReduceSum", shares, keepdims=1), least))

    def parameter(self, value: Tensor, narrow: bool = False) -> str:
        """Return a parameter of the network, or the mean of several networks' by their shares.

        With ``narrow`` it is in the type of the convolutions.
        """
        twins = self.twins.get(id(value), [value])
        narrow = narrow and self.float16
        if len(twins) == 1 or all(torch.equal(twin, value) for twin in twins):
            return self.constant(_numpy(value.half() if narrow else value))
        table = self.constant(_numpy(torch.stack([twin.detach().flatten() for twin in twins])))
        mixed = self.add("Reshape", self.add("MatMul", self.shares, table), self.constant(list(value.shape)))
        return self.narrow(mixed) if narrow else mixed

    def constant(self, values: np.ndarray | Sequence[int]) -> str:
        """Add a constant. Whole numbers become int64, all else keeps its type."""
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        array = values if isinstance(values, np.ndarray) else np.array(values, dtype=np.int64)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node; return its output."""
        from onnx import helper

        output = name or f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def wide(self, values: str) -> str:
        """Convert values to float32."""
        from onnx import TensorProto

        return self.add("Cast", values, to=TensorProto.FLOAT) if self.float16 else values

    def narrow(self, values: str) -> str:
        """Convert values to the type of the convolutions."""
        from onnx import TensorProto

        return self.add("Cast", values, to=TensorProto.FLOAT16) if self.float16 else values

    def affine(self, values: str, factor: Sequence[float], shift: Sequence[float]) -> str:
        """Add ``factor * values + shift``, channel by channel."""
        columns = [np.array(numbers, dtype=np.float32).reshape(1, -1, 1, 1) for numbers in (factor, shift)]
        return self.add("Add", self.add("Mul", values, self.constant(columns[0])), self.constant(columns[1]))


def _build(graph: _Graph, net: TransformNet) -> None:
    """Build the forward pass of :class:`~stylenet.network.TransformNet`."""
    size = graph.add("Shape", INPUT, start=2, end=4)
    values = graph.narrow(_enter(graph, net, size))
    for layer in net.down:
        values = _layer(graph, layer, values)
    for block in net.blocks:
        values = graph.add("Add", values, _layer(graph, block.second, _layer(graph, block.first, values)))  # type: ignore[arg-type]
    for layer in (*net.up, net.last):
        values = _layer(graph, layer, values)
    values = _leave(graph, net, graph.wide(values))
    cropped = graph.add("Slice", values, graph.constant([0, 0]), size, graph.constant([2, 3]))
    zero, one = (graph.constant(np.array(number, dtype=np.float32)) for number in (0, 1))
    graph.add("Clip", cropped, zero, one, name=OUTPUT)


def _enter(graph: _Graph, net: TransformNet, size: str) -> str:
    """Bring the picture into the network's numbers, padded below and on the right to multiples of 4."""
    space = net.space
    factor = [space.scale / std for std in space.std]
    shift = [-mean / std for mean, std in zip(space.mean, space.std, strict=True)]
    values = graph.affine(INPUT, factor, shift)
    # -size mod 4 without a modulus of negative numbers, which runtimes disagree on.
    four = graph.constant([4])
    quarters = graph.add("Div", graph.add("Add", size, graph.constant([3])), four)
    missing = graph.add("Sub", graph.add("Mul", quarters, four), size)
    pads = graph.add("Concat", graph.constant([0] * 6), missing, axis=0)
    values = graph.add("Pad", values, pads, mode="reflect")
    return _to_depth(graph, values, net.settings.stem) if net.settings.stem > 1 else values


def _to_depth(graph: _Graph, values: str, side: int) -> str:
    """Rearrange squares of pixels as channels, colour by colour. ONNX's SpaceToDepth has the colours innermost."""
    apart = graph.add("SpaceToDepth", values, blocksize=side)
    order = [place * 3 + colour for colour in range(3) for place in range(side**2)]
    return graph.add("Gather", apart, graph.constant(order), axis=1)


def _leave(graph: _Graph, net: TransformNet, values: str) -> str:
    """Bring the network's numbers back to 0..1."""
    if net.settings.stem > 1:
        values = graph.add("DepthToSpace", values, blocksize=net.settings.stem, mode="CRD")
        values = graph.add("Pad", values, graph.constant([0, 0, 1, 1] * 2), mode="reflect")
        for _ in range(2):
            values = graph.add("AveragePool", values, kernel_shape=[2, 2])
    if net.settings.output == "tanh":
        return graph.affine(graph.add("Tanh", values), [150 / 255], [0.5])
    if net.settings.output == "relu":
        values = graph.add("Relu", values)
    space = net.space
    return graph.affine(values, [std / space.scale for std in space.std], [mean / space.scale for mean in space.mean])


# The same as F.interpolate with a factor of 2.
_RESIZE = {
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


def _layer(graph: _Graph, layer: ConvLayer, values: str) -> str:
    if layer.upsample in _RESIZE:
        scales = graph.constant(np.array([1, 1, 2, 2], dtype=np.float32))
        values = graph.add("Resize", values, "", scales, **_RESIZE[layer.upsample])
    if layer.upsample != "transposed":
        pad = [0, 0, layer.padding, layer.padding]
        values = graph.add("Pad", values, graph.constant(pad + pad), mode="reflect")
    values = _convolution(graph, layer.conv, values)
    if layer.norm is not None:
        values = _normalisation(graph, layer.norm, graph.wide(values))
    if layer.relu:
        values = graph.add("Relu", values)
    return values if layer.norm is None else graph.narrow(values)


def _convolution(graph: _Graph, conv: nn.Conv2d | nn.ConvTranspose2d, values: str) -> str:
    assert conv.bias is not None
    weights = [graph.parameter(tensor, narrow=True) for tensor in (conv.weight, conv.bias)]
    options: dict[str, Any] = {"kernel_shape": list(conv.kernel_size), "strides": list(conv.stride)}
    if isinstance(conv, nn.ConvTranspose2d):
        pads = [int(pad) for pad in conv.padding] * 2
        return graph.add("ConvTranspose", values, *weights, **options, pads=pads, output_padding=list(conv.output_padding))
    return graph.add("Conv", values, *weights, **options)


def _normalisation(graph: _Graph, norm: InstanceNorm | nn.BatchNorm2d, values: str) -> str:
    tensors: list[Tensor | None] = [norm.weight, norm.bias]
    operator = "InstanceNormalization"
    if isinstance(norm, nn.BatchNorm2d):
        operator, tensors = "BatchNormalization", [*tensors, norm.running_mean, norm.running_var]
    parameters = [graph.parameter(tensor) for tensor in tensors if tensor is not None]
    return graph.add(operator, values, *parameters, epsilon=norm.eps)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()
