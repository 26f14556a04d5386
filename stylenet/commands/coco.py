"""``scripts/download_coco``: asks, and downloads COCO's photos. It needs the standard library alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from stylenet.errors import InputError, RunError, speaking_options
from stylenet.files import check_writable
from stylenet.logs import shown_messages
from stylenet.training.download import COCO, Archive, amount, check_space, download, is_there, part_of, size_of

_INTERRUPTED = 130


def main(arguments: list[str] | None = None, archives: Mapping[str, Archive] = COCO) -> int:
    """Run the command and return its exit code: 0, 1 for a failure, 2 for wrong input, 130 after Ctrl-C."""
    options = _parser(archives).parse_args(arguments)
    try:
        with speaking_options(), shown_messages():
            fetch_archive(archives[options.archive], options.folder, options.yes)
    except KeyboardInterrupt:
        return _report("interrupted: run the same command again to go on from here", _INTERRUPTED)
    except (InputError, OSError) as error:  # a folder that may not be looked into, a name too long
        return _report(str(error), 2)
    except RunError as error:
        return _report(str(error), 1)
    return 0


def _parser(archives: Mapping[str, Archive]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="download_coco",
        description="Downloads photos of COCO as a zip archive, which the training reads in place. "
        "A download that broke off goes on from where it stopped.",
    )
    parser.add_argument(
        "archive",
        nargs="?",
        choices=list(archives),
        default=next(iter(archives)),
        help="; ".join(f"{name}: {a.photos:,} photos, {amount(a.size)}" for name, a in archives.items())
        + "; default: %(default)s",
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="where the archive is put; here by default")
    parser.add_argument("--yes", action="store_true", help="download without asking")
    return parser


def _report(message: str, code: int) -> int:
    print("download_coco:", message, file=sys.stderr)
    return code


def fetch_archive(archive: Archive, folder: Path, yes: bool = False) -> None:
    """Put a verified archive into a folder, unless it is there already.

    Args:
        archive: what to download.
        folder: made if need be.
        yes: do not ask.

    Raises:
        InputError: if it cannot be put there, or there is no one to ask.
        RunError: if the answer is no, or the download fails.
    """
    target = folder / archive.name
    if is_there(archive, target):
        print(f"{target} is there already ({amount(archive.size)})")
        return
    check_writable(target)
    missing = max(0, archive.size - size_of(part_of(target)))
    check_space(folder, missing)
    if missing and not yes:
        confirm(archive, target, missing)
    download(archive, target)
    print(f"{target}: {archive.photos:,} photos, verified. No need to unpack it: stylenet train --photos {target}")


def confirm(archive: Archive, target: Path, missing: int) -> None:
    """Ask on the terminal.

    Raises:
        InputError: if there is no terminal.
        RunError: if the answer is anything but yes.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{amount(missing)} would be downloaded, and there is no terminal to ask on: add --yes to agree")
    rest = "" if missing == archive.size else f", the rest of {amount(archive.size)},"
    question = f"Download {amount(missing)}{rest} to {target} ({archive.photos:,} photos)? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RunError("nothing was downloaded")
