"""The durable memory of every change that kfold made in the world: written before the change, confirmed after it.

The protocol (DESIGN.md, "What is true", 2): `intended` is committed before the call, `done` with the identity learned
after it, `undoing` before the reverse, and the record goes only when the effect is seen to be gone.
"""

from kfold.ledger.journal import Copy
from kfold.ledger.ledger import Ledger, LedgerBusy
from kfold.ledger.records import Effect, Record, State, Transition, is_moved

__all__ = ["Copy", "Effect", "Ledger", "LedgerBusy", "Record", "State", "Transition", "is_moved"]
