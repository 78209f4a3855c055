"""A real Chromium without a screen, told what to do by its own protocol over two pipes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from tests.rig.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "chromium"
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class BrowserError(Exception):
    """The browser did not do what it was told."""


class Tab:
    """One tab: what is asked of it is answered before anything else is asked."""

    def __init__(self, to_browser: IO[bytes], from_browser: IO[bytes]) -> None:
        self._to, self._from = to_browser, from_browser
        self._id = 0
        self._session: str | None = None
        self._read = bytearray()
        self.events: list[dict[str, Any]] = []
        """What the browser has reported since the last `open`."""

    def attach(self) -> None:
        """Make a tab, and have it report what happens in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Audits"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; return its result.

        Raises:
            BrowserError: It failed.

        """
        self._id += 1
        message = {"id": self._id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._next()).get("id") != self._id:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def until(self, method: str) -> dict[str, Any]:
        """Return the parameters of the next event of a kind."""
        for number, event in enumerate(self.events):
            if event.get("method") == method:
                del self.events[number]
                return event["params"]  # type: ignore[no-any-return]
        while (event := self._next()).get("method") != method:
            self.events.append(event)
        return event["params"]  # type: ignore[no-any-return]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            if not (data := os.read(self._from.fileno(), 1 << 16)):
                raise BrowserError("the browser has ended")
            self._read += data
        message, _, rest = bytes(self._read).partition(b"\0")
        self._read[:] = rest
        return json.loads(message)  # type: ignore[no-any-return]

    def size(self, width: int, height: int, *, is_dark: bool = False) -> None:
        """Give the tab a size, in pixels, and a colour scheme as if the system had it."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str, *, has_scripts: bool = True) -> float:
        """Open a page; return how many seconds it took until it was loaded and, if scripts run in it, drawn."""
        self.events.clear()
        began_at = time.monotonic()
        error = self.call("Page.navigate", url=url).get("errorText")
        if error:
            raise BrowserError(f"{url}: {error}")
        self.until("Page.loadEventFired")
        if has_scripts:
            self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return time.monotonic() - began_at

    def evaluate(self, script: str) -> Any:
        """Run a script in the page; return what it gives, or what its promise does.

        Raises:
            BrowserError: It threw something.

        """
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def picture(self, *, is_whole: bool = False) -> bytes:
        """Return a PNG of what is seen, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=is_whole)["data"])

    def press(self, key: str, text: str = "") -> None:
        """Press a key, such as `Tab`, and let it go."""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def complaints(self) -> list[str]:
        """Return what the browser has complained of: what the policy forbids, what failed to load, what was thrown."""
        self.evaluate("0")
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Log.entryAdded" and parameters["entry"]["level"] in {"error", "warning"}:
                found.append(parameters["entry"]["text"])
            elif method in {"Runtime.exceptionThrown", "Audits.issueAdded"}:
                found.append(json.dumps(parameters))
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "warning"}:
                found.append(json.dumps(parameters["args"]))
        return found


@contextmanager
def browsing() -> Iterator[Tab]:
    """Run the browser for as long as a context lasts; gives a tab of it."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        commands, to_browser = os.pipe()
        from_browser, answers = os.pipe()
        # It reads commands from descriptor 3, and writes to 4.
        program = f'exec "$@" 3<&{commands} 4>&{answers}'
        process = subprocess.Popen(
            ["bash", "-c", program, "browser", PROGRAM, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        try:
            with open(to_browser, "wb") as to, open(from_browser, "rb", buffering=0) as back:  # noqa: PTH123 - descriptors
                tab = Tab(to, back)
                tab.attach()
                yield tab
                with suppress(BrowserError):
                    tab.call("Browser.close")
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)
            if process.poll() is None:
                process.kill()
                process.wait()
