-- Whether no hold on the session `s` lasts beyond now. Locks the holds that it finds.
NOT EXISTS (
{holds/lasting}
)
