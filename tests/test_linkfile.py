"""Links as code, in pure functions: the file, the plan, and that doing it leaves nothing to do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storefront.errors import UnknownReference
from storefront.linkfile import (
    NAME_KEY,
    LinkFileError,
    LinkSpec,
    Plan,
    Wanted,
    make_plan,
    read_link_file,
    same_url,
    wanted_links,
    write_link_file,
)
from storefront.linkfile.plan import AdoptionError
from storefront.linkfile.spec import patch
from storefront.polar import LINK_KEY, CheckoutLink, Product

SITE = "https://shop.example.com/success?checkout_id={CHECKOUT_ID}"
PRODUCTS = {"pro": "p1", "ebook": "p2", "course": "p3"}
SLUGS = {id_: slug for slug, id_ in PRODUCTS.items()}
DISCOUNTS = {"LAUNCH20": "d1", "SPRING": "d2"}


def resolve(names: dict[str, str]) -> Any:
    """Finds an id by a name."""

    def find(name: str) -> str:
        if name not in names:
            raise UnknownReference(name, f"There is no {name!r}.")
        return names[name]

    return find


def wanted(text: str, environment: str = "sandbox") -> tuple[Wanted, ...]:
    """What a file wants."""
    return wanted_links(
        read_link_file(text, "links.yaml"),
        environment,
        product=resolve(PRODUCTS),
        discount=resolve(DISCOUNTS),
        success_url=lambda: SITE,
    )


def carried_out(plan: Plan, links: list[CheckoutLink]) -> list[CheckoutLink]:
    """The links after a plan, as Polar would have them."""
    after = {link.id: link for link in links}
    for create in plan.creates:
        made = link_of(f"new-{create.name}", create.spec)
        after[made.id] = msgspec.structs.replace(made, metadata={**made.metadata, LINK_KEY: "k"})
    for update in plan.updates:
        changed = patch(update.link, update.spec)
        if "products" in changed:
            changed["products"] = tuple(Product(id=id_) for id_ in changed["products"])
        after[update.link.id] = msgspec.structs.replace(update.link, **changed)
    for delete in plan.deletes:
        del after[delete.link.id]
    return list(after.values())


def link_of(id_: str, spec: LinkSpec) -> CheckoutLink:
    """A link that is made so."""
    values = spec.values()
    values["products"] = tuple(Product(id=product) for product in spec.products)
    values["metadata"] = dict(spec.metadata)
    return CheckoutLink(id=id_, **values)


# The file


def test_a_whole_file() -> None:
    """Each key of a link becomes its field."""
    (only,) = wanted(
        """
links:
  spring:
    products: [pro, ebook]
    label: Spring
    discount: LAUNCH20
    allow_discount_codes: false
    require_billing_address: true
    success_url: site
    return_url: https://shop.example.com/
    trial: 14 days
    seats: 5
    units: 7
    metadata: {utm_source: spring, n: 1, x: 1.5, yes: true, day: 2026-01-01}
    adopt: 7c936ae5-b2f3-4805-ae19-894af83511c8
"""
    )
    assert only == Wanted(
        "spring",
        LinkSpec(
            products=("p1", "p2"),
            label="Spring",
            discount_id="d1",
            allow_discount_codes=False,
            require_billing_address=True,
            success_url=SITE,
            return_url="https://shop.example.com/",
            trial_interval="day",
            trial_interval_count=14,
            seats=5,
            units=7,
            metadata={
                "utm_source": "spring",
                "n": 1,
                "x": 1.5,
                "yes": True,
                "day": "2026-01-01",
                NAME_KEY: "spring",
            },
        ),
        "7c936ae5-b2f3-4805-ae19-894af83511c8",
        3,
    )


def test_environments() -> None:
    """An environment replaces what it names, and `only` leaves a link out elsewhere."""
    text = """
links:
  a:
    products: pro
    label: All
    discount: LAUNCH20
    environments:
      sandbox: {label: Sandbox, products: [ebook], discount: null}
  b:
    products: pro
    only: [production]
