"""`apprise`: the real Apprise in its process, and services of it that send to a server here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fleet_health.notify import apprise_child
from fleet_health.notify.apprise_child import fitting
from fleet_health.notify.destination import Delivered, DeliveryError
from fleet_health.notify.destinations import apprise as apprise_type
from fleet_health.notify.destinations.apprise import build
from tests.rig.destinations import configured, made, message, over, secret
from tests.rig.unruly_server import UnrulyServer, answering, hanging

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_health.notify.destinations.apprise import AppriseService

PATIENT = "5m"


def service(tmp_path: Path, url: str, **keys: Any) -> AppriseService:
    """Return a destination for a URL of Apprise."""
    return build(configured("apprise", **{"url_file": secret(tmp_path, "url", url), "timeout": PATIENT, **keys}))


def failure(destination: AppriseService) -> str:
    """Send a message that is not taken, and return why."""
    with pytest.raises(DeliveryError) as caught:
        destination.send(message())
    return str(caught.value)


def test_a_message_is_sent_by_apprise(tmp_path: Path) -> None:
    """The service gets title, text and kind, and nothing in them is markup."""
    with UnrulyServer([answering()]) as server:
        destination = service(tmp_path, f"json://127.0.0.1:{server.port}/my-secret-path")
        delivered = destination.send(message(made(detail="<b>*bold*</b> & _so_")))

        assert delivered == Delivered("sent by JSON")
        document = json.loads(server.requests[0].body)
        assert server.requests[0].target.rstrip("/") == "/my-secret-path"
        assert (document["title"], document["type"]) == ("silent: pi-02", "warning")
        assert document["message"].splitlines()[1] == "<b>*bold*</b> & _so_"


def test_a_service_that_fails_is_said_without_its_url(tmp_path: Path) -> None:
    """The error of a service contains no URL, because the URL holds the secret."""
    with UnrulyServer([answering("500 Oh", b"no my-secret-path")]) as server:
        said = failure(service(tmp_path, f"json://anna:s3cret-word@127.0.0.1:{server.port}/my-secret-path"))

        assert said.startswith("apprise: JSON did not take it: ")
        assert "secret" not in said
        assert "s3cret" not in said


@pytest.mark.fault("N7", rig="the real Apprise")
def test_N7_a_service_that_hangs_is_killed(tmp_path: Path) -> None:
    """After the timeout, the process in which Apprise runs is killed."""
    with UnrulyServer([hanging]) as server:
        said = failure(service(tmp_path, f"json://127.0.0.1:{server.port}?rto=300", timeout="3s"))

        assert said == f"{sys.executable}: it did not end within 3 s, and was killed"


def test_a_url_that_apprise_does_not_know_is_said(tmp_path: Path) -> None:
    """The error names the key, and does not quote the URL."""
    assert failure(service(tmp_path, "pigeon://s3cret")) == (
        f"url_file {tmp_path}/url: Apprise knows no such URL; its documentation lists them"
    )


def test_without_apprise_it_is_said_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install Apprise, which is optional."""
    program = tmp_path / "child.py"
    source = "import sys\nsys.modules['apprise'] = None\n"
    program.write_text(f"{source}exec(compile(open({apprise_child.__file__!r}).read(), 'child', 'exec'))\n")
    monkeypatch.setattr(apprise_child, "__file__", str(program))

    assert failure(service(tmp_path, "json://127.0.0.1")) == (
        "apprise: it is not installed; run packaging/install.sh --with-apprise from a checkout, as root"
    )


def test_a_process_without_a_result_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that prints no result has not delivered the message."""
    (tmp_path / "child.py").write_text("print('Segmentation fault')\n")
    monkeypatch.setattr(apprise_child, "__file__", str(tmp_path / "child.py"))

    assert failure(service(tmp_path, "json://x")) == "apprise: its process ended with status 0 and no result"


@pytest.mark.parametrize(("body_limit", "title_limit"), [(32_768, 250), (4_096, 0), (1_024, 250), (280, 0), (160, 0)])
def test_a_service_is_sent_the_longest_text_that_it_takes(tmp_path: Path, body_limit: int, title_limit: int) -> None:
    """The text has host, symptom and what to do; Telegram has no titles and 4096 characters, Pushover 1024."""
    tasks: list[dict[str, Any]] = []

    def noted(_command: object, document: bytes, _timeout_s: float) -> Any:
        tasks.append(json.loads(document))
        raise DeliveryError("not sent")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apprise_type, "run", noted)
        with pytest.raises(DeliveryError):
            service(tmp_path, "json://x").send(
                message(*(made(host=f"pi-{n}", detail="figures " * 200) for n in range(40)))
            )
    title, body = fitting(tasks[0]["texts"], body_limit, title_limit)

    assert len(body) + (0 if title_limit else len(title) + 2) <= body_limit
    assert title == "silent: pi-0 and 39 more"
    assert "pi-0" in body
    assert "silent" in body
    assert "What to do: On pi-02: start the" in body


def test_a_resolution_is_a_success() -> None:
    """A resolution is of Apprise's kind `success`, and a test is of the kind `info`."""
    assert apprise_type._kind(message(over())) == "success"
    assert apprise_type._kind(message(over(), made())) == "warning"
    assert apprise_type._kind(message(is_test=True)) == "info"


def test_we_do_not_import_apprise() -> None:
    """The process of `notify` never imports Apprise, which takes 20 MiB."""
    code = "import sys, fleet_health.notify.destinations.apprise; print('apprise' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == "False\n"
