"""A real Chromium without a window, driven through selenium, and axe-core; each may be missing."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
#: How often a page is looked at until it is there.
LOOKS = 10_000
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def lacking() -> str:
    """Why there is no browser here; empty where there is one."""
    if importlib.util.find_spec("selenium") is None:
        return "no selenium"
    return "" if CHROMIUM and DRIVER else "no chromium with chromedriver"


def axe() -> str:
    """The source of axe-core, from the package that carries it; empty without one."""
    found = importlib.util.find_spec("axe_playwright_python")
    folders = list(found.submodule_search_locations or ()) if found else []
    files = [path for folder in folders if (path := Path(folder, "axe.min.js")).is_file()]
    return files[0].read_text(encoding="utf-8") if files else ""


class Browser:
    """One window. ``script`` runs in the page; ``command`` speaks the protocol of the browser's own tools."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def command(self, name: str, **values: object) -> Any:
        return self._driver.execute_cdp_cmd(name, values)

    def script(self, source: str, *values: object) -> Any:
        return self._driver.execute_script(source, *values)

    def keys(self, selector: str, *keys: str) -> None:
        """Keys pressed on the first element that ``selector`` finds."""
        self._driver.find_element("css selector", selector).send_keys(*keys)

    def open(self, path: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> None:
        """The file at ``path``, in a window that wide; logs of pages before are dropped."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.log("browser"), self.log("performance")
        self._driver.get(path.as_uri())
        for _ in range(LOOKS):  # where scripts are off, it may return before the page is there
            if self._state() == f"complete {path.as_uri()}":
                return
        raise TimeoutError(f"{path}: {self._state()}")

    def _state(self) -> str:
        found = self.command("Runtime.evaluate", expression="`${document.readyState} ${document.URL}`")
        return str(found["result"].get("value"))

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last call."""
        return list(self._driver.get_log(kind))

    def requests(self) -> list[str]:
        """Every address asked for since the last call, but for embedded data."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith("data:")]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that keeps what it keeps in ``folder``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in (*SWITCHES, f"--user-data-dir={folder}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=str(DRIVER)))
    try:
        driver.get("about:blank")  # away from its start page, which goes on asking
        yield Browser(driver)
    finally:
        driver.quit()
