"""A backend for the tasks of Django, version 6.0 and later, and `manage.py duewheel`.

    INSTALLED_APPS = [..., "duewheel.django"]
    TASKS = {"default": {"BACKEND": "duewheel.django.Backend", "OPTIONS": {"storage": BASE_DIR / "jobs.db"}}}

`manage.py duewheel run` is the worker. docs/django.md has the options.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duewheel.django._backend import Backend

__all__ = ["Backend"]


def __getattr__(name: str) -> object:
    """Import the backend when Django asks for it: the application and its command need no tasks of Django."""
    if name == "Backend":
        from duewheel.django._backend import Backend

        return Backend
    raise AttributeError(f"module 'duewheel.django' has no attribute {name!r}")
