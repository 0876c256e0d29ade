-- The id of the hold that a call names: by its id, or by its owner.
coalesce(:hold_id::uuid, (
        SELECT o.hold_id FROM holds AS o
        WHERE o.tenant_id = :tenant_id AND o.created_by = :created_by
            AND o.owner = :owner AND o.owner <> '' AND o.release_time IS NULL
    ))
