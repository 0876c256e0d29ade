clock AS (
    SELECT deadline
    FROM (SELECT coalesce($19::timestamptz, now() + $20::interval) AS deadline) AS asked
    WHERE deadline BETWEEN now() + $21::interval AND now() + $22::interval
)
