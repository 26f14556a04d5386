"""Many looks on one body: the numbers of conditional instance normalisation, their training, and styles as looks."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.nn import functional as F
from training_kit import LOSS, PAINTING, STYLES, TINY, fit, make_photos, module, photos

from stylenet.commands.recipes import recipe_path
from stylenet.errors import InputError
from stylenet.images.picture import read_image
from stylenet.losses.gram_packing import pack_grams, unpack_grams
from stylenet.losses.perceptual import PerceptualLoss
from stylenet.network.cards import Card
from stylenet.network.look_files import save_look
from stylenet.network.looks import Looks, LookTable, look_names, read_look, wear_look
from stylenet.network.styles import load_looks, load_style, save_style
from stylenet.network.transform_net import InstanceNorm, NetSettings, TransformNet
from stylenet.training import nearest
from stylenet.training.callbacks import Previews
from stylenet.training.log import TrainingLog
from stylenet.training.muon import Muon
from stylenet.training.nearest import nearest_look
from stylenet.training.objective import Objective
from stylenet.training.resuming import compare_settings
from stylenet.training.run import train

PAINTINGS = [str(STYLES / f"{name}.jpg") for name in ("brush_strokes", "marbling", "woodcut")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# --- conditional instance normalisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [False, True])
def test_a_scale_and_shift_for_each_picture(dtype: torch.dtype, given: bool) -> None:
    """Dumoulin et al., eq. 5, against torch's normalisation of one picture at a time; gradients too."""
    values = torch.randn(3, 8, 12, 10).to(dtype).requires_grad_()
    norm = InstanceNorm(8)
    del norm.weight, norm.bias
    norm.weight, norm.bias = (torch.randn(3, 8, requires_grad=True) for _ in range(2))
    statistics = (torch.randn(1, 8), torch.rand(1, 8) + 0.5) if given else None
    slope = torch.randn(3, 8, 12, 10)
    ours = norm(values, statistics)
    (ours.float() * slope).sum().backward()
    gradients = [tensor.grad.clone() for tensor in (values, norm.weight, norm.bias)]
    for tensor in (values, norm.weight, norm.bias):
        tensor.grad = None
    expected = []
    for index in range(3):
        one = values[index : index + 1].float()
        if statistics is None:
            plain = F.instance_norm(one, eps=1e-5)
        else:
            plain = (one - statistics[0][..., None, None]) / (statistics[1][..., None, None] + 1e-5).sqrt()
        expected.append(norm.weight[index][:, None, None] * plain + norm.bias[index][:, None, None])
    theirs = torch.cat(expected)
    (theirs * slope).sum().backward()
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    assert torch.allclose(ours.float(), theirs, atol=tolerance, rtol=tolerance)
    for found, tensor in zip(gradients, (values, norm.weight, norm.bias), strict=True):
        assert float((found.float() - tensor.grad.float()).norm()) <= tolerance * float(tensor.grad.float().norm())


def random_looks(net: TransformNet, count: int) -> LookTable:
    table = LookTable(net, [f"look {index}" for index in range(count)])
    with torch.no_grad():
        table.table += 0.3 * torch.randn_like(table.table)
    return table


def test_a_batch_of_looks_is_each_network_by_itself() -> None:
    net = TransformNet(TINY)
    table = random_looks(net, 4)
    before = read_look(net)
    pictures = torch.rand(3, 3, 24, 32)
    together = table(net, pictures, [2, 0, 2])
    for picture, styled, look in zip(pictures.split(1), together.split(1), [2, 0, 2], strict=True):
        alone = wear_look(copy.deepcopy(net), table.table[look].detach())
        assert torch.allclose(styled, alone(picture), atol=1e-6)
    assert torch.equal(read_look(net), before)


def test_numbers_of_a_look() -> None:
    net = TransformNet()
    assert read_look(net).shape == (3200,)
    assert sum(net.get_parameter(name).numel() for name in look_names(net, "norms+ends")) == 18_787
    assert len(look_names(net, "all")) == len(list(net.parameters()))
    with pytest.raises(InputError, match="learns is 'ends'"):
        look_names(net, "ends")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"set network\.norm to instance"):
        look_names(TransformNet(NetSettings(width=4, norm="batch")), "norms")
    with pytest.raises(InputError, match="does not fit"):
        wear_look(net, torch.zeros(5))


