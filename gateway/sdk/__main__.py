"""`python -m gateway.sdk` is `gateway-client`."""

import sys

from gateway.sdk.cli import main

if __name__ == "__main__":
    sys.exit(main())
