"""Settings: environment variables and TOML files, validated at start-up."""
