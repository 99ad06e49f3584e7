"""How the client reaches a gateway. Nothing here is for users."""
