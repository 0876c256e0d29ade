-- The columns of a session that an audit compares, and the tables they come from.
    n.attachment_id, n.size, n.upload_key, n.sealed_key, n.sealed_etag,
    n.state = 'ready' AND NOT {sessions/bytes_are_gone} AS has_bytes,
    n.delete_time IS NOT NULL AS is_deleted,
    -- All objects to delete are deleted, and no upload can create them again.
    coalesce(
        {sweep/has_dead_objects} AND n.disposed_time >= n.upload_url_expire_time + :longest_upload::interval, false
    ) AS is_disposed,
    greatest(n.update_time, CASE n.state WHEN 'pending' THEN n.expire_time END)
        > now() - :longest_call::interval
    -- The last deletion also removes copies whose keys no row contains.
    OR n.seal = 'copy' AND {sweep/has_dead_objects} AND coalesce(
        n.disposed_time < n.upload_url_expire_time + :longest_upload::interval, true
    ) AS is_unsettled,
    n.due_time,
    {sweep/next_due} AS next_due_time,
    CASE WHEN held.end_time > now() THEN held.end_time END AS held_until,
    lasting.end_time AS holds_end_time,
    now() AS read_time
FROM (
    SELECT s.*, held.end_time AS hold_end_time
    FROM upload_sessions AS s CROSS JOIN {holds/end} AS held
) AS n
CROSS JOIN LATERAL (SELECT n.*) AS s
CROSS JOIN LATERAL (SELECT n.hold_end_time AS end_time) AS held
CROSS JOIN LATERAL (
    SELECT max(h.expire_time) AS end_time
    FROM held_attachments AS a JOIN holds AS h USING (tenant_id, hold_id)
    WHERE a.tenant_id = n.tenant_id AND a.attachment_id = n.attachment_id
        AND n.state = 'ready' AND n.delete_time IS NULL
        AND h.release_time IS NULL AND h.expire_time > now()
) AS lasting
