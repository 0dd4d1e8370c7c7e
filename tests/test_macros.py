"""The macros, rendered whole, as a host's own templates use them."""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask, render_template_string

from storefront import LinkError, Storefront, UnknownReference, Visitor
from storefront.emulator import LocalPolar
from tests.conftest import SiteMaker

IMPORT = '{% from "storefront/macros.html" import buy_button, buy_link, product_card, price %}'
EBOOK_LINK = "polar_cl_HMagtGvqBLrS3r0QHUXTbxsVn4CflrIuT5aDa3IQbPI"
PLANS_LINK = "polar_cl_qWoBVICQ84jHN3FtxSFzfVAM7VTPtFT629JLE1G842T"


def render(app: Flask, template: str, path: str = "/", **context: object) -> str:
    with app.test_request_context(path):
        return render_template_string(IMPORT + template, **context)


def test_button_is_the_link_itself(reference_polar: LocalPolar, site: Flask) -> None:
    """A plain button leads to the checkout link, and needs no script."""
    assert render(site, '{{ buy_button("ebook-fast-apis") }}') == (
        '<a class="storefront-button" '
        f'href="{reference_polar.url}/v1/checkout-links/{EBOOK_LINK}/redirect" rel="nofollow" '
        'aria-label="Buy Now: Ebook: Fast APIs">Buy Now</a>'
    )


def test_button_with_everything(reference_polar: LocalPolar, site: Flask) -> None:
    """Every argument ends up in the link's query, encoded exactly."""
    html = render(
        site,
        """{{ buy_button("ebook-fast-apis", label="Get <it>", class="big", email=user.email,
             name=user.name, utm={"source": "newsletter", "campaign": "a&b +c"},
             discount_code="LAUNCH20", locale="fr", theme="dark",
             custom_fields={"github-handle": "octocat", "team_size": "s"},
             reference_id="r 1") }}""",
        user={"email": "jane+x@example.com", "name": "Ján Ďuriš <b>"},
    )
    assert html.startswith('<a class="storefront-button big" href="')
    assert html.endswith('rel="nofollow">Get &lt;it&gt;</a>')
    href = html.split('href="')[1].split('"')[0].replace("&amp;", "&")
    assert dict(parse_qsl(urlsplit(href).query)) == {
        "customer_email": "jane+x@example.com",
        "customer_name": "Ján Ďuriš <b>",
        "discount_code": "LAUNCH20",
        "locale": "fr",
        "custom_field_data.github-handle": "octocat",
        "custom_field_data.team_size": "s",
        "reference_id": "r 1",
        "utm_source": "newsletter",
        "utm_campaign": "a&b +c",
        "theme": "dark",
    }


def test_button_chooses_among_a_links_products(site: Flask) -> None:
    """A link with several products says which one is meant, by label, id or product."""
    yearly = "product_id=3a3ea65f-f329-4e34-aac4-1a4939a4a4fa"
    for template in (
        '{{ buy_button("Pro plans", product="pro-yearly") }}',
        '{{ buy_button("7cf4f546-f30a-4c1b-9f6b-f92a792c0463", '
        'product="3a3ea65f-f329-4e34-aac4-1a4939a4a4fa") }}',
        '{{ buy_button("pro-monthly", product="pro-yearly") }}',
        '{{ buy_button("pro-yearly") }}',
    ):
        html = render(site, template)
        assert PLANS_LINK in html
        assert yearly in html


def test_private_product_is_sold_by_macro(site: Flask) -> None:
    """A private product has no page, and a button sells it all the same."""
    assert 'href="http' in render(site, '{{ buy_button("private-product") }}')
    card = render(site, '{{ product_card("private-product") }}')
    assert "/shop/products/" not in card
    assert "$10.00" in card


