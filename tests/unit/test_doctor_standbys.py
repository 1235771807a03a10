"""What `doctor` says of PostgreSQL's standbys, on every shape of their rows."""

from __future__ import annotations

import pytest

from deploy.doctor.findings import Notes, Verdict
from deploy.doctor.standbys import judge_standbys

ANY = "ANY 1 (*)"


@pytest.mark.parametrize(
    ("receivers", "names", "commit", "verdict"),
    [
        pytest.param([], "", "on", Verdict.OK, id="none"),
        pytest.param(["async"], "", "on", Verdict.WARNING, id="asynchronous"),
        pytest.param(["async", "async"], "", "on", Verdict.WARNING, id="two-asynchronous"),
        pytest.param([None], "", "on", Verdict.WARNING, id="asynchronous-unseen"),
        pytest.param(["sync", "async"], "one", "on", Verdict.OK, id="one-synchronous"),
        pytest.param(["sync", "potential"], "one, two", "on", Verdict.OK, id="one-potential"),
        pytest.param(["quorum", "quorum"], ANY, "remote_apply", Verdict.OK, id="quorum"),
        pytest.param([None, None], ANY, "on", Verdict.OK, id="quorum-unseen"),
        pytest.param(["quorum"], ANY, "local", Verdict.WARNING, id="synchronous-but-not-waited-for"),
        pytest.param([None], ANY, "off", Verdict.WARNING, id="not-even-the-own-disk"),
        pytest.param([], ANY, "on", Verdict.PROBLEM, id="waits-for-nobody"),
        pytest.param(["async"], "other", "on", Verdict.PROBLEM, id="waits-for-another"),
    ],
)
def test_every_shape(receivers: list[str | None], names: str, commit: str, verdict: Verdict) -> None:
    """A warning where a failover may lose a commit, a problem where every write waits for ever."""
    notes = Notes("postgres")
    judge_standbys(notes, receivers, names=names, commit=commit)
    (finding,) = notes.findings
    assert finding.verdict is verdict, finding
    assert finding.subject == "standbys"
    assert bool(finding.advice) == (verdict is not Verdict.OK)
    assert ("revoked" in finding.detail) == (verdict is Verdict.WARNING)
