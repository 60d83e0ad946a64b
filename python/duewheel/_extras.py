"""Say which extra of the package brings what a module needs."""

from __future__ import annotations


def missing(module: str, package: str, extra: str, error: ImportError) -> ImportError:
    """Return the error that says how to get what `module` of this package could not import."""
    return ImportError(
        f"{module} needs {package}, which cannot be imported ({error}): pip install '{extra}'",
        name=error.name,
        path=error.path,
    )