"""
    (sandbox,) = wanted(text)
    assert sandbox.spec == LinkSpec(products=("p2",), label="Sandbox", metadata={NAME_KEY: "a"})
    production = wanted(text, "production")
    assert [each.name for each in production] == ["a", "b"]
    assert production[0].spec.discount_id == "d1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "links.yaml: empty: the key 'links' is needed"),
        ("a: b: c", "links.yaml:1: no YAML: mapping values are not allowed here"),
        ("links:\n  a: [\n", "links.yaml:3: no YAML"),
        ("links:\n\t- a", "links.yaml:2: no YAML: found character"),
        ("links: {}\n---\nlinks: {}", "links.yaml:2: no YAML"),
        ("links:\n  a:\x00", "links.yaml:2: no YAML: it has a character"),
        ("[" * 5000, "links.yaml: nested too deeply"),
        ("- a", "links.yaml:1: the file has to be a mapping"),
        ("lynks: {}", "links.yaml:1: the file has no key 'lynks'; there are links"),
        ("links: [a]", "links.yaml:1: 'links' has to be a mapping"),
        ("links:\n  a: 5", "links.yaml:2: the link 'a' has to be a mapping"),
        ("links:\n  a b:\n    products: pro", "links.yaml:2: 'a b' can't be a name"),
        ("links:\n  a:\n    label: x", "links.yaml:2: the link 'a' lacks the key 'products'"),
        (
            "links:\n  a: {products: pro}\n  b: {products: pro}\n  a: {products: pro}",
            "links.yaml:4: 'links': 'a' is there twice, first on line 2",
        ),
        ("links:\n  a:\n    prodcts: x", "links.yaml:3: the link 'a' has no key 'prodcts'; there"),
        ("links:\n  a:\n    products: []", "links.yaml:3: products: at least one is needed"),
        ("links:\n  a:\n    products: [pro, pro]", "links.yaml:3: products: the same one is"),
        ("links:\n  a:\n    products: [[pro]]", "links.yaml:3: products: a list of names"),
        ("links:\n  a:\n    products:\n    - pro\n    - nope", "links.yaml:4: products: There is"),
        ("links:\n  a: {products: pro, label: 5}", "links.yaml:2: label: '5' is no text; put it"),
        ("links:\n  a: {products: pro, label: no}", "links.yaml:2: label: 'no' is no text; put"),
        ("links:\n  a: {products: pro, label: [x]}", "links.yaml:2: label: one value is needed"),
        ("links:\n  a: {products: pro, label: !x y}", "links.yaml:2: label: the tag !x means"),
        ("links:\n  a: {products: pro, discount: X}", "links.yaml:2: discount: There is no 'X'."),
        (
            "links:\n  a: {products: pro, allow_discount_codes: maybe}",
            "links.yaml:2: allow_discount_codes: must be True or False",
        ),
        (
            "links:\n  a: {products: pro, allow_discount_codes: null}",
            "links.yaml:2: allow_discount_codes: must be True or False: Polar fails on None",
        ),
        (
            "links:\n  a:\n    products: pro\n    success_url: /thanks",
            "links.yaml:4: success_url: must be a whole http or https URL",
        ),
        (
            "links:\n  a:\n    products: pro\n    success_url: https://x.example/{checkout_id}",
            "links.yaml:4: success_url: has '{checkout_id}'",
        ),
        ("links:\n  a: {products: pro, trial: 14}", "links.yaml:2: trial: '14' is no duration"),
        ("links:\n  a: {products: pro, trial: 0 days}", "links.yaml:2: trial: must be a whole"),
        ("links:\n  a: {products: pro, seats: 1.5}", "links.yaml:2: seats: must be a whole number"),
        ("links:\n  a: {products: pro, metadata: x}", "links.yaml:2: 'metadata' has to be"),
        (
            "links:\n  a:\n    products: pro\n    metadata:\n      b:",
            "links.yaml:5: metadata: the value of 'b' must be a string, an int",
        ),
        (
            "links:\n  a: {products: pro, metadata: {b: .inf}}",
            "links.yaml:2: metadata: the value of 'b' is inf",
        ),
        (
            "links:\n  a: {products: pro, metadata: {storefront_name: x}}",
            "links.yaml:2: metadata: 'storefront_name' is the shop's own",
        ),
        (
            "links:\n  a: {products: pro, only: [live]}",
            "links.yaml:2: only: there is no environment 'live'; there are production, sandbox",
        ),
        (
            "links:\n  a:\n    products: pro\n    environments: {live: {}}",
            "links.yaml:4: 'environments' has no environment 'live'; there are production",
        ),
        (
            "links:\n  a:\n    products: pro\n    environments:\n      local: {only: [local]}",
            "links.yaml:5: the environment 'local' has no key 'only'",
        ),
    ],
)
def test_a_file_that_is_no_good(text: str, told: str) -> None:
    """What is wrong is told with its line, and what would be right."""
    with pytest.raises(LinkFileError) as caught:
        wanted(text)
    assert str(caught.value).startswith(told)


def test_aliases_do_no_harm() -> None:
    """A file that would grow without end, and one that holds itself, are refused at once."""
    layers = [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(LinkFileError, match="has no key 'b0'"):
        wanted("\n".join(["b0: &b0 x", *layers]))
    with pytest.raises(LinkFileError, match="a list of names"):
        wanted("links:\n  a:\n    products: &p [*p]")


def test_too_much_metadata() -> None:
    """There is room for two pairs of the shop's own."""
    pairs = ", ".join(f"k{number}: 1" for number in range(49))
    with pytest.raises(LinkFileError, match="49 pairs; 48 are the most"):
        wanted(f"links:\n  a: {{products: pro, metadata: {{{pairs}}}}}")


