"""The site of the proofs about orders: each order leaves a row, and a line in a file.

The row is written through the ledger's transaction, the line outside of it. `SITE_KILLS` is as for
`site.py`; its points are `order-begun`, `order-line`, `order-row`, `order-commit` (everything is
done, nothing committed) and `order-committed`. `SITE_SLEEP` are seconds that an order takes.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from flask import Flask

from storefront import Fulfilment, Storefront, get_state
from tests.faults.site import kill_point

POINTS: Final = ("order-begun", "order-line", "order-row", "order-commit", "order-committed")
rows = sa.Table(
    "order_rows",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("order_id", sa.String(64)),
)


def fulfil(fulfilment: Fulfilment) -> None:
    """What the site does for an order."""
    kill_point("order-begun")
    time.sleep(float(os.environ.get("SITE_SLEEP", "0")))
    line = f"{fulfilment.order.order_id} {fulfilment.idempotency_key}\n"
    descriptor = os.open(
        Path(os.environ["SITE_FOLDER"]) / "lines.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND
    )
    os.write(descriptor, line.encode())  # one write: whole, or not at all
    os.close(descriptor)
    kill_point("order-line")
    fulfilment.connection.execute(rows.insert().values(order_id=fulfilment.order.order_id))
    kill_point("order-row")
    fulfilment.connection.info["is_fulfilment"] = True


def _before_commit(connection: sa.Connection) -> None:
    if connection.info.get("is_fulfilment"):
        kill_point("order-commit")


def _after_commit(connection: Any, record: Any) -> None:
    if record.info.pop("is_fulfilment", False):
        kill_point("order-committed")


def create_app() -> Flask:
    """The site; its settings come from the environment."""
    logging.basicConfig(
        level=logging.INFO, format="[%(process)d] %(levelname)s %(name)s: %(message)s"
    )
    sa.event.listen(sa.Engine, "commit", _before_commit)
    sa.event.listen(sa.Pool, "checkin", _after_commit)
    app = Flask(__name__, instance_path=os.environ["SITE_FOLDER"])
    app.config["SECRET_KEY"] = "signs who bought"
    shop = Storefront(app)
    shop.on_order(fulfil)
    app.register_blueprint(shop.blueprint, url_prefix="/shop")
    with get_state(app).database.writing() as connection:
        rows.create(connection, checkfirst=True)

    @app.get("/control")
    def control() -> str:
        """What tells that it is there."""
        return "control"

    return app
