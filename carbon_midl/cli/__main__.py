"""``python -m carbon_midl.cli``."""

import sys

from carbon_midl.cli import main

sys.exit(main())