def test_visitor_fills_what_is_not_given(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """What the template does not say comes from the visitor, where it is any good."""
    shop = Storefront()
    who = [Visitor(email="v@example.com", name="V", reference_id="ref-9", locale="de")]
    shop.visitor(lambda: who[0])
    app = make_site(reference_polar, shop=shop)
    html = render(app, '{{ buy_button("ebook-fast-apis", name="Given") }}', "/?utm_source=page")
    assert "customer_email=v%40example.com" in html
    assert "customer_name=Given" in html
    assert "reference_id=ref-9" in html
    assert "locale=de" in html
    assert "utm_source=page" in html
    html = render(
        app,
        '{{ buy_button("ebook-fast-apis", email="g@example.com", utm={"source": "given"}) }}',
        "/?utm_source=page",
    )
    assert "g%40example.com" in html
    assert "v%40example.com" not in html
    assert "utm_source=given" in html
    assert "utm_source=page" not in html
    who[0] = Visitor(email="not an email", name="a\0b")
    html = render(app, '{{ buy_button("ebook-fast-apis") }}')
    assert html.count("?") == 0


def test_visitor_of_the_wrong_kind(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A visitor function that returns something else is told what to return."""
    shop = Storefront()
    shop.visitor(lambda: {"email": "x"})  # type: ignore[arg-type,return-value]
    app = make_site(reference_polar, shop=shop)
    with pytest.raises(TypeError, match=r"dict; it has to return a storefront\.Visitor"):
        render(app, '{{ buy_button("ebook-fast-apis") }}')


def test_mistakes_raise_in_development(site: Flask) -> None:
    """In development an unknown reference and a value that can't be right raise."""
    with pytest.raises(UnknownReference, match="'nope'"):
        render(site, '{{ buy_button("nope") }}')
    with pytest.raises(UnknownReference, match="'nope'"):
        render(site, '{{ price("nope") }}')
    with pytest.raises(LinkError, match="customer_email"):
        render(site, '{{ buy_button("ebook-fast-apis", email="nobody") }}')
    with pytest.raises(LinkError, match="medium"):
        render(site, '{{ buy_button("ebook-fast-apis", utm={"src": "x"}) }}')
    with pytest.raises(LinkError, match="amount"):
        render(site, '{{ buy_button("ebook-fast-apis", amount=100) }}')


def test_mistakes_cost_no_page_in_production(
    reference_polar: LocalPolar, make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    """In production the button is disabled or goes without the value, and the log says why."""
    app = make_site(reference_polar, TESTING=False, STOREFRONT_SYNC_ON_START=False)
    with caplog.at_level(logging.WARNING, "storefront"):
        assert render(app, '{{ buy_button("nope", label="Buy") }}') == (
            '<button class="storefront-button" type="button" disabled>Buy</button>'
        )
        assert "'nope'" in caplog.text
        assert render(app, '{{ buy_link("nope", "Buy") }}') == (
            '<span class="storefront-link">Buy</span>'
        )
        assert render(app, '{{ price("nope") }}{{ product_card("nope") }}') == ""
        html = render(
            app, '{{ buy_button("ebook-fast-apis", email="nobody", utm={"source": "x"}) }}'
        )
        assert html.split('href="')[1].split('"')[0].endswith("/redirect?utm_source=x")
        assert "customer_email" in caplog.text
        html = render(app, '{{ buy_button("ebook-fast-apis", utm={"src": "x"}) }}')
        assert "/redirect" in html


def test_unavailable_catalogue_costs_no_page(
    reference_polar: LocalPolar, make_site: SiteMaker
) -> None:
    """A host's page renders with a disabled button when the catalogue can't be had."""
    reference_polar.stop()
    app = make_site(reference_polar, STOREFRONT_PAGE_TIMEOUT_SECONDS=0.5)
    assert "disabled" in render(app, '{{ buy_button("ebook-fast-apis") }}{{ price("x") }}')


def test_a_product_without_a_link(site: Flask) -> None:
    """A product that no link sells has a disabled button."""
    assert "disabled" in render(site, '{{ buy_button("usage-plan") }}')


def test_link_price_and_card(reference_polar: LocalPolar, site: Flask) -> None:
    """buy_link is plain text with the link, price a span, product_card an article."""
    assert render(site, '{{ buy_link("ebook-fast-apis") }}') == (
        '<a class="storefront-link" '
        f'href="{reference_polar.url}/v1/checkout-links/{EBOOK_LINK}/redirect" rel="nofollow">'
        "Ebook: Fast APIs</a>"
    )
    assert render(site, '{{ price("pro-monthly") }}') == (
        '<span class="storefront-price">$19.00 per month</span>'
    )
    card = render(site, '{{ product_card("ebook-fast-apis", utm={"source": "home"}) }}')
    assert card.startswith('<article class="storefront storefront-card">')
    assert '<a href="/shop/products/ebook-fast-apis">Ebook: Fast APIs</a>' in card
    assert "/redirect?utm_source=home" in card


def test_macros_without_the_pages(reference_polar: LocalPolar, make_site: SiteMaker) -> None:
    """A site that never registers the blueprint has the macros; cards lead straight to checkout."""
    app = make_site(reference_polar, pages=False)
    card = render(app, '{{ product_card("ebook-fast-apis") }}')
    assert "/shop/" not in card
    assert "/redirect" in card
    assert app.test_client().get("/shop/").status_code == 404


def test_buy_url_in_code(site: Flask) -> None:
    """shop.buy_url gives the same URL as the macro."""
    shop = Storefront()
    with site.test_request_context("/?utm_source=x"):
        url = shop.buy_url("ebook-fast-apis", email="a@example.com", utm={"medium": "m"})
        assert url in render_template_string(
            IMPORT
            + '{{ buy_button("ebook-fast-apis", email="a@example.com", utm={"medium": "m"}) }}'
        ).replace("&amp;", "&")
        with pytest.raises(UnknownReference, match="usage-plan"):
            shop.buy_url("usage-plan")
    with site.app_context():
        assert shop.buy_url("ebook-fast-apis").endswith("/redirect")
