"""The promises, held against real processes, kills and outages.

`python -m tests.faults.prove` runs them in full; the tests beside it run them small.
"""
