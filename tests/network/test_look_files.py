"""Looks as files: what they stand on, how they find it, and what cannot be a look."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from foreign_nets import randomised

from stylenet.errors import InputError
from stylenet.network.cards import Card, read_card
from stylenet.network.look_files import find_base, save_look
from stylenet.network.looks import Learns, LookTable, look_names
from stylenet.network.styles import load_looks, load_style, save_style
from stylenet.network.transform_net import NetSettings, TransformNet

SETTINGS = NetSettings(width=4, residual_blocks=1)


@pytest.fixture
def body(tmp_path: Path) -> Path:
    """The file of a body, in a folder of its own."""
    torch.manual_seed(0)
    place = tmp_path / "bodies" / "body_mine.safetensors"
    place.parent.mkdir()
    save_style(randomised(TransformNet(SETTINGS)), Card("body_mine"), place)
    return place


def learnt(style: Path, learns: Learns) -> TransformNet:
    """The network of a style with another look."""
    net = copy.deepcopy(load_style(style).net)
    with torch.no_grad():
        for name in look_names(net, learns):
            net.get_parameter(name).add_(0.3 * torch.randn_like(net.get_parameter(name)))
    return net


def check_same(net: TransformNet, other: TransformNet) -> None:
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())


def test_a_body_that_would_not_be_found_is_copied(body: Path, tmp_path: Path) -> None:
    """Two looks in one folder share the copy; a look beside its body needs none."""
    looks = [tmp_path / "runs" / f"{name}.safetensors" for name in "ab"]
    looks[0].parent.mkdir()
    nets = [learnt(body, "norms+ends") for _ in looks]
    for net, look in zip(nets, looks, strict=True):
        save_look(net, "norms+ends", body, Card("look"), look, bits=32)
    body.rename(body.with_name("moved.safetensors"))
    for net, look in zip(nets, looks, strict=True):
        check_same(load_style(look).net, net)
    (copy,) = looks[0].parent.glob("body_mine_*.safetensors")
    assert sorted(looks[0].parent.iterdir()) == [*looks, copy]
    further = tmp_path / "further" / "a.safetensors"
    further.parent.mkdir()
    save_look(nets[0], "norms+ends", looks[0], Card("look"), further, bits=32)
    assert sorted(path.name for path in further.parent.iterdir()) == ["a.safetensors", copy.name]


@pytest.mark.parametrize("beside", ["another body", "no style at all", "the look itself"])
def test_a_copy_takes_no_other_file_s_place(body: Path, tmp_path: Path, beside: str) -> None:
    """The copy has another name where the body's own name is taken."""
    folder = tmp_path / "runs"
    folder.mkdir()
    taken = folder / "body_mine.safetensors"
    if beside == "another body":
        save_style(randomised(TransformNet(SETTINGS)), Card("other"), taken)
    elif beside == "no style at all":
        taken.write_bytes(b"nothing")
    look = taken if beside == "the look itself" else folder / "look.safetensors"
    before = taken.read_bytes() if taken.exists() else b""
    net = learnt(body, "norms")
    save_look(net, "norms", body, Card("look"), look, bits=32)
    check_same(load_style(look).net, net)
    assert look == taken or taken.read_bytes() == before


def test_a_look_over_its_own_body(body: Path) -> None:
    """The body is kept under another name."""
    net = learnt(body, "norms")
    save_look(net, "norms", body, Card("look"), body, bits=32)
    check_same(load_style(body).net, net)


@pytest.mark.parametrize("beside", ["another body", "no style at all", "a folder"])
def test_the_body_that_fits_is_taken(tmp_path: Path, beside: str) -> None:
    """Something of the user's has the name of a body that comes with stylenet."""
    taken = tmp_path / "body_standard.safetensors"
    if beside == "another body":
        save_style(randomised(TransformNet(SETTINGS)), Card("other"), taken)
    elif beside == "a folder":
        taken.mkdir()
    else:
        taken.write_bytes(b"nothing")
    net = learnt(Path("body_standard"), "norms")
    save_look(net, "norms", "body_standard", Card("look"), tmp_path / "look.safetensors", bits=32)
    check_same(load_style(tmp_path / "look.safetensors").net, net)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_body_of_a_shipped_name(body: Path, tmp_path: Path) -> None:
    """It is not mistaken for the one that comes with stylenet."""
    mine = body.rename(body.with_name("body_standard.safetensors"))
    net = learnt(mine, "norms")
    look = tmp_path / "look.safetensors"
    save_look(net, "norms", mine, Card("look"), look, bits=32)
    check_same(load_style(look).net, net)
    (copy,) = tmp_path.glob("body_standard_*.safetensors")
    save_style(randomised(TransformNet(SETTINGS)), Card("other"), copy)
    with pytest.raises(InputError, match=r"put the body_standard_\w+\.safetensors that it was learnt on beside it"):
        load_style(look)
    copy.unlink()
    with pytest.raises(InputError, match=r"put body_standard_\w+\.safetensors beside it"):
        load_style(look)


