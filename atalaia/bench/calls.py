async def bench(**k):
    return {}
