"""All attacks, in the order of the rules; those that held before come last."""

from attack import Attack
from attacks import (
    bodies,
    bombs,
    echoes,
    eight,
    files,
    floods,
    gzip_bodies,
    lasting,
    late,
    leavers,
    lists,
    names,
    overload,
    pictures,
    silent,
    smuggling,
    tokens,
    unread,
)

RULES = (
    names,
    late,
    bombs,
    tokens,
    silent,
    leavers,
    unread,
    echoes,
    lists,
    overload,
    smuggling,
    files,
    gzip_bodies,
    floods,
)
HELD = (bodies, pictures, files, lasting)
ALL: list[Attack] = [
    *(attack for module in RULES for attack in module.ATTACKS),
    *(attack for module in HELD for attack in module.HELD),
    *eight.ATTACKS,
]
BY_NAME = {attack.name: attack for attack in ALL}
# Those that take most memory, alone and eight at once: in a container of 2 GB.
HEAVY = (*eight.TOGETHER, "tiny_things", "silent_streams", "many_tokens", "image_bombs", "gzip_bombs", "eight_at_once")
