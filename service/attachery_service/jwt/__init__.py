"""Verification of JSON Web Tokens, and the issuer's keys that they are signed with."""
