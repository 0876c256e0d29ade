-- Records that the objects listed by the sweep at :sweep_time were deleted, for sessions that have not
-- changed since.
WITH disposed AS MATERIALIZED (
    SELECT s.tenant_id, s.attachment_id, s.state, s.seal, s.booking, s.auto_complete, s.create_time,
        s.expire_time, s.upload_url_expire_time, s.object_purge_time, s.metadata_purge_time,
        held.end_time AS hold_end_time, s.delete_time, greatest(s.disposed_time, :sweep_time::timestamptz) AS disposed_time
    FROM unnest(:tenant_ids::text[], :attachment_ids::uuid[], :revisions::int[]) AS d (tenant_id, attachment_id, revision)
    JOIN upload_sessions AS s
        ON s.tenant_id = d.tenant_id AND s.attachment_id = d.attachment_id
        AND s.revision = d.revision
    CROSS JOIN {holds/end} AS held
    ORDER BY s.tenant_id, s.attachment_id
    FOR UPDATE OF s
)
UPDATE upload_sessions AS s
SET disposed_time = n.disposed_time,
    due_time = {sweep/next_due}
FROM disposed AS n
WHERE s.tenant_id = n.tenant_id AND s.attachment_id = n.attachment_id