def test_packed_grams() -> None:
    loss = PerceptualLoss(LOSS)
    grams = loss.grams(read_image(PAINTING, 96).pixels)
    packed = pack_grams(grams)
    assert all(value.dtype == torch.float16 for name, value in packed.items() if not name.endswith((".scale", ".mean")))
    for name, target in unpack_grams(packed).items():
        assert target.positions == grams[name].positions
        matrix = grams[name].matrix
        assert torch.equal(target.matrix, target.matrix.transpose(1, 2))
        assert float((target.matrix - matrix).abs().max()) <= 2**-11 * float(matrix.abs().max())


# --- training ---------------------------------------------------------------------------------------------------------


def test_rows_of_a_table_move_as_by_sparse_adam() -> None:
    ours, theirs = (torch.nn.Parameter(torch.arange(12.0).view(4, 3)) for _ in range(2))
    optimizer = Muon([], [], 0.1, tables=[ours], table_lr=0.05)
    reference = torch.optim.SparseAdam([theirs], lr=0.05)
    for rows in ([0, 2], [2], [0, 1], [2, 0]):
        # SparseAdam counts the steps of the whole table: the rows below begin as those of a table of their own.
        gradient = torch.zeros(4, 3)
        gradient[rows] = torch.randn(len(rows), 3)
        ours.grad = gradient.clone()
        optimizer.step()
        theirs.grad = gradient.to_sparse(1)
        reference.step()
    assert torch.equal(ours[3], torch.tensor([9.0, 10.0, 11.0]))
    assert torch.equal(theirs[3], ours[3])
    step = optimizer.state[ours]["step"][:, 0].tolist()
    assert step == [3.0, 1.0, 3.0, 0.0]
    assert torch.allclose(optimizer.state[ours]["mean"], reference.state[theirs]["exp_avg"], atol=1e-6)
    assert torch.allclose(optimizer.state[ours]["square"], reference.state[theirs]["exp_avg_sq"])


def test_a_row_moves_as_by_adam() -> None:
    ours, theirs = (torch.nn.Parameter(torch.ones(1, 5)) for _ in range(2))
    pair = Muon([], [], 0.1, tables=[ours]), torch.optim.Adam([theirs], lr=0.1)
    for _ in range(5):
        ours.grad = torch.randn(1, 5)
        theirs.grad = ours.grad.clone()
        for optimizer in pair:
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_objective_of_looks_is_the_mean_of_each() -> None:
    pictures = [read_image(path, 96).pixels for path in PAINTINGS]
    batch, styled = torch.rand(4, 3, 48, 48), torch.rand(4, 3, 48, 48)
    units = torch.rand(2, 3, 48, 48)
    many = Objective(LOSS, pictures, looks=True, margin=4)
    many.prepare(units, torch.device("cpu"), torch.float32)
    looks = [2, 0, 2, 1]
    alone = [Objective(LOSS, [picture], margin=4) for picture in pictures]
    for one in alone:
        one.prepare(units, torch.device("cpu"), torch.float32)
    expected = [float(alone[look].compare(styled[row : row + 1], batch[row : row + 1]).total) for row, look in enumerate(looks)]
    assert float(many.compare(styled, batch, looks).total) == pytest.approx(sum(expected) / 4, rel=2e-3)  # 16 bits
    big, big_styled = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    measured = many.measure(big_styled, big, [1, 0])
    each = [alone[look].measure(big_styled[row : row + 1], big[row : row + 1]) for row, look in enumerate([1, 0])]
    for name in ("val/objective", "val/style/relu1_1", "val/style_held_out", "val/content_lost/relu2_2"):
        assert float(measured[name]) == pytest.approx(sum(float(one[name]) for one in each) / 2, rel=5e-3), name


def test_looks_learn(folder: Path) -> None:
    """Every look and the body move; the scales that the looks stand in for do not; all looks have their turn."""
    model = module(style=PAINTINGS, several="looks")
    assert model.looks is not None
    start, body = model.looks.table.detach().clone(), copy.deepcopy(model.network)
    drawn: list[int] = []
    own = model._drawn_looks
    model._drawn_looks = lambda *place: drawn.extend(own(*place)) or drawn[-place[1] :]  # type: ignore[method-assign]
    trainer = fit(model, photos(folder), 6)
    assert sorted(drawn) == sorted([0, 1, 2] * 4)
    assert all((start[row] != model.looks.table[row]).any() for row in range(3))
    assert torch.equal(read_look(model.network), read_look(body))
    assert not torch.equal(model.network.last.conv.weight, body.last.conv.weight)
    metrics = trainer.validate(model, datamodule=photos(folder), verbose=False)[0]
    assert metrics["val/objective"] > 0


