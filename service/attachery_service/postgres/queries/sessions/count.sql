-- The number of sessions in a list, up to :limit.
SELECT count(*) AS sessions
FROM (
    SELECT FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
    WHERE {sessions/is_listed}
    LIMIT :limit
) AS listed
