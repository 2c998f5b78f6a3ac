"""The API of the older telematics software, both generations, on the hub's own parts. Contract §12.

Which address does what here, and what is stricter: docs/reference/old-clients.md. `late.py` loads
the rest when somebody calls one of them.
"""
