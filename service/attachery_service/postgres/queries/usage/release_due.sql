-- Releases the reservations of a tenant's sessions with expired targets. It also settles sessions that the
-- previous release made READY, because that release does not settle reservations.
--
-- Sessions locked by other calls are skipped until the next run, so this statement never waits for a session.
WITH due AS (
    SELECT d.attachment_id FROM upload_sessions AS d
    WHERE d.tenant_id = :tenant_id AND {usage/is_due}
    ORDER BY d.upload_url_expire_time
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
), changed AS (
    UPDATE upload_sessions AS s
    SET booking = CASE WHEN s.state = 'ready' THEN 'stored'::booking ELSE 'released' END
    FROM due
    WHERE s.tenant_id = :tenant_id AND s.attachment_id = due.attachment_id
    RETURNING s.*, 'pending'::booking AS booked
), {usage/rebook}
SELECT count(*) AS released FROM changed
