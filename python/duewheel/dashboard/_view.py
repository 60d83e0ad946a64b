"""What a page knows of the request that it answers, and what all pages have in common."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import jinja2
from starlette.responses import HTMLResponse, Response

from duewheel import _core
from duewheel.dashboard import _format
from duewheel.dashboard._guard import ACCESS
from duewheel.dashboard._why import first_late
from duewheel.errors import DuewheelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from duewheel._core import Event, Stats
    from duewheel.dashboard._history import History
    from duewheel.dashboard._source import Source
    from duewheel.dashboard._why import Why

MENU = (
    ("overview", "Overview"),
    ("targets", "Targets"),
    ("jobs", "Jobs"),
    ("running", "Running"),
    ("dead", "Dead"),
    ("repeats", "Repeats"),
    ("store", "Store"),
)

NOTICES = {
    "revived": ("revived", "was dead no longer, or its id is taken", "were dead no longer, or their ids are taken"),
    "discarded": ("discarded", "was dead no longer", "were dead no longer"),
    "cancelled": ("cancelled", "was pending no longer", "were pending no longer"),
    "moved": ("made due now", "was pending no longer", "were pending no longer"),
    "paused": ("paused", "was there no longer", "were there no longer"),
    "resumed": ("resumed", "was there no longer", "were there no longer"),
    "triggered": ("triggered", "was there no longer", "were there no longer"),
}
"""What an action has done, and what of it could not be done."""

_OF_NOTICES = ("notice", "done", "failed", "left")


class Settings(NamedTuple):
    """What a dashboard was made with, and what it keeps."""

    source: Source
    history: History
    show_data: Callable[[Event], object] | None


class Summary(NamedTuple):
    """What the head of every page says."""

    stats: Stats
    state: str
    failure: str | None
    overdue_s: float
    """How long what is due first has waited, what is held back aside if there is more; 0: nothing is overdue."""
    late: Why | None
    """Why that does not run, if it has waited for long."""
    rate: float | None


class View:
    """A request to the dashboard, and what its page is made with."""

    def __init__(self, settings: Settings, request: Request, page: str) -> None:
        self.settings, self.request, self.page = settings, request, page
        self.source, self.history = settings.source, settings.history
        self.query = dict(request.query_params)
        self.now_ns = time.time_ns()
        self.may_write = request.scope.get(ACCESS) == "write"

    def link(self, to: str, **query: object) -> str:
        """Return the path of a route, under whatever prefix the dashboard is mounted; empty fields are left out."""
        path = self.request.scope.get("root_path", "").rstrip("/") + str(self.request.app.url_path_for(to))
        fields = {name: str(value) for name, value in query.items() if value not in (None, "", ())}
        return f"{path}?{urlencode(fields)}" if fields else path

    def static(self, name: str) -> str:
        """Return the path of a static file of this version."""
        path = self.request.app.url_path_for("static", path=f"/{name}")
        return f"{self.request.scope.get('root_path', '').rstrip('/')}{path}?v={_core.__version__}"

    def here(self, **changes: object) -> str:
        """Return this page with other fields; its notice and its place among the pages go."""
        query = {name: value for name, value in self.query.items() if name not in (*_OF_NOTICES, "after", "page")}
        return self.link(self.page, **{**query, **changes})

    @property
    def back(self) -> str:
        """Where an action of this page returns to."""
        return self.link(self.page, **{name: value for name, value in self.query.items() if name not in _OF_NOTICES})

    def backwards(self, back: str | None, **notice: object) -> str:
        """Return where an action goes on: a page of this dashboard, whatever it was given."""
        root = self.link("overview")
        parts = urlsplit(back or "")
        is_ours = not parts.scheme and not parts.netloc and parts.path.startswith(root) and "\\" not in parts.path
        path = parts.path if is_ours else root
        fields = [field for field in parse_qsl(parts.query) if field[0] not in _OF_NOTICES] if is_ours else []
        fields += [(name, str(value)) for name, value in notice.items() if value]
        return f"{path}?{urlencode(fields)}" if fields else path

    @property
    def events(self) -> str:
        """The stream that keeps this page up to date."""
        return self.link("events", **{**self.query, "of": self.page})

    @property
    def notices(self) -> list[str]:
        """What the last action has done, as sentences."""
        said = NOTICES.get(self.query.get("notice", ""))
        if said is None:
            return []
        done, failed, left = (_whole(self.query.get(name)) for name in ("done", "failed", "left"))
        sentences = [f"{done:,} {said[0]}."] if done or not failed else []
        if failed:
            sentences.append(f"{failed:,} {said[1] if failed == 1 else said[2]}.")
        if left:
            sentences.append("There are more: do it again for the rest.")
        return sentences

    def data_of(self, event: Event) -> str | None:
        """Return the data of a job as `show_data` shows it; `None`: they are hidden."""
        show = self.settings.show_data
        if show is None:
            return None
        try:
            return str(show(event))
        except Exception as error:
            return f"show_data has failed: {type(error).__name__}: {error}"

    async def summary(self) -> Summary:
        """Ask for what the head says, and note it in the history."""
        stats = await self.source.stats()
        self.history.add(stats)
        self.now_ns = time.time_ns()
        scheduler = self.source.scheduler
        core = getattr(scheduler, "_core", scheduler)
        failure = getattr(scheduler, "failure", None)
        state = "watched"
        if getattr(core, "_closed", False) is True:
            return Summary(stats, "closed", None, 0.0, None, None)
        if isinstance(getattr(core, "_started", None), bool):
            state = "started" if core._started else "stopped"
        late = await first_late(self.source, self.now_ns)
        overdue_s = (self.now_ns - late.event.due) / 1e9 if late else 0.0
        said = None if failure is None else f"{type(failure).__name__}: {failure}"
        return Summary(stats, "failed" if said else state, said, overdue_s, late, self.history.rate())


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("duewheel.dashboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("clock", "compact", "count", "distance", "duration", "last_line", "machine", "plural", "size")
    environment.filters.update({name: getattr(_format, name) for name in names})
    environment.globals.update(MENU=MENU, version=_core.__version__)
    environment.globals["ui"] = environment.get_template("ui.html").module
    return environment


_TEMPLATES = _environment()


def page(view: View, template: str, status: int = 200, **variables: Any) -> Response:
    """Return a page."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(view=view, **variables), status)


def live(view: View, template: str, **variables: Any) -> str:
    """Return what changes on a page while it is looked at, as htmx takes it."""
    return "".join(
        f'<hx-partial hx-target="#{block}" hx-swap="innerMorph">{"".join(made.blocks[block](context))}</hx-partial>'
        for made, block in (
            (_TEMPLATES.get_template(template), "live"),
            (_TEMPLATES.get_template("base.html"), "summary"),
        )
        if block in made.blocks
        for context in (made.new_context({"view": view, **variables}),)
    )


def trouble(view: View, error: DuewheelError) -> Response:
    """Return a page that says why there is nothing to be seen."""
    return page(view, "trouble.html", 503, error=f"{type(error).__name__}: {error}")
