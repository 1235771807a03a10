"""What a container's health check runs: 0 if the service on that port is ready. Bare sockets, since it runs often.

usage: python -I -S healthcheck.py PORT [PATH]
"""

from __future__ import annotations

import socket
import sys


def main(port: int, path: str = "/readyz") -> int:
    """Asks the service on this machine's `port`; prints what it said unless that was 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
    except OSError as error:
        print(error)  # noqa: T201 - the engine keeps it as the check's output
        return 1
    if answer.startswith(b"HTTP/1.1 200 "):
        return 0
    print(answer.rpartition(b"\r\n")[2].decode(errors="replace"))  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:3]))
