"""What a run finds."""


class Wrong(Exception):  # noqa: N818 - what a run finds is a finding, not an error of the run
    """The pair broke a promise. ``promise``: its number; ``story``: what is known about it, several lines."""

    def __init__(self, promise: str, what: str, story: str = "") -> None:
        super().__init__(promise, what)
        self.promise = promise
        self.what = what
        self.story = story

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"
