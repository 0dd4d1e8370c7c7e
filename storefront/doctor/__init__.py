"""A site held against its Polar organization: what is wrong, and how to mend it."""

from storefront.doctor.facts import Facts, Finding, Level, Need
from storefront.doctor.findings import examine
from storefront.doctor.reading import read_facts

__all__ = ["Facts", "Finding", "Level", "Need", "examine", "read_facts"]
