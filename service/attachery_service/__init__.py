"""The upload-session service: verifies uploads and serves exactly the verified bytes."""
