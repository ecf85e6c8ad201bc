"""`python -m blendclip`, the same as the command `blendclip`."""

import sys

from blendclip.cli.main import main

sys.exit(main())