@pytest.mark.parametrize("learns", ["norms", "norms+ends"])
def test_what_is_not_learnt_stays(folder: Path, tmp_path: Path, learns: str) -> None:
    save_style(TransformNet(TINY), Card("a"), tmp_path / "a.safetensors", bits=32)
    model = module(init=str(tmp_path / "a.safetensors"), learns=learns)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    fit(model, photos(folder), 3)
    moved = {name for name, value in model.network.state_dict().items() if not torch.equal(value, before[name])}
    names = set(look_names(model.network, learns))  # type: ignore[arg-type]
    # A convolution's bias before an instance normalisation changes nothing.
    assert names - {"down1.conv.bias"} <= moved <= names


# --- stopped, resumed, shared -----------------------------------------------------------------------------------------


def words(folder: Path, run: Path, *more: str) -> list[str]:
    network = ["--network", json.dumps({"width": 4, "residual_blocks": 1})]
    loss = ["--model.loss.content_layers", '{"relu2_2": 1.0}', "--model.loss.style_layers", '{"relu1_1": 0.5, "relu2_1": 0.5}']
    sizes = ["--data.size", "48", "--data.batch_size", "2", "--data.workers", "0", "--model.style_size", "96"]
    looks = ["--style", *PAINTINGS] if "--style" not in more else []
    return ["train", "--photos", str(folder), *looks, *network, *loss, *sizes, "--run", str(run), *more]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stylenet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def body(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body of three looks after ten steps, stopped after six and resumed in between."""
    place = tmp_path_factory.mktemp("body")
    paintings = place / "paintings"
    paintings.mkdir()
    for path in [*PAINTINGS, str(STYLES / "stained_glass.jpg")]:
        shutil.copy(path, paintings)
    many = ["--model.several", "looks", "--model.leave_out", '["stained_glass"]', "--model.schedule", "constant"]
    many += ["--trainer.deterministic", "true", "--checkpoint_every", "1", "--style", str(paintings)]
    for name, steps in (("whole", "10"), ("broken", "6")):
        result = run(words(folder, place / name, *many, "--steps", steps, "--name", "body_tiny"))
        assert result.returncode == 0, result.stderr
    again = [*many, "--steps", "10", "--name", "body_tiny", "--ckpt_path", "last"]
    result = run(words(folder, place / "broken", *again))
    assert result.returncode == 0, result.stderr
    return place


def test_many_looks_resume_to_the_bit(body: Path) -> None:
    ours, theirs = (torch.load(body / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("broken", "whole"))
    assert ours["global_step"] == theirs["global_step"] == 10
    assert all(torch.equal(ours["state_dict"][name], value) for name, value in theirs["state_dict"].items())
    assert any(name.endswith("looks.table") for name in ours["state_dict"])


def test_a_body_as_a_file(body: Path) -> None:
    path = body / "whole" / "body_tiny.safetensors"
    looks = load_looks(path)
    titles, table = looks.titles, looks.table
    assert titles == ["brush_strokes", "marbling", "woodcut"]
    assert looks.signatures.shape == (3, 64 + 128)
    style = load_style(path)
    assert style.card.looks == titles
    assert torch.allclose(read_look(style.net), table.mean(dim=0), atol=2e-3)
    assert [picture["file"] for picture in style.card.style] == ["brush_strokes.jpg", "marbling.jpg", "woodcut.jpg"]
    assert load_looks("starry_night").titles == []


def test_a_checkpoint_of_a_body_has_its_looks(body: Path, folder: Path) -> None:
    """A new style, or a training of the body that goes another way, starts from it as from the body's file."""
    looks, written = (load_looks(body / "whole" / name) for name in ("checkpoints/last.ckpt", "body_tiny.safetensors"))
    assert looks.titles == written.titles
    assert torch.allclose(looks.table, written.table, atol=2e-3)
    checkpoint = str(body / "whole" / "checkpoints" / "last.ckpt")
    network = load_style(body / "whole" / "body_tiny.safetensors").net.settings
    model = module(init=checkpoint, network=network)
    fit(model, photos(folder), 1)
    assert model.on_body
    assert model.nearest in looks.titles
    many = module(style=PAINTINGS, several="looks", init=checkpoint, network=network)
    assert many.looks is not None
    rows = [looks.table[looks.titles.index(title)] for title in many.looks.titles]
    assert torch.equal(many.looks.table, torch.stack(rows))


def test_a_style_of_another_loss_starts_from_a_body(body: Path, folder: Path) -> None:
    """The body's signatures are of other layers than the new style's: its looks are compared by their pictures alone."""
    file = str(body / "whole" / "body_tiny.safetensors")
    model = module(init=file, network=load_style(file).net.settings, loss=replace(LOSS, style_layers={"relu3_1": 1.0}))
    fit(model, photos(folder), 1)
    assert model.nearest in load_looks(file).titles


def test_previews_of_a_body_show_its_looks(body: Path, folder: Path) -> None:
    """Each preview has the look of another painting, and not the scales that the training began with."""
    file = str(body / "whole" / "body_tiny.safetensors")
    model = module(style=PAINTINGS, several="looks", init=file, network=load_style(file).net.settings)
    shown: list[torch.Tensor] = []
    assert model.looks is not None
    data = photos(folder, val_count=3, val_photos=str(folder))
    data.setup()
    previews = Previews(count=3)
    previews.photos = data.calibration_photos(3)

    class Log(TrainingLog):
        def __init__(self) -> None:
            pass

        def show(self, name: str, picture: torch.Tensor, step: int) -> None:
            shown.append(picture)

    class Trainer:
        is_global_zero, global_step, loggers = True, 1, (Log(),)

    previews._show(Trainer(), model)  # type: ignore[arg-type]
    with torch.no_grad():
        styled = model(previews.photos, [0, 1, 2]).clamp(0, 1)
    side = previews.photos.shape[-1]
    assert torch.allclose(shown[0][:, side:], torch.cat(list(styled), dim=2))


def test_validation_tells_of_every_look(folder: Path) -> None:
    """It has the objective of each, whose mean by photos is that of all. A training of one style has none of these."""
    model, data = module(style=PAINTINGS, several="looks"), photos(folder, val_count=2, batch_size=2)
    (result,) = fit(model, data, 1).validate(model, data, verbose=False)
    titles = [Path(path).stem for path in PAINTINGS]
    looks = [result[f"val/looks/{title}"] for title in titles]
    assert len(set(looks)) == 3
    with torch.no_grad():  # two turns of two photos: 0 1, 2 0
        held_out = data.calibration_photos(2)
        first, second = ([float(model.measure(photo[None], [look])["val/objective"]) for photo in held_out] for look in (0, 1))
    assert looks[0] == pytest.approx(sum(first) / 2, rel=1e-4)
    assert looks[1] == pytest.approx(second[1], rel=1e-4)
    assert result["val/objective"] == pytest.approx((2 * looks[0] + looks[1] + looks[2]) / 4, rel=1e-4)
    (alone,) = fit(module(), data, 1).validate(module(), data, verbose=False)
    assert not any(name.startswith("val/looks") for name in alone)


def test_every_look_has_its_turn_in_a_validation() -> None:
    """Also where the last batch has fewer photos than the others."""
    model = module(style=PAINTINGS, several="looks")

    class Data:
        batch_size, val_set = 4, range(9)

    class Trainer:
        world_size, global_rank, datamodule = 1, 0, Data()

    model._trainer = Trainer()  # type: ignore[assignment]
    turns = [model._validated_looks(batch, count) for batch, count in ((0, 4), (1, 4), (2, 1))]
    assert [look for (looks,) in turns for look in looks] == [place % 3 for place in range(9)]


@pytest.mark.parametrize("titles", [["one", "two"], [1, 2, 3], "abc", {"a": 1, "b": 2, "c": 3}, torch.zeros(3)], ids=str)
def test_titles_of_a_checkpoint_that_are_none(body: Path, tmp_path: Path, titles: Any) -> None:
    """A checkpoint is a stranger's file, perhaps."""
    loaded = torch.load(body / "whole" / "checkpoints" / "last.ckpt", weights_only=True)
    loaded["training"]["looks"] = titles
    torch.save(loaded, tmp_path / "strange.ckpt")
    with pytest.raises(InputError, match="is damaged: its looks do not fit their titles"):
        load_looks(tmp_path / "strange.ckpt")
    torch.save({**loaded, "training": [1]}, tmp_path / "strange.ckpt")
    assert load_looks(tmp_path / "strange.ckpt").titles == []
    assert load_style(tmp_path / "strange.ckpt").card.training["steps"] == 10


def test_a_style_from_a_body_is_a_look(body: Path, folder: Path, tmp_path: Path) -> None:
    """From the command line: it starts at the nearest look, stays on the body, and loads beside it alone."""
    shutil.copy(body / "whole" / "body_tiny.safetensors", tmp_path)
    output = tmp_path / "glass.safetensors"
    options = ["--init", str(tmp_path / "body_tiny.safetensors"), "--model.learns", "norms+ends", "--steps", "4"]
    style = ["--style", str(STYLES / "stained_glass.jpg"), "--output", str(output)]
    result = run(words(folder, tmp_path / "run", *options, *style))
    assert result.returncode == 0, result.stderr
    style_of_look = load_style(output)
    assert style_of_look.card.training["nearest"] in ("brush_strokes", "marbling", "woodcut")
    assert style_of_look.card.body["name"] == "body_tiny"
    body_net = load_style(tmp_path / "body_tiny.safetensors").net
    inner = [name for name in body_net.state_dict() if name not in look_names(body_net, "norms+ends")]
    assert all(torch.equal(style_of_look.net.state_dict()[name], body_net.state_dict()[name]) for name in inner)
    (tmp_path / "body_tiny.safetensors").unlink()
    with pytest.raises(InputError, match=r"put body_tiny\.safetensors beside it"):
        load_style(output)
    shutil.copy(body / "broken" / "body_tiny.safetensors", tmp_path)
    assert torch.equal(load_style(output).net.last.conv.weight, style_of_look.net.last.conv.weight)
    other = TransformNet(TINY)
    save_style(other, Card("other"), tmp_path / "body_tiny.safetensors")
    with pytest.raises(InputError, match="is a look on another body_tiny"):
        load_style(output)


def test_a_look_outlives_the_folder_of_its_body(body: Path, folder: Path, tmp_path: Path) -> None:
    """A look that is written elsewhere has a copy of its body beside it, and a further look can be learnt from it."""
    init, output = tmp_path / "bodies" / "body_tiny.safetensors", tmp_path / "run" / "style.safetensors"
    init.parent.mkdir()
    shutil.copy(body / "whole" / "body_tiny.safetensors", init)
    learnt: dict[str, Any] = {"photos": folder, "steps": 1, "size": 48, "batch_size": 1, "style_size": 96}
    learnt |= {"network": load_style(init).net.settings, "model": {"loss": LOSS}, "data": {"workers": 0}}
    learnt["trainer"] = {"logger": False, "accelerator": "cpu"}
    first = train(PAINTING, init=str(init), learns="norms+ends", run=tmp_path / "run", output=output, **learnt)
    init.unlink()
    assert torch.equal(load_style(output).net.last.conv.weight, first.net.last.conv.weight)
    further = tmp_path / "run" / "further.safetensors"
    second = train(PAINTING, init=str(output), learns="norms", run=tmp_path / "more", output=further, **learnt)
    assert second.card.body["name"] == first.card.body["name"]
    (copy,) = output.parent.glob("body_tiny_*.safetensors")
    with pytest.raises(
        InputError, match="body_tiny"
    ):  # a style does not take the place of the body of the look that it is from
        train(PAINTING, init=str(output), run=tmp_path / "over", output=copy, **learnt)
    assert torch.equal(second.net.last.conv.weight, first.net.last.conv.weight)


def test_what_no_look_can_be_learnt_on_is_told_before(body: Path) -> None:
    """A checkpoint's body has no file that a look could name."""
    checkpoint = str(body / "whole" / "checkpoints" / "last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt is no style file, and a look needs one"):
        module(init=checkpoint, learns="norms", network=load_style(checkpoint).net.settings)


def test_a_body_that_was_replaced_is_told(folder: Path, tmp_path: Path) -> None:
    """A training of a look does not go on with the convolutions of another body of the same name."""
    settings = []
    for name in ("one", "two"):
        path = tmp_path / name / "body_tiny.safetensors"
        path.parent.mkdir()
        save_style(TransformNet(TINY), Card("body_tiny"), path)
        model = module(init=str(path), learns="norms", network=TINY)
        fit(model, photos(folder), 1)
        settings.append(model._settings())
    with pytest.raises(InputError, match="the body that the checkpoint's training began with was replaced"):
        compare_settings(settings[0], settings[1], 5)
    assert compare_settings({"model.init": "body_tiny"}, settings[0], 5) == {}  # of an older version, which did not say
    for name, other in (("model.init", "body_other"), ("model.learns", "all")):  # which bring another body with them
        with pytest.raises(InputError, match=f"with {name} "):
            compare_settings({**settings[0], name: other}, settings[1], 5)


def test_a_look_is_the_same_network_bit_for_bit(tmp_path: Path) -> None:
    save_style(TransformNet(TINY), Card("body"), tmp_path / "body.safetensors")
    net = load_style(tmp_path / "body.safetensors").net
    with torch.no_grad():
        for name in look_names(net, "norms+ends"):
            net.get_parameter(name).add_(torch.randn_like(net.get_parameter(name)))
    look = tmp_path / "look.safetensors"
    save_look(net, "norms+ends", tmp_path / "body.safetensors", Card("look"), look, bits=32)
    loaded = load_style(look).net
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in loaded.state_dict().items())
    picture = torch.rand(1, 3, 40, 36)
    assert torch.equal(loaded(picture), net(picture))
    with pytest.raises(InputError, match="learns set to all"):
        save_look(net, "all", tmp_path / "body.safetensors", Card("look"), look)


