"""The client for asyncio. The names are those of `warmcell`, with Async before them."""
