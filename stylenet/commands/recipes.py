"""Recipes: YAML files in ``configs/optimize`` that set any field of the loss and of the search.

Torch is imported only where settings are made, so that commands which need none start at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import SUPPRESS, ArgumentParser, Namespace

from stylenet.errors import InputError
from stylenet.resources import shipped_folder

if TYPE_CHECKING:
    from stylenet.losses.settings import LossSettings
    from stylenet.optimization.settings import OptimizeSettings

Engine = Literal["optimize", "train"]


def recipe_folder(engine: Engine = "optimize") -> Path:
    """Return the folder of the recipes of an engine."""
    return shipped_folder("configs") / engine


def list_recipes(engine: Engine = "optimize") -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in recipe_folder(engine).glob("*.yaml"))


# Bytes of a file of options; those that come with stylenet have less than two thousand.
_LARGEST = 1_000_000


def recipe_path(recipe: str | Path, engine: Engine = "optimize") -> Path:
    """Return the path of a shipped recipe by its name, or of any YAML file.

    Raises:
        InputError: if there is neither.
    """
    if str(recipe) in list_recipes(engine):
        return recipe_folder(engine) / f"{recipe}.yaml"
    if Path(recipe).is_file():
        if not Path(recipe).stat().st_size:
            raise InputError(f"the recipe {recipe} is empty: it sets no option")
        check_size(Path(recipe))
        return Path(recipe)
    raise InputError(f"no recipe {str(recipe)!r}: use one of {', '.join(list_recipes(engine))}, or the path of a YAML file")


def check_size(path: Path) -> None:
    """Refuse what is far too large for a file of options, which a parser would read whole.

    Raises:
        InputError: if it is.
        OSError: if there is no file.
    """
    if (size := path.stat().st_size) > _LARGEST:
        raise InputError(f"{path} is no file of options: it has {size:,} bytes")


def add_settings(parser: ArgumentParser) -> None:
    """Add all fields of :class:`OptimizeSettings` and :class:`LossSettings`, flat, with what a search takes by default."""
    from stylenet.losses.settings import LossSettings
    from stylenet.optimization.settings import SEARCH_LOSS, OptimizeSettings

    parser.add_class_arguments(OptimizeSettings, help="how the picture is searched for")
    parser.add_class_arguments(LossSettings, help="what is minimised")
    parser.set_defaults(asdict(SEARCH_LOSS))


class RecipeOption(argparse.Action):
    """The option ``--recipe``, which is read before all others and so stores nothing; a file of options that holds one does."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, default=SUPPRESS, help=options.get("help"))

    def __call__(self, *_: Any) -> None:
        """Store nothing."""


def refuse_nested(config: Namespace) -> None:
    """Check that no file of options has named a recipe.

    Raises:
        InputError: if one has.
    """
    if "recipe" in config:
        raise InputError("'recipe' is an option of the command line: a file of options cannot name another one")


def load_recipe(recipe: str | Path = "default", **changes: Any) -> tuple[LossSettings, OptimizeSettings]:
    """Load the settings of a recipe by name or path, with fields changed by keyword.

    Raises:
        InputError: for an unknown recipe, field or value.
    """
    from stylenet.losses.settings import LossSettings
    from stylenet.optimization.settings import OptimizeSettings

    path = recipe_path(recipe)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--recipe", action=RecipeOption)
    add_settings(parser)
    try:
        config = parser.parse_object(changes, parser.parse_path(str(path)))
        refuse_nested(config)
        loss, search = ({field.name: config[field.name] for field in fields(kind)} for kind in (LossSettings, OptimizeSettings))
        return LossSettings(**loss), OptimizeSettings(**search)
    except InputError:
        raise
    except Exception as error:  # jsonargparse's own errors have no common base but argparse's
        raise InputError(f"{path}: {' '.join(str(error).split())}") from error
