"""Entry point of `python -m ccprune.cli`."""

import sys

from ccprune.cli import main

sys.exit(main())
