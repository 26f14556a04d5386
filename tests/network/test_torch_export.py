"""The network as a program of torch.export with free sizes, and its gradient's own gradient."""

from __future__ import annotations

import pytest
import torch
from foreign_nets import randomised
from torch import Tensor

from stylenet.network.transform_net import InstanceNorm, NetSettings, TransformNet

SETTINGS = {
    "standard": NetSettings(width=4, residual_blocks=1),
    "stem": NetSettings(width=4, residual_blocks=1, stem=2),
    "nearest, tanh": NetSettings(width=4, residual_blocks=1, upsample="nearest", output="tanh"),
    "Johnson's": NetSettings(width=4, residual_blocks=1, norm="batch", upsample="transposed"),
}


def network(kind: str) -> TransformNet:
    torch.manual_seed(0)
    return randomised(TransformNet(SETTINGS[kind])).eval()


@pytest.mark.parametrize("kind", SETTINGS)
def test_exported_with_free_sizes(kind: str) -> None:
    """Height and width that 4 divides and those that it does not, from an example whose sides it does not divide."""
    net = network(kind)
    free = {0: torch.export.Dim("batch", max=16), 2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
    program = torch.export.export(net, (torch.rand(2, 3, 37, 50),), dynamic_shapes=(free,)).module()
    for batch, height, width in ((1, 8, 8), (2, 65, 127), (1, 64, 64), (3, 33, 50), (1, 11, 10)):
        photo = torch.rand(batch, 3, height, width)
        with torch.no_grad():
            assert torch.allclose(program(photo), net(photo), atol=1e-5), (height, width)


@pytest.mark.parametrize("each", [False, True])
def test_the_gradient_of_a_normalisation_can_be_differentiated(each: bool) -> None:
    """Against autograd through torch's own operators; scale and shift of all pictures, and of each."""
    layer = InstanceNorm(3)
    values = torch.rand(2, 3, 4, 5, requires_grad=True)
    shape = (2, 3) if each else (3,)
    weight, bias = (torch.rand(shape, requires_grad=True) for _ in range(2))
    along = torch.rand(2, 3, 4, 5)

    def by_layer() -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (values,))

    def by_torch() -> Tensor:
        normalised = torch.nn.functional.instance_norm(values, eps=layer.eps)
        return normalised * weight[..., None, None] + bias[..., None, None]

    found = []
    for styled in (by_layer(), by_torch()):
        first = torch.autograd.grad((styled * along).square().sum(), (values, weight, bias), create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), (values, weight, bias))
        found.append((*first, *second))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.detach().abs().max()))


def test_torch_func_through_the_network() -> None:
    """Per-sample gradients by vmap are those of one picture after the other."""
    net = network("standard")
    parameters = {name: value.detach() for name, value in net.named_parameters()}
    photos = torch.rand(2, 3, 16, 16)

    def loss(weights: dict[str, Tensor], photo: Tensor) -> Tensor:
        return torch.func.functional_call(net, weights, (photo[None],)).square().mean()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, photos)
    for index in range(2):
        net.zero_grad()
        net(photos[index : index + 1]).square().mean().backward()
        for name, value in net.named_parameters():
            assert torch.allclose(each[name][index], value.grad, rtol=1e-3, atol=1e-6), name
