"""Measurements against a bare handler in the same run.

`python -m tests.benchmarks` in the repository's environment prints tables; `./latchkey test -m benchmark` runs a
short version and holds it to the targets. Both start everything themselves: the stores and each service in a process
of its own, with limits off, a bare aiohttp handler, and a load generator that speaks raw keep-alive HTTP/1.1.
A measurement means something on a quiet machine only; the load average is printed with it.
"""
