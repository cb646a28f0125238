"""The image's health check: does the gateway in this container answer? Exit status 0 if it does.

It asks whether the process lives (`/healthz`), not whether it is ready: a node that waits for its database must not be
killed for it. Who sends traffic asks `/readyz`.
"""

import http.client
import os
import ssl
import sys

SECONDS = 4


def main() -> int:
    """Ask once; the exit status."""
    port = int(os.environ.get("GATEWAY_LISTEN", "0.0.0.0:8000").rpartition(":")[2])
    connection: http.client.HTTPConnection
    if os.environ.get("GATEWAY_TLS_CERTIFICATE"):
        # Our own container, by its loopback address: no certificate names that, and nobody stands between.
        context = ssl._create_unverified_context()  # noqa: SLF001, S323 - as above
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except OSError:
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
