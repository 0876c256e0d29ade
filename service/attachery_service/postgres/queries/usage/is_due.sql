(
    d.booking = 'pending' AND d.upload_url_expire_time <= now()
    AND (d.state <> 'pending' OR d.expire_time <= now())
)