@pytest.mark.parametrize("learns", ["norms", "norms+ends"])
@pytest.mark.parametrize("first", ["norms", "norms+ends"])
def test_a_look_that_is_learnt_from_a_look(body: Path, first: Learns, learns: Learns) -> None:
    """It stands on the same body, and keeps what the first had learnt."""
    one, two = (body.with_name(f"{name}.safetensors") for name in ("one", "two"))
    save_look(learnt(body, first), first, body, Card("one"), one, bits=32)
    net = learnt(one, learns)
    save_look(net, learns, one, Card("two"), two, bits=32)
    check_same(load_style(two).net, net)
    card = read_card(two)
    assert card is not None
    assert card.body["name"] == "body_mine"
    assert card.body["learns"] == max(first, learns, key=len)


def test_a_body_that_was_replaced(body: Path, tmp_path: Path) -> None:
    """A look that began with it is not written beside another one."""
    base = find_base(body)
    net = learnt(body, "norms")
    save_style(randomised(TransformNet(SETTINGS)), Card("other"), body)
    with pytest.raises(InputError, match=r"body_mine\.safetensors was changed since this look began"):
        save_look(net, "norms", base, Card("look"), tmp_path / "look.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["bodies"]


def test_a_look_that_is_not_finite(body: Path, tmp_path: Path) -> None:
    """Nothing is written: no body either."""
    net = learnt(body, "norms")
    with torch.no_grad():
        net.get_parameter(look_names(net, "norms")[0])[0] = 1e5  # too large for 16 bits
    with pytest.raises(InputError, match="look holds numbers that are not finite"):
        save_look(net, "norms", body, Card("look"), tmp_path / "look.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["bodies"]


def test_a_network_that_is_no_look_on_the_body(body: Path, tmp_path: Path) -> None:
    net = learnt(body, "norms+ends")
    with pytest.raises(InputError, match=r"is no look on .*body_mine\.safetensors: down1\.conv\.\w+ is another one"):
        save_look(net, "norms", body, Card("look"), tmp_path / "look.safetensors")
    with pytest.raises(InputError, match="is no look on"):
        save_look(
            TransformNet(NetSettings(width=8, residual_blocks=1)), "norms", body, Card("look"), tmp_path / "look.safetensors"
        )
    assert not (tmp_path / "look.safetensors").exists()


def test_what_no_look_can_stand_on(tmp_path: Path) -> None:
    foreign = tmp_path / "net.pth"
    torch.save(TransformNet(SETTINGS).state_dict(), foreign)
    with pytest.raises(InputError, match=r"net\.pth is no style file, and a look needs one to stand on: use learns='all'"):
        save_look(TransformNet(SETTINGS), "norms", foreign, Card("look"), tmp_path / "look.safetensors")


def test_looks_and_bodies_are_saved_as_networks(body: Path, tmp_path: Path) -> None:
    """What was loaded can be saved as a network. Its card tells of no body, and of no looks that the file does not hold."""
    look, whole = body.with_name("look.safetensors"), tmp_path / "whole.safetensors"
    save_look(learnt(body, "norms"), "norms", body, Card("look", credit="somebody"), look)
    loaded = load_style(look)
    save_style(loaded.net, loaded.card, whole, bits=32)
    check_same(load_style(whole).net, loaded.net)
    assert load_style(whole).card.credit == "somebody"
    net = load_style(body).net
    save_style(net, Card("many"), tmp_path / "many.safetensors", looks=LookTable(net, ["one", "two"]))
    many = load_style(tmp_path / "many.safetensors")
    assert many.card.looks == ["one", "two"]
    save_style(many.net, many.card, whole)
    assert load_looks(whole).titles == []
