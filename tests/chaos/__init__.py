"""Proof of the promises under fire: real processes, a load that records its history, a nemesis, and a checker.

``./latchkey test tests/chaos --chaos-seconds 600 --chaos-seed 7`` is the long run; the ordinary suite has a short one.
"""
