-- Whether the reservation of the session `d` is due for release: its target has expired, and the session has
-- ended or its deadline has passed.
(
    d.booking = 'pending' AND d.upload_url_expire_time <= now()
    AND (d.state <> 'pending' OR d.expire_time <= now())
)
