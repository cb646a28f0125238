"""A way to PostgreSQL that loses answers: a commit reaches the server, and its confirmation never comes back."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET = ".s.PGSQL.5432"


class CuttingProxy:
    """Passes everything on between clients of `folder` and the server in `server_folder`, until told to cut."""

    def __init__(self, folder: Path, server_folder: str) -> None:
        self.folder = folder
        self._server = str(Path(server_folder) / SOCKET)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen(64)
        self._lock = threading.Lock()
        self._marker, self.left = b"", 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_commits(self, times: int, *, of: bytes) -> None:
        """Cut the connection, instead of confirming, at the next commits of transactions that sent these bytes."""
        with self._lock:
            self._marker, self.left = of, times

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                continue
            cut = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=_answer, args=(client, server, cut), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        seen = False
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                seen = seen or self._marker in data
                if b"COMMIT" in data:
                    if seen and self._takes_one():
                        cut.set()
                    seen = False
                elif b"ROLLBACK" in data:
                    seen = False
                server.sendall(data)
        _hang_up(client, server)

    def _takes_one(self) -> bool:
        with self._lock:
            if not self.left:
                return False
            self.left -= 1
            return True


@contextmanager
def cutting_proxy(folder: Path, server_folder: str) -> Iterator[CuttingProxy]:
    """A proxy for the time of a test."""
    proxy = CuttingProxy(folder, server_folder)
    try:
        yield proxy
    finally:
        proxy.close()


def _answer(client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
    with contextlib.suppress(OSError):
        # The server's answer has come when the connection is cut: what was asked has happened.
        while (data := server.recv(65_536)) and not cut.is_set():
            client.sendall(data)
    _hang_up(client, server)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
