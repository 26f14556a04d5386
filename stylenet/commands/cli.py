"""The program ``stylenet``: finds the module of a verb, runs it, and turns what went wrong into one line and an exit code.

Nothing heavy is imported before the verb is known, so that ``stylenet --help`` is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings

from stylenet import __version__
from stylenet.commands.boundary import ended_at_once, ended_by_signals, explain
from stylenet.commands.completion import completion_script
from stylenet.commands.telling import tell_failure
from stylenet.errors import InputError, speaking_options

# Each is a module of this package with a function ``run(words) -> exit code``, named as its verb is.
VERBS = {
    "stylize": "style photos by a trained network, in about a second each",
    "optimize": "style one photo by optimizing its pixels (highest quality, seconds to minutes)",
    "train": "train a network on one style, for real-time use on any photo",
    "video": "style a video, an animated GIF or a folder of frames",
    "web": "show the page in a browser: photos, searches, trainings, videos, the webcam",
    "evaluate": "measure a trained style on photos that it has not seen",
    "export": "write a trained style as ONNX, for programs without Python",
    "styles": "list the styles that come with stylenet, or show the card of one",
    "doctor": "tell whether stylenet works here, and what it will use",
    "features": "show what every layer of the loss network sees of a photo",
    "reconstruct": "rebuild a photo from single layers (Gatys et al., figure 1)",
}

_UNREAD = 141


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for a failure, 2 for wrong input, 130 after Ctrl-C, 141 when whoever
    read the output has gone, as in ``stylenet --help | head -1``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbose = "--verbose" in words
    words = [word for word in words if word != "--verbose"]
    if not verbose:  # Pillow warns of what its own error says next
        warnings.filterwarnings("ignore", module=r"PIL\.")
    code = 0
    try:
        code = _run(words, verbose)
        print(end="", flush=True)  # now, as a failure when Python ends would be a traceback
    except OSError as error:
        # Python flushes once more at its end, what is left included.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _UNREAD
        return code or _failed(error, verbose)  # the command may have failed of it already
    return code


def _run(words: list[str], verbose: bool) -> int:
    try:
        return _run_verb(words, verbose)
    except SystemExit as error:  # --help and --print_config
        return int(error.code or 0)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error, verbose)


def _run_verb(words: list[str], verbose: bool) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"stylenet {__version__}")
        return 0
    if words[0].partition("=")[0] == "--print_completion":
        print(completion_script(" ".join([*words[0].split("=")[1:], *words[1:]]), VERBS), end="")
        return 0
    if words[0] not in VERBS:
        raise InputError(f"no command {words[0]!r}: use one of {', '.join(VERBS)}")
    from stylenet.logs import shown_messages

    with speaking_options(), shown_messages(verbose):
        with ended_at_once():
            verb = importlib.import_module(f"stylenet.commands.{words[0]}")
        with ended_by_signals():
            code: int = verb.run(words[1:])
    return code


def _failed(error: BaseException, verbose: bool) -> int:
    """Tell a person what went wrong and return the exit code."""
    message, code = explain(error)
    return tell_failure(message, code, verbose)


def _overview() -> str:
    lines = [f"stylenet {__version__}: neural style transfer", "", "usage: stylenet COMMAND ... [--verbose]", ""]
    lines += [f"  {verb:<12} {summary}" for verb, summary in VERBS.items()]
    more = "stylenet COMMAND --help tells more; stylenet --print_completion bash prints what a shell completes them by."
    return "\n".join([*lines, "", more])
