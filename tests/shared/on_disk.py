"""What lies in a directory."""


def files(place):
    return sorted(file.name for file in place.iterdir())


def modes(place):
    return {file.name: file.stat().st_mode & 0o777 for file in place.iterdir()}
