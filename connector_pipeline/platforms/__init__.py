"""An adapter per platform, the same rooms in each.

`adapters.py` names them, and `kit/contract.py` is the contract they fulfil.
"""
