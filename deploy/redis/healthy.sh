#!/bin/sh
# Healthy: it answers, and its append-only file is loaded.
[ "$(redis-cli --user health --pass none --no-auth-warning ping)" = PONG ]
