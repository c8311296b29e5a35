"""The state table of docs/protocols/brain.md, made from the code: every situation, every event, what comes of it."""

from collections.abc import Callable

from twindisk.brain import effects as ef
from unit.brain.one_node import M1, SITUATIONS, OneNode, events

Row = tuple[str, str, str]


def _effect_word(effect: ef.Effect) -> str:
    if isinstance(effect, ef.GoAlone):
        return "GoAlone (fenced)" if effect.fenced else "GoAlone (lease)"
    if isinstance(effect, ef.Attach):
        return f"Attach ({effect.role}, {effect.sync})"
    if isinstance(effect, ef.StopServing):
        return f"StopServing ({effect.state})"
    if isinstance(effect, ef.StartTimer | ef.CancelTimer):
        return f"{type(effect).__name__} ({effect.timer.kind})"
    if isinstance(effect, ef.Answer):
        return f"Answer ({effect.refusal or 'yes'})"
    return type(effect).__name__


def _outcome(node: OneNode, effects: tuple[ef.Effect, ...]) -> tuple[str, str]:
    phase = node.phase().value if M1 in node.state.vdisks else "(gone)"
    return phase, ", ".join(_effect_word(effect) for effect in effects)


def rows(make: Callable[[], OneNode]) -> list[Row]:
    """Return the rows of one situation: the events that change or do something."""
    found = []
    for name, event in events().items():
        node = make()
        before = node.phase().value
        phase, effects = _outcome(node, node.does(event))
        if phase != before or effects:
            found.append((name, phase if phase != before else "", effects))
    return found


def render() -> str:
    """Return the table as Markdown."""
    parts = []
    for situation, make in SITUATIONS.items():
        parts.append(f"### {situation}\n\n| event | to | effects |\n| --- | --- | --- |")
        parts.extend(f"| {event} | {phase} | {effects} |" for event, phase, effects in rows(make))
        parts.append("")
    return "\n".join(parts)
