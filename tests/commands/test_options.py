"""Every option of every verb reaches the function that the verb calls; the helps are short, and their examples are right."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import importlib
import inspect
import shlex
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from PIL import Image

from stylenet.commands import train
from stylenet.commands.cli import VERBS, main
from stylenet.training import run as training_run
from stylenet.training import saving, trainer_options

# The function that each verb calls with all its options, and words that it can be called with.
CALLS = {
    "stylize": ("stylize_files", "photo.png --style udnie --output out.png --mask photo.png"),
    "optimize": ("optimize", "photo.png painting.png --output out.png --style_distance gram"),  # whose form is an option
    "video": ("stylize_video", "frames --style udnie --output out.mp4"),
    "evaluate": ("evaluate", "udnie --photos photos"),
    "export": ("export_style", "udnie --output out.onnx"),
    "features": ("features", "photo.png --output out.png"),
    "reconstruct": ("reconstruct", "photo.png --output out.png"),
    "web": ("serve", ""),
    "doctor": ("diagnose", ""),
}

# Options of the commands themselves, which no function below knows; each has a test of its own.
OWN = {"evaluate": {"json"}, "export": {"format"}, "features": {"output"}, "reconstruct": {"output"}, "optimize": {"recipe"}}

# Values for options that do not take any of their type.
VALUES = {
    "bits": "16",
    "budget": "90s",
    "content_layers": "{relu1_1: 0.5}",
    "devices": "2",
    "feather": "3",
    "init": "uniform",
    "mask": "painting.png",
    "output": "other.png",
    "scales": "2",
    "shard": "2/3",
    "size": "24",
    "sizes": "128",
    "style_distance": "wasserstein",
    "strength": "0.5",
    "style": "painting.png",
    "style_layers": "{relu1_1: 0.5}",
    "style_size": "33",
    "style_shares": "[0.5]",
    "tile": "32",
}


class Reached(Exception):
    """The function was called."""


def options(verb: str) -> list[argparse.Action]:
    """The options of a verb that set something."""
    parser = importlib.import_module(f"stylenet.commands.{verb}").make_parser()
    meta = {"help", "help_all", "config", "print_config"} | OWN.get(verb, set())
    actions = [action for action in parser._actions if action.option_strings and not meta & set(names(action))]
    return [action for action in actions if not action.option_strings[0].endswith(".help")]


def names(action: argparse.Action) -> list[str]:
    return [name.lstrip("-") for name in action.option_strings]


def another(action: argparse.Action) -> str:
    """A value that is not the default."""
    kind = getattr(action, "_typehint", None)
    if action.dest in VALUES:
        return VALUES[action.dest]
    if kind is bool:
        return str(not action.default).lower()
    literals = [value for part in (kind, *get_args(kind)) if get_origin(part) is Literal for value in get_args(part)]
    if literals:
        return str(next(value for value in literals if value != action.default))
    if kind is int or (kind is not float and isinstance(action.default, int)):
        return str((action.default or 0) + 1)
    return str((action.default or 0) + 0.25) if kind is float else "other"


def flat(value: Any) -> Any:
    """What can be compared by ==."""
    if isinstance(value, dict):
        return {name: flat(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [flat(part) for part in value]
    if isinstance(value, torch.Tensor):
        return value.shape, float(value.double().sum())
    if dataclasses.is_dataclass(value):
        return {field.name: flat(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return repr(type(value)) if callable(value) or type(value).__name__.endswith("Line") else value


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, colour in (("photo", 40), ("painting", 200)):
        Image.new("RGB", (64, 48), (colour, 99, 10)).save(f"{name}.png")
    (tmp_path / "frames").mkdir()
    return tmp_path


@pytest.mark.parametrize("verb", list(CALLS))
def test_every_option_reaches_the_function(verb: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one option changed after the other, the function gets something else each time."""
    target, words = CALLS[verb]
    module = importlib.import_module(f"stylenet.commands.{verb}")
    function = getattr(module, target)
    signature = inspect.signature(function)
    calls: list[Any] = []

    @functools.wraps(function)  # options come from the signature
    def record(*positional: Any, **named: Any) -> None:
        calls.append(flat(dict(signature.bind(*positional, **named).arguments)))
        raise Reached

    monkeypatch.setattr(module, target, record)
    with pytest.raises(Reached):
        module.run(words.split())
    changed = options(verb)
    assert {"device", "columns", "precision"} & {action.dest for action in changed}
    for action in changed:
        given = words.split()
        if action.dest in ("style", "styles") and verb in ("optimize", "export"):  # in place of the positional argument
            given = ["photo.png", *given[2:]] if verb == "optimize" else given[1:]
        if action.dest == "style" and verb == "video":  # which has room for one, and repeated options keep all their values
            given = [word for word in given if word not in ("--style", "udnie")]
        with pytest.raises(Reached):
            module.run([*given, f"{action.option_strings[-1]}={another(action)}"])
        if verb == "optimize" and action.dest == "style":
            assert calls[-1]["painting"] == [another(action)]
        else:
            assert calls[-1] != calls[0], f"{action.option_strings} is accepted and ignored"


