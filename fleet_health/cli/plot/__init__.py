"""The picture that `fleet-health replay --plot` draws."""
