"""Several workers answer for their metrics as one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from deploy.workers.shared_metrics import labelled, merged
from shared.telemetry.metrics import Metrics


def _exposition(number: int, requests: int) -> str:
    metrics = Metrics("any")
    metrics.requests.labels("/api/v1/verify", "GET", 200).inc(requests)
    metrics.gauge("level", "A gauge without labels.").set(number)
    return labelled(metrics.exposition().decode(), number)


def test_the_samples_of_all_workers_are_told_apart() -> None:
    """Each keeps its numbers, under the label `worker`."""
    families = {
        family.name: family
        for family in text_string_to_metric_families(merged([_exposition(0, 3), _exposition(1, 4)]))
    }
    requests = {
        sample.labels["worker"]: sample.value
        for sample in families["latchkey_http_requests"].samples
        if sample.name.endswith("_total")
    }
    assert requests == {"0": 3, "1": 4}
    levels = {sample.labels["worker"]: sample.value for sample in families["latchkey_level"].samples}
    assert levels == {"0": 0, "1": 1}


def test_the_lines_of_a_family_stand_together() -> None:
    """The format wants one group per family, with one HELP and one TYPE."""
    text = merged([_exposition(0, 1), _exposition(1, 1)])
    lines = text.splitlines()
    assert text.count("# TYPE latchkey_http_requests_total counter") == 1
    mine = [number for number, line in enumerate(lines) if line.startswith("latchkey_http_requests_total{")]
    assert len(mine) == 2
    assert mine[1] == mine[0] + 1


def test_a_worker_that_has_just_ended_is_left_out() -> None:
    """What answered nothing adds nothing."""
    one = _exposition(0, 1)
    assert merged([one, ""]) == merged([one])
