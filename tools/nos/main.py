"""The entry of ./nos; kept tiny, for Python compiles it at each start."""
import sys

import cli

sys.exit(cli.main(sys.argv[1:]))
