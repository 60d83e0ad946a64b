"""The rules and the dashboard name metrics that there are, and Prometheus' own tool takes the rules."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from duewheel import Scheduler
from duewheel.prometheus import Collector

DOCS = Path(__file__).parents[2] / "docs"
MONITORING = DOCS / "monitoring"

pytestmark = pytest.mark.skipif(not MONITORING.exists(), reason="the sources are not here")


def names_of(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bduewheel_\w+", text)}


@pytest.fixture(scope="module")
def families():
    scheduler = Scheduler()
    found = {family.name: family for family in Collector(scheduler).describe()}
    scheduler.close()
    return found


@pytest.fixture(scope="module")
def names(families):
    return {f"{name}_total" if family.type == "counter" else name for name, family in families.items()}


def expressions():
    board = json.loads((MONITORING / "grafana.json").read_text("utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_metrics_that_there_are(names):
    shown = names_of(" ".join(expressions()))
    assert shown <= names
    assert names - shown <= {"duewheel_store_failed"}


def test_the_panels_of_the_dashboard_do_not_overlap():
    board = json.loads((MONITORING / "grafana.json").read_text("utf-8"))
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_rules_ask_for_metrics_that_there_are(names):
    rules = (MONITORING / "alerts.yml").read_text("utf-8").partition("groups:")[2]
    assert names_of(" ".join(re.findall(r"expr: (?:>\n)?((?:.*\n)+?) +(?:for|labels):", rules))) <= names
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    tested = set(re.findall(r"alertname: (\w+)", (MONITORING / "alerts_test.yml").read_text("utf-8")))
    assert alerts - tested <= {"DuewheelStoreGrows"}


def test_the_page_has_a_row_for_each_metric_and_each_rule(families, names):
    page = (DOCS / "monitoring.md").read_text("utf-8")
    rows = re.findall(r"^\| `(duewheel_\w+)(?:\{([\w, ]+)\})?` \|", page, re.MULTILINE)
    assert {name for name, _ in rows} == names
    labels = {name: tuple(family._labelnames) for name, family in families.items()}
    for name, said in rows:
        assert labels[name.removesuffix("_total")] == tuple(said.split(", ") if said else ()), name
    alerts = re.findall(r"- alert: (\w+)", (MONITORING / "alerts.yml").read_text("utf-8"))
    assert re.findall(r"^\| `(Duewheel\w+)` \|", page, re.MULTILINE) == alerts


@pytest.mark.parametrize("arguments", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_takes_the_rules(arguments):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here, so the alert rules were NOT checked: apt-get install prometheus")
    ended = subprocess.run(
        [promtool, *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
