"""The stages of a Dockerfile, as far as ours uses its language."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """A stage: its name, the stage or image that it begins from, and its instructions in order."""

    name: str
    begins_from: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        """The last instruction of this kind in this stage, None if there is none."""
        return next(
            (rest for word, rest in reversed(self.instructions) if word == instruction), None
        )


def stages_of(dockerfile: Path) -> dict[str, Stage]:
    """The stages by their names, in order. Arguments before the first FROM are left out."""
    text = re.sub(r"(?m)^\s*#.*\n", "", dockerfile.read_text())
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            current = stages[name] = Stage(name, image)
        elif word and current is not None:
            current.instructions.append((word, rest))
    return stages


def variables(rest: str) -> dict[str, str]:
    """The variables of an ENV, ARG or LABEL."""
    return dict(part.split("=", 1) for part in shlex.split(rest) if "=" in part)


def words(rest: str) -> list[str]:
    """The words of a CMD in the form of JSON."""
    found: list[str] = json.loads(rest)
    return found
