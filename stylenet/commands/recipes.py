"""Recipes: YAML files in ``configs/optimize`` that set any field of the loss and of the search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from jsonargparse import SUPPRESS, ArgumentParser, Namespace

from stylenet.errors import InputError
from stylenet.losses.perceptual import LossSettings
from stylenet.optimization.settings import OptimizeSettings
from stylenet.resources import shipped_folder

Engine = Literal["optimize", "train"]


def recipe_folder(engine: Engine = "optimize") -> Path:
    """Return the folder of the recipes of an engine."""
    return shipped_folder("configs") / engine


def list_recipes(engine: Engine = "optimize") -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in recipe_folder(engine).glob("*.yaml"))


def recipe_path(recipe: str | Path, engine: Engine = "optimize") -> Path:
    """Return the path of a shipped recipe by its name, or of any YAML file.

    Raises:
        InputError: if there is neither.
    """
    shipped = recipe_folder(engine) / f"{recipe}.yaml"
    if shipped.is_file():
        return shipped
    if Path(recipe).is_file():
        return Path(recipe)
    raise InputError(f"no recipe {str(recipe)!r}: use one of {', '.join(list_recipes(engine))}, or the path of a YAML file")


def with_recipe(words: list[str], engine: Engine = "optimize") -> list[str]:
    """Turn ``--recipe NAME`` among the words of a command line into ``--config PATH`` at the front, so that all else
    overrides it."""
    rest, front = [], []
    arguments = iter(words)
    for word in arguments:
        if word == "--recipe":
            front = ["--config", str(recipe_path(next(arguments, ""), engine))]
        elif word.startswith("--recipe="):
            front = ["--config", str(recipe_path(word.removeprefix("--recipe="), engine))]
        else:
            rest.append(word)
    return front + rest


NESTED_RECIPE = "'recipe' is an option of the command line: a file of options cannot name another one"


def recipe_parser(**options: Any) -> ArgumentParser:
    """Build a parser for all fields of :class:`LossSettings` and :class:`OptimizeSettings`, flat, and for files of them."""
    parser = ArgumentParser(exit_on_error=False, **options)
    parser.add_argument("--config", action="config", help="YAML file with any of these options.")
    recipes = f"A shipped recipe ({', '.join(list_recipes())}) or a YAML file; other options override it."
    parser.add_argument("--recipe", default=SUPPRESS, help=recipes)  # see with_recipe
    parser.add_class_arguments(OptimizeSettings, help="how the picture is searched for")
    parser.add_class_arguments(LossSettings, help="what is minimised")
    return parser


def settings_from(config: Namespace) -> tuple[LossSettings, OptimizeSettings]:
    """Return the two groups of settings out of what a :func:`recipe_parser` has parsed.

    Raises:
        InputError: for a file that names another recipe, or for values that make no sense.
    """
    if "recipe" in config:
        raise InputError(NESTED_RECIPE)
    loss = LossSettings(**{name: config[name] for name in LossSettings.__dataclass_fields__})
    search = OptimizeSettings(**{name: config[name] for name in OptimizeSettings.__dataclass_fields__})
    return loss, search


def load_recipe(recipe: str | Path = "default", **changes: Any) -> tuple[LossSettings, OptimizeSettings]:
    """Load the settings of a recipe by name or path, with fields changed by keyword.

    Raises:
        InputError: for an unknown recipe, field or value.
    """
    path = recipe_path(recipe)
    try:
        parser = recipe_parser()
        config = parser.parse_path(str(path))
        return settings_from(parser.parse_object(changes, config))
    except InputError:
        raise
    except Exception as error:  # jsonargparse's own errors have no common base but argparse's
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
