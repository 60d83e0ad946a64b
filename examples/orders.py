"""Orders that expire unless they are paid: a reminder first, mails that are retried, a report every night.

    python examples/orders.py orders.db

Then type `place 17`, `pay 17` or `list`, a line each. Ctrl-C or SIGTERM ends it. What is pending is in the file, and
goes on when it is started again.
"""

import argparse
import json
import logging
import random
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from duewheel import Discard, DuplicateJobError, Event, JobOptions, Scheduler


class MailServerDownError(Exception):
    """The mail server did not answer; it may, later."""


def send(to: str, text: str) -> None:
    """Stand for a mail server that is down now and then."""
    if random.random() < 0.2:
        raise MailServerDownError("try again")
    print(f"mail to {to}: {text}", flush=True)


class Orders:
    """Waits for the payment of orders. All that it has to remember is in its jobs."""

    def __init__(
        self,
        scheduler: Scheduler,
        send: Callable[[str, str], None] = send,
        *,
        remind_after: timedelta = timedelta(minutes=20),
        expire_after: timedelta = timedelta(minutes=30),
    ) -> None:
        self.scheduler = scheduler
        self.send = send
        self.remind_after = remind_after
        self.expire_after = expire_after
        scheduler.handle("order.remind", self.remind)
        scheduler.handle("order.expire", self.expire)
        scheduler.handle("report", self.report)

    def place(self, number: int, customer: str) -> None:
        """Begin to wait. An order that was placed already is not placed again."""
        data = json.dumps({"number": number, "customer": customer}).encode()
        # The job that must not be missed comes first: its id says whether the order is known.
        self.scheduler.in_(self.expire_after, "order.expire", data, id=f"expire-{number}", retry_limit=None)
        # A reminder is not worth much later: a few quick attempts, and no more.
        quick = JobOptions(retry_limit=3, min_backoff=1, max_backoff=10)
        self.scheduler.in_(self.remind_after, "order.remind", data, id=f"remind-{number}", options=quick)

    def pay(self, number: int) -> bool:
        """Stop waiting; `False`: it has expired, or was never placed."""
        self.scheduler.cancel(f"remind-{number}")
        return self.scheduler.cancel(f"expire-{number}")

    def remind(self, event: Event) -> None:
        """Send the reminder. An error is a failed attempt: it is tried again."""
        order = json.loads(event.data)
        self.send(order["customer"], f"order {order['number']} is not paid yet")

    def expire(self, event: Event) -> None:
        """Give the goods back. At least once: if the process dies here, it is called again."""
        order = json.loads(event.data)
        if event.lateness > 86_400:
            raise Discard("the shop was closed for a day: somebody has to look at it")
        self.send(order["customer"], f"order {order['number']} has expired")

    def report(self, event: Event) -> None:
        """Report, and schedule the next report: there is no cron."""
        self.schedule_report(event.due_at)
        waiting = sum(pending.target == "order.expire" for pending in self.scheduler.between())
        self.send("the shop", f"{waiting} orders wait, {sum(1 for _ in self.scheduler.dead())} jobs are dead")

    def schedule_report(self, after: datetime) -> None:
        """Have a report at the midnight after a time, once: the id is taken while it is pending."""
        midnight = (after + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        # It may have been scheduled before a restart, or by an attempt that failed later.
        with suppress(DuplicateJobError):
            self.scheduler.at(midnight, "report", id=f"report-{midnight:%Y-%m-%d}")


def read(orders: Orders) -> None:
    """Do what is typed, until there is no more."""
    for line in sys.stdin:
        match line.split():
            case ["place", number]:
                try:
                    orders.place(int(number), "ada@example.org")
                except DuplicateJobError:
                    print("it is placed already", flush=True)
            case ["pay", number]:
                print("paid" if orders.pay(int(number)) else "too late", flush=True)
            case ["list"]:
                pending = list(orders.scheduler.between())
                for event in pending:
                    print(f"{event.due_at:%H:%M:%S} {event.job_id}", flush=True)
                print(f"{len(pending)} pending", flush=True)
            case _:
                print("place NUMBER, pay NUMBER, or list", flush=True)


def main() -> None:
    """Run until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("file", help="where the jobs are kept")
    parser.add_argument("--remind", type=float, default=1200, metavar="SECONDS")
    parser.add_argument("--expire", type=float, default=1800, metavar="SECONDS")
    given = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s")
    scheduler = Scheduler(given.file)
    remind, expire = timedelta(seconds=given.remind), timedelta(seconds=given.expire)
    orders = Orders(scheduler, remind_after=remind, expire_after=expire)
    orders.schedule_report(datetime.now(UTC))
    threading.Thread(target=read, args=(orders,), daemon=True).start()
    scheduler.run(drain_timeout=10)


if __name__ == "__main__":
    main()
