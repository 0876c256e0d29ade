-- Locks a PENDING session, then takes the request id. Of two concurrent calls, the second waits for the
-- lock and finds the first one's change, so it does not use up its request id.
WITH claimed AS (
    SELECT tenant_id, attachment_id
    FROM upload_sessions
    WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id
        AND (:subject::text IS NULL OR subject = :subject)
        AND state = 'pending' AND expire_time > now()
        -- booking = 'released': a transaction with a later now() has already expired this session.
        AND booking IS DISTINCT FROM 'released'
    FOR UPDATE
), {sessions/take_request}
