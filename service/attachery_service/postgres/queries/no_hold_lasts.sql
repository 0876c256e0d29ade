NOT EXISTS (
{lasting_holds}
)
