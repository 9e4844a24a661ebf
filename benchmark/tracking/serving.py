"""MLflow's own server, with the address of the results."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable

from benchmark.config import UserError

HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds that the server may take to begin


def serve(store: str, port: int, place: str, *, browse: bool, say: Callable[[str], object]) -> int:
    """Serve MLflow's pages until they are ended, and return the server's exit status.

    Args:
        place: address of the results within the pages.
        browse: whether a browser is opened, where there is a screen to open one on.
        say: prints a line.

    Raises:
        UserError: another program serves at this port.
    """
    if _answers(port):
        raise UserError(f"port {port} is taken; give another by --port, or end what serves there")
    say(f"Results: http://{HOST}:{port}/{place}")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--backend-store-uri", store]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server ends with this program
    with subprocess.Popen(command) as server:
        try:
            if browse and has_screen():
                _wait(port, server)
                webbrowser.open(f"http://{HOST}:{port}/{place}")
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            server.terminate()


def has_screen() -> bool:
    """Tell whether a browser's window can be opened here."""
    return sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end and not _answers(port):
        time.sleep(0.2)


def _answers(port: int) -> bool:
    with socket.socket() as asked:
        asked.settimeout(1)
        return asked.connect_ex((HOST, port)) == 0
