"""Examines a deployment: configuration, stores, schemas, roles, clocks and streams; each finding says what to do."""

from __future__ import annotations

from deploy.doctor.examination import examine
from deploy.doctor.findings import Finding, Verdict

__all__ = ["Finding", "Verdict", "examine"]
