"""The JSON API below /api; `routers.py` lists its modules."""
