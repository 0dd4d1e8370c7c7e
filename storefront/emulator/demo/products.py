"""What the demo store sells: one product of every kind that there is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from storefront.emulator.demo.objects import (
    benefit,
    custom,
    custom_field,
    fixed,
    installer,
    metered,
    product,
    seats,
    units,
)
from storefront.emulator.records import Body


@dataclass(frozen=True)
class Goods:
    """The products that links and discounts speak of, and all of them in the API's order."""

    desktop: Body
    pro_monthly: Body
    pro_yearly: Body
    sync: Body
    teams: Body
    course: Body
    field_notes: Body
    support: Body
    templates: Body
    credits: Body
    api: Body
    letter: Body
    agency: Body
    all: tuple[Body, ...]
    benefits: tuple[Body, ...]
    files: tuple[Body, ...]
    custom_fields: tuple[Body, ...]


def _text(name: str) -> str:
    return (resources.files(__package__) / "texts" / name).read_text(encoding="utf-8").strip()


def demo_goods() -> Goods:
    """The products, with their benefits and custom fields."""
    license_key = benefit(
        "license",
        "license_keys",
        "Licence key for three computers",
        {
            "prefix": "NORTH",
            "expires": None,
            "activations": {"limit": 3, "enable_customer_admin": True},
            "limit_usage": None,
        },
    )
    files = tuple(
        installer(f"Northlight-{system}") for system in ("macOS.dmg", "Windows.msi", "Linux.tar.gz")
    )
    downloads = benefit(
        "downloads",
        "downloadables",
        "Installers for macOS, Windows and Linux",
        {"archived": {}, "files": [file["id"] for file in files]},
    )
    videos = benefit(
        "videos",
        "custom",
        "Nine lessons to stream or keep",
        {"note": "Your lessons are at <https://northlight.example/quiet/lessons>."},
        is_tax_applicable=True,
    )
    community = benefit(
        "community",
        "custom",
        "A seat in the workshop chat",
        {"note": "Join us at <https://northlight.example/chat>."},
        is_tax_applicable=True,
    )
    storage = benefit(
        "storage",
        "custom",
        "50 GB of encrypted storage",
        {"note": None},
        is_tax_applicable=True,
    )
    roles = benefit("roles", "feature_flag", "Roles and single sign-on", {})

    name_on_licence = custom_field(
        "name-on-licence",
        "text",
        "Name on licence",
        form_label="Name on the licence",
        form_help_text="Shown in the app's About window.",
        max_length=60,
    )
    system = custom_field(
        "operating-system",
        "select",
        "Operating system",
        options=[
            {"value": "mac", "label": "macOS"},
            {"value": "windows", "label": "Windows"},
            {"value": "linux", "label": "Linux"},
        ],
    )
    company = custom_field(
        "company", "text", "Company", form_placeholder="Acme Inc.", min_length=2, max_length=80
    )
    start = custom_field("start-date", "date", "First day", form_label="First day of the team")
    issue = custom_field(
        "first-issue", "number", "First issue", form_label="Begin with issue", ge=1, le=12
    )
    news = custom_field(
        "studio-news", "checkbox", "Studio news", form_label="Write to me when there is news"
    )

    desktop = product(
        "desktop",
        "Northlight for Desktop",
        fixed(4900),
        day=60,
        description=_text("desktop.md"),
        benefits=(license_key, downloads),
        pictures=("desktop-window.svg", "desktop-timeline.svg", "aurora.png"),
        fields=((name_on_licence, False), (system, False), (news, False)),
        metadata={"slug": "northlight", "sku": "NL-DESK", "featured": True, "rank": 1},
    )
    pro_monthly = product(
        "pro-monthly",
        "Pro Monthly",
        fixed(1200),
        day=56,
        every=(1, "month"),
        description="Every Northlight tool on every computer you use. **Cancel any time.**",
        benefits=(license_key, community),
        pictures=("pro-monthly.svg",),
    )
    pro_yearly = product(
        "pro-yearly",
        "Pro Yearly",
        fixed(12000),
        day=55,
        every=(1, "year"),
        description="All of Pro for a year, at the price of ten months.",
        benefits=(license_key, community),
        pictures=("pro-yearly.svg",),
    )
    sync = product(
        "sync",
        "Northlight Sync",
        fixed(600),
        day=52,
        every=(1, "month"),
        trial_days=14,
        description="Your timelines on all your computers, encrypted before they leave one.",
        benefits=(storage,),
        pictures=("sync.svg",),
    )
    teams = product(
        "teams",
        "Pro for Teams",
        seats((2, 10, 1000), (11, 50, 800), (51, None, 600)),
        day=50,
        every=(1, "month"),
        description="Pro for everyone you work with, on one invoice. More seats cost less each.",
        benefits=(license_key, community, roles),
        pictures=("teams.svg",),
        fields=((company, True), (start, False)),
    )
    course = product(
        "course",
        "Quiet Software: the Course",
        fixed(7900),
        fixed(7500, "eur"),
        fixed(6500, "gbp"),
        day=48,
        description=_text("course.md"),
        benefits=(videos, community),
        pictures=("course-dawn.svg", "course-steps.svg"),
        metadata={"slug": "quiet-software", "level": "beginner"},
    )
    field_notes = product(
        "field-notes",
        "Field Notes, a zine",
        custom(minimum=0, preset=500),
        day=44,
        description="Forty pages on making things slowly. Take it for nothing, or pay what it is "
        "worth to you.",
        pictures=("field-notes.svg",),
    )
    support = product(
        "support",
        "Support the Studio",
        custom(minimum=300, maximum=50000, preset=1500),
        day=40,
        description="Buys us an hour, a day or a week of work on the free tools.",
        pictures=("support.svg",),
    )
    templates = product(
        "templates",
        "Starter Templates",
        fixed(0),
        day=38,
        description="Three small projects to begin from.",
        benefits=(downloads,),
        pictures=("templates.svg",),
    )
    credits = product(
        "credits",
        "Render Credits",
        units(
            {"en": {"=1": "credit", "other": "credits"}},
            10,
            (100, "50"),
            (1000, "40"),
            (None, "25"),
        ),
        day=36,
        description="A credit renders one minute of timeline video. They do not expire.",
        pictures=("credits.svg",),
    )
    api = product(
        "api",
        "Northlight API",
        fixed(500),
        metered("API calls", "0.250000000000", cap=50000),
        day=34,
        every=(1, "month"),
        description="Ask your timelines questions from your own programs.",
    )
    letter = product(
        "letter",
        "The Quarterly Letter",
        fixed(1800),
        day=30,
        every=(3, "month"),
        description="A printed letter from the workshop, four times a year.",
        pictures=("letter.svg",),
        fields=((issue, False),),
    )
    stickers = product("stickers", "Sticker Sheet", fixed(800), day=28)
    agency = product(
        "agency",
        "Northlight Agency Edition",
        fixed(39900),
        day=20,
        visibility="private",
        description="For partners who set Northlight up for their own customers.",
        benefits=(license_key, downloads),
    )
    phone = product(
        "phone",
        "Northlight for Phones",
        fixed(1900),
        day=12,
        visibility="draft",
        description="Not before spring.",
    )
    first_edition = product("first-edition", "Northlight 1", fixed(2900), day=2, is_archived=True)
    return Goods(
        desktop=desktop,
        pro_monthly=pro_monthly,
        pro_yearly=pro_yearly,
        sync=sync,
        teams=teams,
        course=course,
        field_notes=field_notes,
        support=support,
        templates=templates,
        credits=credits,
        api=api,
        letter=letter,
        agency=agency,
        all=(
            desktop,
            pro_monthly,
            pro_yearly,
            sync,
            teams,
            course,
            field_notes,
            support,
            templates,
            credits,
            api,
            letter,
            stickers,
            agency,
            phone,
            first_edition,
        ),
        benefits=(license_key, downloads, videos, community, storage, roles),
        files=files,
        custom_fields=(name_on_licence, system, company, start, issue, news),
    )
