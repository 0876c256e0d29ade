"""Callers vouched for by an issuer: JSON Web Tokens, and the keys that they are signed with."""
