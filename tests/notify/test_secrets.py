"""Secrets: read from files and credentials, and kept out of every text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fleet_health.notify import secrets
from fleet_health.notify.secrets import Redaction, SecretError, read_secret

if TYPE_CHECKING:
    from pathlib import Path


def failure(name: str) -> str:
    """Read a secret that cannot be read, and return what is said."""
    with pytest.raises(SecretError) as caught:
        read_secret(name, "password_file")
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"s3cret\n", "s3cret"), (b"s3cret", "s3cret"), (b"s3cret\r\n", "s3cret"), (b" s3 cret \n", " s3 cret ")],
)
def test_the_line_break_at_the_end_is_no_part_of_it(tmp_path: Path, content: bytes, secret: str) -> None:
    """Blanks are part of a secret, because a password may begin with one."""
    (tmp_path / "password").write_bytes(content)

    assert read_secret(f"{tmp_path}/password", "password_file") == secret


def test_a_name_is_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a slash is a file in the directory that systemd names."""
    (tmp_path / "smtp").write_text("s3cret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert read_secret("smtp", "password_file") == "s3cret"


def test_without_systemd_a_credential_is_that_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root can test a destination by hand, with the credentials of the running service."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(secrets, "OF_THE_SERVICE", tmp_path)
    (tmp_path / "smtp").write_text("s3cret")

    assert read_secret("smtp", "password_file") == "s3cret"


def test_a_changed_secret_is_read_anew(tmp_path: Path) -> None:
    """A new password needs no reload."""
    path = tmp_path / "password"
    path.write_text("one")
    read_secret(str(path), "password_file")
    path.write_text("two")

    assert read_secret(str(path), "password_file") == "two"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty; write the secret into it, on one line"),
        (b"\n", "the file is empty; write the secret into it, on one line"),
        (b" \n", "the file is empty; write the secret into it, on one line"),
        (b"s3cret\nmore\n", "expected one line, found several, or a NUL byte"),
        (b"s3cret\r\nX-Header: y\n", "expected one line, found several, or a NUL byte"),
        (b"s3cret\0", "expected one line, found several, or a NUL byte"),
        (b"s3cret\xff\n", "expected text in UTF-8, found other bytes"),
        (b"s3cret" * 20_000, "expected a secret of at most 65536 bytes, found a larger file"),
    ],
    ids=["empty", "a line break", "a blank", "two lines", "a header", "NUL", "not UTF-8", "too long"],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """The error says what is wrong with the file, and does not quote it."""
    (tmp_path / "password").write_bytes(content)

    error = failure(f"{tmp_path}/password")

    assert error == f"password_file {tmp_path}/password: {said}"
    assert "s3cret" not in error


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says to write the file, or to pass the credential."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert failure("/nowhere/password") == (
        "password_file /nowhere/password: there is no such file; write the secret into it, on one line"
    )
    assert failure("smtp") == (
        f"password_file {tmp_path}/smtp: there is no such file; put the secret into /etc/fleet-health/secrets/smtp, and"
        " LoadCredential=smtp:/etc/fleet-health/secrets/smtp into a drop-in of fleet-health-notify.service"
    )


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A FIFO, which would hang, and a directory are refused."""
    os.mkfifo(tmp_path / "fifo")

    for name in ("fifo", ""):
        path = tmp_path / name
        assert failure(str(path)) == (
            f"password_file {path}: expected a file, found something else; write the secret into a file"
        )


def test_a_file_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the user, and how to pass the secret as a credential instead."""
    path = tmp_path / "password"

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)

    assert failure(str(path)) == (
        f"password_file {path}: permission denied for user {os.geteuid()}; pass it as a credential instead:"
        " put the secret into /etc/fleet-health/secrets/password, and"
        " LoadCredential=password:/etc/fleet-health/secrets/password into a drop-in of fleet-health-notify.service"
    )


def test_a_text_without_a_secret_is_one_safe_line() -> None:
    """A text of a server takes one line in the log, without control characters."""
    assert Redaction(["s3cret"]).clean("no such\n  topic\x1b[31m") == "no such topic\\x1b[31m"


@pytest.mark.parametrize("secret", ["pw", "a-long-password"])
def test_a_text_with_a_secret_is_hidden_as_a_whole(secret: str) -> None:
    """A text with a part of a secret is hidden completely, because the rest may be in it as well."""
    redaction = Redaction([secret, ""])

    assert redaction.clean(f"bad login: {secret}") == "…"
    assert redaction.clean(f"bad login: {secret[:8].upper()}") == "…"
    assert redaction.clean("bad login") == "bad login"
