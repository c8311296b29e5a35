"""The tutorial's page: what runs, in which order, and that writing it changes outputs alone."""

import re
from html import unescape
from itertools import count

import pytest

from e2e.lab.command import Job, Result
from e2e.tutorial.expectations import EXPECTATIONS
from e2e.tutorial.page import (
    Action,
    Dialogue,
    Exchange,
    FileText,
    PageError,
    parse,
    render,
    shown,
    steps,
    with_outputs,
)
from e2e.tutorial.picture import draw
from e2e.tutorial.stage import Expect, Outputs, Stage
from tidy.project import ROOT

PAGE = """# A page

<!-- file: vm10 /etc/x.conf -->
```
Key=1
```

<!-- check: looks -->
```console
vm10# look
seen
vm11# look -l
one
two
```

Prose with a `command`.

<!-- start: copy -->
```console
vm12# dd
```

<!-- action: panic vm10 -->

<!-- wait: copy -->
```console
vm12# dd
done
```

```
no command
```
"""


def tutorial() -> str:
    return (ROOT / "docs" / "tutorial.md").read_text("utf-8")


def words_of(picture: str) -> str:
    return "".join(unescape(words) for words in re.findall(r"<text [^>]*>([^<]*)</text>", picture))


def test_a_page_is_its_steps_in_order() -> None:
    assert steps(parse(PAGE)) == (
        FileText("vm10", "/etc/x.conf", "Key=1\n", append=False),
        Dialogue(
            "check",
            "looks",
            (Exchange("vm10", "look", ("seen",)), Exchange("vm11", "look -l", ("one", "two"))),
        ),
        Dialogue("start", "copy", (Exchange("vm12", "dd"),)),
        Action(("panic", "vm10")),
        Dialogue("wait", "copy", (Exchange("vm12", "dd", ("done",)),)),
    )


def test_writing_a_page_changes_outputs_alone() -> None:
    assert render(parse(PAGE)) == PAGE
    fresh = render(with_outputs(parse(PAGE), {1: ("three",), 3: ("finished", "")}))
    assert fresh == PAGE.replace("one\ntwo", "three").replace("done", "finished")


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("```console\nvm10# look\n```\n", "line 1: a console block without a directive"),
        ("<!-- check: a -->\ntext\n", "line 2: a block must follow"),
        ("<!-- check: a -->\n", "the page ends after"),
        ("<!-- check: a -->\n```\nvm10# look\n```\n", "a console block"),
        ("<!-- check: a -->\n```console\nseen\n```\n", "begins with a prompt"),
        ("<!-- check: a -->\n```console\n```\n", "without a command"),
        ("<!-- start: a -->\n```console\nvm10# a\nvm10# b\n```\n", "takes one command"),
        ("<!-- file: /etc/x -->\n```\na\n```\n", "a file needs a host and a path"),
        ("<!-- check: a -->\n```console\nvm10# look\n", "the block never ends"),
    ],
)
def test_a_page_that_would_leave_something_untested_is_refused(page: str, told: str) -> None:
    with pytest.raises(PageError, match=told):
        parse(page)


def test_output_is_shown_as_a_terminal_leaves_it() -> None:
    assert shown(["0/64\b\b\b\b    \b\b\b\bdone  ", "10%\r50%\r100%\r", "", ""]) == ("done", "100%")


def test_the_tutorial_and_its_expectations_name_each_other() -> None:
    pieces = parse(tutorial())
    dialogues = [step for step in steps(pieces) if isinstance(step, Dialogue)]
    checked = [dialogue.name for dialogue in dialogues if dialogue.verb in {"check", "wait"}]
    assert sorted(checked) == sorted(EXPECTATIONS)
    assert render(pieces) == tutorial()


def test_the_tutorial_shows_what_its_expectations_ask_for() -> None:
    dialogues = [step for step in steps(parse(tutorial())) if isinstance(step, Dialogue) and step.verb != "start"]
    for dialogue in dialogues:
        EXPECTATIONS[dialogue.name].holds([exchange.output for exchange in dialogue.exchanges])


def test_the_picture_shows_what_the_tutorial_shows() -> None:
    dialogues = [step for step in steps(parse(tutorial())) if isinstance(step, Dialogue)]
    picture = (ROOT / "docs" / "images" / "dd-across-a-death.svg").read_text("utf-8")
    assert words_of(picture) == words_of(draw(dialogues))
    assert "600+0\xa0records\xa0out" in words_of(picture)
    assert "url(" not in picture.replace("url(#", "")


class Talker:
    """A host that answers from a script."""

    name = "vm10"

    def __init__(self, *answers: Result) -> None:
        self.answers = iter(answers)
        self.asked: list[str] = []

    def run(self, command: str, *, check: bool = True, timeout_s: float = 60) -> Result:
        self.asked.append(command)
        return next(self.answers)

    def spawn(self, command: str) -> Job:
        raise NotImplementedError


def dialogue(*exchanges: Exchange) -> Dialogue:
    return Dialogue("check", "looks", exchanges)


def test_a_command_that_fails_fails_its_step() -> None:
    stage = Stage({"vm10": Talker(Result(1, "no"))}, {"looks": Expect(lambda _: None)}, {})
    with pytest.raises(AssertionError, match="status 1\nno"):
        stage.perform(dialogue(Exchange("vm10", "look")))


def test_an_expectation_is_tried_until_it_holds() -> None:
    seen = count()

    def third_time(outputs: Outputs) -> None:
        assert next(seen) == 2, outputs

    host = Talker(*(Result(0, f"{number}\n") for number in range(3)))
    stage = Stage({"vm10": host}, {"looks": Expect(third_time, within_s=60)}, {})
    stage.perform(dialogue(Exchange("vm10", "look")))
    assert stage.outputs == {0: ("2",)}


def test_an_expectation_that_never_holds_fails_its_step() -> None:
    def never(outputs: Outputs) -> None:
        raise AssertionError(outputs)

    stage = Stage({"vm10": Talker(Result(0, "x"))}, {"looks": Expect(never)}, {})
    with pytest.raises(AssertionError):
        stage.perform(dialogue(Exchange("vm10", "look")))


def test_hosts_are_told_the_names_of_this_run_and_the_page_keeps_its_own() -> None:
    host = Talker(Result(0, "made /dev/loop7"))
    expect = Expect(lambda _: None)
    stage = Stage({"vm10": host}, {"looks": expect}, {}, {"vm10": {"/dev/loop0": "/dev/loop7"}})
    stage.perform(dialogue(Exchange("vm10", "add /dev/loop0")))
    assert host.asked == ["add /dev/loop7"]
    assert stage.outputs == {0: ("made /dev/loop0",)}
