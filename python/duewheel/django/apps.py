"""The application as Django lists it."""

from django.apps import AppConfig


class DuewheelConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Name it: it has no models."""

    name = "duewheel.django"
    label = "duewheel"
    verbose_name = "duewheel"
