"""The dashboard and the alert rules ask for numbers that the services really count."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from aiohttp import web

from services.auth_api.resources import make_resources
from services.auth_api.webhooks.metrics import WebhookMetrics
from services.key_issuer.listeners import ListenerMetrics
from services.key_issuer.verification import IssuerMetrics
from shared.clock import SystemClock
from shared.settings import load_settings
from shared.web.health import add_health

GRAFANA: Final = Path(__file__).resolve().parents[2] / "deploy" / "grafana"


def _sample_names() -> set[str]:
    """Every name under which a sample of ours can appear."""
    metrics = make_resources(
        load_settings({"LATCHKEY_REDIS_URL": "redis://127.0.0.1"}), SystemClock()
    ).metrics
    IssuerMetrics(metrics)
    ListenerMetrics(metrics)
    WebhookMetrics(metrics)
    add_health(web.Application(), metrics, {})
    return {name for family in metrics.registry.collect() for name in _names_of(family.name, family.type)}


def _names_of(family: str, kind: str) -> tuple[str, ...]:
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
    return tuple(family + ending for ending in endings)


def test_every_number_on_the_dashboard_exists() -> None:
    """A renamed metric fails here instead of leaving an empty panel."""
    panels = json.loads((GRAFANA / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert len(expressions) > 20
    asked = set(re.findall(r"latchkey_[a-z_]+", " ".join(expressions)))
    assert asked - _sample_names() == set()


def test_every_number_in_the_alert_rules_exists() -> None:
    """A renamed metric fails here instead of silencing an alert."""
    rules = (GRAFANA / "alerts.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"latchkey_[a-z_]+", rules))
    assert len(asked) > 5
    assert asked - _sample_names() == set()


def test_what_the_promise_of_revocation_is_made_of_is_shown() -> None:
    """The one figure (refused, accepted by the webhook) and who listens; a family that is not on the dashboard is not watched."""
    text = (GRAFANA / "dashboard.json").read_text(encoding="utf-8")
    families = {
        name for name in _sample_names() if name.startswith(("latchkey_revocation_", "latchkey_webhook_"))
    }
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in families}
    assert len(families) > 8
    assert {name for name in families if name not in text} == set()


def test_no_two_panels_lie_on_one_another() -> None:
    """Each has an id and a place of its own."""
    panels = json.loads((GRAFANA / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24


def test_every_alert_says_what_to_do() -> None:
    """An alert without an action wakes somebody for nothing."""
    rules = (GRAFANA / "alerts.yaml").read_text(encoding="utf-8")
    assert rules.count("- alert:") == rules.count("action:") == rules.count("summary:")
