"""Invoices: one page of PDF, written by hand, since nothing else here needs a library for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from werkzeug.wrappers import Request, Response

from storefront.emulator.records import Body
from storefront.emulator.services import Services
from storefront.emulator.wording import day, money

#: How far the text is from the left and the amounts are from it, in points on A4.
_LEFT: Final = 72
_AMOUNTS: Final = 430
_TOP: Final = 760


def show_invoice(services: Services, request: Request, values: Mapping[str, str]) -> Response:
    """The invoice of an order, once it was asked for. The order's id is the key to it.

    :raises NotFoundError: no such order.
    :raises InvoiceMissingError: it was not asked for, or is not drawn up yet.
    """
    store = services.store
    with store.lock:
        services.orders.check_invoice(values["id"])
        order = services.orders.get(values["id"])
        customer = services.customers.get(order["customer_id"])
        content = draw_invoice(order, customer, str(store.organization["name"]))
    response = Response(content, content_type="application/pdf")
    response.headers.update(
        {
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'inline; filename="{order["invoice_number"]}.pdf"',
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        }
    )
    return response


def draw_invoice(order: Body, customer: Body, seller: str) -> bytes:
    """An invoice as PDF."""
    currency = order["currency"]
    address = order["billing_address"] or {}
    place = " ".join(filter(None, (address.get("postal_code"), address.get("city"))))
    buyer = [order["billing_name"], customer["email"], address.get("line1"), place]
    buyer += [address.get("state"), address.get("country")]
    lines: list[tuple[str, str, int]] = [
        (f"Invoice {order['invoice_number']}", "", 20),
        (f"{seller}, {day(order['created_at'])}", "", 11),
        ("", "", 11),
        *((line, "", 11) for line in buyer if line),
        ("", "", 11),
        *((item["label"], money(item["amount"], currency), 11) for item in order["items"]),
    ]
    if order["discount_amount"]:
        lines.append(("Discount", money(-order["discount_amount"], currency), 11))
    lines.append(("Total", money(order["total_amount"], currency), 13))
    lines += [("", "", 11), ("From a local Polar: no real money has moved.", "", 9)]
    return _pdf(lines)


def _pdf(lines: list[tuple[str, str, int]]) -> bytes:
    drawn, height = [], _TOP
    for text, amount, size in lines:
        for words, left in ((text, _LEFT), (amount, _AMOUNTS)):
            if words:
                drawn.append(
                    b"BT /F1 %d Tf %d %d Td (%s) Tj ET" % (size, left, height, _string(words))
                )
        height -= size + 9
    content = b"\n".join(drawn)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R "
        b"/Resources << /Font << /F1 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    file, places = bytearray(b"%PDF-1.4\n"), []
    for number, item in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return bytes(file + b"startxref\n%d\n%%%%EOF\n" % table)


def _string(text: str) -> bytes:
    """Text inside a PDF's parentheses: Western letters, anything else as a question mark."""
    plain = text.encode("cp1252", "replace")
    return plain.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
