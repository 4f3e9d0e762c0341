"""An adapter per platform, the same rooms in each; `platform.py` is the contract they fulfil."""
