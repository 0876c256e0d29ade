-- Locks the row first, so that the loser of a race sees the winner's change before it takes its request id.
WITH claimed AS (
    SELECT tenant_id, attachment_id
    FROM upload_sessions
    WHERE tenant_id = :tenant_id AND attachment_id = :attachment_id
        AND state = 'pending' AND expire_time > now()
        -- Released: it expired by a clock that was read after this statement's.
        AND booking IS DISTINCT FROM 'released'
    FOR UPDATE
), {sessions/take_request}