def test_sizes_of_looks(tmp_path: Path) -> None:
    save_style(TransformNet(), Card("body"), tmp_path / "body.safetensors")
    net = load_style(tmp_path / "body.safetensors").net
    for learns, most in (("norms", 10_000), ("norms+ends", 40_000)):
        path = tmp_path / "look.safetensors"
        save_look(net, learns, tmp_path / "body.safetensors", Card("look"), path)  # type: ignore[arg-type]
        assert path.stat().st_size <= most


def test_the_nearest_look_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look paints its painting's mean colour: a painting finds its own among them."""
    net = TransformNet(TINY)
    pictures = [torch.rand(1, 3, 64, 64) * 0.2 + torch.tensor(colour).view(1, 3, 1, 1) for colour in ([0.7, 0, 0], [0, 0, 0.7])]
    looks = torch.stack([read_look(net)] * 2)
    photo = torch.rand(3, 3, 96, 96)
    objectives = [Objective(LOSS, [picture]) for picture in pictures]
    for objective in objectives:
        objective.prepare(photo, torch.device("cpu"), torch.float32)
    from stylenet.network.looks import norm_names

    names = norm_names(net)
    for row, objective in enumerate(objectives):
        own = wear_look(copy.deepcopy(net), looks[row])
        parameters = [own.get_parameter(name) for name in names]
        optimizer = torch.optim.Adam(parameters, lr=0.05)
        for _ in range(15):
            optimizer.zero_grad()
            objective.compare(own(photo), photo).total.backward()
            optimizer.step()
        looks[row] = read_look(own)
    before = read_look(net)
    titles, loss = ["red", "blue"], asdict(LOSS)
    signatures = torch.cat([objective.signatures() for objective in objectives])
    others = [{**loss, "pooling": "average"}, {**loss, "style_layers": dict(reversed(loss["style_layers"].items()))}, {}]
    known = [(signatures, loss), (torch.empty(0, 0), loss)]
    # Signatures of another loss network or other layers say nothing; here they would lead to the wrong look.
    misleading = [(signatures.flip(0), other) for other in others] + [
        (signatures[:, 1:], loss),
        (signatures.flip(0), {"style_layers": 5}),
    ]
    monkeypatch.setattr(nearest, "_TRIED", 1)
    monkeypatch.setattr(nearest, "_FIRST_SIDE", 96)  # the looks were learnt at this size
    for given, by in [*known, *misleading]:
        found = [nearest_look(net, Looks(titles, looks, given, by), objective, photo) for objective in objectives]
        assert found == [0, 1], by
    assert torch.equal(read_look(net), before)


