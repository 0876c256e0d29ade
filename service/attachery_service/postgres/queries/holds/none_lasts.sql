NOT EXISTS (
{holds/lasting}
)
