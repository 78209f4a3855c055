"""What is sent to journald, read as journald reads it."""

from __future__ import annotations


def fields_of_datagram(datagram: bytes) -> dict[str, str]:
    """Return the fields of a datagram of journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    fields = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, is_text, value = line.partition(b"=")
        if not is_text:
            length = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + length], datagram[9 + length :]
        fields[name.decode()] = value.decode()
    return fields
