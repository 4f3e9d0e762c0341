"""The adapters: one folder for each platform.

`adapters.py` names the adapters, and `kit/contract.py` is the contract that each of them fulfils.
"""