def test_a_parameter_that_no_command_knows_is_an_error() -> None:
    """Options are never picked by name on their way."""
    from stylenet.commands.parsing import keywords, verb_parser

    def function(size: int = 3) -> int:
        return size

    parser = verb_parser("try", "Tries.", (), ())
    parser.add_function_arguments(function)
    parser.add_argument("--stray", default=1)
    config = parser.parse_args([])
    config.pop("config")
    with pytest.raises(TypeError, match="stray"):
        function(**keywords(config))


def test_own_options_of_train_are_read() -> None:
    """Lightning hands on what belongs to model, data and trainer; the rest is read by the command, or by the training."""
    groups = {"model", "data", "trainer", "recipe", "seed_everything"}
    own = {action.dest for action in options("train") if "." not in action.dest} - groups
    sources = (inspect.getsource(module) for module in (train, training_run, saving, trainer_options))
    read = {node.attr for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert own >= {"name", "output", "run", "ckpt_path", "ema"}
    assert own <= read


def test_short_names_of_train() -> None:
    parser = train.make_parser()
    config = parser.parse_args(["--style", "a.jpg", "--photos=b", "--steps", "7", "--network", "swift", "--recipe", "debug"])
    assert (config.model.style, config.data.photos, config.trainer.max_steps) == ("a.jpg", "b", 7)
    assert (config.model.network, config.model.warmup) == ("swift", 5)


@pytest.mark.parametrize(
    "words",
    [
        ["--photos", "a", "--photos", "b"],
        ["--photos", "a", "b"],
        ["--photos=a", "--steps", "3", "--data.photos", "b"],
        ["--data.photos=a", "--photos=b"],
    ],
)
def test_several_folders_of_photos(words: list[str]) -> None:
    parser = train.make_parser()
    assert parser.parse_args(train._gathered(["--style", "a.jpg", *words])).data.photos == ["a", "b"]


SEVERAL = {
    "stylize": ["x.jpg", "y.jpg"],
    "optimize": ["x.jpg", "y.jpg"],
    "video": ["x.mp4"],
    "evaluate": ["udnie"],
    "export": [],
    "web": [],
}


@pytest.mark.parametrize("verb", SEVERAL)
def test_several_values_in_several_places(verb: str) -> None:
    """Of an option that takes several none is forgotten, wherever they stand."""
    module = importlib.import_module(f"stylenet.commands.{verb}")
    for action in module.make_parser()._actions:
        if action.nargs not in ("+", "*") or not action.option_strings:
            continue
        one, two, three = ("64", "72", "80") if action.dest == "sizes" else ("a", "b", "c")
        for name in action.option_strings:
            others = ["--style", "s"] if verb == "stylize" and action.dest != "style" else []
            others += ["--photos", "p"] if verb == "evaluate" and action.dest != "photos" else []
            words = [*SEVERAL[verb], name, one, f"{action.option_strings[0]}={two}", *others, name, three]
            config = module.make_parser().parse_args(words)
            assert [str(value) for value in config[action.dest]] == [one, two, three]


@pytest.mark.parametrize("form", ["word", "file"])
@pytest.mark.parametrize(
    ("verb", "words", "former", "name", "value"),
    [
        ("optimize", ["a.jpg", "b.jpg"], "style_weights", "style_shares", [0.5]),
        ("video", ["a.mp4", "--style", "udnie"], "quality", "crf", 23),
        ("train", ["--style", "a.jpg", "--photos", "b"], "model.style_weights", "model.style_shares", [0.5]),
        ("train", ["--style", "a.jpg", "--photos", "b"], "model.half_size", "model.coarse_share", 0.25),
    ],
)
def test_former_names(form: str, verb: str, words: list[str], former: str, name: str, value: object, here: Path) -> None:
    """People and recipes that have them are understood."""
    group, _, last = former.rpartition(".")
    Path("former.yaml").write_text(f"{group}:\n  {last}: {value}\n" if group else f"{last}: {value}\n")
    parser = importlib.import_module(f"stylenet.commands.{verb}").make_parser()
    given = [f"--{former}={value}"] if form == "word" else ["--config", "former.yaml"]
    config = parser.parse_args([*words, *given])
    assert config[name] == value
    assert former not in config
    if verb in ("optimize", "train"):
        parser = importlib.import_module(f"stylenet.commands.{verb}").make_parser()
        assert parser.parse_args([*words, "--recipe", "former.yaml"])[name] == value


# --- helps ------------------------------------------------------------------------------------------------------------


def help_of(verb: str, option: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([verb, option]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_is_short(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(verb, "--help", capsys)
    assert len(text.splitlines()) <= 50
    assert max(map(len, text.splitlines())) <= 128
    assert sum(line.startswith("  -") for line in text.splitlines()) <= 14
    assert "--help_all" in text


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_all_has_everything(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(verb, "--help_all", capsys)
    shown = [action for action in options(verb) if action.help != argparse.SUPPRESS]
    missing = [name for action in shown for name in action.option_strings if name not in text]
    assert not missing


@pytest.mark.parametrize("verb", list(VERBS))
def test_examples_parse(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(verb, "--help", capsys)
    examples = [line.strip() for line in text.partition("examples:")[2].splitlines() if line.startswith("  stylenet ")]
    assert 2 <= len(examples) <= 3
    for example in examples:
        program, named, *words = shlex.split(example)
        assert (program, named) == ("stylenet", verb)
        importlib.import_module(f"stylenet.commands.{verb}").make_parser().parse_args(words)
