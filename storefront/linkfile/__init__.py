"""Checkout links as code: what a file says there should be, and what it takes to get there."""

from storefront.linkfile.carrying_out import Step, carry_out
from storefront.linkfile.document import ENVIRONMENTS, LinkFile, LinkFileError, read_link_file
from storefront.linkfile.export import Exported, write_link_file
from storefront.linkfile.plan import Create, Delete, Plan, Update, Wanted, make_plan
from storefront.linkfile.spec import NAME_KEY, Change, LinkSpec, differences, same_url
from storefront.linkfile.wanted import wanted_links

__all__ = [
    "ENVIRONMENTS",
    "NAME_KEY",
    "Change",
    "Create",
    "Delete",
    "Exported",
    "LinkFile",
    "LinkFileError",
    "LinkSpec",
    "Plan",
    "Step",
    "Update",
    "Wanted",
    "carry_out",
    "differences",
    "make_plan",
    "read_link_file",
    "same_url",
    "wanted_links",
    "write_link_file",
]