def test_signatures() -> None:
    """Root mean squares over places of the loss network's answers; of a mixture, over both pictures."""
    pictures = [read_image(path, 64).pixels for path in PAINTINGS[:2]]
    alone = [Objective(LOSS, [picture]) for picture in pictures]
    both, mixed = Objective(LOSS, pictures, looks=True), Objective(LOSS, pictures, [0.25, 0.75])
    for objective in (*alone, both, mixed):
        objective.prepare(torch.rand(1, 3, 48, 48), torch.device("cpu"), torch.float32)
    squares = []
    for objective, picture in zip(alone, pictures, strict=True):
        features = objective.loss.vgg(picture)
        squares.append(torch.cat([features[name].double().square().mean(dim=(0, 2, 3)) for name in LOSS.style_layers]))
        assert torch.allclose(objective.signatures()[0].double(), squares[-1].clamp_min(1e-4).sqrt().log(), atol=1e-3)
    assert both.signatures().shape == (2, len(squares[0]))
    assert torch.allclose(both.signatures()[1], alone[1].signatures()[0], atol=0.05)  # 16 bits
    expected = (0.25 * squares[0] + 0.75 * squares[1]).clamp_min(1e-4).sqrt().log()
    assert torch.allclose(mixed.signatures()[0].double(), expected, atol=1e-3)


