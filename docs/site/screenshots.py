"""Take the pictures of the dashboard: `make screenshots`, some two minutes. They are in docs/pictures/ then.

A shop runs for as long as the chart of the throughput reaches back, and Debian's chromium looks at it.
"""

import contextlib
import logging
import random
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from duewheel import Discard, Event, Scheduler, dashboard

OUT = Path(__file__).resolve().parents[1] / "pictures"
LARGEST = 150_000
"""Bytes of a picture: a page with all of them is to be there at once."""

RUNS_FOR_S = 125
DESK, PHONE = (1280, 1060, 1.5), (390, 844, 2)

SHOTS = (
    ("overview-dark", "/", "dark", DESK),
    ("overview-light", "/", "light", DESK),
    ("dead-dark", "/dead", "dark", DESK),
    ("phone-dark", "/jobs", "dark", PHONE),
    ("phone-light", "/repeats", "light", PHONE),
)


class Shop:
    """A scheduler that has the jobs of a shop, some of which fail."""

    def __init__(self) -> None:
        self.chance = random.Random(7)
        self.scheduler = Scheduler(workers=4, seed=7)
        handle = self.scheduler.handle
        handle("mail.send", self.send)
        handle("invoice.render", self.render)
        handle("card.charge", self.charge)
        handle("webhook.deliver", self.deliver)
        for target in ("cart.expire", "report.daily", "stock.sync"):
            handle(target, self.expire)

    def expire(self, event: Event) -> None:
        time.sleep(0.0002 * len(event.target))

    def send(self, event: Event) -> None:
        if event.data == b"blocked":
            raise Discard("the address bounced before: ada@example.org")
        time.sleep(0.002)

    def render(self, event: Event) -> None:
        time.sleep(60 if event.data == b"large" else 0.005)

    def charge(self, event: Event) -> None:
        if event.attempt == 1 and self.chance.random() < 0.1:
            raise ConnectionError("the bank is closed")

    def deliver(self, event: Event) -> None:
        if event.data == b"gone":
            raise ConnectionRefusedError(111, "Connection refused", "https://hooks.example.net/orders")
        if event.data == b"slow":
            raise TimeoutError("hooks.example.com: no answer within 10 s")

    def fill(self) -> None:
        """Schedule what is there from the beginning."""
        scheduler, chance = self.scheduler, self.chance
        scheduler.repeat("0 6 * * mon-fri", "report.daily", id="report.daily", tz="Europe/Paris")
        scheduler.repeat(900, "stock.sync", id="stock.sync")
        scheduler.repeat("*/5 * * * *", "mail.send", id="newsletter.batch", tz="America/New_York")
        scheduler.pause("newsletter.batch")
        for number in range(2_400):
            scheduler.in_(180 + chance.expovariate(1 / 4_000), "cart.expire", id=f"cart-{20_000 + number}")
        for number in range(300):
            scheduler.in_(150 + chance.expovariate(1 / 900), "mail.send", id=f"reminder-{4_100 + number}")
        for data, count in ((b"gone", 9), (b"slow", 4)):
            for _ in range(count):
                scheduler.in_(chance.random() * 90, "webhook.deliver", data, retry_limit=1, min_backoff=0.5)
        for _ in range(3):
            scheduler.in_(chance.random() * 90, "mail.send", b"blocked")
        for number in range(6):
            scheduler.in_(60 + 30 * number, "webhook.deliver", b"slow", id=f"delivery-{81 + number}", min_backoff=240)
        scheduler.in_(RUNS_FOR_S - 9, "invoice.render", b"large", id="invoice-2026-11")

    def go_on(self, ends: threading.Event) -> None:
        """Schedule what comes in while it is looked at."""
        second = 0
        while not ends.wait(1):
            second += 1
            orders = round(30 + 18 * abs((second % 80) - 40) / 40 + self.chance.gauss(0, 3))
            self.scheduler.in_many([self.chance.random() for _ in range(orders)], "mail.send")
            self.scheduler.in_many([self.chance.random() for _ in range(orders // 4)], "card.charge", min_backoff=1)
            self.scheduler.in_many([self.chance.random() for _ in range(orders // 6)], "invoice.render")


@contextlib.contextmanager
def served(shop: Shop) -> Iterator[str]:
    """Serve its dashboard on a port of this machine; yield where."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = dashboard.app(shop.scheduler, actions=True)
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def small(picture: bytes) -> bytes:
    """The same picture in 256 colours, which a page of flat colours does not miss."""
    with Image.open(BytesIO(picture)) as image:
        flat = image.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
    out = BytesIO()
    flat.save(out, "PNG", optimize=True)
    return out.getvalue()


def take(page: Page, name: str) -> None:
    """Take one picture."""
    page.locator("#summary .mark").wait_for()
    picture = small(page.screenshot())
    if len(picture) > LARGEST:
        raise ValueError(f"{name} has {len(picture):,} bytes, more than {LARGEST:,}: make its window smaller")
    (OUT / f"{name}.png").write_bytes(picture)
    sys.stdout.write(f"{name}.png {len(picture):,} bytes\n")


def main() -> None:
    """Run the shop, and take all pictures."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("no chromium here: apt-get install chromium")
    logging.getLogger("duewheel").setLevel(logging.CRITICAL + 1)
    OUT.mkdir(exist_ok=True)
    shop, ends = Shop(), threading.Event()
    with shop.scheduler, served(shop) as url, sync_playwright() as driver:
        shop.fill()
        comes_in = threading.Thread(target=shop.go_on, args=[ends])
        comes_in.start()
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        looks = chromium.new_page()
        looks.goto(url)
        time.sleep(RUNS_FOR_S)  # the chart shows what somebody has seen
        try:
            for name, path, theme, (width, height, scale) in SHOTS:
                size = {"width": width, "height": height}
                page = chromium.new_page(color_scheme=theme, viewport=size, device_scale_factor=scale)
                page.goto(url + path)
                take(page, name)
                page.close()
        finally:
            chromium.close()
            ends.set()
            comes_in.join()
        shop.scheduler.close()


if __name__ == "__main__":
    main()
