"""Completion of verbs and options in a shell, by shtab."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from stylenet.errors import InputError

_SHELLS = ("bash", "zsh", "tcsh")


def completion_script(shell: str, verbs: Mapping[str, str]) -> str:
    """Return a script that completes the verbs and their options.

    Args:
        shell: ``bash``, ``zsh`` or ``tcsh``.
        verbs: what each does.

    Raises:
        InputError: for another shell.
    """
    from jsonargparse import ArgumentParser

    if shell not in _SHELLS:
        raise InputError(f"completion is written for {', '.join(_SHELLS)}, not for {shell!r}: stylenet --print_completion bash")
    parser = ArgumentParser(prog="stylenet")
    commands = parser.add_subcommands()
    for verb, summary in verbs.items():
        commands.add_subcommand(verb, importlib.import_module(f"stylenet.commands.{verb}").make_parser(), help=summary)
    script: str = parser.get_completion_script(f"shtab-{shell}")
    return script
