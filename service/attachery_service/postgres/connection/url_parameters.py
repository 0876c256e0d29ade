"""The parameters of database URLs, by their treatment.

libpq's: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS. Those of other
drivers appear in the URLs that hosting providers print: Prisma (Supabase, Neon, Prisma Postgres),
node-postgres (Vercel), pgx, JDBC and its YugabyteDB variant.
"""

from __future__ import annotations

from typing import Final

# asyncpg reads these as libpq does.
PASSED: Final = frozenset({
    "host", "port", "dbname", "database", "user", "password", "passfile", "service",
    "sslmode", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
    "target_session_attrs", "krbsrvname", "gsslib",
})  # fmt: skip

# Sent to the server unchanged; `options` may carry any other setting.
SERVER_SETTINGS: Final = frozenset({
    "options", "search_path", "statement_timeout", "lock_timeout", "timezone",
    "idle_in_transaction_session_timeout",
})  # fmt: skip

# Translated, each in its own way.
TRANSLATED: Final = frozenset({
    "connect_timeout", "application_name", "fallback_application_name", "hostaddr",
    "ssl", "requiressl", "sslaccept", "schema", "currentSchema",
})  # fmt: skip

# A negative value of these switches prepared statements off.
PREPARED: Final = frozenset({
    "prepared_statements", "statement_cache_size", "prepared_statement_cache_size",
    "statement_cache_capacity", "prepareThreshold", "prepare",
})  # fmt: skip

# A positive value of this one does: Prisma's name for any transaction-pooling proxy.
POOLED: Final = "pgbouncer"

# pgx: in every other mode it keeps no prepared statements.
QUERY_MODES: Final = frozenset({"default_query_exec_mode", "statement_cache_mode"})
PREPARING_MODES: Final = frozenset({"cache_statement", "prepare"})

# Protections that asyncpg does not have, and the values that require them; empty: any value.
PROTECTING: Final = {
    "channel_binding": frozenset({"require"}),
    "gssencmode": frozenset({"require"}),
    "sslcertmode": frozenset({"require"}),
    "require_auth": frozenset[str](),
    "requirepeer": frozenset[str](),
    "sslcrldir": frozenset[str](),
}

# Ignored here without harm.
DROPPED: Final = frozenset({
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    "gssdelegation", "client_encoding", "load_balance_hosts", "sslcompression", "sslsni",
    "sslkeylogfile", "min_protocol_version", "max_protocol_version", "servicefile",
    "scram_client_key", "scram_server_key",
    "oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope",
    # Prisma
    "connection_limit", "pool_timeout", "socket_timeout", "sslidentity",
    "max_connection_lifetime", "max_idle_connection_lifetime", "single_use_connections",
    # node-postgres, Vercel, Supabase
    "uselibpqcompat", "supa", "workaround", "pool_mode",
    # pgx, JDBC, YugabyteDB
    "pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time",
    "pool_health_check_period", "binary_parameters", "tcpKeepAlive", "socketTimeout",
    "loginTimeout", "load_balance", "topology_keys",
})  # fmt: skip

KNOWN: Final = (
    PASSED | SERVER_SETTINGS | TRANSLATED | PREPARED | {POOLED} | QUERY_MODES
    | PROTECTING.keys() | DROPPED
)  # fmt: skip

# The permitted values of some parameters.
VALUES: Final = {
    "sslmode": frozenset({
        "disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify",
    }),
    "target_session_attrs": frozenset({
        "any", "primary", "standby", "read-write", "read-only", "prefer-standby",
    }),
    "sslnegotiation": frozenset({"postgres", "direct"}),
    "sslaccept": frozenset({"strict", "accept_invalid_certs"}),
}  # fmt: skip
