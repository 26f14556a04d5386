"""The command line: every verb parses its options, calls one public function and reports.

The room owns options, recipes (YAML files of settings) and exit codes; nothing imports it but the program's own start.
It exports ``main`` and what loads recipes.
"""

from typing import TYPE_CHECKING

from stylenet.lazy import exporter

if TYPE_CHECKING:
    from stylenet.commands.cli import main as main
    from stylenet.commands.recipes import list_recipes as list_recipes
    from stylenet.commands.recipes import load_recipe as load_recipe

__all__ = [
    "list_recipes",
    "load_recipe",
    "main",
]

__getattr__ = exporter(
    __name__,
    {
        "cli": ["main"],
        "recipes": ["list_recipes", "load_recipe"],
    },
)
