"""``python -m stylenet``."""

import sys

from stylenet.commands.cli import main

sys.exit(main())
