"""Write the kept corpus of nasty lines. A crash that the fuzzer finds is added here under a name that tells what it is.

python tests/fuzz/make_corpus.py
"""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

ROW = b'{"host_id": "%s", "received_at_wall": "%s"}'
NOON = b"2026-11-23T12:00:00+00:00"
ACCESS = b'10.0.0.7:51234 - "PUT /v1/episodes/%s/e1 HTTP/1.1" %s'
WARNING = b"WARNING: missing X-Cis490-Code-Commit host=%s, refused"


def _row(host: bytes = b"pi-1", time: bytes = NOON) -> bytes:
    return ROW % (host, time)


LINES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \t ",
    "only-newlines": b"\n\n\n",
    "good-row": _row(),
    "good-access": ACCESS % (b"pi-1", b"201"),
    "good-warning": WARNING % b"pi-1",
    "row-cut-off": _row()[:-9],
    "row-twice-on-a-line": _row() + _row(),
    "row-with-bom": b"\xef\xbb\xbf" + _row(),
    "row-with-crlf": _row() + b"\r\n",
    "row-in-utf-16": _row().decode().encode("utf-16"),
    "row-not-utf-8": _row(host=b"pi-\xff"),
    "row-not-utf-8-in-a-skipped-field": b'{"x": "\xff", ' + _row()[1:],
    "row-overlong-utf-8": _row(host=b"\xc0\xaf"),
    "row-with-nul": b"\0" * 300 + _row() + b"\0\0" + _row() + b"\0",
    "row-line-separator": _row(host="a\u2028b\u2029c\u0085d".encode()),
    "row-lone-surrogate": _row(host=b"\\ud800"),
    "row-surrogates-swapped": _row(host=b"\\udc00\\ud800"),
    "row-escaped-nul": _row(host=b"a\\u0000b"),
    "row-right-to-left": _row(host="\u202egnp.exe".encode()),
    "row-escape-sequence": _row(host=b"\\u001b[2J\\u001b]0;x\\u0007"),
    "row-host-10-kB": _row(host=b"h" * 10_000),
    "row-host-empty": _row(host=b""),
    "row-host-null": b'{"host_id": null, "received_at_wall": "2026-11-23T12:00:00Z"}',
    "row-host-number": b'{"host_id": 1e999, "received_at_wall": "2026-11-23T12:00:00Z"}',
    "row-keys-twice": b'{"host_id": "a", "host_id": "b", "received_at_wall": "x", "received_at_wall": "' + NOON + b'"}',
    "row-constant-nan": b'{"x": NaN, "y": -Infinity, ' + _row()[1:],
    "row-1e999": b'{"x": 1e999, "y": -1e999, ' + _row()[1:],
    "row-5000-digits": b'{"x": ' + b"9" * 5_000 + b", " + _row()[1:],
    "row-nested-100000": b"[" * 100_000,
    "row-nested-in-a-skipped-field": b'{"x": ' + b"[" * 5_000 + b"]" * 5_000 + b", " + _row()[1:],
    "row-nested-objects": b'{"a":' * 20_000,
    "time-naive": _row(time=b"2026-11-23T12:00:00"),
    "time-year-9999": _row(time=b"9999-12-31T23:59:59.999999-23:59"),
    "time-year-0001": _row(time=b"0001-01-01T00:00:00+23:59"),
    "time-leap-second": _row(time=b"2016-12-31T23:59:60Z"),
    "time-february-30": _row(time=b"2026-02-30T00:00:00Z"),
    "time-week": _row(time=b"2026-W48-1T12:00:00Z"),
    "time-ten-digits-of-a-second": _row(time=b"2026-11-23T12:00:00.1234567891Z"),
    "time-comma": _row(time=b"2026-11-23T12:00:00,5Z"),
    "time-offset-of-seconds": _row(time=b"2026-11-23T12:00:00+00:00:00.000001"),
    "time-offset-of-24-hours": _row(time=b"2026-11-23T12:00:00+24:00"),
    "time-offset-minus-zero": _row(time=b"2026-11-23T12:00:00-00:00"),
    "time-epoch": _row(time=b"1795460100"),
    "time-arabic-digits": _row(time="\u0662\u0660\u0662\u0666-\u0661\u0661-\u0662\u0663T12:00:00Z".encode()),
    "time-10-kB": _row(time=b"2026-11-23T12:00:00." + b"0" * 10_000 + b"Z"),
    "access-status-000": ACCESS % (b"pi-1", b"000"),
    "access-status-999": ACCESS % (b"pi-1", b"999"),
    "access-status-arabic-digits": ACCESS % (b"pi-1", "٤١٢".encode()),
    "access-host-escaped": ACCESS % (b"..%2F..%2Fetc", b"412"),
    "access-host-escape-sequence": ACCESS % (b"\x1b[31m\x07", b"412"),
    "access-host-not-utf-8": ACCESS % (b"\xff\xfe\x80", b"412"),
    "access-host-shell": ACCESS % (b"$(reboot)`id`;'\"", b"412"),
    "access-host-template": ACCESS % (b"${host}{h.__init__}%(x)s", b"412"),
    "access-host-beyond-the-limit": ACCESS % (b"h" * 3_000, b"412"),
    "access-repeated": (ACCESS % (b"pi-1", b"412")) * 50,
    "access-beginning-repeated": b"PUT /v1/episodes/" * 200,
    "access-slashes": b"PUT /v1/episodes/" + b"a/" * 2_000,
    "access-without-end": b"PUT /v1/episodes/a/" + b"b" * 5_000,
    "warning-without-host": b"missing X-Cis490-Code-Commit",
    "warning-empty-host": b"missing X-Cis490-Code-Commit host=",
    "warning-only-commas": WARNING % b",,,,",
    "warning-any-case": b"MISSING x-cis490-code-commit HOST=a host=b",
    "warning-kelvin-sign": "mi\u017f\u017fing X-Cis490-Code-Commit host=\u212a".encode(),
    "warning-and-access": WARNING % b"a" + b" " + ACCESS % (b"b", b"201"),
    "warning-host-cut-by-the-limit": b"missing X-Cis490-Code-Commit " + b" " * 2_010 + b"host=abcdefghijklmnopq",
    "warning-hosts-repeated": b"missing X-Cis490-Code-Commit " + b"host=" * 1_000,
    "warning-beyond-the-limit": b" " * 2_040 + WARNING % b"pi-1",
    "message-of-many-lines": b"\n".join([ACCESS % (b"pi-1", b"412")] * 500),
    "message-with-nul": b"\0" + ACCESS % (b"a\0b", b"412") + b"\0",
    "message-carriage-returns": b"\r".join([ACCESS % (b"a", b"412")] * 3),
    "message-folding-grows": "İ".encode() * 1_100,
    "alert-row-key-number": b'{"dedup_key": 1, "detected_at_wall": "' + NOON + b'"}',
    "alert-row-good": b'{"dedup_key": "0123456789abcdef", "detected_at_wall": "' + NOON + b'"}',
    "alert-row-year-9999": b'{"dedup_key": "0", "detected_at_wall": "9999-12-31T23:59:59-23:59"}',
    "every-byte": bytes(range(256)),
}


def main() -> None:
    """Write every line to a file of its name."""
    CORPUS.mkdir(exist_ok=True)
    for name, line in LINES.items():
        (CORPUS / f"{name}.bin").write_bytes(line)


if __name__ == "__main__":
    main()
