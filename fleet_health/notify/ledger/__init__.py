"""The ledger: what each destination is to be sent, what it was sent, and what came of it."""