# URLs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://store.example.com", "https://store.example.com/"),
        ("https://Store.Example.com/A", "https://store.example.com/A"),
        ("https://store.example.com:443/", "https://store.example.com/"),
        (
            "https://bücher.example/d?id={CHECKOUT_ID}",
            "https://xn--bcher-kva.example/d?id={CHECKOUT_ID}",
        ),
        ("https://x.example/?id=%7BCHECKOUT_ID%7D", "https://x.example/?id={CHECKOUT_ID}"),
        (
            "https://x.example/th anks/{CHECKOUT_ID}/é?a=x y#f",
            "https://x.example/th%20anks/{CHECKOUT_ID}/%C3%A9?a=x%20y#f",
        ),
    ],
)
def test_urls_as_polar_saves_them(one: str, other: str) -> None:
    """A URL is the same after it was saved. Source: recorded answers, 2026-11-22."""
    assert same_url(one, other)
    assert same_url(other, one)


@pytest.mark.parametrize(
    "other",
    [
        "http://x.example/a",
        "https://x.example/b",
        "https://x.example:8443/a",
        "https://x.example/a?b",
    ],
)
def test_urls_that_differ(other: str) -> None:
    """Scheme, port, path and query tell URLs apart."""
    assert not same_url("https://x.example/a", other)


# The plan


def managed(id_: str, name: str, **values: Any) -> CheckoutLink:
    """A link with a name in its metadata."""
    return link_of(id_, LinkSpec(products=("p1",), metadata={NAME_KEY: name}, **values))


def test_a_plan() -> None:
    """What is missing is made, what differs is changed, and what is nobody's is left alone."""
    text = "links:\n  a: {products: pro}\n  b: {products: pro, label: B}\n  c: {products: pro}"
    links = [
        managed("1", "b", label="old"),
        managed("2", "c"),
        managed("3", "gone"),
        link_of("4", LinkSpec(products=("p1",))),
    ]
    plan = make_plan(wanted(text), links, marker=NAME_KEY)
    assert [create.name for create in plan.creates] == ["a"]
    assert [(update.name, update.changes[0].old) for update in plan.updates] == [("b", "old")]
    assert [update.name for update in plan.unchanged] == ["c"]
    assert [left.name for left in plan.left] == ["gone"]
    assert plan.deletes == ()
    assert plan.unmanaged == 1
    pruned = make_plan(wanted(text), links, marker=NAME_KEY, prune=True)
    assert [delete.link.id for delete in pruned.deletes] == ["3"]


def test_a_name_that_is_there_twice() -> None:
    """The oldest link of a name is it; pruning deletes the other."""
    links = [managed("2", "a"), managed("1", "a")]
    plan = make_plan(wanted("links: {a: {products: pro}}"), links, marker=NAME_KEY, prune=True)
    assert [update.link.id for update in plan.unchanged] == ["1"]
    assert [delete.link.id for delete in plan.deletes] == ["2"]


def test_adoption() -> None:
    """A link that is adopted gets the name, once; one that is not there is made."""
    text = "links:\n  a: {products: pro, adopt: X1}\n  b: {products: pro, adopt: x9}"
    links = [link_of("x1", LinkSpec(products=("p1",)))]
    plan = make_plan(wanted(text), links, marker=NAME_KEY)
    assert [(u.name, u.adopts, [c.field for c in u.changes]) for u in plan.updates] == [
        ("a", True, [f"metadata.{NAME_KEY}"])
    ]
    assert [create.name for create in plan.creates] == ["b"]
    assert not make_plan(wanted(text), carried_out(plan, links), marker=NAME_KEY)


def test_adoption_renames() -> None:
    """A managed link is adopted from a name that the file has no more, and from no other."""
    renamed = "links: {new: {products: pro, adopt: x1}}"
    plan = make_plan(wanted(renamed), [managed("x1", "old")], marker=NAME_KEY, prune=True)
    assert [update.link.id for update in plan.updates] == ["x1"]
    assert plan.deletes == ()
    with pytest.raises(AdoptionError, match="that is 'new'"):
        make_plan(
            wanted("links: {new: {products: pro}, b: {products: pro, adopt: x1}}"),
            [managed("x1", "new")],
            marker=NAME_KEY,
        )
    with pytest.raises(AdoptionError, match="adopted twice"):
        make_plan(
            wanted("links: {a: {products: pro, adopt: x1}, b: {products: pro, adopt: x1}}"),
            [link_of("x1", LinkSpec(products=("p1",)))],
            marker=NAME_KEY,
        )


