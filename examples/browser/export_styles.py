"""Write the styles that the page offers: each network as ONNX, the example photo in it, and the list that the page reads."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import stylenet

EXAMPLE = Path(__file__).with_name("example.jpg")


def main() -> None:
    """Export the styles named on the command line, or the shipped ones that are quick enough for a browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("styles", nargs="*", help="names or files; by default every shipped style of the network 'swift'")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    arguments = parser.parse_args()
    styles = arguments.styles or [card.name for card in stylenet.list_styles() if card.name.endswith("_swift")]
    arguments.output.mkdir(parents=True, exist_ok=True)
    shelf = [export(style, arguments.output) for style in styles]
    (arguments.output / "styles.json").write_text(json.dumps(shelf, indent=1) + "\n")


def export(style: str, folder: Path) -> dict[str, str]:
    """Write one style and return its line of the list.

    Raises:
        InputError: for a style that is not there.
        CalledProcessError: if ``stylenet export`` failed; it has said why.
    """
    card = stylenet.load_style(style).card
    name = Path(style).stem
    command = [sys.executable, "-m", "stylenet", "export", style, "--output", str(folder / f"{name}.onnx")]
    subprocess.run(command, check=True)
    stylenet.stylize(EXAMPLE, style, folder / f"{name}.jpg", quality=80)
    title = name.removesuffix("_swift").replace("_", " ").title()
    return {"name": name, "title": title, "credit": card.credit, "network": f"{name}.onnx", "example": f"{name}.jpg"}


if __name__ == "__main__":
    try:
        main()
    except stylenet.InputError as error:
        sys.exit(f"stylenet: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
