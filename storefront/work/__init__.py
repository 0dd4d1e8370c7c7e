"""Work that outlives a request, a process and a failure: a queue in the database."""

from storefront.work.job import Job, Postpone, Waiting
from storefront.work.queue import WorkQueue

__all__ = ["Job", "Postpone", "Waiting", "WorkQueue"]
