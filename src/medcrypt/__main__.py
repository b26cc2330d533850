"""``python -m medcrypt`` is ``medcrypt``."""

import sys

from medcrypt.cli import main

sys.exit(main())
