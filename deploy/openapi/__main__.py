"""Writes the description of the REST interface to where the services find it."""

from __future__ import annotations

from deploy.openapi import TARGET, rendered

TARGET.write_text(rendered(), encoding="utf-8")
