#!/bin/sh
# Healthy: it answers, and its append-only file is loaded. The user `health` may do nothing else and has no password.
[ "$(REDISCLI_AUTH=none redis-cli --user health ping)" = PONG ]