def test_true_is_not_one() -> None:
    """A flag and a number in the metadata differ, as they do to who reads an order."""
    links = [link_of("1", LinkSpec(products=("p1",), metadata={NAME_KEY: "a", "x": 1}))]
    text = "links: {a: {products: pro, metadata: {x: true}}}"
    assert make_plan(wanted(text), links, marker=NAME_KEY).updates


def test_the_clients_mark_stays() -> None:
    """Metadata is replaced whole, and the pair that the client knows a link by stays in it."""
    made = managed("1", "a")
    made = msgspec.structs.replace(made, metadata={**made.metadata, LINK_KEY: "k"})
    spec = LinkSpec(products=("p1",), metadata={NAME_KEY: "a", "x": 1})
    assert patch(made, spec) == {"metadata": {NAME_KEY: "a", "x": 1, LINK_KEY: "k"}}
    assert patch(made, LinkSpec.of(made)) == {}


# Properties

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
texts = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufeff"), max_size=12
)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    texts.filter(bool),
)
keys = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=8).filter(
    lambda key: key not in (NAME_KEY, LINK_KEY) and not set(key) & set(map(chr, range(127, 160)))
)
trials = st.sampled_from([(None, None), ("day", 1), ("week", 2), ("year", 1000)])


@st.composite
def specs(draw: st.DrawFn) -> LinkSpec:
    """Anything that a link can be."""
    interval, count = draw(trials)
    return LinkSpec(
        products=tuple(draw(st.lists(st.sampled_from(sorted(SLUGS)), min_size=1, unique=True))),
        label=draw(st.none() | texts),
        discount_id=draw(st.none() | st.sampled_from(sorted(DISCOUNTS.values()))),
        allow_discount_codes=draw(st.booleans()),
        require_billing_address=draw(st.booleans()),
        success_url=draw(st.sampled_from([None, SITE, "https://x.example/a?b=%20c"])),
        return_url=draw(st.sampled_from([None, "https://x.example/"])),
        trial_interval=interval,
        trial_interval_count=count,
        seats=draw(st.none() | st.integers(1, 10_000)),
        units=draw(st.none() | st.integers(1, 2**31 - 1)),
        metadata=draw(st.dictionaries(keys, scalars, max_size=4)),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(specs(), max_size=4), st.sets(names, max_size=3))
def test_export_and_plan(existing: list[LinkSpec], taken: set[str]) -> None:
    """What is exported plans nothing but its adoption, and nothing at all after that."""
    links = [link_of(f"id{number}", spec) for number, spec in enumerate(existing)]
    links += [managed(f"m{name}", name) for name in taken]
    codes = {id_: code for code, id_ in DISCOUNTS.items()}
    exported = write_link_file(
        links, slug=SLUGS.__getitem__, discount=codes.__getitem__, success_url=SITE
    )
    assert (exported.links, exported.adopted) == (len(links), len(existing))
    asked = wanted(exported.text)
    plan = make_plan(asked, links, marker=NAME_KEY, prune=True)
    assert {change.field for update in plan.updates for change in update.changes} <= {
        f"metadata.{NAME_KEY}"
    }
    assert (len(plan.updates), plan.creates, plan.deletes) == (len(existing), (), ())
    assert not make_plan(asked, carried_out(plan, links), marker=NAME_KEY, prune=True)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(names, specs(), max_size=4),
    st.dictionaries(names, specs(), max_size=4),
    st.lists(specs(), max_size=2),
)
def test_done_once_is_done(
    old: dict[str, LinkSpec], new: dict[str, LinkSpec], others: list[LinkSpec]
) -> None:
    """After a plan is carried out there is nothing to do, and nobody's links are as they were."""

    def named(specs: dict[str, LinkSpec]) -> list[Wanted]:
        return [
            Wanted(
                name,
                LinkSpec(**{**spec.values(), "metadata": {**spec.metadata, NAME_KEY: name}}),
            )
            for name, spec in specs.items()
        ]

    links = [link_of(f"id-{each.name}", each.spec) for each in named(old)]
    free = [link_of(f"free{number}", spec) for number, spec in enumerate(others)]
    plan = make_plan(named(new), links + free, marker=NAME_KEY, prune=True)
    after = carried_out(plan, links + free)
    assert not make_plan(named(new), after, marker=NAME_KEY, prune=True)
    assert [link for link in after if link.id.startswith("free")] == free
    assert {str(link.metadata.get(NAME_KEY)) for link in after if link not in free} == set(new)
