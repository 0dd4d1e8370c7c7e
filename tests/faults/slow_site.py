"""A site whose own functions take half a minute, one of them with a transaction open."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from flask import Flask

from storefront import Fulfilment, Storefront, get_state
from storefront.signals import webhook_received

#: What it writes before it sleeps.
written = sa.Table("slow_site", sa.MetaData(), sa.Column("key", sa.String(64)))
#: Has a line for each order that was begun, in the site's folder.
BEGUN: Final = "begun.txt"
_SLEEP = 30.0


def write_and_sleep(fulfilment: Fulfilment) -> None:
    """What a callback may do at its worst: it holds SQLite's only pen."""
    fulfilment.connection.execute(written.insert().values(key=fulfilment.idempotency_key))
    with (Path(os.environ["SITE_FOLDER"]) / BEGUN).open("a") as file:
        file.write(f"{fulfilment.order.order_id}\n")
    time.sleep(_SLEEP)


def listen(sender: Flask, event: Any, **_: object) -> None:
    """A receiver that is slow at times."""
    if event.type == "subscription.updated":
        time.sleep(_SLEEP)


def create_app() -> Flask:
    """The site; its settings come from the environment."""
    logging.basicConfig(level=logging.INFO)
    app = Flask(__name__, instance_path=os.environ["SITE_FOLDER"])
    shop = Storefront(app)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    shop.on_order(write_and_sleep)
    with get_state(app).database.writing() as connection:
        written.create(connection, checkfirst=True)
    webhook_received.connect(listen, app)
    return app
