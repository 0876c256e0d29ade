-- The lock makes a loser of a race see what the winner left before it takes its request id.
WITH claimed AS (
    SELECT tenant_id, attachment_id
    FROM upload_sessions
    WHERE tenant_id = $1 AND attachment_id = $2 AND state = 'pending' AND expire_time > now()
        -- Released: its time is over by a clock that was read after this statement's.
        AND booking IS DISTINCT FROM 'released'
    FOR UPDATE
), {take_request}
