"""``python -m stylenet``."""

import sys

from stylenet.cli import main

sys.exit(main())
