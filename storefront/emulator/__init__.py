"""A local Polar: the API, its checkout pages and a store in memory, for the demo and the tests.

It talks real HTTP and answers as the service was recorded to answer. No money moves.
"""
