"""A site whose own functions take half a minute, one of them with a transaction open."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import sqlalchemy as sa
from flask import Flask

from storefront import Storefront, get_state
from storefront.signals import webhook_received
from storefront.work import Job

#: What it writes before it sleeps.
written = sa.Table("slow_site", sa.MetaData(), sa.Column("key", sa.String(64)))
_SLEEP = 30.0


def write_and_sleep(job: Job) -> None:
    """What a callback may do at its worst: it holds SQLite's only pen."""
    job.connection.execute(written.insert().values(key=job.key))
    time.sleep(_SLEEP)


def order_something(sender: Flask, event: Any, **_: object) -> None:
    """For each order there is such a job; and the receiver itself is slow at times."""
    if event.type == "order.paid":
        state = get_state(sender)
        with state.database.writing() as connection:
            state.work.add(connection, "slow", event.id, {})
        state.work.wake()
    if event.type == "subscription.updated":
        time.sleep(_SLEEP)


def create_app() -> Flask:
    """The site; its settings come from the environment."""
    logging.basicConfig(level=logging.INFO)
    app = Flask(__name__, instance_path=os.environ["SITE_FOLDER"])
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    state = get_state(app)
    state.work.register("slow", write_and_sleep)
    with state.database.writing() as connection:
        written.create(connection, checkfirst=True)
    webhook_received.connect(order_something, app)
    return app
