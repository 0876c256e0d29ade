-- Applies deadlines to the due sessions of all tenants: expires sessions, purges bytes, releases
-- reservations and deletes rows. Returns one row per session with the remaining work outside the database:
-- objects to delete, an upload to complete.
--
-- Remaining work is due again after :retry_interval until sweep/confirm_disposal.sql or a Complete confirms
-- it, so a crashed worker loses no work. Sessions locked by other calls are skipped until the next run.
-- Shards are locked last and in order, as in every statement that locks several.
WITH due AS MATERIALIZED (
    SELECT d.*
    FROM upload_sessions AS d
    WHERE d.due_time <= now()
    ORDER BY d.due_time
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), judged AS MATERIALIZED (
    SELECT s.*, held.end_time AS hold_end_time,
        s.state = 'pending' AND s.expire_time <= now() AS expires,
        s.state = 'ready' AND s.delete_time IS NULL AND {sessions/bytes_are_gone} AS purges,
        -- NULL if the objects were never deleted; the row is then kept.
        (s.state NOT IN ('pending', 'ready') OR s.delete_time IS NOT NULL)
            AND s.disposed_time >= s.upload_url_expire_time + :longest_upload::interval
            AND s.metadata_purge_time <= now() AS is_over
    FROM due AS s
    CROSS JOIN {holds/end} AS told
    CROSS JOIN LATERAL (
        -- Purges bytes only after checking every hold; a hold locked by another call is rechecked
        -- later.
        SELECT CASE
            WHEN s.state = 'ready' AND s.delete_time IS NULL
                AND greatest(s.object_purge_time, told.end_time) <= now()
                AND NOT {holds/none_lasts}
                THEN now() + :retry_interval::interval
            ELSE told.end_time
        END AS end_time
        OFFSET 0
    ) AS held
), changed AS MATERIALIZED (
    -- The new values of each row.
    SELECT
        j.tenant_id, j.attachment_id, j.seal, j.upload_key, j.sealed_key, j.create_time,
        j.expire_time, j.upload_url_expire_time, j.metadata_purge_time, j.auto_complete,
        j.purpose, j.usage_shard, j.reserved_bytes, j.size, j.booking AS booked, j.due_time AS was_due_time,
        j.expires, j.purges, coalesce(j.is_over, false) AS is_over,
        j.revision + (j.expires OR j.purges)::int AS revision,
        CASE WHEN j.expires THEN 'expired' ELSE j.state END AS state,
        -- Held bytes are purged when the last hold ends.
        CASE WHEN j.purges THEN greatest(j.object_purge_time, j.hold_end_time)
            ELSE j.object_purge_time END AS object_purge_time,
        j.hold_end_time,
        CASE WHEN j.purges THEN now() ELSE j.delete_time END AS delete_time,
        CASE WHEN NOT j.purges THEN j.disposed_time END AS disposed_time,
        CASE
            WHEN j.purges AND j.booking IS NOT NULL THEN 'released'
            WHEN j.booking = 'pending' AND j.upload_url_expire_time <= now()
                AND (j.state <> 'pending' OR j.expires)
                -- Made READY by the previous release, which does not settle reservations.
                THEN CASE WHEN j.state = 'ready' THEN 'stored'::booking ELSE 'released' END
            ELSE j.booking
        END AS booking
    FROM judged AS j
), updated AS (
    UPDATE upload_sessions AS s
    SET state = n.state,
        revision = n.revision,
        update_time = CASE WHEN n.expires OR n.purges THEN now() ELSE s.update_time END,
        -- Computed from the row being updated, so that its times stay consistent with each other.
        object_purge_time = CASE WHEN n.purges THEN greatest(s.object_purge_time, n.hold_end_time)
            ELSE s.object_purge_time END,
        metadata_purge_time = CASE
            WHEN n.purges THEN greatest(s.metadata_purge_time, n.hold_end_time)
            ELSE s.metadata_purge_time END,
        -- If it is NULL although a hold may last, it is set, so that reads check the hold rows.
        held_until = CASE
            WHEN NOT n.purges THEN coalesce(
                s.held_until, CASE WHEN n.hold_end_time IS NOT NULL THEN s.object_purge_time END)
            END,
        delete_time = CASE WHEN n.purges THEN now() ELSE s.delete_time END,
        disposed_time = CASE WHEN NOT n.purges THEN s.disposed_time END,
        booking = n.booking,
        due_time = {sweep/next_due}
    FROM changed AS n
    WHERE s.tenant_id = n.tenant_id AND s.attachment_id = n.attachment_id AND NOT n.is_over
), removed AS (
    DELETE FROM upload_sessions AS s
    USING changed AS n
    WHERE s.tenant_id = n.tenant_id AND s.attachment_id = n.attachment_id AND n.is_over
), forgotten AS (
    DELETE FROM session_events AS e
    USING changed AS n
    WHERE e.tenant_id = n.tenant_id AND e.attachment_id = n.attachment_id AND n.is_over
), history AS (
    INSERT INTO session_events (tenant_id, attachment_id, revision, state, actor, facts)
    SELECT tenant_id, attachment_id, revision,
        CASE WHEN expires THEN 'expired'::session_state ELSE 'deleted' END, :actor,
        CASE WHEN purges THEN '{"cause": "object_purge_time"}'::jsonb ELSE '{}' END
    FROM changed WHERE expires OR purges
), {usage/rebook}
SELECT n.tenant_id, n.attachment_id, n.revision, n.was_due_time AS due_time, now() AS sweep_time,
    n.expires, n.purges, n.booked = 'pending' AND n.booking = 'released' AS releases, n.is_over,
    CASE
        WHEN n.is_over OR NOT {sweep/has_dead_objects} THEN '{}'
        WHEN n.disposed_time >= n.upload_url_expire_time + :longest_upload::interval THEN '{}'
        WHEN n.disposed_time IS NOT NULL
            AND n.upload_url_expire_time + :longest_upload::interval > now() THEN '{}'
        WHEN n.state = 'ready' AND n.delete_time IS NULL THEN ARRAY[n.upload_key]
        ELSE array_remove(ARRAY[n.upload_key, nullif(n.sealed_key, n.upload_key)], NULL)
    END AS dead_keys,
    CASE WHEN n.state = 'ready' AND n.delete_time IS NULL THEN n.sealed_key END AS kept_key,
    n.seal = 'copy' AND n.upload_url_expire_time + :longest_upload::interval <= now() AS may_have_lost_copies,
    n.state = 'pending' AND n.auto_complete AND {sessions/auto_complete_time} <= now() AS auto_completes
FROM changed AS n
