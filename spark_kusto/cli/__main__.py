"""``python -m spark_kusto.cli``, where the command itself is not on the PATH."""

import sys

from spark_kusto.cli import main

sys.exit(main())
