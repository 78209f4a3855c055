"""Upload empty episodes to the receiver of this machine, as one host of the fleet does; to be run inside the machine.

    python3 upload.py HOST TIMES [--unstamped] [--port=PORT]

Writes the status of each answer, one a line.
"""

from __future__ import annotations

import http.client
import sys


def main() -> None:
    """Run the command line."""
    host, times = sys.argv[1], int(sys.argv[2])
    headers = {} if "--unstamped" in sys.argv else {"X-Cis490-Code-Commit": "0" * 40}
    port = next((int(one.removeprefix("--port=")) for one in sys.argv if one.startswith("--port=")), 8490)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    for episode in range(times):
        connection.request("PUT", f"/v1/episodes/{host}/{episode}", body=b"{}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        sys.stdout.write(f"{answer.status}\n")


if __name__ == "__main__":
    main()
