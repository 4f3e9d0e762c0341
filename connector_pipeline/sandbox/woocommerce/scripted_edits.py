"""A merchant who edits the shop while somebody reads it: edits by the number of the request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connector_pipeline.sandbox.shops.edits import now
from connector_pipeline.sandbox.shops.records import WooProduct
from connector_pipeline.sandbox.shops.shop import SandboxShop

ACTIONS: Final = (
    "add", "trash", "delete", "restore", "publish", "unpublish", "delete_variation",
)  # fmt: skip


class InvalidScript(ValueError):
    """Edits that nobody can make, with the reason."""


@dataclass(frozen=True, slots=True)
class ScriptedEdit:
    """One edit, made before the `before`-th request from now on is answered (1 is the next).

    `which` chooses among the products that the edit can be made to, the first by id being 0; it
    goes round. Where there is no such product, nothing happens.
    """

    before: int
    action: str
    which: int = 0

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise InvalidScript(f"action {self.action!r}: expected one of {', '.join(ACTIONS)}")


@dataclass(slots=True)
class Script:
    """The edits of one shop. Dates move as they do when a merchant edits by hand."""

    edits: Sequence[ScriptedEdit] = ()
    requests: int = 0
    gone: list[int] = field(default_factory=list[int])

    def before_answer(self, shop: SandboxShop) -> None:
        """Make the edits that are due before the next request is answered."""
        with shop.lock:
            self.requests += 1
            for edit in self.edits:
                if edit.before == self.requests:
                    self._make(shop, edit)

    def _make(self, shop: SandboxShop, edit: ScriptedEdit) -> None:
        if edit.action == "add":
            (added,) = shop.append_products(1, at=now())
            shop.edit_product(added, {"status": "publish"}, at=now())
            return
        if edit.action == "restore":
            if self.gone:
                shop.restore_product(self.gone.pop(edit.which % len(self.gone)), at=now())
            return
        chosen = _chosen(shop, edit)
        if chosen is None:
            return
        if edit.action == "delete_variation":
            shop.remove_variant(chosen.variations[0].id, at=now())
        elif edit.action in ("publish", "unpublish"):
            status = "publish" if edit.action == "publish" else "draft"
            shop.edit_product(chosen.id, {"status": status}, at=now())
        else:
            self.gone.append(chosen.id)
            if edit.action == "trash":
                shop.trash_product(chosen.id, at=now())
            else:
                shop.remove_product(chosen.id)


def _chosen(shop: SandboxShop, edit: ScriptedEdit) -> WooProduct | None:
    wanted = "draft" if edit.action == "publish" else "publish"
    found = [each for each in shop.products() if isinstance(each, WooProduct)]
    found = [each for each in found if each.status == wanted]
    if edit.action == "delete_variation":
        found = [each for each in found if each.type == "variable" and each.variations]
    return found[edit.which % len(found)] if found else None


def script_from_json(body: Sequence[Mapping[str, Any]]) -> Script:
    """Read edits sent over HTTP. Raises InvalidScript, TypeError."""
    return Script(tuple(ScriptedEdit(**each) for each in body))