GRADIENTS = """
import sys
import torch
from lightning.pytorch import Callback, seed_everything
from training_kit import fit, module, photos
from test_looks import PAINTINGS

class Save(Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.is_global_zero:
            torch.save([p.grad.clone() for p in pl_module.parameters() if p.requires_grad], f"{sys.argv[2]}.pt")

if __name__ == "__main__":
    seed_everything(0)
    devices = int(sys.argv[3])
    data = photos(sys.argv[1], batch_size=4 // devices)
    options = {"devices": devices, "strategy": "ddp"} if devices > 1 else {}
    model = module(style=PAINTINGS, several="looks")
    trainer = fit(model, data, 1, Save(), **options)
    (measured,) = trainer.validate(model, data, verbose=False)
    if trainer.is_global_zero:
        torch.save({name: float(value) for name, value in measured.items()}, f"{sys.argv[2]}.measured")
"""


def test_two_processes_share_the_looks(folder: Path, tmp_path: Path) -> None:
    """Their mean gradient is that of one process with the whole batch, and each look is measured on the photos of both."""
    import os

    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    here = os.pathsep.join(str(path) for path in (Path(__file__).parent, Path(__file__).parent.parent))
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])}
    for devices in ("1", "2"):
        arguments = [sys.executable, str(script), str(folder), str(tmp_path / devices), devices]
        result = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert result.returncode == 0, result.stderr
    one, two = (
        torch.cat([gradient.flatten() for gradient in torch.load(tmp_path / f"{devices}.pt", weights_only=True)])
        for devices in (1, 2)
    )
    assert float((two - one).norm()) <= 1e-4 * float(one.norm())
    alone, shared = (torch.load(tmp_path / f"{devices}.measured", weights_only=True) for devices in (1, 2))
    assert {f"val/looks/{Path(path).stem}" for path in PAINTINGS} <= alone.keys()
    assert shared == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"several": "both"}, "several is 'both'"),
        ({"several": "looks", "compile": True}, "compile is for one style"),
        ({"several": "looks", "learns": "norms"}, "learns is 'norms', which is for one style"),
        ({"several": "looks", "style_shares": [1.0]}, "style_shares are for a mixture"),
        ({"several": "looks", "style": [PAINTING, PAINTING]}, "two style pictures have the name brush_strokes"),
        ({"style": []}, "no style picture is named"),
        ({"learns": "norms"}, "give init a style or a body"),
        ({"learns": "ends"}, "learns is 'ends': use all, norms"),
        ({"init": "body_quarter"}, "no style 'body_quarter'"),
    ],
    ids=str,
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        module(**options)


@pytest.mark.parametrize("network", [TINY, "quarter"])
def test_without_a_body_a_training_starts_from_nothing(network: Any) -> None:
    model = module(network=network, init="body")
    assert (model.init, model.nearest) == (None, "")


@pytest.mark.parametrize("network", ["standard", "swift"])
def test_the_bodies_that_come_with_stylenet(network: Any) -> None:
    """Each is found for its network, knows the same 91 paintings, and none of those that are kept to judge it by."""
    model = module(network=network, init="body")
    assert model.init == f"body_{network}"
    assert model.on_body
    looks = load_looks(f"body_{network}")
    left_out = yaml.safe_load(recipe_path("body", "train").read_text())["model"]["leave_out"]
    assert looks.titles == load_looks("body_standard").titles
    assert len(looks.titles) == len(looks.signatures) == 91
    assert not set(left_out) & set(looks.titles)
