"""Settings of notifications: where they go, what about, how often."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from providers.settings import EnvironmentSettings
from storage.notifications import Topic


def _topics(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = [part.strip() for part in value.split(",") if part.strip()]
    unknown = sorted(set(names) - set(Topic))
    if unknown or not names:
        raise ValueError(
            f"{', '.join(unknown) or 'nothing'} is no list of topics; choose from {','.join(Topic)}"
        )
    return ",".join(names)


class NotifySettings(EnvironmentSettings):
    """Who is told of what."""

    notify_urls: SecretStr | None = Field(
        None,
        description="Where notifications go: apprise URLs with spaces or line ends between them, "
        "such as `tgram://token/chat`, `slack://…`, `mailto://…`, `json://host/path`. "
        "Unset, nobody is told. They hold keys, so `NOTIFY_URLS_FILE` is the better way.",
    )
    notify_on: Annotated[str, BeforeValidator(_topics)] = Field(
        ",".join(Topic), description="What people are told of, with commas between."
    )
    notify_every: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds between two notifications, from all workers together; what happens "
        "meanwhile is one message.",
    )
    notify_tries: int = Field(
        8, ge=1, le=100, description="Tries before an event is given up, with growing waits."
    )

    @property
    def notify_services(self) -> tuple[str, ...]:
        """The URLs; empty if nobody is to be told."""
        return tuple(self.notify_urls.get_secret_value().split()) if self.notify_urls else ()

    @property
    def notify_topics(self) -> tuple[Topic, ...]:
        """What people are told of."""
        return tuple(Topic(name) for name in self.notify_on.split(","))
